import type { CsvWriting } from "../../data/files/csv.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import type { CodeSolverOptions } from "../../model/codes.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { givenOfSamples, isGivenColumns } from "../run/given.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";
import { asWritten, checkExtension, seriesGrid, seriesRows, writeForms } from "../run/outputs.node.ts";
import { codecOf } from "./codes.node.ts";

/** Checks before any work that paths can be written under this name. @throws OptionError */
export function checkInterpolationPath(path: string, info: Pick<DataInfo, "kind" | "sampleShape">): void {
  const allowed = isPicture(info) ? [".png", ".npy"] : [".csv", ".parquet", ".npy"];
  checkExtension(path, allowed);
}

/**
 * Writes paths by the file's extension: .png a strip for each, .csv and .parquet a table whose first columns are the
 * number of the path and the share of the path, .npy the samples one after another.
 * @throws OptionError for another extension; FileError
 */
export async function writeInterpolation(
  run: LoadedRun,
  samples: NdArray<"float32">,
  steps: number,
  path: string,
  writing?: CsvWriting,
): Promise<void> {
  const { dataInfo } = run.config;
  checkInterpolationPath(path, dataInfo);
  return writeForms(
    path,
    {
      raster: () => seriesGrid(dataInfo, samples, steps),
      array: () => asWritten(dataInfo, samples),
      table: () => seriesRows(dataInfo, samples, steps, ["path", "share"], (step) => step / (steps - 1)),
    },
    writing,
  );
}

/** A path between two codes: straight, or along a great circle with the norm changing evenly. */
export type CodePath = "linear" | "spherical";

/** How samples are interpolated. */
export interface InterpolateOptions {
  /** Samples along each path, its two ends among them. */
  readonly steps: number;
  /** Default: spherical where codes are Gaussian, otherwise linear. */
  readonly path?: CodePath | undefined;
  /** Class of each sample in the data, for models that need one; classes and given columns are blended in between. */
  readonly labels?: readonly number[] | undefined;
  /** Class that all samples are given, in place of their own. */
  readonly label?: number | undefined;
  /** How a solver leads to codes and back, for models whose codes take one. */
  readonly codes?: CodeSolverOptions | undefined;
}

/**
 * Samples along paths through the space of codes: from the first to the second, from the third to the fourth, and so
 * on. The ends are the samples themselves, as the model decodes their codes.
 * @param x pairs in data units, [2 · pairs, …sampleShape]
 * @returns [pairs · steps, …sampleShape]
 * @throws OptionError where the model has no codes, samples do not make pairs, or no classes are given to a conditional model
 */
export async function interpolateRun(
  run: LoadedRun,
  x: NdArray<"float32">,
  { steps, path, labels, label, codes }: InterpolateOptions,
): Promise<NdArray<"float32">> {
  const codec = codecOf(run, "interpolate", codes);
  const count = x.shape[0] ?? 0;
  if (count < 2 || count % 2 === 1) throw new OptionError(`interpolate: ${count} samples do not make pairs`);
  if (steps < 2) throw new OptionError(`option steps: a path has two ends, so at least 2, not ${steps}`);
  checkResult(run, "interpolate", { count: count / 2, steps });
  const own = codec.needsClass ? labels : undefined;
  const classes = label === undefined ? own : new Array<number>(count).fill(label);
  const z = await codec.encode(x, classes);
  const given = isGivenColumns(run.config) ? givenOfSamples(run.config, x) : undefined;
  const context = codec.codeContext(
    Array.from({ length: count }, (_, i) => classes?.[i]),
    given,
  );
  const along = path ?? (codec.hasGaussianCodes ? "spherical" : "linear");
  return codec.decode(pathsBetween(z, steps, along), context && pathsBetween(context, steps, "linear"));
}

/** Points along the paths between rows 0 and 1, 2 and 3, … of [2 · pairs, size]: [pairs · steps, size]. */
export function pathsBetween(ends: NdArray<"float32">, steps: number, path: CodePath): NdArray<"float32"> {
  const [count = 0, size = 0] = ends.shape;
  const data = new Float32Array((count / 2) * steps * size);
  for (let pair = 0; 2 * pair < count; pair++) {
    const from = ends.data.subarray(2 * pair * size, (2 * pair + 1) * size);
    const to = ends.data.subarray((2 * pair + 1) * size, (2 * pair + 2) * size);
    for (let step = 0; step < steps; step++) {
      const share = step / (steps - 1);
      const [a, b] = path === "linear" ? [1 - share, share] : sphericalWeights(from, to, share);
      const start = (pair * steps + step) * size;
      for (let i = 0; i < size; i++) data[start + i] = a * (from[i] ?? 0) + b * (to[i] ?? 0);
    }
  }
  return float32(data, [(count / 2) * steps, size]);
}

/**
 * Weights of two vectors for the point at `share` of the arc between them (Shoemake 1985, "slerp"), whose norm is that
 * share between theirs. Vectors of one direction, of opposite ones or of norm 0 span no arc: they are joined straight.
 */
function sphericalWeights(from: Float32Array, to: Float32Array, share: number): readonly [number, number] {
  const [normFrom, normTo] = [Math.hypot(...from), Math.hypot(...to)];
  const dot = from.reduce((sum, value, i) => sum + value * (to[i] ?? 0), 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot / (normFrom * normTo))));
  const sine = Math.sin(angle);
  if (!(sine > 1e-6)) return [1 - share, share];
  const norm = (1 - share) * normFrom + share * normTo;
  return [
    (norm * Math.sin((1 - share) * angle)) / (sine * normFrom),
    (norm * Math.sin(share * angle)) / (sine * normTo),
  ];
}
