import { z } from "zod";
import { OptionError } from "../errors.ts";
import type { DataColumn, DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { concat, constant, elementCount, float32, type Tensor } from "../tensor/index.ts";
import { BASES, UniformBase } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { energyOf, objectiveOptions } from "./densities/objective.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
import { ReluNetwork } from "./nice.ts";
import type { Bijection } from "./transforms/bijections.ts";
import { type Conditioner, Coupling } from "./transforms/coupling.ts";
import { elementOrders, MaskedAutoregressive } from "./transforms/masked-autoregressive.ts";
import { InvertibleLinear, Permutation } from "./transforms/mixing.ts";
import { ActNorm } from "./transforms/normalization.ts";
import { CircularSpline, onCircle, RationalQuadraticSpline } from "./transforms/rational-quadratic.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transforms/transform.ts";

/** Options of the neural spline flow. What is left open depends on the data; the doc of each says how. */
export const splineFlowOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  kind: z
    .enum(["coupling", "autoregressive"])
    .optional()
    .describe(
      "how splines depend on the rest of a sample: half on half, as fast to draw as to score, or each number on all " +
        "before it (tables: autoregressive; points and angles: coupling)",
    ),
  transforms: z.int().min(1).optional().describe("spline transforms (points: 6, otherwise 5)"),
  bins: z.int().min(2).optional().describe("bins of each spline (points: 16, otherwise 8)"),
  bound: z
    .number()
    .positive()
    .optional()
    .describe(
      "splines act on [-bound, bound], in deviations of the data; beyond is the identity (default: 4)",
    ),
  hiddenLayers: z.int().min(1).default(2).describe("hidden layers of each network"),
  width: z.int().min(1).default(64).describe("units of a hidden layer"),
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
export class AngleNetwork implements Conditioner {
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
export class AngleUnits implements Transform {
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
  data: DataInfo,
  dimensions: number,
): readonly DataColumn[] {
  const columns = data.columns?.filter(({ name }) => !given.includes(name));
  const wide = columns?.find(({ size }) => size !== 1);
  if (wide !== undefined) throw new OptionError(`option circular: column ${wide.name} holds no angles`);
  return columns ?? Array.from({ length: dimensions }, (_, i) => ({ name: `${i}`, size: 1 }));
}

/** The sizes of a model, with what depends on the data filled in. */
interface Sizes {
  readonly dimensions: number;
  readonly contextSize: number;
  readonly hidden: readonly number[];
}

/** A coupling that changes the second half, or the first, by the other. */
function splineCoupling(index: number, spline: Bijection, sizes: Sizes, angles: boolean): Coupling {
  const { dimensions, contextSize, hidden } = sizes;
  const halves = [Math.ceil(dimensions / 2), Math.floor(dimensions / 2)] as const;
  const [from, to] = index % 2 === 0 ? halves : [halves[1], halves[0]];
  const inputs = angles ? 2 * from : from;
  const network = new ReluNetwork([inputs, ...hidden, to * spline.parameterCount], contextSize);
  const changes = index % 2 === 0 ? "second" : "first";
  return new Coupling(halves, changes, spline, angles ? new AngleNetwork(network) : network);
}

function mixingOf(options: SplineFlowOptions, dimensions: number, index: number): readonly Transform[] {
  const mixing = options.mixing ?? (options.circular ? "permutation" : "linear");
  if (dimensions < 2 || mixing === "none") return [];
  if (mixing === "linear") return [new InvertibleLinear(dimensions)];
  // Couplings change the halves in turn, so that two components need no reordering.
  return dimensions === 2 ? [] : [Permutation.random(dimensions, index)];
}

/** Splines over angles: couplings, since their networks can be made periodic; a single angle has nothing to depend on. */
function circularTransforms(
  options: SplineFlowOptions,
  sizes: Sizes,
  bins: number,
  count: number,
): Transform[] {
  const { dimensions, contextSize, hidden } = sizes;
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
  const spline = new CircularSpline({ bins });
  if (dimensions === 1) return [new MaskedAutoregressive(1, spline, { hidden, contextSize })];
  return Array.from({ length: count }, (_, i) => [
    splineCoupling(i, spline, sizes, true),
    ...(i === count - 1 ? [] : mixingOf(options, dimensions, i)),
  ]).flat();
}

/**
 * Neural spline flow (Durkan, Bekasov, Murray and Papamakarios 2019): monotonic rational-quadratic splines whose knots a
 * network reads off the other components, in couplings or autoregressively, each after an invertible linear map (their
 * section 4). Data is brought to mean 0 and deviation 1 first.
 * @throws OptionError where options contradict each other
 */
export function splineFlow(options: SplineFlowOptions, data: DataInfo): FlowModel {
  const isPoints = data.kind === "points";
  const { circular, hiddenLayers, width, kind = isPoints ? "coupling" : "autoregressive" } = options;
  const { transforms: count = isPoints ? 6 : 5, bins = isPoints ? 16 : 8, bound = 4 } = options;
  const conditioning = new Conditioning(options, data);
  const dimensions = elementCount(conditioning.targetShape);
  const hidden = new Array<number>(hiddenLayers).fill(width);
  const sizes = { dimensions, contextSize: conditioning.size, hidden };
  if (circular) {
    return new FlowModel(data, {
      base: new UniformBase(-Math.PI, Math.PI),
      conditioning,
      transforms: [
        new AngleUnits(modeledColumns(options, data, dimensions)),
        ...circularTransforms(options, sizes, bins, count),
      ],
    });
  }
  const spline = new RationalQuadraticSpline({ bins, bound });
  const autoregressive = kind === "autoregressive" || dimensions === 1;
  const oneOrder = autoregressive && options.mixing === "none";
  const orders = elementOrders(oneOrder ? "same" : "alternating", count, dimensions);
  const transforms = orders.flatMap((order, i): Transform[] => [
    ...mixingOf(options, dimensions, i),
    autoregressive
      ? new MaskedAutoregressive(dimensions, spline, { hidden, order, contextSize: conditioning.size })
      : splineCoupling(i, spline, sizes, false),
  ]);
  const base = options.base ?? "gaussian";
  const [own] = orders;
  return new FlowModel(data, {
    base: BASES[base](dimensions),
    conditioning,
    transforms: [new ActNorm(dimensions), ...transforms, ...mixingOf(options, dimensions, count)],
    ...energyOf(options, data),
    // The components of a mixture's code depend on each other.
    ...(own && oneOrder && base !== "mixture" && { triangularOrder: own }),
  });
}

function preferences({ kind }: DataInfo): FitPreferences {
  return kind === "points"
    ? {
        warmupSteps: 100,
        optimizer: "adam",
        learningRate: 2e-3,
        batchSize: 512,
        averageDecay: 0.998,
        clipNorm: 5,
      }
    : {
        warmupSteps: 50,
        optimizer: "adamw",
        weightDecay: 0.1,
        learningRate: 2e-3,
        batchSize: 256,
        averageDecay: 0.998,
        clipNorm: 5,
      };
}

/** The neural spline flow as the catalogue knows it. */
export const splineFlowDefinition = defineModel({
  name: "spline-flow",
  summary: "neural spline flow: rational-quadratic splines in couplings or autoregressively; angles too",
  paper: "Durkan, Bekasov, Murray and Papamakarios 2019, Neural Spline Flows, arXiv:1906.04032",
  dataKinds: ["points", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: splineFlowOptions,
  sampleOptions: flowSampleOptions,
  build: splineFlow,
  preferences,
});
