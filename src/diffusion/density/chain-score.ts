import { OptionError } from "../../errors.ts";
import type { BoundTerm, DensityScoreOptions, ExportedScore } from "../../model/capabilities.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import {
  constant,
  elementCount,
  float32,
  gather,
  input,
  int64,
  type NdArray,
  normal,
  type Tensor,
  uniform,
  whileLoop,
} from "../../tensor/index.ts";
import { spreadOver } from "../objective/training.ts";
import type { DiscreteSchedule } from "../path/schedule.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import type { ReverseVariance } from "../solver/samplers.ts";
import { normalRows } from "../solver/session.ts";
import type { VariationalTerms } from "./variational.ts";
import { type Decoder, decoderTerm, decodingVariances, priorTerm } from "./variational.ts";

/** What a bound is computed of. */
export interface ChainBound {
  readonly model: DiffusionCore;
  readonly schedule: DiscreteSchedule;
  readonly terms: VariationalTerms;
  readonly variance: ReverseVariance;
  readonly decoder: Decoder;
}

/** How a bound is computed. */
export interface ChainScoreOptions extends DensityScoreOptions {
  /** Steps t ≥ 2 whose terms are computed for each sample, one in each of as many parts of the chain; default: 100. */
  readonly terms?: number;
}

/** Steps whose terms a score computes, by default. */
export const USUAL_TERMS = 100;

/** The bound of each sample, in nats and data units, [n]. */
export interface BoundParts {
  /** −L_0: the log-likelihood of the data under the decoder, negative, given x_1. */
  readonly decoder: Float64Array;
  /** L_1 + … + L_{T−1}. */
  readonly steps: Float64Array;
  /** L_T. */
  readonly prior: Float64Array;
  /**
   * The whole bound term by term, in order: L_0, what was computed for each part of the chain, L_T. A part of one step is its
   * L_{t−1}, and all are with as many `terms` as the chain has steps less one.
   */
  readonly terms: readonly BoundTerm[];
}

/** Rows, and numbers in them, of one program. */
const PART_NUMBERS = 1 << 17;

/**
 * Parts of the steps 2 … T, each with its first step and how many there are: few where terms are large and change fast, at
 * little noise, and more, like the square, towards noise.
 */
function strata(steps: number, count: number): readonly { readonly first: number; readonly size: number }[] {
  const all = steps - 1;
  const parts = Math.min(count, all);
  const edges = [0];
  for (let k = 1; k <= parts; k++) {
    // At least a step each, and one left for each that follows.
    const wanted = Math.max((edges.at(-1) ?? 0) + 1, Math.round(all * (k / parts) ** 2));
    edges.push(Math.min(wanted, all - (parts - k)));
  }
  return edges.slice(1).map((to, k) => ({ first: 2 + (edges[k] ?? 0), size: to - (edges[k] ?? 0) }));
}

/** Inputs of both programs of `programs`. */
const INPUTS = ["x", "noise", "step", "label?"] as const;

/** Programs of the network at steps of the chain: a term of the bound, and what L_0 is made of. */
function programs({ model, schedule, terms }: ChainBound, session: Session) {
  const denoised = (x: Tensor, noise: Tensor, step: Tensor, label: Tensor | undefined) => {
    const data = model.units.toModel(x);
    const time = step.cast("float32").mul(1 / schedule.steps);
    const state = schedule.state(data, noise, spreadOver(time, x));
    const { output, variance } = model.predict(state, time, label);
    return { data, denoised: model.convert(state, output, time, "data"), variance };
  };
  const term = session.compiled(model, "term of the bound", INPUTS, ({ x, noise, step, label }) => ({
    term: terms.termOf({ ...denoised(x, noise, step, label), step }),
  }));
  const estimate = session.compiled(
    model,
    "estimate for the decoder",
    INPUTS,
    ({ x, noise, step, label }) => {
      const predicted = denoised(x, noise, step, label);
      return { denoised: predicted.denoised, variance: predicted.variance ?? predicted.denoised };
    },
  );
  return { term, estimate };
}

/**
 * The variational bound of a chain (Ho et al. 2020, equation 5) on the log-likelihood of samples in data units, in parts. With
 * fewer terms than the chain has steps, each stands for its part of the chain at a random step of it: the expectation is the
 * same. A conditional model takes the classes that are given, otherwise any class.
 * @throws OptionError where the number of terms is not a whole number from 1 on
 */
