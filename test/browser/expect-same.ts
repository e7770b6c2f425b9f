import { expect } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { STEPS, type TrainingName, type TrainingResult, train } from "./training.ts";

/** Largest relative difference between the losses of two runtimes. */
const TOLERANCE = 1e-4;

const references = new Map<TrainingName, Promise<TrainingResult>>();

/** What a training gives on the CPU in Node. */
export function reference(name: TrainingName): Promise<TrainingResult> {
  let result = references.get(name);
  if (result === undefined) {
    result = nodeRuntime().then((runtime) => train(name, runtime));
    references.set(name, result);
  }
  return result;
}

/** Compares the losses of every step with those of Node, which must have learnt something. */
export async function expectSameLosses(name: TrainingName, result: TrainingResult): Promise<void> {
  const { losses } = await reference(name);
  expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) * 0.7);
  expect(result.losses).toHaveLength(STEPS);
  losses.forEach((loss, step) => {
    const other = result.losses[step] ?? Number.NaN;
    expect(Math.abs(other - loss) / loss, `step ${step}: ${other} against ${loss}`).toBeLessThan(TOLERANCE);
  });
}
