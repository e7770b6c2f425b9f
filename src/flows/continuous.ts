import { z } from "zod";
import { amount, layerCount, positiveAmount, stepCount, unitCount, unrolledSteps } from "../bounds.ts";
import type { DensityScoreOptions, ExportedScore, Losses } from "../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import {
  dormandPrince,
  dormandPrinceGraph,
  evenTimes,
  FIXED_STEP_METHODS,
  type FixedStepMethod,
  integrate,
  SOLVED_INSIDE,
  type Velocity,
} from "../ode/index.ts";
import { parseOptions } from "../options.ts";
import type { Feeds, Session } from "../program/program.ts";
import { Random } from "../random.ts";
import { outputAt } from "../tensor/graph.ts";
import {
  concat,
  constant,
  float32,
  input,
  int64,
  type NdArray,
  slice,
  type Tensor,
  where,
} from "../tensor/index.ts";
import { defineFlow } from "./define.ts";
import { objectiveOptions } from "./densities/objective.ts";
import {
  FlowModel,
  type FlowParts,
  type FlowSampleOptions,
  flowOptions,
  flowSampleOptions,
} from "./model.ts";
import { ContinuousTransform, PROBES, TRACES } from "./transforms/continuous.ts";
import {
  ConcatSquashField,
  SMOOTH_ACTIVATIONS,
  type SmoothActivationName,
} from "./transforms/continuous-field.ts";

const FIXED = Object.keys(FIXED_STEP_METHODS) as [FixedStepMethod, ...FixedStepMethod[]];
const ACTIVATIONS = Object.keys(SMOOTH_ACTIVATIONS) as [SmoothActivationName, ...SmoothActivationName[]];

/** Options of a continuous flow. What is left open depends on the data; its description gives the default. */
export const continuousFlowOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  width: unitCount().default(64).describe("units of a hidden layer of the velocity network"),
  hiddenLayers: layerCount()
    .default(2)
    .describe("hidden layers; with one or two the exact trace costs little in any dimension"),
  activation: z.enum(ACTIVATIONS).default("tanh").describe("smooth activation of the velocity network"),
  timeFeatures: unitCount()
    .default(2)
    .describe("cosines of the time that gate and shift every layer of the network"),
  solver: z.enum(FIXED).default("rk4").describe("fixed-step method of training"),
  solverSteps: unrolledSteps().default(6).describe("steps of the solver from data to noise in training"),
  evaluationSteps: unrolledSteps()
    .default(24)
    .describe("steps of the solver in graphs outside of training: validation, codes, exported models"),
  trace: z
    .enum(TRACES)
    .default("auto")
    .describe(
      "divergence of the velocity; auto is exact with at most two hidden layers or 16 dimensions, otherwise Hutchinson's",
    ),
  probe: z.enum(PROBES).default("rademacher").describe("distribution of the probe of Hutchinson's estimate"),
  kineticPenalty: amount()
    .default(0)
    .describe("weight of the mean squared velocity in the loss, for straight paths (RNODE: 0.01)"),
  jacobianPenalty: amount()
    .default(0.01)
    .describe("weight of the mean squared norm of the velocity's Jacobian in the loss (RNODE: 0.01)"),
});

export type ContinuousFlowOptions = z.output<typeof continuousFlowOptions>;

const solverOptions = z.strictObject({
  solver: z
    .enum([...FIXED, "dormand-prince"])
    .default("dormand-prince")
    .describe("how the flow is integrated; dormand-prince chooses its steps itself"),
  steps: stepCount().default(20).describe("steps from noise to data, for solvers with fixed steps"),
  tolerance: positiveAmount()
    .default(1e-4)
    .describe("dormand-prince: relative and absolute tolerance of a step"),
  maxEvaluations: stepCount(8)
    .default(2000)
    .describe("dormand-prince: velocity evaluations before it gives up"),
});

export type SolverOptions = z.output<typeof solverOptions>;

/** Options for drawing samples, beside count, seed and label. */
const continuousFlowSampleOptions = flowSampleOptions.extend(solverOptions.shape);

export type ContinuousFlowSampleOptions = FlowSampleOptions & Partial<SolverOptions>;

export type ContinuousFlowScoreOptions = DensityScoreOptions & Partial<SolverOptions>;

