import { z } from "zod";
import { layerCount, positiveAmount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type { DataColumn } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import { concat, constant, float32, type Tensor } from "../tensor/index.ts";
import { defineFlow, type FlowSubject } from "./define.ts";
import { UniformBase } from "./densities/bases.ts";
import { objectiveOptions } from "./densities/objective.ts";
import { flowOptions } from "./model.ts";
import type { Bijection } from "./transforms/bijections.ts";
import { alternatingHalves, type Conditioner, Coupling, ReluNetwork } from "./transforms/coupling.ts";
import { elementOrders, MaskedAutoregressive } from "./transforms/masked-autoregressive.ts";
import { InvertibleLinear, Permutation } from "./transforms/mixing.ts";
import { ActNorm } from "./transforms/normalization.ts";
import { CircularSpline, onCircle, RationalQuadraticSpline } from "./transforms/rational-quadratic.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transforms/transform.ts";

/** Options of the neural spline flow. What is left open depends on the data; its description gives the default. */
export const splineFlowOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  kind: z
    .enum(["coupling", "autoregressive"])
    .optional()
    .describe(
      "how splines depend on the rest of a sample: half on half, as fast to draw as to score, or each number on all " +
        "before it (tables: autoregressive; points and angles: coupling)",
    ),
  transforms: layerCount().optional().describe("spline transforms (points: 6, otherwise 5)"),
  bins: unitCount(2).optional().describe("bins of each spline (points: 16, otherwise 8)"),
  bound: positiveAmount()
    .optional()
    .describe(
      "splines act on [-bound, bound], in deviations of the data; beyond is the identity (default: 4)",
    ),
  hiddenLayers: layerCount().default(2).describe("hidden layers of each network"),
  width: unitCount().default(64).describe("units of a hidden layer"),
  mixing: z
    .enum(["linear", "permutation", "none"])
    .optional()
    .describe(
      "what stands between splines: an invertible linear map, a fixed reordering, or nothing (default: linear; none " +
        "with kind autoregressive keeps one order, so that later columns can be drawn exactly given earlier ones)",
    ),
  circular: z
    .boolean()
    .default(false)
    .describe("all numbers of a sample are angles on [-π, π); the code is uniform there"),
});

export type SplineFlowOptions = z.output<typeof splineFlowOptions>;

/** Reads angles by their cosine and sine, so that what a network makes of them has no seam. */
class AngleNetwork implements Conditioner {
  readonly network: Conditioner;

  /** @param network takes twice as many inputs as there are angles */
  constructor(network: Conditioner) {
    this.network = network;
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    return this.network.forward(concat([x.cos(), x.sin()], 1), context);
  }
}

/** From angles as a table's columns hold them, standardized, to angles on [−π, π). */
class AngleUnits implements Transform {
  private readonly means: readonly number[];
  private readonly deviations: readonly number[];

  constructor(columns: readonly Pick<DataColumn, "mean" | "deviation">[]) {
    this.means = columns.map(({ mean = 0 }) => mean);
    this.deviations = columns.map(({ deviation = 1 }) => deviation);
  }

  private row(values: readonly number[]): Tensor {
    return constant(float32(values, [1, values.length]));
  }

  private get logDet(): number {
    return this.deviations.reduce((total, deviation) => total + Math.log(deviation), 0);
  }

  forward(x: Tensor): Forward {
    const angles = x.mul(this.row(this.deviations)).add(this.row(this.means));
    return { y: onCircle(angles), logDet: noVolumeChange(x).add(this.logDet) };
  }

  inverse(y: Tensor): Inverse {
    const x = y.sub(this.row(this.means)).div(this.row(this.deviations));
    return { x, logDet: noVolumeChange(y).sub(this.logDet) };
  }
}

/** The columns that are modeled; coordinates of points stand for columns in the units of the data. */
function modeledColumns(
  { given }: SplineFlowOptions,
  { data, dimensions }: FlowSubject,
): readonly DataColumn[] {
  const columns = data.columns?.filter(({ name }) => !given.includes(name));
  const wide = columns?.find(({ size }) => size !== 1);
  if (wide !== undefined) throw new OptionError(`option circular: column ${wide.name} holds no angles`);
  return columns ?? Array.from({ length: dimensions }, (_, i) => ({ name: `${i}`, size: 1 }));
}

/** A coupling that changes the second half, or the first, by the other. */
function splineCoupling(
  index: number,
  spline: Bijection,
  hidden: readonly number[],
  { dimensions, contextSize }: FlowSubject,
  angles: boolean,
): Coupling {
  const { sizes, changes, kept, changed } = alternatingHalves(index, dimensions);
  const inputs = angles ? 2 * kept : kept;
  const network = new ReluNetwork([inputs, ...hidden, changed * spline.parameterCount], contextSize);
  return new Coupling(sizes, changes, spline, angles ? new AngleNetwork(network) : network);
}

