import { OptionError } from "../../errors.ts";
import { FIXED_STEP_METHODS } from "../../ode/index.ts";
import { constant, float32, gather, input, type Shape, type Tensor, whileLoop } from "../../tensor/index.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { parseSampleOptions } from "../solver/options.ts";
import { hasNext, rowOf, type StepRange, samplerGraph } from "../solver/session.ts";
import type { FlowPlan } from "../solver/solvers.ts";
import { isStochastic, rowsOfStep } from "../solver/table.ts";

/** A graph to be written as one file. */
export interface ExportedGraph {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly description: string;
  /** Of a sampler that can be run step by step: its rounds, and how many of them are a step. */
  readonly steps?: { readonly count: number; readonly each: number };
}

/** A flow by fixed steps as a loop inside a graph. @throws OptionError where the method chooses its steps */
function flowGraph(
  { method, times }: FlowPlan,
  velocityOf: (x: Tensor, time: Tensor) => Tensor,
  start: Tensor,
  range?: StepRange,
): Tensor {
  if (method === "dormand-prince") {
    throw new OptionError(
      "option solver: dormand-prince chooses its steps as it goes, which one graph cannot; choose a solver of fixed steps",
    );
  }
  const { nodes, stages, weights } = FIXED_STEP_METHODS[method];
  const moments = constant(float32(times, [times.length]));
  const [end] = whileLoop(
    [start],
    ([x], round) => {
      const step = rowOf(round, range);
      const now = gather(moments, step, 0);
      const length = gather(moments, step.add(1), 0).sub(now);
      const moved = (known: readonly Tensor[], coefficients: readonly number[]): Tensor =>
        known.reduce((state, slope, i) => {
          const coefficient = coefficients[i] ?? 0;
          return coefficient === 0 ? state : state.add(slope.mul(length.mul(coefficient)));
        }, x);
      const slopes: Tensor[] = [];
      for (const [i, node] of nodes.entries()) {
        slopes.push(velocityOf(moved(slopes, stages[i] ?? []), now.add(length.mul(node))));
      }
      return { state: [moved(slopes, weights)], ...(range && { again: hasNext(round, range) }) };
    },
    { maximum: times.length - 1 },
  );
  return end;
}

/**
 * A whole sampler of a model as one graph: the network and the loop of a solver with fixed steps, from noise to samples in
 * data units, any number at once. Inputs are `noise`, standard normal of the shape of the samples; `stepNoise`, the same for
 * each row of a solver that draws some; and `label`, the class of each sample, where the model knows classes.
 * @param options those of `sample`
 * @param inSteps whether its steps can be run one by one, as `Exportable` has it
 * @throws OptionError where an option is wrong, or the solver chooses its steps
 */
export function exportedSampler(model: DiffusionCore, options: unknown, inSteps = false): ExportedGraph {
  const settings = parseSampleOptions(options);
  const { sampleShape, kind } = model.data;
  const { guidance = kind === "image" ? 2 : 1, clip } = settings;
  const { classes } = model.condition;
  const plan = model.plan(settings);
  const shape: Shape = ["batch", ...sampleShape];
  const noise = input("noise", shape);
  const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
  const call = model.condition.applyInGraph(model.predict.bind(model), label, guidance);
  const views = model.views(call, { ...(clip !== undefined && { clip }) });
  const deviation = plan.kind === "table" ? plan.table.deviation : plan.deviation;
  const steps = plan.kind === "table" ? plan.table.rows.length : plan.times.length - 1;
  // Of what can be run by itself: a step of a flow, or the rows of a step of a table.
  const each = plan.kind === "table" ? rowsOfStep(plan.table) : plan.denoise ? undefined : 1;
  const range =
    inSteps && each !== undefined
      ? { first: input("firstStep", [], "int64"), last: input("lastStep", [], "int64") }
      : undefined;
  // After the first step, what is given is a state.
  const isFirst = range?.first.cast("float32").neg().add(1).relu();
  const start = noise.mul(isFirst === undefined ? deviation : isFirst.mul(deviation - 1).add(1));
  const rows = plan.kind === "table" && isStochastic(plan.table) ? plan.table.rows.length : 0;
  const stepNoise = rows > 0 ? input("stepNoise", [rows, ...shape]) : undefined;
  let end: Tensor;
  if (plan.kind === "table") {
    end = samplerGraph(plan.table, (x, time) => views.denoised(x, time, {}), start, stepNoise, range);
  } else {
    const everyRow = (time: Tensor): Tensor => time.reshape([1]).broadcastTo(["batch"]);
    end = flowGraph(plan, (x, time) => views.velocity(x, everyRow(time), {}), start, range);
    if (plan.denoise) {
      end = views.denoised(end, everyRow(constant(plan.times.at(-1) ?? 0)), {}).denoised;
    }
  }
  const units =
    kind === "image"
      ? "bytes in float32, not rounded"
      : kind === "table"
        ? "standardized columns"
        : "units of the data";
  const evaluations = plan.kind === "table" ? plan.table.rows.length : undefined;
  return {
    outputs: { samples: model.units.toData(end), ...(range && { state: end }) },
    ...(range && each !== undefined && { steps: { count: steps, each } }),
    description:
      `A whole sampler: ${settings.solver ?? model.solver}${evaluations === undefined ? "" : ` in ${evaluations} network evaluations`}. ` +
      `noise: standard normal [${shape.join(", ")}].` +
      (rows > 0 ? ` stepNoise: standard normal [${[rows, ...shape].join(", ")}].` : "") +
      (classes > 0 ? ` label: class 0 to ${classes - 1}, or ${classes} for any, guidance ${guidance}.` : "") +
      ` samples: [${shape.join(", ")}], ${units}.`,
  };
}

/** What the network of a model predicts as a graph, in the units it works in, and the denoiser where that is something else. */
export function exportedNetwork(model: DiffusionCore): ExportedGraph {
  const { prediction, process } = model.subject;
  const shape: Shape = ["batch", ...model.data.sampleShape];
  const { classes } = model.condition;
  const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
  const [x, t] = [input("x", shape), input("t", ["batch"])];
  const { output } = model.predict(x, t, label);
  const { offset, factor } = model.units;
  const isVelocity = prediction === "velocity";
  return {
    outputs: isVelocity
      ? { velocity: output }
      : { denoised: model.convert(x, output, t, "data"), [prediction]: output },
    description:
      `${isVelocity ? `Velocity dx/dt of the ${process.name} path.` : `Estimate of the data, and what the network says (${prediction}), on the ${process.name} process.`} ` +
      `x: state [${shape.join(", ")}] in model units, data = ${offset} + ${factor} x; t: time in [0, 1], 0 is data and 1 noise.${
        classes > 0 ? ` label: class 0 to ${classes - 1}, or ${classes} for any.` : ""
      }${isVelocity ? " To sample, draw x at t = 1 and integrate to t = 0." : ""}`,
  };
}
