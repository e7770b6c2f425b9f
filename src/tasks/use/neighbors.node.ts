import { stat } from "node:fs/promises";
import { join } from "node:path";
import { append } from "../../append.ts";
import type { ImageChanges } from "../../data/image/changes.node.ts";
import { decodeLike } from "../../data/image/decode.node.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { kNearestRows } from "../../metrics/index.ts";
import { forEachRow } from "../../metrics/rows.ts";
import { imageGrid, type Raster } from "../../report/index.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { asSeen, findImages, imageFormat, SOURCE_BATCH } from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { toBytes } from "../run/outputs.node.ts";
import { embedding, embedRun, joined, type LayerOptions } from "./embed.node.ts";

/**
 * How far features are apart: 1 − cosine of the angle between them, from 0 to 2, or their Euclidean distance.
 */
export const FEATURE_DISTANCES = ["cosine", "euclidean"] as const;

export type FeatureDistance = (typeof FEATURE_DISTANCES)[number];

/** How neighbors are looked for. */
export interface NeighborOptions extends LayerOptions {
  /** Default: cosine. */
  readonly distance?: FeatureDistance | undefined;
  /** Neighbors of each image; default: 8. */
  readonly count?: number | undefined;
  readonly onUnreadable?: ((file: string) => void) | undefined;
  /** Called with the images of the folder that are done. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** An image that is near, by its path in the folder. */
export interface Neighbor {
  readonly file: string;
  readonly distance: number;
}

/** Images near an image, the nearest first. */
export interface Neighbors {
  readonly query: string;
  readonly neighbors: readonly Neighbor[];
}

/** Rows of unit length for cosines, as they are for Euclidean distances. @throws OptionError where a row is 0 and has no angle */
function measured(
  features: NdArray<"float32">,
  distance: FeatureDistance,
  names: readonly string[],
): NdArray<"float32"> {
  const count = features.shape[0] ?? 0;
  const size = elementCount(features.shape.slice(1));
  const data = Float32Array.from(features.data);
  if (distance === "cosine") {
    for (let row = 0; row < count; row++) {
      const own = data.subarray(row * size, (row + 1) * size);
      const length = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
      if (length === 0) {
        throw new OptionError(
          `${names[row]}: all its features are 0, which have no angle; choose --distance euclidean`,
        );
      }
      for (let i = 0; i < size; i++) own[i] = (own[i] ?? 0) / length;
    }
  }
  return float32(data, [count, size]);
}

/** The distance that belongs to a Euclidean one of `measured` rows: |a − b|² = 2 (1 − cos) of unit vectors. */
const shownDistance = (euclidean: number, distance: FeatureDistance): number =>
  distance === "cosine" ? (euclidean * euclidean) / 2 : euclidean;

const rowsOf = ({ data, shape: [count = 0, size = 0] }: NdArray<"float32">) => ({ count, size, data });

/** @throws OptionError where the run is not of images */
function checkPictures({ config }: LoadedRun): void {
  if (isPicture(config.dataInfo)) return;
  throw new OptionError(
    `neighbours: the run was fitted on ${config.dataInfo.kind} data (${config.data}); eidos embed writes the features of rows`,
  );
}

/** Features of image files, decoded as the run's images are. */
async function ofFiles(
  run: LoadedRun,
  files: readonly string[],
  options: LayerOptions,
): Promise<NdArray<"float32">> {
  const features = embedding(run, options);
  const parts: NdArray<"float32">[] = [];
  for (let first = 0; first < files.length; first += SOURCE_BATCH) {
    const x = await decodedFiles(run, files.slice(first, first + SOURCE_BATCH), run.changes);
    parts.push(await features(x));
  }
  return joined(parts);
}

/** @param changes takes what is done to each, where they are read for the first time */
async function decodedFiles(
  run: LoadedRun,
  files: readonly string[],
  changes?: ImageChanges,
): Promise<NdArray<"float32">> {
  const { dataInfo } = run.config;
  const size = elementCount(dataInfo.sampleShape);
  const format = imageFormat(run.config);
  const data = new Float32Array(files.length * size);
  for (const [i, file] of files.entries()) data.set(await decodeLike(file, format, file, changes), i * size);
  return asSeen(dataInfo, float32(data, [files.length, ...dataInfo.sampleShape]));
}

/**
 * The images of a folder that are nearest to each of some images, by their features. Exact: all are looked at, batch by batch, so that no more than the
 * nearest are in memory.
 * @param queries files, folders or patterns. An image is no neighbor of itself
 * @throws OptionError where the run is not of images or the model has no features; DataError
 */
export async function nearestImages(
  run: LoadedRun,
  queries: readonly string[],
  among: string,
  { layer, pool, distance = "cosine", count = 8, onUnreadable, onProgress }: NeighborOptions = {},
): Promise<readonly Neighbors[]> {
  checkPictures(run);
  if (!Number.isInteger(count) || count < 1)
    throw new OptionError(`option count: must be a whole number from 1 on, not ${count}`);
  await checkFolder(among);
  const images = await findImages(queries);
  const names = images.map(({ image }) => image);
  const own = measured(await ofFiles(run, names, { layer, pool }), distance, names);
  const nearest = names.map((): { file: string; distance: number }[] => []);
  const identities = await Promise.all(names.map(identity));
  let done = 0;
  for await (const { features, files = [] } of embedRun(run, among, { layer, pool, onUnreadable })) {
    const there = measured(features, distance, files);
    const here = await Promise.all(files.map((file) => identity(join(among, file))));
    forEachRow(rowsOf(own), rowsOf(there), "squaredDistance", (query, squares) => {
      const best = nearest[query] ?? [];
      for (const [i, file] of files.entries()) {
        if (here[i] === identities[query]) continue;
        const far = shownDistance(Math.sqrt(squares[i] ?? 0), distance);
        if (best.length === count && far >= (best.at(-1)?.distance ?? 0)) continue;
        const place = best.findIndex((other) => far < other.distance);
        best.splice(place < 0 ? best.length : place, 0, { file, distance: far });
        if (best.length > count) best.pop();
      }
    });
    done += files.length;
    onProgress?.(done);
  }
  return images.map(({ image }, i) => ({ query: image, neighbors: nearest[i] ?? [] }));
}

/** @throws OptionError where it is no folder */
async function checkFolder(among: string): Promise<void> {
  if ((await stat(among).catch(() => undefined))?.isDirectory() === true) return;
  throw new OptionError(`option among: ${among} is no folder; name one with images`);
}

/** What two paths of one file have in common. */
async function identity(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true });
  return `${dev}:${ino}`;
}

