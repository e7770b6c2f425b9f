import type { DetectionSplit } from "../../data/boxes/set.ts";
import { letterboxBatch } from "../../detection/augment/batches.ts";
import { boxAt } from "../../detection/boxes/boxes.ts";
import { type Detections, pointsAt } from "../../detection/boxes/detections.ts";
import type { AnyDetector } from "../../detection/models/detector.ts";
import { counted } from "../../memory.ts";
import type { Session } from "../../program/program.ts";
import { contactSheet, type SheetPicture } from "../../report/boxes/contact-sheet.ts";
import { heatOverlay } from "../../report/raster/heat.ts";
import type { Raster } from "../../report/raster/raster.ts";
import { rasterOfBytes } from "../../report/raster/raster.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { BatchFeeds } from "../../train/batches.ts";

/** Longer side of an image on a sheet, in pixels. */
const TILE = 320;

/** Most detections of an image that have a text beside them: more would cover the image. */
const TEXTS = 25;

/** Positions spread evenly over a split. */
export function spreadOver(split: DetectionSplit, count: number): readonly number[] {
  const shown = Math.min(count, split.count);
  return Array.from({ length: shown }, (_, i) => Math.floor(((i + 0.5) * split.count) / shown));
}

const enlargement = (width: number, height: number): number =>
  Math.max(1, Math.round(TILE / Math.max(width, height)));

/** Image `row` of a batch [n, 3, S, S] of bytes as floats. */
function rasterOfRow({ data, shape }: NdArray<"float32">, row: number): Raster {
  const [, channels = 3, height = 0, width = 0] = shape;
  const size = channels * height * width;
  const bytes = Uint8Array.from(data.subarray(row * size, (row + 1) * size), Math.round);
  return rasterOfBytes({ width, height, data: bytes });
}

/** The images of a training batch with their boxes, as the detector is fed with them. */
export function batchSheet(feeds: BatchFeeds, names: readonly string[]): Raster {
  const { x, boxes, labels } = feeds as Readonly<Record<"x" | "boxes", NdArray<"float32">>> & {
    readonly labels: NdArray<"int64">;
  };
  const [count = 0, , height = 0, width = 0] = x.shape;
  const places = labels.shape[1] ?? 0;
  const pictures = Array.from({ length: count }, (_, row): SheetPicture => {
    const filled = Array.from(labels.data.subarray(row * places, (row + 1) * places), Number).filter(
      (label) => label >= 0,
    );
    return {
      image: rasterOfRow(x, row),
      caption: counted(filled.length, "object"),
      boxes: boxes.data.subarray(4 * row * places, 4 * (row * places + filled.length)),
      labels: filled,
      enlarge: enlargement(width, height),
    };
  });
  return contactSheet(pictures, names);
}

/** What was found in an image of a split, in pixels of that image. */
export interface FoundIn {
  readonly index: number;
  readonly found: Detections;
}

/** Images of a split twice: with the objects that are marked, and with what was found, from a score on. */
export async function foundSheet(
  split: DetectionSplit,
  images: readonly FoundIn[],
  names: readonly string[],
  score: number,
): Promise<Raster> {
  const pictures: SheetPicture[] = [];
  for (const { index, found } of images) {
    const whole = split.annotations(index);
    const sample = await split.sample(index, { longest: TILE });
    const image = rasterOfBytes(sample.image);
    const enlarge = enlargement(image.width, image.height);
    const [sx, sy] = [image.width / whole.width, image.height / whole.height];
    const kept = Array.from(found.scores.keys()).filter((i) => (found.scores[i] ?? 0) >= score);
    const name = whole.file.slice(whole.file.lastIndexOf("/") + 1);
    pictures.push({
      image,
      caption: `${name}: marked`,
      boxes: sample.boxes,
      labels: sample.labels,
      dashed: sample.difficult.map((value, i) => value | (sample.crowd[i] ?? 0)),
      enlarge,
    });
    pictures.push({
      image,
      caption: `found, score from ${score.toFixed(2)} on`,
      boxes: kept.flatMap((i) =>
        boxAt(found.boxes, i).map((edge, side) => edge * (side % 2 === 0 ? sx : sy)),
      ),
      labels: kept.map((i) => found.classes[i] ?? 0),
      ...(found.landmarks && {
        points: kept.map((i) => pointsAt(found, i).map(([x, y]) => [x * sx, y * sy] as const)),
      }),
      ...(kept.length <= TEXTS && {
        texts: kept.map((i) => (found.scores[i] ?? 0).toFixed(2).replace(/^0/, "")),
      }),
      enlarge,
    });
  }
  return contactSheet(pictures, names, 4);
}

/** Images of a split with the largest heat of all classes laid over them, as a detector with heat maps sees them. */
export async function heatSheet(
  detector: AnyDetector,
  session: Session,
  split: DetectionSplit,
  indices: readonly number[],
): Promise<Raster | undefined> {
  if (detector.looks === "cascade") return undefined;
  const { heat } = detector;
  if (heat === undefined) return undefined;
  const { x } = await letterboxBatch(split, indices, detector.imageSize.width);
  const compiled = session.compiled(detector, "heat", ["x"], ({ x }) => ({ heat: heat.call(detector, x) }));
  const maps = (await compiled.run({ x })).heat as NdArray<"float32">;
  const [, classes = 0, rows = 0, columns = 0] = maps.shape;
  const cells = rows * columns;
  const pictures = indices.map((index, row): SheetPicture => {
    const own = maps.data.subarray(row * classes * cells, (row + 1) * classes * cells);
    const hottest = new Float32Array(cells);
    for (const [i, value] of own.entries()) hottest[i % cells] = Math.max(hottest[i % cells] ?? 0, value);
    const name = split.annotations(index).file;
    return {
      image: heatOverlay(rasterOfRow(x, row), float32(hottest, [rows, columns])),
      caption: name.slice(name.lastIndexOf("/") + 1),
      boxes: [],
      labels: [],
      enlarge: enlargement(detector.imageSize.width, detector.imageSize.height),
    };
  });
  return contactSheet(pictures, []);
}