function mixingOf(options: SplineFlowOptions, dimensions: number, index: number): readonly Transform[] {
  const mixing = options.mixing ?? (options.circular ? "permutation" : "linear");
  if (dimensions < 2 || mixing === "none") return [];
  if (mixing === "linear") return [new InvertibleLinear(dimensions)];
  // Couplings change the halves in turn, so that two components need no reordering.
  return dimensions === 2 ? [] : [Permutation.random(dimensions, index)];
}

/** Sizes of a model, with what depends on the data filled in. */
interface Sizes {
  readonly bins: number;
  /** Spline transforms. */
  readonly count: number;
  /** Units of the hidden layers. */
  readonly hidden: readonly number[];
}

/** Whether each number depends on those before it, by options and data. */
function isAutoregressive({ kind }: SplineFlowOptions, { data, dimensions }: FlowSubject): boolean {
  return (
    (kind ?? (data.kind === "points" ? "coupling" : "autoregressive")) === "autoregressive" ||
    dimensions === 1
  );
}

/** Whether the flow is autoregressive in one order. */
function hasOneOrder(options: SplineFlowOptions, subject: FlowSubject): boolean {
  return !options.circular && options.mixing === "none" && isAutoregressive(options, subject);
}

/** Splines over angles: couplings, since their networks can be made periodic; a single angle has nothing to depend on. */
function circularTransforms(
  options: SplineFlowOptions,
  subject: FlowSubject,
  { bins, count, hidden }: Sizes,
): readonly Transform[] {
  const { dimensions, contextSize } = subject;
  if (options.kind === "autoregressive" && dimensions > 1) {
    throw new OptionError("option circular: angles are modeled by couplings; leave kind at coupling");
  }
  if (options.mixing === "linear") {
    throw new OptionError(
      "option mixing: a linear map does not keep to the circle; take permutation or none",
    );
  }
  if (options.base !== undefined && options.base !== "uniform") {
    throw new OptionError("option base: the code of angles is uniform; leave base out");
  }
  if (options.objective === "reverse-kl") {
    throw new OptionError("option objective: energies are functions of the plane, not of angles");
  }
  const units = new AngleUnits(modeledColumns(options, subject));
  const spline = new CircularSpline({ bins });
  if (dimensions === 1) return [units, new MaskedAutoregressive(1, spline, { hidden, contextSize })];
  const layers = Array.from({ length: count }, (_, i) => [
    splineCoupling(i, spline, hidden, subject, true),
    ...(i === count - 1 ? [] : mixingOf(options, dimensions, i)),
  ]);
  return [units, ...layers.flat()];
}

/** The neural spline flow as the catalogue knows it. */
export const splineFlowDefinition = defineFlow({
  name: "spline-flow",
  summary: "neural spline flow: rational-quadratic splines in couplings or autoregressively; angles too",
  paper: "Durkan, Bekasov, Murray and Papamakarios 2019, Neural Spline Flows, arXiv:1906.04032",
  dataKinds: ["points", "table"],
  options: splineFlowOptions,
  base: ({ base = "gaussian", circular }) => (circular ? new UniformBase(-Math.PI, Math.PI) : base),
  transforms(options, subject) {
    const { data, dimensions, contextSize } = subject;
    const isPoints = data.kind === "points";
    const { transforms: count = isPoints ? 6 : 5, bins = isPoints ? 16 : 8, bound = 4 } = options;
    const hidden = new Array<number>(options.hiddenLayers).fill(options.width);
    if (options.circular) return circularTransforms(options, subject, { bins, count, hidden });
    const spline = new RationalQuadraticSpline({ bins, bound });
    const autoregressive = isAutoregressive(options, subject);
    const orders = elementOrders(hasOneOrder(options, subject) ? "same" : "alternating", count, dimensions);
    const transforms = orders.flatMap((order, i): Transform[] => [
      ...mixingOf(options, dimensions, i),
      autoregressive
        ? new MaskedAutoregressive(dimensions, spline, { hidden, order, contextSize })
        : splineCoupling(i, spline, hidden, subject, false),
    ]);
    return [new ActNorm(dimensions), ...transforms, ...mixingOf(options, dimensions, count)];
  },
  order: (options, subject) =>
    hasOneOrder(options, subject) ? elementOrders("same", 1, subject.dimensions)[0] : undefined,
  preferences: ({ kind }) =>
    kind === "points"
      ? { warmupSteps: 100, learningRate: 2e-3, batchSize: 512, clipNorm: 5 }
      : { optimizer: "adamw", weightDecay: 0.1, learningRate: 2e-3, batchSize: 256, clipNorm: 5 },
});

/**
 * Neural spline flow (Durkan, Bekasov, Murray and Papamakarios 2019): monotonic rational-quadratic splines whose knots a
 * network reads off the other components, in couplings or autoregressively, each after an invertible linear map (their
 * section 4). Data is brought to mean 0 and deviation 1 first.
 * @throws OptionError where options contradict each other
 */
export const splineFlow = builderOf(splineFlowDefinition);
