import type { ByteImage, ImagePart } from "../../../data/boxes/set.ts";
import type { Session } from "../../../program/program.ts";
import type { NdArray } from "../../../tensor/array.ts";
import { sizeAt } from "../../../tensor/graph.ts";
import { constant, float32, logicalAnd, slice, type Tensor, where } from "../../../tensor/index.ts";
import { boxAt, type Size } from "../../boxes/boxes.ts";
import { nms } from "../../boxes/nms.ts";
import type { LookReports } from "../detector.ts";
import { drawArea, drawAreas, drawPart } from "./area.ts";
import {
  type CascadeOutputs,
  ceilMaxPool,
  INPUT_SIZES,
  normalizedPixels,
  type ONet,
  type PNet,
  PROPOSAL_STRIDE,
  type RNet,
  type Stage,
} from "./networks.ts";
import {
  calibrated,
  joinWindows,
  landmarksInImage,
  pickWindows,
  pixelsOf,
  proposalWindow,
  squared,
  suppressedWithin,
  type Windows,
} from "./windows.ts";

/** How a cascade looks at an image. */
export interface CascadeLook {
  /** Side in pixels of the image of the smallest objects that are looked for. */
  readonly minimumSize: number;
  /** The size of a level of the image pyramid in parts of the one before, between 0 and 1. */
  readonly factor: number;
  /** Scores above which windows pass the three networks, 0 … 1. */
  readonly thresholds: readonly [number, number, number];
  /** Of two objects that are found the better one stays where they share more than this of the smaller one, 0 … 1. */
  readonly overlap: number;
}

/** IoU above which the better of two windows stays: of one level, and of several levels or of the refinement network. */
export const SUPPRESSION = { level: 0.5, all: 0.7 } as const;

/** Most windows of an image that a network passes on, the best ones. Faces in a crowd take some thousands. */
const MOST_WINDOWS = 20_000;

/** Numbers of windows, or of tiles, that go through a network at once: few, so that few programs are built. */
const BATCH_SIZES = [1, 4, 16, 64] as const;

/**
 * Tiles of the pyramid's levels, in locations of the proposal network's map and in pixels. With tiles of one size there is one program for
 * images of all sizes, and as little memory for large ones.
 */
export const TILE_CELLS = 60;
export const TILE_STEP = PROPOSAL_STRIDE * TILE_CELLS;
export const TILE = TILE_STEP - PROPOSAL_STRIDE + INPUT_SIZES.pnet;

/**
 * Levels of the pyramid that are so much smaller than the image are drawn together before they are looked at: of large images and large
 * objects all are, and to read all pixels for each of them would take longer than the networks do. They take a tenth of the image's bytes
 * with the usual factor.
 */
const DRAWN_TOGETHER = 1 / 8;

/** Pixels by which the first convolution of the proposal network makes a side shorter. */
const STEM_LOSS = 2;

/** Smaller than any activation: what lies beyond a level never wins in its pooling. */
const LOWEST = -1e9;

/** The three networks of a cascade. */
export interface CascadeNetworks {
  readonly pnet: PNet;
  readonly rnet: RNet;
  readonly onet: ONet;
}

/** What the cascade has found in an image, network by network, in the published convention of windows. */
export interface CascadeStages {
  /** Windows that the proposal network passes on: suppressed, calibrated and squared. */
  readonly proposals: StageWindows;
  /** Those that the refinement network passes on: suppressed, calibrated and squared. */
  readonly refined: StageWindows;
  /** What the output network has found: calibrated and suppressed, from the best down, with landmarks where it predicts any. */
  readonly found: StageWindows;
}

/** What a network passes on. */
export interface StageWindows {
  /** Four numbers a window. */
  readonly boxes: Float32Array;
  readonly scores: Float32Array;
  /** x and y of each landmark of each window in pixels of the image. */
  readonly landmarks?: Float32Array;
}

/**
 * The scales of the image pyramid, from the largest on: 12 / minimumSize, and on by the factor, as long as the image is at least as large as
 * the 12 pixels of the proposal network. None where the image is smaller than the smallest object.
 */
