import { stat } from "node:fs/promises";
import { decodeLike } from "../../data/image/decode.node.ts";
import { streamImages } from "../../data/image/stream.node.ts";
import type { ImagesSource, PointsSource, RowsSource } from "../../data/index.ts";
import { isPicture, range, type Split, type SplitName } from "../../data/sources/data-set.ts";
import { gatherSource } from "../../data/sources/gather.ts";
import type { PlainImages } from "../../data/sources/memory.ts";
import { isTablePath } from "../../data/table/duckdb.node.ts";
import { OptionError } from "../../errors.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { asSeen, imageFormat, readSource, SOURCE_BATCH, type Source } from "./inputs.node.ts";
import { isClassConditional, type LoadedRun } from "./load.node.ts";

/** The samples that a verb works on, in data units. */
export interface ChosenSamples {
  /** [n, …sampleShape]. */
  readonly x: NdArray<"float32">;
  /** Their classes, where the data has some. */
  readonly labels?: readonly number[] | undefined;
}

/** Samples of a split. */
export interface SplitSamples {
  /** Default: test. */
  readonly split?: SplitName | undefined;
  /** By position, counted from 0; without, the first `count`. */
  readonly index?: readonly number[] | undefined;
  /** Default: 8. */
  readonly count?: number | undefined;
  /** The data that paths lead from, in place of the run's data (rectified-transport). Default: false. */
  readonly source?: boolean | undefined;
}

/** Image files, and folders of them; tables, where the run's samples are rows. */
export interface SampleFiles {
  readonly files: string | readonly string[];
  /** Images or rows at most. Default: 8; of interpolate all. */
  readonly count?: number | undefined;
}

/**
 * The samples that a verb is asked to work on: image files and folders, tables, samples of a split of the run's own data, images, rows or
 * points in memory, or an array [n, …sampleShape] in data units.
 */
export type SampleInput =
  | string
  | readonly string[]
  | SampleFiles
  | SplitSamples
  | NdArray<"float32">
  | ImagesSource
  | RowsSource
  | PointsSource;

/** Images of a folder, or samples of a split, where no other number is given. */
const USUAL_COUNT = 8;

/** A verb that works on chosen samples. */
export type SampleVerb = "inpaint" | "edit" | "translate" | "interpolate";

/** @throws OptionError where the run's data are not images, whose parts alone are drawn anew */
export function checkImages({ config }: LoadedRun): void {
  const { dataInfo } = config;
  if (isPicture(dataInfo)) return;
  throw new OptionError(
    `inpaint: the run was fitted on ${dataInfo.kind} data (${config.data}); eidos impute fills in the missing cells of a table`,
  );
}

/** An input with its kind. */
type Choice =
  | { readonly kind: "array"; readonly x: NdArray<"float32"> }
  | ({ readonly kind: "files" } & SampleFiles)
  | { readonly kind: "memory"; readonly images: ImagesSource }
  | { readonly kind: "rows"; readonly rows: RowsSource | PointsSource }
  | ({ readonly kind: "split" } & SplitSamples);

function choiceOf(input: SampleInput): Choice {
  if (typeof input === "string" || isList(input)) return { kind: "files", files: input };
  if ("dtype" in input) return { kind: "array", x: input };
  if ("kind" in input) {
    return input.kind === "images" ? { kind: "memory", images: input } : { kind: "rows", rows: input };
  }
  return "files" in input ? { kind: "files", ...input } : { kind: "split", ...input };
}

const isList = (input: SampleInput): input is readonly string[] => Array.isArray(input);

/**
 * The samples that an input names.
 * @throws OptionError where the run's data are not images, or a position lies outside of the split; DataError naming the file
 */