/** Fills in defaults. @throws OptionError that names the option at fault */
function solverSettings(options: Partial<SolverOptions>): SolverOptions {
  const chosen = Object.keys(solverOptions.shape).flatMap((name) => {
    const value = options[name as keyof SolverOptions];
    return value === undefined ? [] : [[name, value] as const];
  });
  return parseOptions("continuous-flow", solverOptions, Object.fromEntries(chosen));
}

/** States on the path from noise to data that a picture of the path shows after the noise itself. */
const PATH_STATES = 8;

type Arrays = Feeds<"x" | "label?", NdArray>;

/**
 * A continuous normalizing flow. Training and graphs integrate with fixed steps inside one graph; samples and scores
 * may also be computed by an adaptive solver, which steps outside of it.
 */
export class ContinuousFlow extends FlowModel {
  private readonly info: DataInfo;
  private readonly continuous: ContinuousTransform;
  private readonly penalties: { readonly kinetic: number; readonly jacobian: number };
  private readonly parts: FlowParts;

  /** @throws TypeError unless the one transform is continuous */
  constructor(
    data: DataInfo,
    parts: FlowParts,
    penalties: { readonly kinetic: number; readonly jacobian: number },
  ) {
    super(data, parts);
    const [transform, ...others] = parts.transforms;
    if (!(transform instanceof ContinuousTransform) || others.length > 0) {
      throw new TypeError("a continuous flow has one transform, a continuous one");
    }
    this.info = data;
    this.continuous = transform;
    this.penalties = penalties;
    this.parts = parts;
  }

  /**
   * The mean negative log-likelihood in nats; with penalties, the mean kinetic energy ∫ ‖f‖² dt and the mean squared
   * norm of the Jacobian ∫ ‖∂f/∂x‖² dt, by their weights, are added (Finlay et al. 2020, equation 10).
   */
  override loss(batch: SymbolicBatch): Losses {
    const { kinetic, jacobian } = this.penalties;
    if (this.parts.energy !== undefined || (kinetic === 0 && jacobian === 0)) return super.loss(batch);
    const { target, context } = this.conditioning.divide(batch.x, batch.label);
    const course = this.continuous.course(target, context);
    const nats = this.base.logProb(course.y).add(course.logDet).mean().neg();
    // A part of weight 0 is left out altogether: it would cost a good share of a step.
    const parts = {
      ...(kinetic > 0 && { kinetic: course.kinetic.mean() }),
      ...(jacobian > 0 && { jacobian: course.jacobian.mean() }),
    };
    const penalties = [parts.kinetic?.mul(kinetic), parts.jacobian?.mul(jacobian)];
    const total = penalties.reduce((sum: Tensor, penalty) => (penalty ? sum.add(penalty) : sum), nats);
    return { total, nats, ...parts };
  }

  /** The course of codes to data: the codes, then the states at evenly spaced times, the last in data units. */
  override path(codes: Tensor, context?: Tensor): readonly Tensor[] {
    return this.continuous.path(codes, context, PATH_STATES);
  }

  /** @throws OptionError, SolverError */
  override async sample(session: Session, options: ContinuousFlowSampleOptions): Promise<NdArray<"float32">> {
    const settings = solverSettings(options);
    const start = session.compiled(this, "codes", ["noise", "temperature"], ({ noise, temperature }) => ({
      state: this.base.fromNoise(noise, temperature),
    }));
    const velocity = session.compiled(
      this,
      "velocity",
      ["state", "time", "context?"],
      ({ state, time, context }) => ({ velocity: this.continuous.velocity(state, time, context) }),
    );
    const end = session.compiled(this, "join", ["state", "context?"], ({ state, context }) => ({
      x: this.conditioning.join(state, context),
    }));
    return this.drawInParts(options, async ({ context, ...inputs }, onProgress) => {
      const known = context === undefined ? {} : { context };
      const { state } = await start.run(inputs);
      const field: Velocity<"float32"> = async (at, time) =>
        (await velocity.run({ state: at, time: timeArray(time), ...known })).velocity as NdArray<"float32">;
      const solved = await solve(field, state as NdArray<"float32">, 1, 0, settings, onProgress);
      if (this.conditioning.givenSize === 0) return solved;
      return (await end.run({ state: solved, ...known })).x as NdArray<"float32">;
    });
  }

