import { openData } from "../../src/data/index.node.ts";
import { range } from "../../src/data/sources/data-set.ts";
import { EidosError } from "../../src/errors.ts";
import type { Run } from "../../src/index.ts";
import { digitFeatures } from "../../src/metrics/index.node.ts";
import { frechetDistance } from "../../src/metrics/index.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import { type Row, scale } from "./run.ts";

/** Samples of a cell. */
const SAMPLES = 512;

/** A number of samples or pairs, fewer where a call shortens the fits to try the suite. */
export function scaledCount(count = SAMPLES, least = 32): number {
  return Math.min(count, Math.max(least, Math.round(count * scale.value)));
}

let testFeatures: Promise<NdArray<"float32">> | undefined;

/** Features of the whole test split, computed once. */
function featuresOfTest(): Promise<NdArray<"float32">> {
  testFeatures ??= openData("digits").then(({ splits: { test } }) =>
    digitFeatures(test.batch(range(0, test.count)).x),
  );
  return testFeatures;
}

/** The squared Fréchet distance of digits, rounded to bytes, to the test split. @throws as `digitFrechetDistance` */
export async function frechetToTest({ data, shape }: NdArray<"float32">): Promise<number> {
  const bytes = data.map((value) => Math.min(255, Math.max(0, Math.round(value))));
  return frechetDistance(await digitFeatures(float32(bytes, shape)), await featuresOfTest());
}

/** A cell for each number of steps of a solver: the distance, and the seconds that drawing took. */
export async function samplerCells(run: Run, solver: string, steps: readonly number[]): Promise<Row> {
  const cells: Record<string, string> = {};
  for (const count of steps) {
    const column = count === 1 ? "1 step" : `${count} steps`;
    cells[column] = await cell(run, solver, count);
    process.stderr.write(`${run.config.model}, ${solver}, ${column}: ${cells[column]}\n`);
  }
  return cells;
}

/** One cell; a sampler that fails, say with numbers that are not finite, costs the cell and not the row. */
async function cell(run: Run, solver: string, steps: number): Promise<string> {
  try {
    const begun = performance.now();
    const samples = await run.sample({ count: scaledCount(), seed: 0, guidance: 1, solver, steps });
    const seconds = (performance.now() - begun) / 1000;
    return `${(await frechetToTest(samples)).toFixed(2)} (${seconds.toFixed(seconds < 10 ? 1 : 0)} s)`;
  } catch (error) {
    if (!(error instanceof EidosError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return "failed";
  }
}
