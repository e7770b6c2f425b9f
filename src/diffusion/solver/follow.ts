import { dormandPrince, FIXED_STEP_METHODS, integrate } from "../../ode/index.ts";
import type { Session } from "../../program/program.ts";
import { float32, type NdArray } from "../../tensor/index.ts";
import type { DiffusionModel } from "../models/diffusion-model.ts";
import type { Condition } from "../objective/condition.ts";
import { type RunTableOptions, runTable } from "./session.ts";
import type { SamplerPlan } from "./solvers.ts";

/** What `follow` does beside following. */
export interface FollowOptions {
  /** Noise of the rows of a table that draw some. */
  readonly noise?: RunTableOptions["noise"];
  /** As of `runTable`, for plans that are tables. */
  readonly onRow?: RunTableOptions["onRow"];
  /** Called with the share that is done. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/** A way to follow, the states at its beginning, [n, …sampleShape] in model units, and under what. */
export interface Course {
  readonly plan: SamplerPlan;
  readonly start: NdArray<"float32">;
  readonly condition: Condition;
}

/**
 * The states at the end of a plan: the rows of a table one after the other, or the flow by a method that takes velocities.
 * @throws SolverError where an adaptive solver runs out of evaluations
 * @throws OptionError where the plan draws noise and is given none
 */
export async function followPlan(
  model: DiffusionModel,
  session: Session,
  { plan, start, condition }: Course,
  { onProgress, onRow, noise }: FollowOptions = {},
): Promise<NdArray<"float32">> {
  const count = start.shape[0] ?? 0;
  if (plan.kind === "table") {
    const { name, inputs, denoiser } = model.denoiser(condition, count);
    return runTable(session, plan.table, denoiser, {
      name,
      owner: model,
      inputs,
      start,
      ...(noise !== undefined && { noise }),
      onRow: (x, done) => {
        onProgress?.(done / plan.table.rows.length);
        return onRow?.(x, done);
      },
    });
  }
  const velocity = model.velocity(session, condition, count);
  const { method, times, denoise } = plan;
  const [from = 1, to = 0] = [times[0], times.at(-1)];
  const state =
    method === "dormand-prince"
      ? (
          await dormandPrince(velocity, start, from, to, {
            ...plan.tolerance,
            onStep: (time) => onProgress?.((from - time) / (from - to)),
          })
        ).state
      : await integrate(FIXED_STEP_METHODS[method], velocity, start, times, (done) =>
          onProgress?.(done / (times.length - 1)),
        );
  if (!denoise) return state;
  const { name, inputs, denoiser } = model.denoiser(condition, count);
  const last = session.compiled(model, `${name} alone`, ["x", "time", "..."], ({ x, time, ...given }) => ({
    denoised: denoiser(x, time.broadcastTo([x.shape[0] ?? 1]), given).denoised,
  }));
  return (await last.run({ ...inputs, x: state, time: float32([to], [1]) })).denoised as NdArray<"float32">;
}