  /**
   * Log-densities of samples [n, …sample] in nats, with the steps of the solver chosen to a tolerance unless a
   * fixed-step solver is given. A model that is conditional on classes weighs them by their shares where no labels are
   * given. Hutchinson's probes, where the trace is estimated, are decided by the seed.
   * @throws OptionError, SolverError
   */
  async score(
    session: Session,
    x: NdArray<"float32">,
    options: ContinuousFlowScoreOptions = {},
  ): Promise<NdArray<"float32">> {
    const { classes } = this.conditioning;
    const { label, seed = 0 } = options;
    const settings = solverSettings(options);
    const rows = x.shape[0] ?? 0;
    const probe = this.probes(rows, seed);
    const scoreOf = (known: NdArray<"int64"> | undefined): Promise<NdArray<"float32">> =>
      this.scoreUnder(session, { x, ...(known !== undefined && { label: known }) }, probe, settings);
    if (classes === 0) return scoreOf(undefined);
    if (label !== undefined) return scoreOf(label);
    const shares = this.info.classShares ?? new Array<number>(classes).fill(1 / classes);
    const total = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
    for (const [k, share] of shares.entries()) {
      if (share === 0) continue;
      const { data } = await scoreOf(int64(new Array<number>(rows).fill(k), [rows]));
      for (const [i, value] of data.entries()) {
        total[i] = logAddExp(total[i] ?? Number.NEGATIVE_INFINITY, value + Math.log(share));
      }
    }
    return float32(total, [rows]);
  }

  /** The state and the integral of the trace travel as one array [n, D + 1], so that a step is chosen by the errors of both. */
  private async scoreUnder(
    session: Session,
    inputs: Arrays,
    probe: NdArray<"float32"> | undefined,
    settings: SolverOptions,
  ): Promise<NdArray<"float32">> {
    const { dimensions, conditioning } = this;
    const start = session.compiled(this, "score start", ["x", "label?"], ({ x, label }) => {
      const { target, context } = conditioning.divide(x, label);
      const none = constant(0).broadcastTo([outputAt(target.shape, 0), 1]);
      return { state: concat([target, none], 1), ...(context !== undefined && { context }) };
    });
    const velocity = session.compiled(
      this,
      "traced velocity",
      ["state", "time", "context?", "probe?"],
      ({ state, time, context, probe }) => {
        const x = slice(state, 1, 0, dimensions);
        const [towards, trace] = this.continuous.velocityAndTrace(x, time, context, probe);
        return { velocity: concat([towards, trace.unsqueeze(1)], 1) };
      },
    );
    const end = session.compiled(this, "score end", ["state"], ({ state }) => {
      const logDet = slice(state, 1, dimensions, dimensions + 1).squeeze(1);
      return { logProb: this.base.logProb(slice(state, 1, 0, dimensions)).add(logDet) };
    });
    const { state, context } = await start.run(inputs);
    const fixed = { ...(context !== undefined && { context }), ...(probe !== undefined && { probe }) };
    const field: Velocity<"float32"> = async (at, time) =>
      (await velocity.run({ state: at, time: timeArray(time), ...fixed })).velocity as NdArray<"float32">;
    const solved = await solve(field, state as NdArray<"float32">, 0, 1, settings);
    return (await end.run({ state: solved })).logProb as NdArray<"float32">;
  }

  /** Hutchinson's probes, one for each row from a generator of its own; undefined where the trace is exact. */
  private probes(rows: number, seed: number): NdArray<"float32"> | undefined {
    if (this.continuous.isExact) return undefined;
    const { dimensions } = this;
    const data = new Float32Array(rows * dimensions);
    const random = new Random(seed).split("score");
    for (let row = 0; row < rows; row++) {
      const own = random.split(row).split("probe");
      const probe = data.subarray(row * dimensions, (row + 1) * dimensions);
      if (this.continuous.options.probe === "gaussian") own.fillNormal(probe);
      else for (const i of probe.keys()) probe[i] = own.uniform() < 0.5 ? 1 : -1;
    }
    return float32(data, [rows, dimensions]);
  }

