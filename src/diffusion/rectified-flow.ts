import { OptionError } from "../errors.ts";
import {
  type ContinuousKind,
  continuousKind,
  type DataInfo,
  defineModel,
  type Exportable,
  type FitPreferences,
  type Losses,
  type Sampler,
  type SymbolicBatch,
  type Trainable,
} from "../nn/model.ts";
import { drawClass, sampleInParts } from "../nn/sampling.ts";
import { dormandPrince } from "../ode/dormand-prince.ts";
import { evenTimes, FIXED_STEP_METHODS, integrate, type Velocity } from "../ode/solver.ts";
import type { Session } from "../program/session.ts";
import type { Random } from "../random.ts";
import {
  constant,
  elementCount,
  float32,
  input,
  int64,
  type NdArray,
  normal,
  type Shape,
  type Tensor,
  uniform,
  where,
} from "../tensor/index.ts";
import { linearPath } from "./path.ts";
import {
  parseSampleOptions,
  type RectifiedFlowOptions,
  type RectifiedFlowSampleOptions,
  rectifiedFlowOptions,
  rectifiedFlowSampleOptions,
} from "./rectified-flow-options.ts";
import { sampleTimes } from "./time-sampling.ts";
import { type VelocityNetwork, velocityNetwork } from "./velocity-network.ts";

/** Pixels, or rows of vectors, that are integrated at once. */
const PART_PIXELS = 128 * 28 * 28;
const PART_ROWS = 8192;

/** Data units and the units the network works in: data = offset + factor · model. */
interface Units {
  readonly offset: number;
  readonly factor: number;
}

/** Bytes become [−1, 1]; points, which lie in about [−4, 4]², are halved; table columns are standardised already. */
const UNITS: Readonly<Record<ContinuousKind, Units>> = {
  image: { offset: 127.5, factor: 127.5 },
  points: { offset: 0, factor: 2 },
  table: { offset: 0, factor: 1 },
};

/**
 * Rectified flow (Liu, Gong and Liu 2022; the same as flow matching with straight paths, Lipman et al. 2023): a network
 * v(x, t) is fitted to the velocity ε − x₀ of the lines x_t = (1 − t) x₀ + t ε between data and noise, and samples are
 * the solutions at t = 0 of dx/dt = v(x, t) from noise at t = 1.
 */
export class RectifiedFlow implements Trainable, Sampler<RectifiedFlowSampleOptions>, Exportable {
  readonly network: VelocityNetwork;
  private readonly options: RectifiedFlowOptions;
  private readonly data: DataInfo;
  /** Number of classes the network knows; the class of that index stands for a hidden one. 0: unconditional. */
  private readonly classes: number;
  private readonly units: Units;

  /** @throws OptionError where options do not fit the data */
  constructor(options: RectifiedFlowOptions, data: DataInfo) {
    this.options = options;
    this.data = data;
    this.classes = options.conditional ? (data.classes ?? 0) : 0;
    this.units = UNITS[continuousKind(data)];
    this.network = velocityNetwork(options, data, this.classes > 0 ? this.classes + 1 : 0);
  }

  /** Mean squared error of the velocity at random times (Liu et al. 2022, equation 1). */
  loss({ x, label }: SymbolicBatch): Losses {
    const { offset, factor } = this.units;
    const count = Number(x.shape[0]);
    const data = x.sub(offset).mul(1 / factor);
    const noise = normal(x.shape);
    const t = sampleTimes(this.options.timeSampling, count);
    const spread = t.reshape([count, ...data.shape.slice(1).map(() => 1)]);
    const state = linearPath.state(data, noise, spread);
    const velocity = this.network.forward(state, t, this.trainingLabel(label, count));
    return {
      total: velocity
        .sub(linearPath.velocity(data, noise, spread))
        .square()
        .mean(),
    };
  }

  private trainingLabel(label: Tensor | undefined, count: number): Tensor | undefined {
    if (this.classes === 0) return undefined;
    if (label === undefined)
      throw new OptionError("this rectified flow is conditional: its batches need labels");
    const hidden = uniform([count]).less(this.options.classDropout);
    return where(hidden, constant(int64([this.classes], [])), label);
  }

  /** Samples in data units. @throws OptionError, SolverError */
  async sample(session: Session, options: RectifiedFlowSampleOptions): Promise<NdArray<"float32">> {
    const { count, seed, label, onProgress, ...others } = options;
    const settings = parseSampleOptions(others);
    this.checkLabel(label);
    const { sampleShape, kind } = this.data;
    const { guidance = kind === "image" ? 2 : 1 } = settings;
    const pixels = sampleShape.slice(1).reduce((product, size) => product * size, 1);
    const limit = kind === "image" ? Math.max(1, Math.floor(PART_PIXELS / pixels)) : PART_ROWS;
    return sampleInParts(
      { count, seed, ...(onProgress && { onProgress }) },
      sampleShape,
      limit,
      async (randoms, _, report) => {
        const velocity = this.velocity(session, this.labels(randoms, label), guidance);
        const noise = this.noise(randoms);
        const { solver, steps } = settings;
        const state =
          solver === "dormand-prince"
            ? (
                await dormandPrince(velocity, noise, 1, 0, {
                  ...settings,
                  onStep: (time) => report(1 - time),
                })
              ).state
            : await integrate(FIXED_STEP_METHODS[solver], velocity, noise, evenTimes(steps), (done) =>
                report(done / steps),
              );
        const { offset, factor } = this.units;
        return float32(
          state.data.map((value) => offset + factor * value),
          state.shape,
        );
      },
    );
  }

