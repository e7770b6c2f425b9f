import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { z } from "zod";
import { type Decoded, DenseDetector, pickedDetections } from "../../../src/detection/models/detector.ts";
import { FasterRcnn } from "../../../src/detection/models/faster-rcnn.ts";
import { Fcos } from "../../../src/detection/models/fcos.ts";
import { RetinaNet } from "../../../src/detection/models/retina-net.ts";
import type { TorchvisionModel } from "../../../src/detection/models/torchvision.ts";
import { writeSafetensors } from "../../../src/nn/safetensors.ts";
import type { State } from "../../../src/program/program.ts";
import { importDetector, openRun } from "../../../src/tasks/index.node.ts";
import { concat, float32, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { expectLike, uniform } from "../../backbones/published.ts";
import { present } from "../../support.ts";

// What torchvision's detectors predict and find, from ../../fixtures/imported, and imports of the same weights.

const summarySchema = z.object({
  shape: z.array(z.number()),
  mean: z.number(),
  deviation: z.number(),
  samples: z.array(z.number()),
});

const caseSchema = z.object({
  /** Names and shapes of the state dict. */
  state: z.array(z.tuple([z.string(), z.string()])),
  images: z.array(
    z.object({
      height: z.number(),
      width: z.number(),
      outputs: z.record(z.string(), summarySchema),
      found: z.object({
        boxes: z.array(z.array(z.number())),
        scores: z.array(z.number()),
        labels: z.array(z.number()),
      }),
    }),
  ),
});

/** A detector of torchvision, and what it finds. */
export type ImportedCase = z.output<typeof caseSchema>;

/** The detectors of a file of ../../fixtures/imported. */
export async function importedCases(name: string): Promise<Readonly<Record<string, ImportedCase>>> {
  const text = await readFile(new URL(`../../fixtures/imported/${name}`, import.meta.url), "utf8");
  return z.record(z.string(), caseSchema).parse(JSON.parse(text));
}

/** As detectors.py has it. */
function gain(name: string): number {
  if (/bn3\.weight$|layer\d\.\d\.bn2\.weight$/.test(name)) return 0.4;
  if (/inner_blocks.*weight$|p6\.weight$/.test(name)) return 0.1;
  if (/bbox_(reg|pred)\.weight$/.test(name)) return 0.15;
  return /(cls_logits|cls_score|bbox_ctrness)\.weight$/.test(name) ? 0.6 : 1;
}

/** The values that detectors.py gives a state dict. */
export function stateOf({ state }: Pick<ImportedCase, "state">): State {
  return new Map(
    state.map(([name, text]): [string, NdArray] => {
      const shape = text === "" ? [] : text.split("x").map(Number);
      const kind = name.slice(name.lastIndexOf(".") + 1);
      if (kind === "num_batches_tracked") {
        return [name, { dtype: "int64", shape: [], data: BigInt64Array.of(0n) }];
      }
      const { data } = uniform(name, shape);
      const fan = shape.slice(1).reduce((a, b) => a * b, 1);
      const [offset, factor] =
        kind === "running_var"
          ? [1, 0.5]
          : shape.length > 1
            ? [0, gain(name) * Math.sqrt(6 / fan)]
            : kind === "weight"
              ? [gain(name), 0.3 * gain(name)]
              : [0, 0.3];
      return [
        name,
        float32(
          data.map((value) => offset + factor * value),
          shape,
        ),
      ];
    }),
  );
}

/** Writes a state dict into a folder. @returns the path */
export async function writeState(folder: string, name: string, state: State): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  await writeFile(path, writeSafetensors(state, { format: "pt" }));
  return path;
}

/** The picture of detectors.py, in bytes. */
function imageOf(height: number, width: number): NdArray<"float32"> {
  const { data } = uniform(`image ${height}x${width}`, [3 * height * width]);
  // Python rounds halves to even; a half is no byte of a hash.
  return float32(
    data.map((value) => Math.round((value + 1) * 127.5)),
    [1, 3, height, width],
  );
}

