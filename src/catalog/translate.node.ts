import { extname } from "node:path";
import { writeNpy } from "../data/files/arrays.node.ts";
import { writeFileAtomic } from "../data/files/files.node.ts";
import { isPicture } from "../data/sources/data-set.ts";
import { writeTable } from "../data/table/write.node.ts";
import type { TranslateOptions } from "../model/capabilities.ts";
import { encodePng, imageGrid } from "../report/index.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { checkInterpolationPath } from "./interpolate.node.ts";
import { toBytes } from "./pictures.node.ts";
import { type OpenRun, refuse } from "./run.node.ts";
import { asWritten, sampleRows } from "./sample.node.ts";

/** The ways of samples from one data set to another, [n, states, …sampleShape]. @throws OptionError where the model has none */
export async function translateRun(run: OpenRun, options: TranslateOptions): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.translate === undefined) return refuse(run, "lead from one data set to another");
  return model.translate(session, options);
}

/**
 * Writes ways by the file's extension: .png a strip for each, .csv and .parquet a table whose first columns are the number of
 * the sample and the share of the way, .npy the array [n, states, …].
 * @throws OptionError for another extension; FileError
 */
export async function writeWays(
  { config: { dataInfo } }: OpenRun,
  path: string,
  ways: NdArray<"float32">,
): Promise<void> {
  checkInterpolationPath(path, dataInfo);
  const [count = 0, states = 1] = ways.shape;
  if (extname(path).toLowerCase() === ".npy") return writeNpy(path, asWritten(dataInfo, ways));
  const flat = float32(ways.data, [count * states, ...dataInfo.sampleShape]);
  if (isPicture(dataInfo)) {
    const grid = imageGrid(toBytes(flat, dataInfo.kind), { columns: states });
    return writeFileAtomic(path, await encodePng(grid));
  }
  const { names, rows } = sampleRows(dataInfo, flat);
  const placed = rows.map((row, i) => [Math.floor(i / states), (i % states) / (states - 1), ...row]);
  return writeTable(path, ["sample", "share", ...names], placed);
}