/** A row of images for each query: itself first, then its neighbors. */
export async function neighborPicture(
  run: LoadedRun,
  among: string,
  found: readonly Neighbors[],
): Promise<Raster> {
  const columns = 1 + found.reduce((most, { neighbors }) => Math.max(most, neighbors.length), 0);
  const { dataInfo } = run.config;
  const size = elementCount(dataInfo.sampleShape);
  const data = new Float32Array(found.length * columns * size);
  for (const [row, { query, neighbors }] of found.entries()) {
    const files = [query, ...neighbors.map(({ file }) => join(among, file))];
    data.set(toBytes(await decodedFiles(run, files), dataInfo.kind).data, row * columns * size);
  }
  return imageGrid(float32(data, [found.length * columns, ...dataInfo.sampleShape]), { columns });
}

/** Images that are nearly the same. */
export interface Duplicates {
  /** The distance up to which two images count as the same. */
  readonly threshold: number;
  readonly distance: FeatureDistance;
  readonly images: number;
  /** Groups of images, each within the threshold of another one of its group; the largest groups first. */
  readonly groups: readonly (readonly string[])[];
  /** All pairs within the threshold, the nearest first. */
  readonly pairs: readonly { readonly a: string; readonly b: string; readonly distance: number }[];
}

/** Distance up to which images count as the same where nothing else is given. */
export const USUAL_THRESHOLD = { cosine: 0.1, euclidean: 0 } as const;

/** Pairs that are kept at most. */
const MOST_PAIRS = 1_000_000;