/** What a head predicts, by torchvision's names. */
function rawOutputs(model: unknown, x: Tensor): Readonly<Record<string, Tensor>> {
  if (!(model instanceof DenseDetector)) throw new Error("no detector with a pyramid");
  const maps = model.features.forward(x);
  if (model instanceof FasterRcnn) {
    const { predictions } = model.head.forward(maps);
    return {
      objectness: concat(
        predictions.map(({ objectness }) => objectness),
        1,
      ).unsqueeze(2),
      deltas: concat(
        predictions.map(({ deltas }) => deltas),
        1,
      ),
    };
  }
  if (model instanceof RetinaNet) {
    const { classes, deltas } = model.head.forward(maps);
    return { cls_logits: classes, bbox_regression: deltas };
  }
  if (!(model instanceof Fcos)) throw new Error("none of torchvision's detectors");
  const { classes, distances, centerness } = model.head.forward(maps);
  return { cls_logits: classes, bbox_regression: distances, bbox_ctrness: centerness.unsqueeze(2) };
}

/** Score from which on detectors.py counts detections. */
const THRESHOLDS: Readonly<Record<string, number>> = {
  "small faster-rcnn": 0.05,
  "small retina-net": 0.5,
  "small retina-net v2": 0.5,
  "small fcos": 0.4,
  "published faster-rcnn": 0.05,
  "published retina-net": 0.6,
  "published fcos": 0.5,
};

/** What is compared of a case: as its head predicts it, and as it is found, in images of three sizes. */
export async function expectTorchvisionsResults(
  folder: string,
  which: string,
  expected: ImportedCase,
): Promise<void> {
  const as = which.replace(/^\w+ | v2$/g, "") as TorchvisionModel;
  const file = await writeState(folder, which.replaceAll(" ", "-"), stateOf(expected));
  const made = await importDetector({ file, as, out: `${file}-run`, size: 128 });
  await using run = await openRun(made.folder);
  const { model, session } = run.loaded;
  if (!(model instanceof DenseDetector)) throw new Error("no detector with a pyramid");
  for (const { height, width, outputs, found } of expected.images) {
    const x = imageOf(height, width);
    const program = session.compiled(model, "raw", ["x"], ({ x: images }): Record<string, Tensor> => {
      const { boxes, scores } = model.decoded(present(images));
      return { boxes, scores, ...rawOutputs(model, present(images)) };
    });
    const values: Record<string, NdArray> = await program.run({ x });
    for (const [name, summary] of Object.entries(outputs)) expectLike(values[name], summary, 1e-3);

    const [seen] = pickedDetections(
      model,
      { boxes: present(values.boxes), scores: present(values.scores) } as Readonly<
        Record<keyof Decoded, NdArray<"float32">>
      >,
      {
        confidence: present(THRESHOLDS[which]),
        iou: as === "fcos" ? 0.6 : 0.5,
        maximum: 40,
      },
      { width, height },
    );
    const own = present(seen);
    expect(own.scores.length).toBe(found.scores.length);
    // Of scores that differ by less than a rounding either may come first.
    const left = new Set(found.scores.keys());
    for (const [i, label] of Array.from(own.classes).entries()) {
      const edges = Array.from(own.boxes.slice(4 * i, 4 * i + 4));
      const theirs = as === "faster-rcnn" ? label + 1 : label;
      const same = [...left].find(
        (j) =>
          found.labels[j] === theirs &&
          Math.abs(present(found.scores[j]) - present(own.scores[i])) < 1e-3 &&
          edges.every((edge, k) => Math.abs(edge - present(found.boxes[j]?.[k])) < 1e-3 * Math.max(1, edge)),
      );
      expect(same, `${which}, ${height} × ${width}: detection ${i} [${edges}] ${own.scores[i]}`).not.toBe(
        undefined,
      );
      if (same !== undefined) left.delete(same);
    }
  }
}
