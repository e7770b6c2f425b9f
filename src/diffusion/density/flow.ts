import { logSumExp } from "../../data/sources/toy.ts";
import type { DensityScoreOptions } from "../../model/capabilities.ts";
import { classShares } from "../../model/data-info.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/index.ts";
import type { Condition } from "../objective/condition.ts";
import { startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import {
  flowAngles,
  MOST_EVALUATIONS,
  symbolicCourse,
  type TRACES,
  usualTolerance,
  usualTrace,
} from "./course.ts";
import { flowLogDensity, gaussianEnd, type TracedVelocity } from "./likelihood.ts";

/** How a log-density by the probability flow is computed. */
export interface FlowDensityOptions extends DensityScoreOptions {
  /** Tolerance of the solver, relative and absolute; default: 1e-5, as in Song et al. 2021; of images 1e-2. */
  readonly tolerance?: number;
  /** Default: exact in up to 16 dimensions. */
  readonly trace?: (typeof TRACES)[number];
  /** Velocity evaluations before the solver gives up; default: 2000. */
  readonly maxEvaluations?: number;
}

/** Numbers of a batch in one program. */
const PART_NUMBERS = 1 << 17;

/** The density at the end, where α² + σ² is 1. */
const NOISE = gaussianEnd({ time: 1, alpha: 0, sigma: 1 });

/** Numbers of the shape of x, which each sample makes of uniforms of a generator of its own. */
function drawnFor(x: NdArray<"float32">, random: Random, name: keyof typeof DRAWN): NdArray<"float32"> {
  const [rows = 0, ...shape] = x.shape;
  const size = elementCount(shape);
  const data = new Float32Array(rows * size);
  for (let i = 0; i < rows; i++) {
    const own = random.split(i).split(name);
    for (let k = i * size; k < (i + 1) * size; k++) data[k] = DRAWN[name](own.uniform());
  }
  return float32(data, x.shape);
}

/** What is made of uniforms: signs for Hutchinson's estimate, and what is added to bytes. */
const DRAWN = {
  probe: (uniform: number) => (uniform < 0.5 ? -1 : 1),
  dequantise: (uniform: number) => uniform - 0.5,
} as const;

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
  const states = model.units.arrayToModel(kind === "image" ? sumOf(x, drawnFor(x, random, "dequantise")) : x);
  const probe = trace === "exact" ? undefined : drawnFor(x, random, "probe");
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
  const { tolerance = usualTolerance(model), maxEvaluations = MOST_EVALUATIONS, probe } = options;
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

const sumOf = ({ data, shape }: NdArray<"float32">, more: NdArray<"float32">): NdArray<"float32"> =>
  float32(
    data.map((value, i) => value + (more.data[i] ?? 0)),
    shape,
  );
