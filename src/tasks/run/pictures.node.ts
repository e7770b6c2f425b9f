import { writeFileAtomic } from "../../data/files/files.node.ts";
import { columnsSchema } from "../../data/sources/columns.ts";
import { type DataSet, isPicture, range, type Split } from "../../data/sources/data-set.ts";
import { RuntimeError } from "../../errors.ts";
import type { DataInfo, DataKind } from "../../model/data-info.ts";
import { drawSamples } from "../../report/index.node.ts";
import type { Picture } from "../../report/index.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
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
