import { logSumExp } from "../../data/sources/toy.ts";
import type { DensityScoreOptions } from "../../model/capabilities.ts";
import { classShares } from "../../model/data-info.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import {
  constant,
  elementCount,
  float32,
  gather,
  grad,
  type NdArray,
  split,
  type Tensor,
  uniform,
  where,
  whileLoop,
} from "../../tensor/index.ts";
import type { Condition, ConditionedCall } from "../objective/condition.ts";
import { dequantized } from "../objective/network.ts";
import { type NoiseLevel, startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { flowSpan } from "../solver/levels.ts";
import { flowLogDensity, gaussianEnd, type TracedVelocity } from "./likelihood.ts";

/** How the divergence of the flow is found. */
export const TRACES = ["exact", "hutchinson"] as const;

/** Dimensions up to which the exact trace is worth a reverse pass for each of them. */
const EXACT_TRACE_DIMENSIONS = 16;

/** How the trace is found, by default. */
export function usualTrace(sampleShape: readonly number[]): (typeof TRACES)[number] {
  return elementCount(sampleShape) <= EXACT_TRACE_DIMENSIONS ? "exact" : "hutchinson";
}

/** Velocity of the flow and its divergence [n], inside a graph. */
export interface SymbolicCourse {
  readonly velocity: Tensor;
  readonly divergence: Tensor;
}

type VelocityOf = (x: Tensor) => Tensor;

/** Σ_i ∂v_i / ∂x_i by a reverse pass for each dimension, all of one evaluation. */
function exactCourse(velocityOf: VelocityOf, x: Tensor): SymbolicCourse {
  const velocity = velocityOf(x);
  const size = elementCount(x.shape.slice(1).map(Number));
  const columns = (tensor: Tensor): readonly Tensor[] =>
    split(tensor.reshape([x.shape[0] ?? 1, size]), 1, size);
  const slopes = columns(velocity).map((column, i) => {
    const [gradient] = grad(column.sum(), [x]);
    return inputAt(columns(gradient), i);
  });
  return { velocity, divergence: slopes.reduce((sum, slope) => sum.add(slope)).squeeze(1) };
}

/** Hutchinson's estimate vᵀ (∂f/∂x) v with a probe of the shape of x (Grathwohl et al. 2019, "FFJORD", equation 7). */
function estimatedCourse(velocityOf: VelocityOf, x: Tensor, probe: Tensor): SymbolicCourse {
  const velocity = velocityOf(x);
  const [product] = grad(velocity.mul(probe).sum(), [x]);
  const axes = x.shape.slice(1).map((_, axis) => axis + 1);
  return { velocity, divergence: product.mul(probe).sum(axes) };
}

/** A moment of the flow inside a graph: the time that the network is given and √(α² + σ²), [1] each. */
export interface SymbolicMoment {
  readonly time: Tensor;
  readonly scale: Tensor;
}

/**
 * The flow of a model under a condition with its divergence, inside a graph. In units of √(α² + σ²) and by the angle
 * θ = arctan(σ / α) every path is the quarter circle, x̃ = cos θ x₀ + sin θ ε, whose flow cos θ ε̂ − sin θ D bends little and is
 * finite everywhere: `v` over √(α² + σ²).
 */
function symbolicCourse(
  model: DiffusionCore,
  call: ConditionedCall["call"],
  x: Tensor,
  { time, scale }: SymbolicMoment,
  { probe, ...given }: Readonly<Record<string, Tensor>>,
): SymbolicCourse {
  const velocityOf = (state: Tensor): Tensor => {
    const t = time.broadcastTo([state.shape[0] ?? 1]);
    const own = state.mul(scale);
    return model.convert(own, call(own, t, given).output, t, "v").div(scale);
  };
  return probe === undefined ? exactCourse(velocityOf, x) : estimatedCourse(velocityOf, x, probe);
}

/** The angles of a model's flow from data to noise, and the level at each. */
function flowAngles({ process, subject }: DiffusionCore) {
  const { clean, noisy } = flowSpan(subject);
  const angleOf = ({ alpha, sigma }: NoiseLevel): number => Math.atan2(sigma, alpha);
  const first = process.at(clean);
  const last = process.at(noisy);
  const [from, to] = [angleOf(first), angleOf(last)];
  return {
    from,
    to,
    /** Data is divided by this. */
    scale: startingDeviation(first),
    levelAt: (angle: number): NoiseLevel =>
      angle <= from ? first : angle >= to ? last : process.levelAt(Math.tan(angle)),
  };
}

/** How a log-density by the probability flow is computed. */
export interface FlowDensityOptions extends DensityScoreOptions {
  /** Tolerance of the solver, relative and absolute; default: 1e-4, of images 1e-2. */
  readonly tolerance?: number;
  /** Default: exact in up to 16 dimensions. */
  readonly trace?: (typeof TRACES)[number];
  /** Velocity evaluations before the solver gives up; default: 2000. */
  readonly maxEvaluations?: number;
}

/** Numbers of a batch in one program. */
const PART_NUMBERS = 1 << 17;

/** Tolerance of a score, by default. */
export function usualTolerance({ data: { kind } }: DiffusionCore): number {
  return kind === "image" ? 1e-2 : 1e-4;
}

/** The density at the end, where α² + σ² is 1. */
const NOISE = gaussianEnd({ time: 1, alpha: 0, sigma: 1 });

/** Signs, for Hutchinson's estimate, of the shape of x. */
function signs(random: Random, shape: readonly number[]): NdArray<"float32"> {
  const data = Float32Array.from({ length: elementCount(shape) }, () => (random.uniform() < 0.5 ? -1 : 1));
  return float32(data, shape);
}

/** Rows of an array. */
function rowsOf(x: NdArray<"float32">, first: number, count: number): NdArray<"float32"> {
  const size = elementCount(x.shape.slice(1));
  return float32(x.data.subarray(first * size, (first + count) * size), [count, ...x.shape.slice(1)]);
}

/**
 * The exact log-density of samples by the probability flow, in nats and data units, [n] (Song et al. 2021, equation 39): the
 * flow is followed from data to noise, whose density is known, and its divergence integrated on the way. Bytes are
 * dequantized by uniform noise, which makes it a lower bound on their log-probability. A conditional model takes the classes that are given;
 * otherwise what it has learnt of any class or, where it has hidden none in training, weighs classes by their shares.
 * @throws SolverError where the solver gives up
 */
export async function flowScore(
  model: DiffusionCore,
  session: Session,
  x: NdArray<"float32">,
  options: FlowDensityOptions = {},
): Promise<NdArray<"float32">> {
  const { seed = 0, trace = usualTrace(model.data.sampleShape), label } = options;
  const { kind, sampleShape } = model.data;
  const random = new Random(seed).split("score");
  const rows = x.shape[0] ?? 0;
  const size = elementCount(sampleShape);
  const noisy = kind === "image" ? dequantizedArray(x, random.split("dequantise")) : x;
  const states = model.units.arrayToModel(noisy);
  const probe = trace === "exact" ? undefined : signs(random.split("probe"), x.shape);
  const shift = size * Math.log(model.units.factor);
  const result = new Float32Array(rows);
  const limit = Math.max(1, Math.floor(PART_NUMBERS / size));
  for (let first = 0; first < rows; first += limit) {
    const count = Math.min(limit, rows - first);
    const part = rowsOf(states, first, count);
    const densities = async (labels: readonly number[] | undefined): Promise<Float64Array> =>
      partDensity(
        model,
        session,
        part,
        { labels },
        { ...options, probe: probe && rowsOf(probe, first, count) },
      );
    const labels = label && Array.from(label.data.subarray(first, first + count), Number);
    const values = await overClasses(model, count, labels, densities);
    for (const [i, value] of values.entries()) result[first + i] = value - shift;
  }
  return float32(result, [rows]);
}

/** log p(x | label), or log p(x) where no label is given. */
async function overClasses(
  { condition, data }: DiffusionCore,
  count: number,
  labels: readonly number[] | undefined,
  densities: (labels: readonly number[] | undefined) => Promise<Float64Array>,
): Promise<Float64Array> {
  if (labels !== undefined || condition.knowsAny) return densities(labels);
  const terms: Float64Array[] = [];
  for (const [k, share] of classShares(data).entries()) {
    if (share === 0) continue;
    const values = await densities(new Array<number>(count).fill(k));
    terms.push(values.map((value) => value + Math.log(share)));
  }
  return Float64Array.from({ length: count }, (_, i) => logSumExp(terms.map((term) => term[i] ?? 0)));
}

async function partDensity(
  model: DiffusionCore,
  session: Session,
  x: NdArray<"float32">,
  condition: Condition,
  options: FlowDensityOptions & { readonly probe: NdArray<"float32"> | undefined },
): Promise<Float64Array> {
  const { tolerance = usualTolerance(model), maxEvaluations = 2000, probe } = options;
  const { form, inputs, call } = model.call(condition, x.shape[0] ?? 0);
  const program = session.compiled(
    model,
    `${form} flow, ${probe ? "estimated" : "exact"} trace`,
    ["x", "time", "scale", "..."],
    ({ x: state, time, scale, ...given }) => symbolicCourse(model, call, state, { time, scale }, given),
  );
  const { from, to, scale: start, levelAt } = flowAngles(model);
  const traced: TracedVelocity<"float32"> = async (state, angle) => {
    const level = levelAt(angle);
    const { velocity, divergence } = await program.run({
      ...inputs,
      ...(probe !== undefined && { probe }),
      x: state,
      time: float32([level.time], [1]),
      scale: float32([startingDeviation(level)], [1]),
    });
    return { velocity: velocity as NdArray<"float32">, divergence: divergence.data as Float32Array };
  };
  const densities = await flowLogDensity(
    traced,
    float32(
      x.data.map((value) => value / start),
      x.shape,
    ),
    { method: "dormand-prince", from, to, rtol: tolerance, atol: tolerance, maxEvaluations, everyRow: true },
    NOISE,
  );
  const size = elementCount(x.shape.slice(1));
  return densities.map((value) => value - size * Math.log(start));
}

function dequantizedArray({ data, shape }: NdArray<"float32">, random: Random): NdArray<"float32"> {
  return float32(
    data.map((value) => value + random.uniform() - 0.5),
    shape,
  );
}

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
