import type { CsvWriting } from "../../data/files/csv.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import type { EditOptions, TranslateOptions } from "../../model/capabilities.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { imageGrid, type Raster } from "../../report/index.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";
import {
  asWritten,
  checkExtension,
  seriesGrid,
  seriesRows,
  toBytes,
  writeForms,
} from "../run/outputs.node.ts";
import { checkInterpolationPath } from "./interpolate.node.ts";
import { checkGuidance } from "./sample.node.ts";

/** Edits of samples by noising and denoising, [n, draws, …sampleShape]. @throws OptionError where the model has none */
export async function editRun(run: LoadedRun, options: EditOptions): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.edit === undefined) return refuse(run, "edit samples");
  checkGuidance(run.config, options.guidance);
  checkResult(run, "edit", { count: options.x.shape[0] ?? 1, draws: options.draws });
  return model.edit(session, options);
}

/** Checks before any work that edits can be written under this name. @throws OptionError */
export function checkEditPath(path: string, info: Pick<DataInfo, "kind" | "sampleShape">): void {
  checkExtension(path, isPicture(info) ? [".png", ".npy"] : [".csv", ".parquet", ".npy"]);
}

/**
 * Writes edits [n, draws, …] by the file's extension: .png a strip for each sample, itself and then its edits, .csv and
 * .parquet a table whose first columns are the numbers of sample and draw, .npy the array.
 * @throws OptionError for another extension; FileError
 */
export async function writeEdits(
  { config }: LoadedRun,
  path: string,
  { x, edited }: { readonly x: NdArray<"float32">; readonly edited: NdArray<"float32"> },
  writing?: CsvWriting,
): Promise<void> {
  const { dataInfo } = config;
  checkEditPath(path, dataInfo);
  const [, draws = 1] = edited.shape;
  return writeForms(
    path,
    {
      raster: () => editStrips(dataInfo, x, edited),
      array: () => asWritten(dataInfo, edited),
      table: () => seriesRows(dataInfo, edited, draws, ["sample", "draw"], (draw) => draw),
    },
    writing,
  );
}

/** A row for each image: itself, then its edits. */
export function editStrips(
  { kind, sampleShape }: RunConfig["dataInfo"],
  x: NdArray<"float32">,
  edited: NdArray<"float32">,
): Raster {
  const [count = 0, draws = 1] = edited.shape;
  const size = elementCount(sampleShape);
  const tiles = new Float32Array(count * (draws + 1) * size);
  const [own, others] = [toBytes(x, kind).data, toBytes(edited, kind).data];
  for (let i = 0; i < count; i++) {
    const start = i * (draws + 1) * size;
    tiles.set(own.subarray(i * size, (i + 1) * size), start);
    tiles.set(others.subarray(i * draws * size, (i + 1) * draws * size), start + size);
  }
  return imageGrid(float32(tiles, [count * (draws + 1), ...sampleShape]), { columns: draws + 1 });
}

/** The paths of samples from one data set to another, [n, states, …sampleShape]. @throws OptionError where the model has none */
export async function translateRun(run: LoadedRun, options: TranslateOptions): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.translate === undefined) return refuse(run, "lead from one data set to another");
  checkResult(run, "translate", { count: options.x.shape[0] ?? 1, states: options.states ?? 2 });
  return model.translate(session, options);
}

/**
 * Writes paths by the file's extension: .png a strip for each, .csv and .parquet a table whose first columns are the number of
 * the sample and the share of the path, .npy the array [n, states, …].
 * @throws OptionError for another extension; FileError
 */
export async function writePaths(
  { config: { dataInfo } }: LoadedRun,
  path: string,
  paths: NdArray<"float32">,
  writing?: CsvWriting,
): Promise<void> {
  checkInterpolationPath(path, dataInfo);
  const [, states = 1] = paths.shape;
  return writeForms(
    path,
    {
      raster: () => seriesGrid(dataInfo, paths, states),
      array: () => asWritten(dataInfo, paths),
      table: () => seriesRows(dataInfo, paths, states, ["sample", "share"], (state) => state / (states - 1)),
    },
    writing,
  );
}
