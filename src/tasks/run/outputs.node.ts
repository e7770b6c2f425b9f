import { extname } from "node:path";
import { writeNpy } from "../../data/files/arrays.node.ts";
import type { CsvWriting } from "../../data/files/csv.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { type Cell, type Column, columnsSchema } from "../../data/sources/columns.ts";
import { type DataSet, isPicture, range, type Split } from "../../data/sources/data-set.ts";
import { type Clipped, Clippings, decodeTable } from "../../data/table/codec/index.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { OptionError, RuntimeError } from "../../errors.ts";
import type { DataInfo, DataKind } from "../../model/data-info.ts";
import { drawSamples, rasterize } from "../../report/index.node.ts";
import type { Picture } from "../../report/page/page.ts";
import { imageGrid } from "../../report/raster/grid.ts";
import { encodePng, type Raster } from "../../report/raster/raster.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** Rows of data that a plot compares samples with, and as many samples. */
const COMPARED_ROWS = 2000;

/** The first samples of a split. */
export function firstSamples(split: Split, count: number): NdArray<"float32"> {
  return split.batch(range(0, Math.min(count, split.count))).x;
}

/** How many samples a picture takes: as many images as asked for, of points and rows what a plot needs for them. */
export function pictureCount(info: Pick<DataInfo, "kind" | "sampleShape">, images: number): number {
  return isPicture(info) ? images : Math.min(COMPARED_ROWS, 32 * images);
}

/**
 * Images as whole bytes, rounded and limited to 0 … 255. Of binary images, ones are 255, and probabilities of ones the
 * grey values between.
 */
export function toBytes(images: NdArray<"float32">, kind: DataKind): NdArray<"float32"> {
  const scale = kind === "binary" ? 255 : 1;
  return float32(
    images.data.map((value) => Math.min(255, Math.max(0, Math.round(scale * value)))),
    images.shape,
  );
}

/** @throws RuntimeError where samples are not finite */
export function checkFinite(samples: NdArray<"float32">): void {
  const bad = samples.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const row = Math.floor((bad * (samples.shape[0] ?? 1)) / samples.data.length);
    throw new RuntimeError(
      `sample ${row} holds ${samples.data[bad]}; the model has diverged, fit it with a lower learningRate`,
    );
  }
}

/**
 * A picture of samples: a grid of images, a scatter plot over data points, histograms of table columns beside those of
 * the data, or rows of zeros and ones and how often they are one, beside those of the data.
 * @param data opens that of the run, which pictures of images do without
 * @throws RuntimeError where samples are not finite
 */
export async function samplePicture(
  info: RunConfig["dataInfo"],
  samples: NdArray<"float32">,
  data: () => Promise<DataSet>,
): Promise<Picture> {
  checkFinite(samples);
  const compared = async () => firstSamples((await data()).splits.train, COMPARED_ROWS);
  if (isPicture(info)) return drawSamples({ kind: "image", samples: toBytes(samples, info.kind) });
  if (info.columns === undefined) return drawSamples({ kind: "points", samples, data: await compared() });
  if (info.kind === "binary") return drawSamples({ kind: "binary", samples, data: await compared() });
  const columns = columnsSchema.parse(info.columns);
  return drawSamples({ kind: "table", samples, data: await compared(), columns });
}

/** Writes a picture under a path without extension: .png, or .svg where plots cannot be made pixels. */
export async function writePicture(path: string, picture: Picture): Promise<void> {
  await (picture.format === "png"
    ? writeFileAtomic(`${path}.png`, picture.bytes)
    : writeFileAtomic(`${path}.svg`, picture.text));
}

/** Samples as a table. */
export interface SampleRows {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (Cell | null)[])[];
  /** Of the columns in Parquet, where the first row does not determine them. */
  readonly types?: readonly string[];
  /** Columns with cells that lay beyond their bounds and were set to them. */
  readonly clipped?: readonly Clipped[];
}

/** How a table is written, and what is said of it. */
export interface TableWriting extends CsvWriting {
  /** Called where cells lay beyond the bounds of their columns, of so many rows, and were set to them. */
  readonly onClipped?: (clipped: readonly Clipped[], rows: number) => void;
}

