import { extname } from "node:path";
import { writeNpy } from "../../data/files/arrays.node.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { OptionError } from "../../errors.ts";
import type { EditOptions, TranslateOptions } from "../../model/capabilities.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { encodePng, imageGrid } from "../../report/index.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";
import { toBytes } from "../run/pictures.node.ts";
import { checkInterpolationPath } from "./interpolate.node.ts";
import { asWritten, sampleRows } from "./sample.node.ts";

/** Edits of samples by noising and denoising, [n, draws, …sampleShape]. @throws OptionError where the model has none */
export async function editRun(run: LoadedRun, options: EditOptions): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.edit === undefined) return refuse(run, "edit samples");
  return model.edit(session, options);
}

/** Checks before any work that edits can be written under this name. @throws OptionError */
export function checkEditPath(path: string, info: Pick<DataInfo, "kind" | "sampleShape">): void {
  const allowed = isPicture(info) ? [".png", ".npy"] : [".csv", ".parquet", ".npy"];
  if (!allowed.includes(extname(path).toLowerCase())) {
    throw new OptionError(`option out: ${path} must end in ${allowed.join(" or ")}`);
  }
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
): Promise<void> {
  const { dataInfo } = config;
  checkEditPath(path, dataInfo);
  const [count = 0, draws = 1] = edited.shape;
  switch (extname(path).toLowerCase()) {
    case ".png": {
      const size = elementCount(dataInfo.sampleShape);
      const tiles = new Float32Array(count * (draws + 1) * size);
      const [own, others] = [toBytes(x, dataInfo.kind).data, toBytes(edited, dataInfo.kind).data];
      for (let i = 0; i < count; i++) {
        const start = i * (draws + 1) * size;
        tiles.set(own.subarray(i * size, (i + 1) * size), start);
        tiles.set(others.subarray(i * draws * size, (i + 1) * draws * size), start + size);
      }
      const all = float32(tiles, [count * (draws + 1), ...dataInfo.sampleShape]);
      return writeFileAtomic(path, await encodePng(imageGrid(all, { columns: draws + 1 })));
    }
    case ".npy":
      return writeNpy(path, asWritten(dataInfo, edited));
    default: {
      const flat = float32(edited.data, [count * draws, ...dataInfo.sampleShape]);
      const { names, rows } = sampleRows(dataInfo, flat);
      const placed = rows.map((row, i) => [Math.floor(i / draws), i % draws, ...row]);
      return writeTable(path, ["sample", "draw", ...names], placed);
    }
  }
}

/** The paths of samples from one data set to another, [n, states, …sampleShape]. @throws OptionError where the model has none */
export async function translateRun(run: LoadedRun, options: TranslateOptions): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.translate === undefined) return refuse(run, "lead from one data set to another");
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
): Promise<void> {
  checkInterpolationPath(path, dataInfo);
  const [count = 0, states = 1] = paths.shape;
  if (extname(path).toLowerCase() === ".npy") return writeNpy(path, asWritten(dataInfo, paths));
  const flat = float32(paths.data, [count * states, ...dataInfo.sampleShape]);
  if (isPicture(dataInfo)) {
    const grid = imageGrid(toBytes(flat, dataInfo.kind), { columns: states });
    return writeFileAtomic(path, await encodePng(grid));
  }
  const { names, rows } = sampleRows(dataInfo, flat);
  const placed = rows.map((row, i) => [Math.floor(i / states), (i % states) / (states - 1), ...row]);
  return writeTable(path, ["sample", "share", ...names], placed);
}
