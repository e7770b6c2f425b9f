import type { DataInfo } from "../../model/data-info.ts";
import type { Velocity } from "../../ode/index.ts";
import { dormandPrince, FIXED_STEP_METHODS, integrate } from "../../ode/index.ts";
import type { Session } from "../../program/program.ts";
import type { Tensor } from "../../tensor/index.ts";
import { float32, type NdArray } from "../../tensor/index.ts";
import type { ClassCondition, Condition, ConditionedCall } from "../objective/condition.ts";
import type { DataUnits } from "../objective/network.ts";
import type { Predicted } from "../objective/objective.ts";
import type { Prediction } from "../objective/prediction.ts";
import type { Process, SolverSubject } from "./levels.ts";
import type { SolverName, SolverSettings } from "./options.ts";
import type { normalRows, SymbolicDenoiser } from "./session.ts";
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

/** What solvers ask of a network call, in a graph; times are [n]. */
export interface NetworkViews {
  /** Names the form of the views: those of one name are the same. */
  readonly name: string;
  readonly denoised: SymbolicDenoiser;
  readonly velocity: (x: Tensor, time: Tensor, inputs: Readonly<Record<string, Tensor>>) => Tensor;
}

/**
 * What solvers, densities and tasks need of a diffusion model: its data, its process, and its network under a condition. The class
 * `DiffusionModel` is one.
 */
export interface DiffusionCore {
  readonly data: DataInfo;
  readonly units: DataUnits;
  readonly condition: ClassCondition;
  /** How data turns to noise. */
  readonly process: Process;
  /** What solvers must know of the model. */
  readonly subject: SolverSubject;
  /** The solver that draws samples by default. */
  readonly solver: SolverName;
  /** Numbers of a sample. */
  readonly dimensions: number;
  /** What the network predicts of states [n, …] at times [n]. */
  predict(x: Tensor, time: Tensor, label?: Tensor): Predicted;
  /** A network's output at times [n] as another prediction than the one it was fitted to. */
  convert(x: Tensor, output: Tensor, time: Tensor, to: Prediction): Tensor;
  /** The network under a condition. @param count rows of the states */
  call(condition: Condition, count: number): ConditionedCall;
  views(call: ConditionedCall["call"], options: Pick<Condition, "clip">): NetworkViews;
  denoiser(
    condition: Condition,
    count: number,
  ): {
    readonly name: string;
    readonly inputs: ConditionedCall["inputs"];
    readonly denoiser: SymbolicDenoiser;
  };
  /** The velocity of the probability flow under a condition, in model units. */
  velocity(session: Session, condition: Condition, count: number): Velocity<"float32">;
  /** How samples are made: the solver asked for, or the model's own. @throws OptionError */
  plan(settings: SolverSettings): SamplerPlan;
  /** States that a plan begins with, in model units. */
  startOf(plan: SamplerPlan, randoms: Parameters<typeof normalRows>[0]): NdArray<"float32">;
  /** Follows a plan from states at its beginning to those at its end. @throws SolverError, OptionError */
  follow(
    session: Session,
    plan: SamplerPlan,
    start: NdArray<"float32">,
    condition: Condition,
    options?: FollowOptions,
  ): Promise<NdArray<"float32">>;
}

/** A plan to follow, the states at its beginning, [n, …sampleShape] in model units, and under what. */
export interface Course {
  readonly plan: SamplerPlan;
  readonly start: NdArray<"float32">;
  readonly condition: Condition;
}

/**
 * The states at the end of a plan: the rows of a table one after the other, or the flow by a method that takes velocities.
 * @throws SolverError where an adaptive solver runs out of evaluations
 * @throws OptionError where the plan draws noise and no noise is given
 */
export async function followPlan(
  model: DiffusionCore,
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
