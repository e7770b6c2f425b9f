import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { list, MOST } from "../../bounds.ts";
import type { DetectionSet } from "../../data/boxes/set.ts";
import {
  FILE_KINDS,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { letterboxBatch } from "../../detection/augment/batches.ts";
import { type Box, boxAt } from "../../detection/boxes/boxes.ts";
import { fromLetterbox, letterbox } from "../../detection/boxes/letterbox.ts";
import { checkTakesSizes, detections, oneLook } from "../../detection/models/detector.ts";
import {
  type ChipOptions,
  type ImageChip,
  planChips,
  scaledImage,
} from "../../detection/scale/chip-batches.ts";
import { negativeChips } from "../../detection/scale/chips.ts";
import { inRange, objectSize } from "../../detection/scale/ranges.ts";
import { USUAL_LEAST_PROPOSALS, USUAL_PROPOSAL_SCORE } from "../../detection/scale/snip-options.ts";
import { scaledSize } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import type { DetectionDataOptions } from "../run/detection-options.ts";
import { type DetectorRun, detectorRun, loadRun } from "../run/load.node.ts";

// The early proposal pass of SNIPER (Singh, Najibi and Davis 2018, section 3.2): a detector that was trained for a short while looks at all
// training images, and chips with much of what it finds where nothing is chosen anyway are background worth training on.

/** Images that the detector looks at in one run of its program. */
const AT_ONCE = 4;

/** Most proposals of an image at a scale. */
const MOST_PROPOSALS = 300;

/** Negative chips, and a fingerprint by which it is known that they are still the same. */
export interface Negatives {
  readonly chips: readonly ImageChip[];
  readonly fingerprint: string;
}

const storedChips = z.object({
  fingerprint: z.string(),
  chips: list(
    z.tuple([
      z.int().min(0).max(MOST.samples),
      z.int().min(0).max(MOST.shapes),
      z.int().min(0).max(MOST.elements),
      z.int().min(0).max(MOST.elements),
    ]),
    MOST.samples,
  ),
});

/** What a detector finds in an image, in its pixels at each scale, by scale. */
async function proposalsOf(
  { model, session }: DetectorRun,
  set: DetectionSet,
  indices: readonly number[],
  { size, scales }: ChipOptions,
  score: number,
): Promise<readonly (readonly (readonly Box[])[])[]> {
  const { train } = set.splits;
  const detector = oneLook(model, "option negativesFrom: objects are proposed");
  const found: Box[][][] = indices.map(() => []);
  for (const factor of scales) {
    const side = scaledSize(size, factor);
    const { x } = await letterboxBatch(train, indices, side);
    const all = await detections(detector, session, x, { confidence: score, maximum: MOST_PROPOSALS });
    for (const [i, index] of indices.entries()) {
      const own = train.annotations(index);
      const boxes = fromLetterbox(
        all[i]?.boxes ?? new Float32Array(),
        letterbox(own, { width: side, height: side }),
      );
      const { width, height } = scaledImage(own, size, factor);
      const [sx, sy] = [width / own.width, height / own.height];
      found[i]?.push(
        Array.from({ length: boxes.length / 4 }, (_, k): Box => {
          const [x1, y1, x2, y2] = boxAt(boxes, k);
          return [sx * x1, sy * y1, sx * x2, sy * y2];
        }),
      );
    }
  }
  return found;
}

/** Looks at all training images. */
async function chooseChips(
  run: DetectorRun,
  set: DetectionSet,
  options: ChipOptions,
  least: number,
  score: number,
): Promise<readonly ImageChip[]> {
  const { train } = set.splits;
  const { ranges, scales, size, side } = options;
  const positive = planChips(train, options).chips;
  const negatives: ImageChip[] = [];
  for (let first = 0; first < train.count; first += AT_ONCE) {
    const indices = Array.from({ length: Math.min(AT_ONCE, train.count - first) }, (_, i) => first + i);
    const found = await proposalsOf(run, set, indices, options, score);
    for (const [i, image] of indices.entries()) {
      for (const [scale, factor] of scales.entries()) {
        const range = ranges[scale];
        const valid = (found[i]?.[scale] ?? []).filter(
          (box) => range !== undefined && inRange(objectSize(box), range),
        );
        const own = positive.filter((chip) => chip.image === image && chip.scale === scale);
        const there = scaledImage(train.annotations(image), size, factor);
        for (const chip of negativeChips(valid, own, there, side, least))
          negatives.push({ ...chip, image, scale });
      }
    }
  }
  return negatives;
}

/**
 * Chips of what an earlier run finds where there are no objects. They are kept in its folder, so that neither a resumed fit nor a replica has
 * to look at all images again.
 * @param begun the fingerprint with which a fit was begun that goes on: nothing is looked at, and nothing written, where there would be another
 * @throws OptionError where the run is no detector of the same classes, or finds others than when the fit was begun; FileError
 */
export async function negativesOf(
  set: DetectionSet,
  options: ChipOptions,
  { bySize }: Pick<DetectionDataOptions, "bySize">,
  begun?: { readonly fingerprint: string | undefined },
): Promise<Negatives | undefined> {
  const { negativesFrom } = bySize;
  const { leastProposals = USUAL_LEAST_PROPOSALS, proposalScore = USUAL_PROPOSAL_SCORE } = bySize;
  const checkBegun = (fingerprint: string | undefined): void => {
    if (begun === undefined || begun.fingerprint === fingerprint) return;
    throw new OptionError(
      `option negativesFrom: ${negativesFrom ?? "no run"} is no longer what this run was begun with (its weights changed, or the data); fit into a new folder`,
    );
  };
  if (negativesFrom === undefined) {
    checkBegun(undefined);
    return undefined;
  }
  const run = detectorRun(await loadRun(negativesFrom));
  try {
    if (run.classes.join("\n") !== set.classes.join("\n")) {
      throw new OptionError(
        `option negativesFrom: ${negativesFrom} finds ${run.classes.join(", ")}, and the data has ${set.classes.join(", ")}; give a run on the same classes`,
      );
    }
    checkTakesSizes(
      run.model,
      "negativesFrom",
      options.scales.map((factor) => scaledSize(options.size, factor)),
    );
    const { file } = await run.folder.readWeightsFile();
    const weights = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
    const asked = JSON.stringify([set.fingerprint, options, options.ranges.map(({ to }) => String(to))]);
    const key = createHash("sha256")
      .update(`${asked} ${weights} ${leastProposals} ${proposalScore}`)
      .digest("hex");
    checkBegun(key);
    const kept = run.folder.file(`negatives-${key.slice(0, 12)}.json`);
    const known = await readKept(kept, key, set, options);
    if (known !== undefined) return { chips: known, fingerprint: key };
    const chips = await chooseChips(run, set, options, leastProposals, proposalScore);
    const rows = chips.map(({ image, scale, left, top }) => [image, scale, left, top]);
    await writeFileAtomic(kept, JSON.stringify({ fingerprint: key, chips: rows }));
    return { chips, fingerprint: key };
  } finally {
    await run.session.release();
  }
}

/** Chips that were found before; undefined where there are none, or they are others, or none of these images. */
async function readKept(
  path: string,
  fingerprint: string,
  { splits: { train } }: DetectionSet,
  { size, scales }: ChipOptions,
): Promise<readonly ImageChip[] | undefined> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readRegularFile(path, FILE_KINDS.array));
  } catch (error) {
    if (error instanceof UnreadFileError && error.reason === "missing") return undefined;
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // What is damaged is found again.
    return undefined;
  }
  const stored = storedChips.safeParse(json);
  if (!stored.success || stored.data.fingerprint !== fingerprint) return undefined;
  const { chips } = stored.data;
  const areInside = chips.every(([image, scale, left, top]) => {
    const factor = scales[scale];
    if (factor === undefined || image >= train.count) return false;
    const { width, height } = scaledImage(train.annotations(image), size, factor);
    return left < width && top < height;
  });
  if (!areInside) return undefined;
  return chips.map(([image, scale, left, top]) => ({ image, scale, left, top, hull: undefined }));
}