export function pyramidScales(
  { width, height }: Size,
  { minimumSize, factor }: Pick<CascadeLook, "minimumSize" | "factor">,
): readonly number[] {
  const scales: number[] = [];
  let scale = INPUT_SIZES.pnet / minimumSize;
  // Both are multiplied on, as published: rounding decides the number of levels.
  for (let least = Math.min(width, height) * scale; least >= INPUT_SIZES.pnet; least *= factor) {
    scales.push(scale);
    scale *= factor;
  }
  return scales;
}

/** The size of an image at a scale of the pyramid. */
function levelSize({ width, height }: Size, scale: number): Size {
  return { width: Math.trunc(width * scale + 1), height: Math.trunc(height * scale + 1) };
}

/** Locations of the proposal network's map along a side of so many pixels. */
function cellsAlong(side: number): number {
  return Math.ceil((side - STEM_LOSS) / PROPOSAL_STRIDE) - 4;
}

/** The probability of the object from logits of background and the object: [n, 2, …] → [n, …]. */
export function objectProbability(logits: Tensor): Tensor {
  return slice(logits.softmax(1), 1, 1, 2).squeeze(1);
}

/**
 * What the proposal network predicts of tiles x [n, 3, side, side] in bytes, which may reach beyond the level that they are of.
 * @param height of the level from the upper edge of each tile on, in pixels: [n]; and its width from the left edge on. Beyond, the last pooling
 * windows are cut off, as they are at the border of a whole level.
 */
export function tilePredictions(
  pnet: PNet,
  x: Tensor,
  height: Tensor,
  width: Tensor,
): { readonly scores: Tensor; readonly offsets: Tensor } {
  const stem = pnet.stem(normalizedPixels(x));
  const side = sizeAt("tilePredictions", stem, 2);
  const places = Array.from({ length: side }, (_, i) => i);
  const within = (sides: Tensor, shape: readonly number[]): Tensor =>
    constant(float32(places, shape)).less(sides.sub(STEM_LOSS).reshape([-1, 1, 1, 1]));
  const rows = within(height, [1, 1, side, 1]);
  const columns = within(width, [1, 1, 1, side]);
  const { logits, offsets } = pnet.head(ceilMaxPool(where(logicalAnd(rows, columns), stem, LOWEST), 2));
  return { scores: objectProbability(logits), offsets };
}

/** A tile of a level of the pyramid. */
interface Tile {
  readonly level: number;
  /** Its first location in the map of the level. */
  readonly row: number;
  readonly column: number;
}

/** Windows of a level that pass, as they are met. */
class LevelWindows {
  private readonly scale: number;
  private readonly columns: number;
  /** Whether there were more than are kept. */
  wasCut = false;
  private found: { readonly place: number; readonly score: number; readonly offsets: readonly number[] }[] =
    [];

  /** @param columns of the map of the level */
  constructor(scale: number, columns: number) {
    this.scale = scale;
    this.columns = columns;
  }

  add(row: number, column: number, score: number, offsets: readonly number[]): void {
    this.found.push({ place: row * this.columns + column, score, offsets });
    if (this.found.length >= 4 * MOST_WINDOWS) this.cut();
  }

  private cut(): void {
    if (this.found.length <= MOST_WINDOWS) return;
    this.wasCut = true;
    this.found.sort((a, b) => b.score - a.score || a.place - b.place);
    this.found = this.found.slice(0, MOST_WINDOWS);
  }

  /** The windows that are left by suppression within the level. */
  suppressed(): Windows {
    this.cut();
    // Of equal scores the first comes first: row by row, whatever tile it is of.
    const ordered = this.found.sort((a, b) => a.place - b.place);
    const windows = {
      boxes: Float32Array.from(
        ordered.flatMap(({ place }) =>
          proposalWindow(Math.floor(place / this.columns), place % this.columns, this.scale),
        ),
      ),
      scores: Float32Array.from(ordered, ({ score }) => score),
      offsets: Float32Array.from(ordered.flatMap(({ offsets }) => offsets)),
    };
    return pickWindows(windows, nms(windows.boxes, windows.scores, { threshold: SUPPRESSION.level }));
  }
}

/** Numbers of rows that go through a network together, one batch after the other; the last may have room for more. */
function* batches(
  count: number,
): Generator<{ readonly first: number; readonly count: number; readonly size: number }> {
  for (let first = 0; first < count; ) {
    const left = count - first;
    const size = BATCH_SIZES.find((each) => each >= left) ?? Math.max(...BATCH_SIZES);
    const taken = Math.min(left, size);
    yield { first, count: taken, size };
    first += taken;
  }
}