export async function chainBound(
  bound: ChainBound,
  session: Session,
  x: NdArray<"float32">,
  { label, seed = 0, terms: count = USUAL_TERMS }: ChainScoreOptions = {},
): Promise<BoundParts> {
  if (!Number.isInteger(count) || count < 1) {
    throw new OptionError(`terms: must be a whole number from 1 on, not ${count}`);
  }
  const { model, schedule, variance: kind, decoder } = bound;
  const { sampleShape, kind: dataKind } = model.data;
  const { classes } = model.condition;
  const size = elementCount(sampleShape);
  const rows = x.shape[0] ?? 0;
  const random = new Random(seed).split("score");
  const { term, estimate } = programs(bound, session);
  const chain = strata(schedule.steps, count);
  const parts = {
    decoder: new Float64Array(rows),
    steps: new Float64Array(rows),
    prior: new Float64Array(rows),
  };
  const stepTerms = chain.map(({ first, size: width }) => ({
    first: first - 1,
    last: first + width - 2,
    nats: new Float64Array(rows),
  }));
  const decoding = decodingVariances(schedule);
  const last = schedule.level(schedule.steps);
  const states = model.units.arrayToModel(x);
  // Bytes have probabilities; of anything else the density is that of data units.
  const shift = dataKind === "image" ? 0 : size * Math.log(model.units.factor);
  const limit = Math.max(1, Math.floor(PART_NUMBERS / size));
  for (let first = 0; first < rows; first += limit) {
    const n = Math.min(limit, rows - first);
    const randoms = Array.from({ length: n }, (_, i) => random.split(first + i));
    const classOf = Array.from({ length: n }, (_, i) =>
      label === undefined ? classes : Number(label.data[first + i]),
    );
    const inputs = (steps: readonly number[], noise: NdArray<"float32">) => ({
      x: float32(x.data.subarray(first * size, (first + n) * size), [n, ...sampleShape]),
      noise,
      step: int64(steps, [n]),
      ...(classes > 0 && { label: int64(classOf, [n]) }),
    });
    const [ofNoise, ofSteps] = ["noise", "step"].map((name) => randoms.map((own) => own.split(name))) as [
      Random[],
      Random[],
    ];
    for (const [k, { first: from, size: width }] of chain.entries()) {
      const steps = ofSteps.map((own) => from + own.split(k).integer(width));
      const { term: values } = await term.run(inputs(steps, normalRows(ofNoise, sampleShape, k)));
      for (let i = 0; i < n; i++) {
        // Terms come averaged over components.
        const nats = Number(values.data[i]) * size * width;
        stepTerms[k]?.nats.fill(nats, first + i, first + i + 1);
        parts.steps[first + i] = (parts.steps[first + i] ?? 0) + nats;
      }
    }
    const predicted = await estimate.run(
      inputs(new Array<number>(n).fill(1), normalRows(randoms, sampleShape, "first")),
    );
    for (let i = 0; i < n; i++) {
      const row = (array: ArrayLike<number>): Float32Array =>
        (array as Float32Array).subarray(i * size, (i + 1) * size);
      const own = states.data.subarray((first + i) * size, (first + i + 1) * size);
      const given = {
        x: own,
        denoised: row(predicted.denoised.data as Float32Array),
        variance: row(predicted.variance.data as Float32Array),
      };
      parts.decoder[first + i] = decoderTerm(given, decoding, kind, decoder) + shift;
      parts.prior[first + i] = priorTerm(own, last);
    }
  }
  const end = schedule.steps;
  const terms = [
    { first: 0, last: 0, nats: parts.decoder },
    ...stepTerms,
    { first: end, last: end, nats: parts.prior },
  ];
  return { ...parts, terms };
}

/** The bound of a chain as a lower bound on the log-likelihood, [n]. */
export async function chainScore(
  bound: ChainBound,
  session: Session,
  x: NdArray<"float32">,
  options: ChainScoreOptions = {},
): Promise<NdArray<"float32">> {
  const { decoder, steps, prior } = await chainBound(bound, session, x, options);
  return float32(
    decoder.map((value, i) => -(value + (steps[i] ?? 0) + (prior[i] ?? 0))),
    [decoder.length],
  );
}