/** The type in Parquet of a column of samples, as it was in the table. */
function parquetType(column: Column, isWhole: boolean): string {
  if (column.kind === "binary") return isWhole ? "UTINYINT" : "DOUBLE";
  if (column.kind === "categorical" || column.cells?.of.kind === "date") return "VARCHAR";
  return column.cells?.of.kind === "whole" ? "BIGINT" : "DOUBLE";
}

/** Column names and rows of samples: table columns undone to their own units, coordinates of points as x and y. */
export function sampleRows(info: RunConfig["dataInfo"], samples: NdArray<"float32">): SampleRows {
  if (info.columns !== undefined) {
    const columns = columnsSchema.parse(info.columns);
    // Zeros and ones are whole numbers; the probabilities that a model decodes are not.
    const isWhole = info.kind === "binary" && samples.data.every((value) => value === 0 || value === 1);
    const clippings = new Clippings();
    return {
      names: columns.map(({ name }) => name),
      rows: decodeTable(columns, samples, clippings),
      types: columns.map((column) => parquetType(column, isWhole)),
      clipped: clippings.columns,
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

/** The forms that a result can be written in, by the file's extension; each is made only if it is asked for. */
export interface Forms {
  /** .png, of a plot or of pixels */
  readonly picture?: () => Promise<Picture>;
  readonly raster?: () => Raster;
  /** .npy */
  readonly array?: () => NdArray;
  /** .csv and .parquet */
  readonly table?: () => SampleRows;
}

/**
 * Checks before any work that a result can be written under this name.
 * @param extensions that it can be written with
 * @throws OptionError
 */
export function checkExtension(path: string, extensions: readonly string[], option = "option out"): void {
  if (extensions.includes(extname(path).toLowerCase())) return;
  throw new OptionError(
    `${option}: ${path} must end in ${extensions.join(extensions.length > 2 ? ", " : " or ")}`,
  );
}

/**
 * Writes a result in the form that the file's extension names.
 * @param writing of CSV files
 * @throws OptionError where it has no such form; FileError
 */
export async function writeForms(
  path: string,
  { picture, raster, array, table }: Forms,
  writing?: TableWriting,
): Promise<void> {
  const extension = extname(path).toLowerCase();
  if (extension === ".png" && picture !== undefined) {
    const drawn = await picture();
    return writeFileAtomic(path, drawn.format === "png" ? drawn.bytes : await rasterize(drawn.text));
  }
  if (extension === ".png" && raster !== undefined) return writeFileAtomic(path, await encodePng(raster()));
  if (extension === ".npy" && array !== undefined) return writeNpy(path, array());
  if ((extension === ".csv" || extension === ".parquet") && table !== undefined) {
    const { names, rows, types, clipped = [] } = table();
    if (clipped.length > 0) writing?.onClipped?.(clipped, rows.length);
    return writeTable(path, names, rows, types, writing);
  }
  return checkExtension(path, [
    ...(picture === undefined && raster === undefined ? [] : [".png"]),
    ...(array === undefined ? [] : [".npy"]),
    ...(table === undefined ? [] : [".csv", ".parquet"]),
  ]);
}

/** The samples of series [n, length, …sampleShape], or of series that are joined already, one after another. */
function oneByOne(
  { sampleShape }: Pick<DataInfo, "sampleShape">,
  { data }: NdArray<"float32">,
): NdArray<"float32"> {
  return float32(data, [data.length / elementCount(sampleShape), ...sampleShape]);
}

/** A table whose first columns say which series a sample is of, and where in it. */
export function seriesRows(
  info: RunConfig["dataInfo"],
  samples: NdArray<"float32">,
  length: number,
  columns: readonly [series: string, position: string],
  position: (i: number) => number,
): SampleRows {
  const { names, rows } = sampleRows(info, oneByOne(info, samples));
  return {
    names: [...columns, ...names],
    rows: rows.map((row, i) => [Math.floor(i / length), position(i % length), ...row]),
  };
}

/** A row of images for each series of `length` samples. */
export function seriesGrid(info: RunConfig["dataInfo"], samples: NdArray<"float32">, length: number): Raster {
  return imageGrid(toBytes(oneByOne(info, samples), info.kind), { columns: length });
}
