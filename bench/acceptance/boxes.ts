import { rm } from "node:fs/promises";
import { type DetectionEvaluation, openRun, type Run } from "../../src/index.ts";
import { startFit } from "../../src/tasks/fit/fit.node.ts";
import { type Row, scale } from "./run.ts";

export type Options = Readonly<Record<string, unknown>>;

/** A detector that is fitted for a time, or for a number of steps. */
export interface DetectorTrial {
  /** Also the name of the run folder. */
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly limit: { readonly seconds: number } | { readonly steps: number };
  readonly options: Options;
  /** Default: 0. */
  readonly seed?: number;
}

/** A share of one, as tables show it. */
export const share = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : "–");

/** Fits afresh, and hands the folder of the run to `measure`. */
export async function fittedDetector<T>(
  { name, model, data, limit, options, seed = 0 }: DetectorTrial,
  measure: (folder: string) => Promise<T>,
): Promise<T> {
  const out = `runs/acceptance/${name}`;
  await rm(out, { recursive: true, force: true });
  const [unit, budget] =
    "seconds" in limit
      ? (["seconds", limit.seconds * scale.value] as const)
      : (["steps", Math.ceil(limit.steps * scale.value)] as const);
  process.stderr.write(`${name}: ${budget} ${unit}\n`);
  await startFit({ model, data, [unit]: budget, seed, out, ...options });
  return measure(out);
}

/** Opens the run in a folder, and hands it to `measure`. */
export async function opened<T>(
  folder: string,
  options: Parameters<typeof openRun>[1],
  measure: (run: Run) => Promise<T>,
): Promise<T> {
  const run = await openRun(folder, options);
  try {
    return await measure(run);
  } finally {
    await run.release();
  }
}

/** Average precision of the weights that a fit has chosen, on the split that it has chosen them by. */
export async function validationAp50(run: Run): Promise<number> {
  const progress = (await run.loaded.folder.readCheckpoint())?.progress;
  return progress?.best?.measures?.AP50 ?? Number.NaN;
}

/** What every row tells of a detector that was measured. */
export function measuresOf({ size, parameters, steps, seconds, coco, imagesPerSecond }: DetectionEvaluation) {
  return {
    size: String(size),
    parameters: String(parameters),
    steps: String(steps),
    seconds: seconds.toFixed(0),
    AP: share(coco.ap),
    AP50: share(coco.ap50),
    small: share(coco.apSmall),
    medium: share(coco.apMedium),
    large: share(coco.apLarge),
    "images/s": imagesPerSecond.toFixed(0),
  } satisfies Row;
}