/** Steps of the bound that a graph for programs takes of each sample. */
const GRAPH_TERMS = 20;

/** What the terms of a bound are computed with, inside a graph. */
interface GraphDraws {
  /** Where in its part of the chain the step of a term is, as shares of it: [terms, n], in float32 or float64. */
  readonly within: Tensor;
  /** [terms, n, …]. */
  readonly noises: Tensor;
  /** Of L_0, [n, …]. */
  readonly first: Tensor;
}

/** The bound inside a graph from the terms of some steps, in nats and data units, [n]. @param label classes [n]; default: any class */
function boundGraph(
  { model, schedule, terms, decoder }: ChainBound,
  x: Tensor,
  { within, noises, first }: GraphDraws,
  label?: Tensor,
): Tensor {
  const rows = x.shape[0] ?? 1;
  const size = elementCount(model.data.sampleShape);
  const data = model.units.toModel(x);
  const { classes } = model.condition;
  const given = classes > 0 ? (label ?? constant(classes, "int64").broadcastTo([rows])) : undefined;
  const at = (step: Tensor, noise: Tensor): Tensor => {
    const time = step.cast("float32").mul(1 / schedule.steps);
    const state = schedule.state(data, noise, spreadOver(time, x));
    const { output, variance } = model.predict(state, time, given);
    return terms.termOf({ data, denoised: model.convert(state, output, time, "data"), variance, step });
  };
  const parts = strata(schedule.steps, Number(within.shape[0]));
  const column = (values: readonly number[]): Tensor => constant(float32(values, [values.length, 1]));
  const widths = column(parts.map(({ size: width }) => width));
  const exactWidths = widths.cast(within.dtype);
  // A uniform number of few digits times a width may round up to it.
  const steps = within
    .mul(exactWidths)
    .floor()
    .minimum(exactWidths.sub(1))
    .cast("int64")
    .add(column(parts.map(({ first }) => first)).cast("int64"));
  const decoded = at(constant(1, "int64").broadcastTo([rows]), first);
  const [sum] = whileLoop(
    [decoded],
    ([total], k) => {
      const own = at(gather(steps, k, 0), gather(noises, k, 0));
      return { state: [total.add(own.mul(gather(widths, k, 0)))] };
    },
    { maximum: parts.length },
  );
  const { alpha, sigma } = schedule.level(schedule.steps);
  const axes = x.shape.slice(1).map((_, axis) => axis + 1);
  // KL(N(α x₀, σ²) ‖ N(0, 1)) of each component.
  const prior = data
    .square()
    .mean(axes)
    .mul(alpha * alpha)
    .add(sigma * sigma - 1 - Math.log(sigma * sigma))
    .mul(0.5);
  const shift = decoder === "gaussian" ? Math.log(model.units.factor) : 0;
  return sum.add(prior).add(shift).mul(-size);
}

/**
 * The bound inside a graph, in nats and data units, [n], from the terms of a few steps: noisier than `chainScore`.
 * @param label classes [n]; default: any class
 */
export function chainLogProb(bound: ChainBound, x: Tensor, label?: Tensor): Tensor {
  const terms = strata(bound.schedule.steps, GRAPH_TERMS).length;
  const draws = {
    within: uniform([terms, x.shape[0] ?? 1]),
    noises: normal([terms, ...x.shape]),
    first: normal(x.shape),
  };
  return boundGraph(bound, x, draws, label);
}

/** `chainScore` with its usual options as one graph, of the same draws. */
export function exportedChainScore(bound: ChainBound): ExportedScore {
  const { sampleShape: shape } = bound.model.data;
  const count = strata(bound.schedule.steps, USUAL_TERMS).length;
  const x = input("x", ["batch", ...shape]);
  const logDensity = boundGraph(bound, x, {
    within: input("step", [count, "batch"], "float64"),
    noises: input("noise", [count, "batch", ...shape]),
    first: input("first", ["batch", ...shape]),
  });
  return {
    logDensity,
    draws: [
      { name: "step", distribution: "uniform", shape: [], count },
      { name: "noise", distribution: "normal", shape, count },
      { name: "first", distribution: "normal", shape },
    ],
    note: `A lower bound, of ${count} steps of the chain that are drawn for each row.`,
  };
}
