import { extname } from "node:path";
import { FILE_KINDS, readRegularFile, writeFileAtomic } from "../../data/files/files.node.ts";
import { type DataSet, isPicture, range } from "../../data/sources/data-set.ts";
import type { MeanLikelihood } from "../../metrics/index.ts";
import { Random } from "../../random.ts";
import {
  encodePng,
  type Frame,
  type LeaderboardGallery,
  type LeaderboardPanel,
  type Picture,
  type PlanePanel,
  planePanel,
} from "../../report/index.ts";
import { fixed, significant } from "../../report/statistics.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { MEASURES, type MeasureName } from "../measure/measures.ts";
import { densityOver, frameOf } from "../report/figures.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { samplePicture } from "../run/outputs.node.ts";
import type { CompareFolder, ControlResult, ModelResult } from "./folder.node.ts";

/** Images in a grid, and points or rows in a plot. */
const IMAGES = 64;
const POINTS = 2000;
/** Cells of the true density's grid, along each side. */
const GRID = 160;
/** Share of cells that lie below the end of the color scale: a single spike does not darken the rest. */
const TOP = 0.995;

/** The frame and the color scale that all pictures of one comparison in the plane have. */
export interface PlaneSetting {
  readonly frame: Frame;
  /** The density at the end of the scale. */
  readonly top: number;
  /** The true density's logarithms, where they are known. */
  readonly truth?: NdArray<"float32">;
}

/** The setting of pictures of points; undefined for other data. */
export function planeSetting(data: DataSet): PlaneSetting | undefined {
  if (data.kind !== "points") return undefined;
  const frame = frameOf(data);
  const { logDensity } = data;
  if (logDensity === undefined) return { frame, top: topOf(histogramOf(data, frame)) };
  const values = new Float32Array(GRID * GRID);
  const at = ([low, high]: readonly [number, number], cell: number) =>
    low + ((cell + 0.5) / GRID) * (high - low);
  for (let i = 0; i < values.length; i++) {
    values[i] = logDensity([at(frame.x, i % GRID), at(frame.y, Math.floor(i / GRID))]);
  }
  return { frame, top: topOf(values.map(Math.exp)), truth: float32(values, [GRID, GRID]) };
}

function topOf(densities: Float32Array): number {
  const sorted = densities.filter(Number.isFinite).sort();
  return sorted[Math.floor(TOP * (sorted.length - 1))] || 1;
}

/** Densities of training points in 32 × 32 cells of a frame. */
function histogramOf(data: DataSet, frame: Frame): Float32Array {
  const cells = 32;
  const counts = new Float32Array(cells * cells);
  const { count } = data.splits.train;
  const { data: points } = data.splits.train.batch(range(0, count)).x;
  const [width, height] = [frame.x[1] - frame.x[0], frame.y[1] - frame.y[0]];
  const share = (cells * cells) / (count * width * height);
  for (let i = 0; i < points.length; i += 2) {
    const column = Math.floor((((points[i] ?? 0) - frame.x[0]) / width) * cells);
    const row = Math.floor((((points[i + 1] ?? 0) - frame.y[0]) / height) * cells);
    if (column < 0 || column >= cells || row < 0 || row >= cells) continue;
    counts[row * cells + column] = (counts[row * cells + column] ?? 0) + share;
  }
  return counts;
}

async function panelPicture(panel: PlanePanel, frame: Frame): Promise<Picture> {
  return { format: "png", bytes: await encodePng(planePanel(panel, frame)) };
}

function firstRows(samples: NdArray<"float32">, most: number): NdArray<"float32"> {
  const [count = 0, ...rest] = samples.shape;
  const rows = Math.min(count, most);
  return float32(samples.data.subarray(0, rows * elementCount(rest)), [rows, ...rest]);
}

/** Some samples of the test split, chosen at random: splits may stand in the order of classes. */
function someOfTest({ splits: { test } }: DataSet, count: number, seed: number): NdArray<"float32"> {
  const order = new Random(seed).split("picture").permutation(test.count);
  return test.batch(order.subarray(0, Math.min(count, test.count))).x;
}

/**
 * A picture of samples that a model drew: points over test points in the frame of all, a grid of images, or what
 * `samplePicture` makes of other data.
 */
export async function pictureOfSamples(
  run: LoadedRun,
  samples: NdArray<"float32">,
  data: DataSet,
  { setting, seed }: { readonly setting: PlaneSetting | undefined; readonly seed: number },
): Promise<Picture> {
  const shown = firstRows(samples, isPicture(data) ? IMAGES : POINTS);
  if (setting === undefined) return samplePicture(run.config.dataInfo, shown, async () => data);
  const points = { samples: shown, data: someOfTest(data, POINTS, seed) };
  return panelPicture({ kind: "points", ...points }, setting.frame);
}