  private checkLabel(label: number | undefined): void {
    if (label === undefined) return;
    if (this.classes === 0) {
      throw new OptionError("label: this model was fitted without classes; leave the label out");
    }
    if (!Number.isInteger(label) || label < 0 || label >= this.classes) {
      throw new OptionError(`label: must be a whole number from 0 to ${this.classes - 1}, not ${label}`);
    }
  }

  private noise(randoms: readonly Random[]): NdArray<"float32"> {
    const size = elementCount(this.data.sampleShape);
    const data = new Float32Array(randoms.length * size);
    randoms.forEach((random, i) => {
      random.split("noise").fillNormal(data.subarray(i * size, (i + 1) * size));
    });
    return float32(data, [randoms.length, ...this.data.sampleShape]);
  }

  /** Classes of the samples: the one asked for, or each drawn evenly; undefined where the model knows none. */
  private labels(randoms: readonly Random[], label: number | undefined): readonly number[] | undefined {
    if (this.classes === 0) return undefined;
    return randoms.map((random) => label ?? drawClass(this.data, random.split("label").uniform()));
  }

  /** The velocity field of some samples on a runtime, with guidance as in Ho and Salimans 2022, equation 6. */
  private velocity(
    session: Session,
    labels: readonly number[] | undefined,
    guidance: number,
  ): Velocity<"float32"> {
    const times = (x: NdArray<"float32">, time: number): NdArray<"float32"> =>
      float32(new Float32Array(x.shape[0] ?? 0).fill(time), [x.shape[0] ?? 0]);
    if (labels === undefined) {
      const plain = session.compiled("velocity", ({ x, t }: Record<"x" | "t", Tensor>) => ({
        velocity: this.network.forward(x, t),
      }));
      return async (x, time) => (await plain.run({ x, t: times(x, time) })).velocity as NdArray<"float32">;
    }
    const classes = (values: readonly number[]): NdArray<"int64"> => int64(values, [values.length]);
    const hidden = classes(labels.map(() => this.classes));
    const shown = guidance === 0 ? hidden : classes(labels);
    const conditional = session.compiled(
      "conditional velocity",
      ({ x, t, label }: Record<"x" | "t" | "label", Tensor>) => ({
        velocity: this.network.forward(x, t, label),
      }),
    );
    const under = async (
      x: NdArray<"float32">,
      time: number,
      label: NdArray<"int64">,
    ): Promise<Float32Array> =>
      (await conditional.run({ x, t: times(x, time), label })).velocity.data as Float32Array;
    return async (x, time) => {
      const towards = await under(x, time, shown);
      if (guidance === 0 || guidance === 1) return float32(towards, x.shape);
      const plain = await under(x, time, hidden);
      return float32(
        towards.map((value, i) => (1 - guidance) * (plain[i] ?? 0) + guidance * value),
        x.shape,
      );
    };
  }

  /** The velocity field as a graph, in the units the network works in. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const shape: Shape = ["batch", ...this.data.sampleShape];
    const conditional = this.classes > 0;
    const label = conditional ? input("label", ["batch"], "int64") : undefined;
    const { offset, factor } = this.units;
    return {
      outputs: { velocity: this.network.forward(input("x", shape), input("t", ["batch"]), label) },
      description:
        `Velocity dx/dt of a rectified flow. x: state [${shape.join(", ")}] in model units, data = ${offset} + ` +
        `${factor} x; t: time in [0, 1], 0 is data and 1 standard normal noise.${
          conditional ? ` label: class 0 to ${this.classes - 1}, or ${this.classes} for any.` : ""
        } To sample, draw x at t = 1 and integrate to t = 0.`,
    };
  }
}

function preferences({ kind }: DataInfo): FitPreferences {
  return kind === "image"
    ? {
        optimiser: "adam",
        learningRate: 2e-3,
        batchSize: 32,
        averageDecay: 0.995,
        warmupSteps: 30,
        clipNorm: 1,
      }
    : { optimiser: "adam", learningRate: 4e-3, batchSize: 512, averageDecay: 0.998, warmupSteps: 100 };
}

/** Rectified flow as the catalogue knows it. */
export const rectifiedFlowDefinition = defineModel({
  name: "rectified-flow",
  summary: "a velocity field along straight lines from noise to data, integrated to draw samples",
  paper:
    "Liu, Gong and Liu 2022, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, arXiv:2209.03003",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "export"],
  options: rectifiedFlowOptions,
  sampleOptions: rectifiedFlowSampleOptions,
  build: (options, data) => new RectifiedFlow(options, data),
  preferences,
});