/** What the proposal network passes on of an image, before calibration. */
async function proposedWindows(
  session: Session,
  { pnet }: CascadeNetworks,
  image: ByteImage,
  look: CascadeLook,
  { onWindowLimit }: LookReports,
): Promise<Windows> {
  const scales = pyramidScales(image, look);
  const sizes = scales.map((scale) => levelSize(image, scale));
  const levels = scales.map((scale, i) => new LevelWindows(scale, cellsAlong(sizes[i]?.width ?? 0)));
  const small = sizes.filter((_, i) => (scales[i] ?? 1) <= DRAWN_TOGETHER);
  const drawn = new Map(drawAreas(image, small).map((data, i) => [small[i], data]));
  const tiles = sizes.flatMap(({ width, height }, level) => {
    const made: Tile[] = [];
    for (let row = 0; row < cellsAlong(height); row += TILE_CELLS) {
      for (let column = 0; column < cellsAlong(width); column += TILE_CELLS)
        made.push({ level, row, column });
    }
    return made;
  });
  const program = session.compiled(pnet, "tiles", ["x", "height", "width"], ({ x, height, width }) =>
    tilePredictions(pnet, x, height, width),
  );
  const least = Math.fround(look.thresholds[0]);
  const whole = { left: 0, top: 0, width: image.width, height: image.height };
  for (const { first, count, size } of batches(tiles.length)) {
    const x = new Float32Array(size * 3 * TILE * TILE);
    const [heights, widths] = [new Float32Array(size).fill(TILE), new Float32Array(size).fill(TILE)];
    const own = tiles.slice(first, first + count);
    for (const [i, { level: number, row, column }] of own.entries()) {
      const levelOf = sizes[number] ?? { width: 0, height: 0 };
      const [left, top] = [PROPOSAL_STRIDE * column, PROPOSAL_STRIDE * row];
      const canvas = { data: x, offset: 3 * TILE * TILE * i, side: TILE };
      const level = drawn.get(levelOf);
      if (level === undefined) drawArea(image, whole, levelOf, canvas, { left, top });
      else drawPart(level, levelOf, canvas, { left, top });
      heights[i] = Math.min(TILE, levelOf.height - top);
      widths[i] = Math.min(TILE, levelOf.width - left);
    }
    const { scores, offsets } = await program.run({
      x: float32(x, [size, 3, TILE, TILE]),
      height: float32(heights, [size]),
      width: float32(widths, [size]),
    });
    const cells = TILE_CELLS * TILE_CELLS;
    for (const [i, { level, row, column }] of own.entries()) {
      const rows = Math.min(TILE_CELLS, cellsAlong(heights[i] ?? 0));
      const columns = Math.min(TILE_CELLS, cellsAlong(widths[i] ?? 0));
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          const cell = y * TILE_CELLS + x;
          const score = Number(scores.data[i * cells + cell]);
          if (!(score >= least)) continue;
          const edges = [0, 1, 2, 3].map((side) => Number(offsets.data[(4 * i + side) * cells + cell]));
          levels[level]?.add(row + y, column + x, score, edges);
        }
      }
    }
  }
  const all = joinWindows(levels.map((level) => level.suppressed()));
  const kept = nms(all.boxes, all.scores, { threshold: SUPPRESSION.all, maximum: MOST_WINDOWS + 1 });
  if (kept.length > MOST_WINDOWS || levels.some(({ wasCut }) => wasCut)) onWindowLimit?.(MOST_WINDOWS);
  return pickWindows(all, kept.slice(0, MOST_WINDOWS));
}

/**
 * What a network predicts of windows of an image, those of them that it passes. Windows without a pixel in the image are left out.
 * @param network one of the last two
 * @param side of what it looks at
 * @param threshold score above which a window passes
 */