export async function chosenSamples(
  run: LoadedRun,
  input: SampleInput,
  verb: SampleVerb,
): Promise<ChosenSamples> {
  const choice = choiceOf(input);
  switch (choice.kind) {
    case "array":
      return { x: checkedArray(run, choice.x, verb) };
    case "files": {
      const { files, count = verb === "interpolate" ? Number.POSITIVE_INFINITY : USUAL_COUNT } = choice;
      const all = typeof files === "string" ? [files] : files;
      if (isPicture(run.config.dataInfo)) return { x: await decoded(run, all, verb, count) };
      if (verb === "inpaint") checkImages(run);
      const other = all.find((file) => !isTablePath(file));
      if (other !== undefined) {
        const { dataInfo, data } = run.config;
        throw new OptionError(
          `${verb}: the run was fitted on ${dataInfo.kind} data (${data}), and ${other} is no table; name a table of rows, or samples by --index`,
        );
      }
      return { x: await rowsRead(run, all, count) };
    }
    case "rows":
      return { x: await rowsRead(run, [choice.rows], Number.POSITIVE_INFINITY) };
    case "memory":
      return { x: await decoded(run, [await gatherSource(choice.images)], verb, Number.POSITIVE_INFINITY) };
    case "split": {
      const { split = "test", index, count = USUAL_COUNT, source = false } = choice;
      const data = await run.data();
      const all = ((source ? data.source : undefined) ?? data).splits[split];
      return samplesOfSplit(all, index ?? [...range(0, Math.min(count, all.count))]);
    }
  }
}

/** @throws OptionError where an array is not of the run's samples */
function checkedArray({ config }: LoadedRun, x: NdArray<"float32">, verb: SampleVerb): NdArray<"float32"> {
  const { sampleShape } = config.dataInfo;
  if (x.shape.slice(1).join() !== sampleShape.join()) {
    throw new OptionError(
      `${verb}: the array has shape [${x.shape}]; samples of this run are [n,${sampleShape}]`,
    );
  }
  return x;
}

/** Samples of a split by position, with their classes. @throws OptionError where a position lies outside */
export function samplesOfSplit(split: Split, positions: readonly number[]): ChosenSamples {
  const outside = positions.find((position) => position >= split.count);
  if (outside !== undefined) {
    throw new OptionError(
      `option index: there is no sample ${outside}; the split has 0 to ${split.count - 1}`,
    );
  }
  const { x, label } = split.batch(positions);
  return { x, labels: label && Array.from(label.data, Number) };
}

/** Samples without their classes, where the run's model was not fitted to each class. */
export function forModel(run: LoadedRun, { x, labels }: ChosenSamples): ChosenSamples {
  return isClassConditional(run) ? { x, labels } : { x };
}

/** Rows of tables and memory, one after the other. @param limit of rows */
async function rowsRead(
  run: LoadedRun,
  sources: readonly Source[],
  limit: number,
): Promise<NdArray<"float32">> {
  const parts: Float32Array[] = [];
  const size = elementCount(run.config.dataInfo.sampleShape);
  let count = 0;
  for (const source of sources) {
    for await (const { x } of readSource(run, source)) {
      const part = x.data.subarray(0, (limit - count) * size);
      parts.push(part);
      count += part.length / size;
      if (count >= limit) break;
    }
  }
  const data = new Float32Array(count * size);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return float32(data, [count, ...run.config.dataInfo.sampleShape]);
}

/** Images of files, folders and memory, decoded as the run's images are. @param limit of images */
async function decoded(
  run: LoadedRun,
  sources: readonly (string | PlainImages)[],
  verb: SampleVerb,
  limit: number,
): Promise<NdArray<"float32">> {
  if (!isPicture(run.config.dataInfo)) {
    throw new OptionError(`${verb}: the run was fitted on ${run.config.dataInfo.kind} data, not on images`);
  }
  const { dataInfo } = run.config;
  const format = imageFormat(run.config);
  const size = elementCount(dataInfo.sampleShape);
  const images: ArrayLike<number>[] = [];
  for (const source of sources) {
    if (typeof source === "string" && !(await stat(source).catch(() => undefined))?.isDirectory()) {
      images.push(await decodeLike(source, format, source, run.changes));
      continue;
    }
    const reading = { batchSize: Math.min(limit, SOURCE_BATCH), changes: run.changes };
    for await (const { x } of streamImages(source, format, reading)) {
      for (let at = 0; at < x.data.length; at += size) images.push(x.data.subarray(at, at + size));
      if (images.length >= limit) break;
    }
  }
  const chosen = images.slice(0, limit);
  const data = new Float32Array(chosen.length * size);
  for (const [i, image] of chosen.entries()) data.set(image, i * size);
  return asSeen(dataInfo, float32(data, [chosen.length, ...dataInfo.sampleShape]));
}
