import type { ExportedScore, ScoreDraws } from "../../model/capabilities.ts";
import { classMixture } from "../../model/class-mixture.ts";
import { dormandPrinceGraph, SOLVED_INSIDE } from "../../ode/index.ts";
import {
  concat,
  constant,
  elementCount,
  float32,
  gather,
  input,
  slice,
  type Tensor,
  uniform,
  where,
  whileLoop,
} from "../../tensor/index.ts";
import { dequantized } from "../objective/network.ts";
import { type NoiseLevel, startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { flowSpan, isContinuous } from "../solver/levels.ts";
import {
  flowAngles,
  MOST_EVALUATIONS,
  type SymbolicCourse,
  type SymbolicMoment,
  symbolicCourse,
  usualTolerance,
  usualTrace,
} from "./course.ts";

// Log-densities by the probability flow as graphs: roughly, for programs of one's own, and as `flowScore` computes them, for models that are
// run elsewhere.

/** Steps of Heun's method for a log-density inside a graph. */
const GRAPH_STEPS = 50;

/**
 * The log-density inside a graph by fixed steps of Heun's method, in nats and data units, [n]: less accurate than `flowScore`.
 * A loop, through which no gradient flows.
 * @param label classes [n]; default: any class
 */
export function flowLogProb(model: DiffusionCore, x: Tensor, label?: Tensor): Tensor {
  const { kind, sampleShape } = model.data;
  const size = elementCount(sampleShape);
  const { from, to, scale, levelAt } = flowAngles(model);
  const length = (to - from) / GRAPH_STEPS;
  const levels = Array.from({ length: GRAPH_STEPS + 1 }, (_, i) => levelAt(from + i * length));
  const column = (of: (level: NoiseLevel) => number): Tensor =>
    constant(float32(levels.map(of), [levels.length]));
  const [moments, scales] = [column(({ time }) => time), column(startingDeviation)];
  const start = model.units.toModel(kind === "image" ? dequantized(x) : x).div(scale);
  const probe =
    usualTrace(sampleShape) === "exact"
      ? undefined
      : where(uniform(x.shape).less(0.5), constant(-1), constant(1));
  const rows = x.shape[0] ?? 1;
  const hidden = constant(model.condition.classes, "int64").broadcastTo([rows]);
  const given = {
    ...(model.condition.classes > 0 && { label: label ?? hidden }),
    ...(probe !== undefined && { probe }),
  };
  const at = (state: Tensor, index: Tensor): SymbolicCourse =>
    symbolicCourse(
      model,
      (seen, t, { label: own }) => model.predict(seen, t, own),
      state,
      { time: gather(moments, index, 0).reshape([1]), scale: gather(scales, index, 0).reshape([1]) },
      given,
    );
  const none = constant(0).broadcastTo([rows]);
  const [end, change] = whileLoop(
    [start, none],
    ([state, total], step) => {
      const first = at(state, step);
      const second = at(state.add(first.velocity.mul(length)), step.add(1));
      return {
        state: [
          state.add(first.velocity.add(second.velocity).mul(length / 2)),
          total.add(first.divergence.add(second.divergence).mul(length / 2)),
        ],
      };
    },
    { maximum: GRAPH_STEPS },
  );
  const axes = x.shape.slice(1).map((_, axis) => axis + 1);
  return end
    .square()
    .sum(axes)
    .mul(-0.5)
    .add(change)
    .sub((size / 2) * Math.log(2 * Math.PI) + size * Math.log(model.units.factor * scale));
}

/** The moment at an angle, a float64 scalar, as `flowAngles` has it: formulas of the path between its ends. */
function momentAt(model: DiffusionCore, angle: Tensor): SymbolicMoment {
  const { process } = model;
  if (!isContinuous(process)) throw new TypeError("a chain of steps has no flow inside a graph");
  const { from, to } = flowAngles(model);
  const { clean, noisy } = flowSpan(model.subject);
  const [first, last] = [process.at(clean), process.at(noisy)];
  const time = process.symbolicTimeOf(angle.sin().div(angle.cos()));
  const { alpha, sigma } = process.symbolic(time);
  const within = (inner: Tensor, before: number, after: number): Tensor => {
    const number = (value: number): Tensor => constant(value, "float64");
    const late = where(angle.greaterEqual(to), number(after), inner);
    return where(angle.lessEqual(from), number(before), late).cast("float32").reshape([1]);
  };
  return {
    time: within(time, first.time, last.time),
    scale: within(
      alpha.square().add(sigma.square()).sqrt(),
      startingDeviation(first),
      startingDeviation(last),
    ),
  };
}

/** `flowScore` with its usual options as one graph, with the same choice of steps. */
export function exportedFlowScore(model: DiffusionCore): ExportedScore {
  const { condition, data, units } = model;
  const { kind, sampleShape } = data;
  const size = elementCount(sampleShape);
  const x = input("x", ["batch", ...sampleShape]);
  const rows = x.shape[0] ?? 1;
  const draws = [
    ...(kind === "image" ? (["dequantise"] as const) : []),
    ...(usualTrace(sampleShape) === "exact" ? [] : (["probe"] as const)),
  ].map((name): ScoreDraws => ({ name, distribution: "uniform", shape: sampleShape }));
  const drawn = Object.fromEntries(
    draws.map(({ name }) => [name, input(name, ["batch", ...sampleShape], "float64")]),
  );
  const { dequantise, probe } = drawn;
  const noisy = dequantise === undefined ? x : x.add(dequantise.sub(0.5).cast("float32"));
  const signs = probe && where(probe.less(constant(0.5, "float64")), constant(-1), constant(1));
  const { from, to, scale } = flowAngles(model);
  const start = units.toModel(noisy).div(scale).reshape([rows, size]);
  const tolerance = usualTolerance(model);
  const densityOf = (label: Tensor | undefined): Tensor => {
    const given = { ...(label && { label }), ...(signs && { probe: signs }) };
    const traced = (state: Tensor, angle: Tensor): Tensor => {
      const { velocity, divergence } = symbolicCourse(
        model,
        (seen, t, { label: own }) => model.predict(seen, t, own),
        slice(state, 1, 0, size).reshape([rows, ...sampleShape]),
        momentAt(model, angle),
        given,
      );
      return concat([velocity.reshape([rows, size]), divergence.unsqueeze(1)], 1);
    };
    const none = constant(0).broadcastTo([rows, 1]);
    const end = dormandPrinceGraph(traced, concat([start, none], 1), from, to, {
      rtol: tolerance,
      atol: tolerance,
      maxEvaluations: MOST_EVALUATIONS,
    });
    return slice(end, 1, 0, size)
      .square()
      .sum(1)
      .mul(-0.5)
      .add(slice(end, 1, size, size + 1).squeeze(1));
  };
  const density = condition.knowsAny
    ? densityOf(condition.classes > 0 ? constant(condition.classes, "int64").broadcastTo([rows]) : undefined)
    : classMixture(data, rows, densityOf);
  return {
    logDensity: density.sub((size / 2) * Math.log(2 * Math.PI) + size * Math.log(units.factor * scale)),
    draws,
    note: SOLVED_INSIDE,
  };
}
