import { extname } from "node:path";
import { z } from "zod";
import { writeNpy } from "../data/files/arrays.node.ts";
import { writeFileAtomic } from "../data/files/files.node.ts";
import { columnsSchema, decodeTable } from "../data/sources/columns.ts";
import { isPicture } from "../data/sources/data-set.ts";
import { writeTable } from "../data/table/write.node.ts";
import { OptionError } from "../errors.ts";
import type { SampleOptions } from "../model/capabilities.ts";
import type { DataInfo } from "../model/data-info.ts";
import { parseOptions } from "../options.ts";
import { rasterize } from "../report/index.node.ts";
import type { NdArray } from "../tensor/array.ts";
import type { RunConfig } from "../train/run-config.ts";
import { sampleSchema } from "./definition.node.ts";
import { sourceOfData } from "./ends.node.ts";
import { encodeGiven, type GivenValues, givenOfData, isGivenColumns } from "./given.node.ts";
import { samplePicture, toBytes } from "./pictures.node.ts";
import { type OpenRun, refuse } from "./run.node.ts";

/** How samples may be written. */
export const SAMPLE_EXTENSIONS = [".png", ".npy", ".csv", ".parquet"] as const;

/**
 * Draws samples from an opened run, in data units (bytes for images, not rounded; standardized table columns; zeros and
 * ones).
 * @param options count, seed, label, values of the columns that the model is conditioned on (those of random rows of
 *   its data unless told) and the model's own options for sampling
 * @throws OptionError where the model cannot sample or an option is wrong
 */
export async function sampleRun(
  run: OpenRun,
  options: SampleOptions & { readonly given?: GivenValues } & Readonly<Record<string, unknown>>,
): Promise<NdArray<"float32">> {
  const { model, definition, session, config } = run;
  if (model.sample === undefined) return refuse(run, "draw samples");
  const { count, seed, label, given, onProgress, ...own } = options;
  const classes = config.dataInfo.classes ?? 0;
  if (label !== undefined && !(Number.isInteger(label) && label >= 0 && label < classes)) {
    throw new OptionError(
      classes === 0
        ? `option label: ${config.data} has no classes`
        : `option label: must be a class from 0 to ${classes - 1}, not ${label}`,
    );
  }
  const schema = sampleSchema(definition) ?? z.strictObject({});
  const parsed: Record<string, unknown> = parseOptions(`sampling from ${definition.name}`, schema, own);
  const columns =
    given !== undefined
      ? encodeGiven(config, given, { count, seed })
      : isGivenColumns(config)
        ? givenOfData(config, await run.data(), { count, seed })
        : undefined;
  const source = definition.needsSource ? sourceOfData(await run.data(), { count, seed }) : undefined;
  return model.sample(session, {
    ...parsed,
    count,
    seed,
    ...(columns !== undefined && { given: columns }),
    ...(source !== undefined && { source }),
    ...(label !== undefined && { label }),
    ...(onProgress !== undefined && { onProgress }),
  });
}

/**
 * Checks before any work that samples can be written under this name.
 * @param info what the samples are, where it is known already
 * @throws OptionError
 */
export function checkSamplePath(path: string, info?: Pick<DataInfo, "kind" | "sampleShape">): void {
  const extension = extname(path).toLowerCase();
  if (!SAMPLE_EXTENSIONS.some((known) => known === extension)) {
    throw new OptionError(`option out: ${path} must end in ${SAMPLE_EXTENSIONS.join(", ")}`);
  }
  if (info !== undefined && isPicture(info) && (extension === ".csv" || extension === ".parquet")) {
    throw new OptionError(`option out: images are written as .png or .npy, not ${extension}`);
  }
}

/** Samples as a table. */
export interface SampleRows {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  /** Of the columns in Parquet, where they are not to be told by the first row. */
  readonly types?: readonly string[];
}

/** Column names and rows of samples: table columns undone to their own units, coordinates of points as x and y. */
export function sampleRows(info: RunConfig["dataInfo"], samples: NdArray<"float32">): SampleRows {
  if (info.columns !== undefined) {
    const columns = columnsSchema.parse(info.columns);
    // Zeros and ones are whole numbers; the probabilities that a model decodes are not.
    const isWhole = info.kind === "binary" && samples.data.every((value) => value === 0 || value === 1);
    return {
      names: columns.map(({ name }) => name),
      rows: decodeTable(columns, samples),
      ...(isWhole && { types: columns.map(() => "UTINYINT") }),
    };
  }
  const width = samples.shape[1] ?? 1;
  return {
    names: ["x", "y"],
    rows: Array.from({ length: samples.shape[0] ?? 0 }, (_, i) => [
      ...samples.data.subarray(i * width, (i + 1) * width),
    ]),
  };
}

/** Samples as an array is written of them: images as bytes, all else as the model sees it. */
export function asWritten({ kind }: Pick<DataInfo, "kind">, samples: NdArray<"float32">): NdArray<"float32"> {
  return kind === "image" ? toBytes(samples, kind) : samples;
}

/**
 * Writes samples by the file's extension: .png a picture, .npy the array, .csv and .parquet a table.
 * @throws OptionError for another extension; FileError
 */
export async function writeSamples(run: OpenRun, samples: NdArray<"float32">, path: string): Promise<void> {
  const { config } = run;
  const { dataInfo } = config;
  checkSamplePath(path, dataInfo);
  switch (extname(path).toLowerCase()) {
    case ".png": {
      const picture = await samplePicture(dataInfo, samples, () => run.data());
      return writeFileAtomic(path, picture.format === "png" ? picture.bytes : await rasterize(picture.text));
    }
    case ".npy":
      return writeNpy(path, asWritten(dataInfo, samples));
    default: {
      const { names, rows, types } = sampleRows(dataInfo, samples);
      return writeTable(path, names, rows, types);
    }
  }
}