async function judged(
  session: Session,
  network: { forward(x: Tensor): CascadeOutputs },
  side: number,
  image: ByteImage,
  boxes: Float32Array,
  threshold: number,
): Promise<Windows> {
  const seen = Array.from({ length: boxes.length / 4 }, (_, i) => i).flatMap(
    (i): readonly { readonly i: number; readonly part: ImagePart }[] => {
      const part = pixelsOf(boxes, i, image);
      return part === undefined ? [] : [{ i, part }];
    },
  );
  const program = session.compiled(network, "windows", ["x"], ({ x }) => {
    const { logits, ...others } = network.forward(normalizedPixels(x));
    return { scores: objectProbability(logits), ...others } as Record<string, Tensor>;
  });
  const passed: {
    readonly box: readonly number[];
    score: number;
    offsets: Float32Array;
    points: Float32Array;
  }[] = [];
  const least = Math.fround(threshold);
  for (const { first, count, size } of batches(seen.length)) {
    const x = new Float32Array(size * 3 * side * side);
    const own = seen.slice(first, first + count);
    for (const [row, { part }] of own.entries()) {
      drawArea(image, part, { width: side, height: side }, { data: x, offset: 3 * side * side * row, side });
    }
    const outputs = await program.run({ x: float32(x, [size, 3, side, side]) });
    const rowsOf = (name: string, row: number): Float32Array => {
      const value = outputs[name] as NdArray<"float32"> | undefined;
      const length = (value?.data.length ?? 0) / size;
      return value?.data.slice(row * length, (row + 1) * length) ?? new Float32Array(0);
    };
    for (const [row, { i }] of own.entries()) {
      const [score = Number.NaN] = rowsOf("scores", row);
      if (!(score > least)) continue;
      passed.push({
        box: boxAt(boxes, i),
        score,
        offsets: rowsOf("offsets", row),
        points: rowsOf("landmarks", row),
      });
    }
  }
  const landmarks = Float32Array.from(passed.flatMap(({ points }) => [...points]));
  return {
    boxes: Float32Array.from(passed.flatMap(({ box }) => box)),
    scores: Float32Array.from(passed, ({ score }) => score),
    offsets: Float32Array.from(passed.flatMap(({ offsets }) => [...offsets])),
    ...(landmarks.length > 0 && { landmarks }),
  };
}

/**
 * Lets the three networks look at an image, one after the other (Zhang, Zhang, Li and Qiao 2016, "Joint face detection and alignment using
 * multitask cascaded convolutional networks", section 2.1), step by step as facenet-pytorch does it: windows of a pyramid that the proposal
 * network passes, suppressed within each level and over all, calibrated and made square; of these, resized to 24 × 24 pixels, what the
 * refinement network passes; of these, at 48 × 48, what the output network passes, with landmarks.
 * @param last the network after which it ends; those behind it find nothing
 * @param reports of what the proposal network passes 20,000 windows are kept, the best ones
 * @throws RuntimeError
 */
export async function cascadeStages(
  session: Session,
  networks: CascadeNetworks,
  image: ByteImage,
  look: CascadeLook,
  last: Stage = "onet",
  reports: LookReports = {},
): Promise<CascadeStages> {
  const none: StageWindows = { boxes: new Float32Array(0), scores: new Float32Array(0) };
  const [, second, third] = look.thresholds;
  const proposed = await proposedWindows(session, networks, image, look, reports);
  const proposals = { boxes: squared(calibrated(proposed, 0)), scores: proposed.scores };

  if (last === "pnet") return { proposals, refined: none, found: none };

  const passed = await judged(session, networks.rnet, INPUT_SIZES.rnet, image, proposals.boxes, second);
  const kept = pickWindows(passed, nms(passed.boxes, passed.scores, { threshold: SUPPRESSION.all }));
  const refined = { boxes: squared(calibrated(kept, 1)), scores: kept.scores };

  if (last === "rnet") return { proposals, refined, found: none };

  const output = await judged(session, networks.onet, INPUT_SIZES.onet, image, refined.boxes, third);
  const boxes = calibrated(output, 1);
  const landmarks = landmarksInImage(output);
  const found = pickWindows(
    { ...output, boxes, ...(landmarks && { landmarks }) },
    suppressedWithin(boxes, output.scores, look.overlap),
  );
  return {
    proposals,
    refined,
    found: {
      boxes: found.boxes,
      scores: found.scores,
      ...(found.landmarks && { landmarks: found.landmarks }),
    },
  };
}