/** A picture of test samples in the manner of those of models; undefined where those show the data besides. */
export async function pictureOfData(
  data: DataSet,
  { setting, seed }: { readonly setting: PlaneSetting | undefined; readonly seed: number },
): Promise<Picture | undefined> {
  if (setting !== undefined) {
    return panelPicture({ kind: "points", data: someOfTest(data, POINTS, seed) }, setting.frame);
  }
  if (!isPicture(data)) return undefined;
  const { kind, sampleShape, fingerprint } = data;
  const info = { kind, sampleShape, fingerprint, trainCount: data.splits.train.count };
  return samplePicture(info, someOfTest(data, IMAGES, seed), async () => data);
}

/** The true density in the setting of all pictures; undefined where it is not known. */
export async function pictureOfTruth(setting: PlaneSetting | undefined): Promise<Picture | undefined> {
  if (setting?.truth === undefined) return undefined;
  return panelPicture({ kind: "density", values: setting.truth, top: setting.top }, setting.frame);
}

/** A model's density in the setting of all pictures, or its samples where it has none. */
export async function pictureOfDensity(
  run: LoadedRun,
  samples: NdArray<"float32"> | undefined,
  { frame, top }: PlaneSetting,
): Promise<Picture | undefined> {
  if (run.model.logProb !== undefined) {
    return panelPicture({ kind: "density", values: await densityOver(run, frame), top }, frame);
  }
  return samples && panelPicture({ kind: "points", samples: firstRows(samples, POINTS) }, frame);
}

/** Writes a picture under a path without extension and returns its file's name. */
export async function writeNamed(folder: string, name: string, picture: Picture): Promise<string> {
  const file = `${name}.${picture.format}`;
  await writeFileAtomic(`${folder}/${file}`, picture.format === "png" ? picture.bytes : picture.text);
  return file;
}

/** What pictures there are, and what to write above them. */
export interface GallerySource {
  readonly folder: CompareFolder;
  readonly data: DataSet;
  readonly control: ControlResult;
  /** In the order of the leaderboard. */
  readonly results: readonly ModelResult[];
  /** The measure that models are ranked by. */
  readonly ranking: MeasureName | undefined;
}

/** Pictures beside each other: the data first, then the models in the order of the leaderboard. */
export async function galleriesOf(source: GallerySource): Promise<readonly LeaderboardGallery[]> {
  const { data, control, results, ranking } = source;
  if (results.length === 0) return [];
  const distance = ({ distances }: ModelResult): string => {
    const value = distances.find(({ measure }) => measure === ranking)?.value;
    return ranking === undefined || value === undefined
      ? ""
      : `${MEASURES[ranking].short} ${significant(value, 2)}`;
  };
  const inPlane = data.kind === "points";
  const onPaper = !isPicture(data);
  const samples: LeaderboardGallery = {
    title: "Samples",
    note: inPlane
      ? "Drawn points (blue) over points of the test split (grey), all in one frame."
      : "Drawn with the seed of the comparison, none chosen by hand.",
    // Where there is no picture of the data, that of each model shows the data besides, and is large.
    wide: control.picture === undefined,
    panels: await panelsOf(source, [
      [control.picture, "data", "test split", onPaper],
      ...results.map((result) => [result.picture, result.name, distance(result), onPaper] as const),
    ]),
  };
  if (!inPlane) return [samples];
  const { top, trueLogDensity } = control;
  const truth = trueLogDensity === undefined ? "" : likelihoodText({ kind: "exact", nats: trueLogDensity });
  const densities: LeaderboardGallery = {
    title: "Densities",
    note: "All in one frame and on one scale of colors, with the mean log-likelihood of the test split. Where a model has no density, a panel shows its samples.",
    wide: false,
    ...(top !== undefined && { top }),
    panels: await panelsOf(source, [
      [control.picture, "data", "test split", true],
      [control.density, "true density", truth, false],
      ...results.map(({ density, name, likelihood }) =>
        likelihood === undefined
          ? ([density, name, "samples", true] as const)
          : ([density, name, likelihoodText(likelihood), false] as const),
      ),
    ]),
  };
  return [densities, samples];
}

function likelihoodText(likelihood: MeanLikelihood): string {
  return likelihood.kind === "exact"
    ? `${fixed(likelihood.nats, 3)} nats`
    : `≥ ${fixed(likelihood.atLeastNats, 3)} nats`;
}

type Entry = readonly [file: string | undefined, name: string, caption: string, onPaper: boolean];

/** Panels of the pictures that there are. @throws FileError */
async function panelsOf(
  { folder }: GallerySource,
  entries: readonly Entry[],
): Promise<readonly LeaderboardPanel[]> {
  const panels: LeaderboardPanel[] = [];
  for (const [file, name, caption, onPaper] of entries) {
    if (file === undefined) continue;
    const path = folder.file("pictures", file);
    const bytes = Buffer.from(await readRegularFile(path, FILE_KINDS.image));
    const picture =
      extname(file) === ".svg"
        ? ({ format: "svg", text: bytes.toString("utf8"), isFile: true, onPaper } as const)
        : ({ format: "png", bytes, onPaper } as const);
    panels.push({ name, caption, picture, file: `pictures/${file}` });
  }
  return panels;
}