/** How images that are nearly the same are found. */
export interface DuplicateOptions extends Omit<NeighborOptions, "count"> {
  /** Distance up to which two images are nearly the same. */
  readonly threshold?: number | undefined;
}

/**
 * Images of a folder that are nearly the same by their features: all pairs are compared, a block at a time.
 * @throws OptionError where there are more than a million pairs within the threshold
 */
export async function nearDuplicates(
  run: LoadedRun,
  folder: string,
  {
    layer,
    pool,
    distance = "cosine",
    threshold = USUAL_THRESHOLD[distance],
    onUnreadable,
    onProgress,
  }: DuplicateOptions = {},
): Promise<Duplicates> {
  checkPictures(run);
  await checkFolder(folder);
  const names: string[] = [];
  const parts: NdArray<"float32">[] = [];
  for await (const { features, files = [] } of embedRun(run, folder, { layer, pool, onUnreadable })) {
    parts.push(measured(features, distance, files));
    names.push(...files);
    onProgress?.(names.length);
  }
  const all = rowsOf(joined(parts));
  const pairs: { a: string; b: string; distance: number }[] = [];
  const root = Uint32Array.from({ length: names.length }, (_, i) => i);
  const rootOf = (i: number): number => {
    let at = i;
    while (root[at] !== at) {
      root[at] = root[root[at] ?? 0] ?? 0;
      at = root[at] ?? 0;
    }
    return at;
  };
  forEachRow(
    all,
    all,
    "squaredDistance",
    (i, squares) => {
      for (let j = i + 1; j < names.length; j++) {
        const far = shownDistance(Math.sqrt(squares[j] ?? 0), distance);
        if (far > threshold) continue;
        if (pairs.length === MOST_PAIRS) {
          throw new OptionError(
            `option threshold: more than ${MOST_PAIRS} pairs are within ${threshold}; choose a smaller one`,
          );
        }
        pairs.push({ a: names[i] ?? "", b: names[j] ?? "", distance: far });
        root[rootOf(j)] = rootOf(i);
      }
    },
    true,
  );
  const groups = new Map<number, string[]>();
  for (const [i, name] of names.entries()) {
    append(groups, rootOf(i), name);
  }
  return {
    threshold,
    distance,
    images: names.length,
    groups: [...groups.values()].filter(({ length }) => length > 1).sort((a, b) => b.length - a.length),
    pairs: pairs.sort((a, b) => a.distance - b.distance),
  };
}

/**
 * How odd samples are by their features: the mean Euclidean distance to the k nearest of training samples, whose columns have deviation 1.
 * @throws OptionError where there are fewer than k training samples
 */
export function oddities(
  features: NdArray<"float32">,
  training: NdArray<"float32">,
  k: number,
): Float64Array {
  const { count, size } = flat(training);
  const scale = new Float64Array(size);
  const mean = new Float64Array(size);
  for (let i = 0; i < training.data.length; i++)
    mean[i % size] = (mean[i % size] ?? 0) + (training.data[i] ?? 0) / count;
  for (let i = 0; i < training.data.length; i++) {
    scale[i % size] = (scale[i % size] ?? 0) + ((training.data[i] ?? 0) - (mean[i % size] ?? 0)) ** 2 / count;
  }
  // A column that is the same in all training samples keeps its unit: a sample in which it differs is odd.
  const units = scale.map((variance) => Math.sqrt(variance) || 1);
  const standardized = (array: NdArray<"float32">) => ({
    ...flat(array),
    data: Float64Array.from(
      array.data,
      (value, i) => (value - (mean[i % size] ?? 0)) / (units[i % size] ?? 1),
    ),
  });
  const nearest = kNearestRows(standardized(features), standardized(training), k);
  return Float64Array.from({ length: features.shape[0] ?? 0 }, (_, row) => {
    const own = nearest.distances.subarray(row * k, (row + 1) * k);
    return own.reduce((sum, far) => sum + far, 0) / k;
  });
}

const flat = ({ shape: [count = 0, ...rest], data }: NdArray<"float32">) => ({
  count,
  size: elementCount(rest),
  data,
});