  /** `score` with its usual options as one graph, with the same choice of steps. */
  exportedScore(): ExportedScore {
    const { dimensions, conditioning, continuous } = this;
    const { tolerance, maxEvaluations } = solverSettings({});
    const x = input("x", ["batch", ...this.info.sampleShape]);
    const rows = outputAt(x.shape, 0);
    const isNormal = continuous.options.probe === "gaussian";
    const drawn = continuous.isExact
      ? undefined
      : input("probe", ["batch", dimensions], isNormal ? "float32" : "float64");
    const probe = drawn === undefined || isNormal ? drawn : where(drawn.less(0.5), constant(1), constant(-1));
    const logDensity = conditioning.overClasses(x, undefined, (label) => {
      const { target, context } = conditioning.divide(x, label);
      const traced = (state: Tensor, time: Tensor): Tensor => {
        const at = time.cast("float32").reshape([1]);
        const here = slice(state, 1, 0, dimensions);
        const [velocity, trace] = continuous.velocityAndTrace(here, at, context, probe);
        return concat([velocity, trace.unsqueeze(1)], 1);
      };
      const none = constant(0).broadcastTo([rows, 1]);
      const options = { rtol: tolerance, atol: tolerance, maxEvaluations };
      const end = dormandPrinceGraph(traced, concat([target, none], 1), 0, 1, options);
      const logDet = slice(end, 1, dimensions, dimensions + 1).squeeze(1);
      return this.base.logProb(slice(end, 1, 0, dimensions)).add(logDet);
    });
    const distribution = isNormal ? "normal" : "uniform";
    return {
      logDensity,
      draws: drawn === undefined ? [] : [{ name: "probe", distribution, shape: [dimensions] }],
      note: SOLVED_INSIDE,
    };
  }

  /** The log-density and the code as a graph; the trace is exact there, whatever training uses. */
  override exported(): ReturnType<FlowModel["exported"]> {
    if (this.continuous.isExact) return super.exported();
    const exact = new ContinuousTransform(this.continuous.field, {
      ...this.continuous.options,
      trace: "exact",
    });
    return new FlowModel(this.info, { ...this.parts, transforms: [exact] }).exported();
  }
}

const timeArray = (time: number): NdArray<"float32"> => float32([time], [1]);

function logAddExp(a: number, b: number): number {
  const [low, high] = a < b ? [a, b] : [b, a];
  return high === Number.NEGATIVE_INFINITY ? high : high + Math.log1p(Math.exp(low - high));
}

async function solve(
  velocity: Velocity<"float32">,
  initial: NdArray<"float32">,
  from: number,
  to: number,
  { solver, steps, tolerance, maxEvaluations }: SolverOptions,
  onProgress?: (share: number) => void,
): Promise<NdArray<"float32">> {
  if (solver !== "dormand-prince") {
    return integrate(FIXED_STEP_METHODS[solver], velocity, initial, evenTimes(steps, from, to), (done) =>
      onProgress?.(done / steps),
    );
  }
  const { state } = await dormandPrince(velocity, initial, from, to, {
    rtol: tolerance,
    atol: tolerance,
    maxEvaluations,
    everyRow: true,
    onStep: (time) => onProgress?.(Math.abs(time - from)),
  });
  return state;
}

/** Continuous flows as the catalogue knows them. */
export const continuousFlowDefinition = defineFlow(
  {
    name: "continuous-flow",
    summary:
      "a velocity field from data to noise with exact likelihoods, integrated like a differential equation",
    paper:
      "Chen et al. 2018, Neural Ordinary Differential Equations, arXiv:1806.07366; Grathwohl et al. 2019, FFJORD, arXiv:1810.01367",
    dataKinds: ["points", "table"],
    options: continuousFlowOptions,
    sampleOptions: continuousFlowSampleOptions,
    transforms(options, { dimensions, contextSize }) {
      const { width, hiddenLayers, activation, timeFeatures } = options;
      const hidden = new Array<number>(hiddenLayers).fill(width);
      const field = new ConcatSquashField({ dimensions, hidden, contextSize, activation, timeFeatures });
      const { solver, solverSteps: steps, evaluationSteps, trace, probe } = options;
      return [new ContinuousTransform(field, { solver, steps, evaluationSteps, trace, probe })];
    },
    preferences: () => ({ learningRate: 3e-3, batchSize: 256 }),
  },
  (data, parts, { kineticPenalty: kinetic, jacobianPenalty: jacobian }) =>
    new ContinuousFlow(data, parts, { kinetic, jacobian }),
);

/** A continuous flow over points or rows of a table. @throws OptionError where options do not fit the data */
export const continuousFlow = builderOf(continuousFlowDefinition);
