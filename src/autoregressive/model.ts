import { z } from "zod";
import { seedNumber } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type {
  Density,
  Exportable,
  Inpainter,
  InpaintOptions,
  Losses,
  SampleOptions,
  Sampler,
  Trainable,
} from "../model/capabilities.ts";
import {
  classShares,
  type DataInfo,
  type DataKind,
  drawClass,
  type SymbolicBatch,
} from "../model/data-info.ts";
import { type Defined, defineModel, type FitPreferences } from "../model/definition.ts";
import { sampleInParts } from "../model/sampling.ts";
import type { Activation } from "../nn/linear.ts";
import type { Session } from "../program/program.ts";
import { elementCount, float32, input, type NdArray, type Shape, type Tensor } from "../tensor/index.ts";
import {
  type Conditionals,
  classMixtureLogProb,
  commonOrder,
  ELEMENT_ORDERS,
  type Ensemble,
  isOfClass,
  mixtureElementLogProb,
  mixtureLogProb,
  ordersOf,
} from "./conditionals.ts";
import { drawRows, PART_ELEMENTS, PART_ROWS } from "./draw-rows.ts";
import { inpaintAutoregressive } from "./inpaint.ts";

/** Functions between the layers of this room's perceptrons, by name. */
export const ACTIVATIONS = {
  relu: (x) => x.relu(),
  sigmoid: (x) => x.sigmoid(),
  tanh: (x) => x.tanh(),
  silu: (x) => x.silu(),
} as const satisfies Record<string, Activation>;

export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as [keyof typeof ACTIVATIONS];

/** Options of every model of vectors here: the order of the elements. */
export const orderOptions = z.strictObject({
  order: z
    .enum(ELEMENT_ORDERS)
    .default("natural")
    .describe("order of the elements: their own (images: row by row), or a random one"),
  orderSeed: seedNumber().default(0).describe("seed of random orders and masks"),
});

const share = z.number().min(0).lt(1);

/** What keeps perceptrons from learning their training samples by heart. */
export const dropoutOptions = z.strictObject({
  dropout: share.default(0).describe("dropout rate of hidden units"),
  inputDropout: share.default(0).describe("dropout rate of inputs"),
});

/** The option of models that can be conditioned on classes. */
export const conditionalOption = z.strictObject({
  conditional: z
    .boolean()
    .default(false)
    .describe("learn the distribution of each class of labeled data, p(x | class), not that of all"),
});

/** Number of classes that a model depends on; 0 for none. @throws OptionError where the data has no classes */
export function classesOf(conditional: boolean, { classes }: DataInfo): number {
  if (!conditional) return 0;
  if (classes === undefined) throw new OptionError("option conditional: the data has no classes");
  return classes;
}

/**
 * An autoregressive model, p(x) = ∏ p(x_i | x_<i) over the elements of a sample in some order, or a mixture of such
 * models. Log-probabilities are exact and so are samples, drawn element by element.
 */
export class AutoregressiveModel implements Trainable, Density, Sampler, Inpainter, Exportable {
  readonly likelihood = "exact";
  readonly conditionals: Conditionals | Ensemble;
  /** D. */
  readonly dimensions: number;
  private readonly data: DataInfo;

  /** @param conditionals of the D elements of a flattened sample */
  constructor(conditionals: Conditionals | Ensemble, data: DataInfo) {
    this.conditionals = conditionals;
    this.dimensions = elementCount(data.sampleShape);
    this.data = data;
    for (const order of this.orders) {
      if (order.length === this.dimensions) continue;
      throw new OptionError(
        `order: has ${order.length} positions for samples of ${this.dimensions} elements`,
      );
    }
  }

  /** The element at each position of every member's order. */
  get orders(): readonly (readonly number[])[] {
    return ordersOf(this.conditionals);
  }

  private rows(x: Tensor): Tensor {
    return x.reshape([x.shape[0] ?? 1, this.dimensions]);
  }

  /**
   * Mean of −log p(x) in nats, for images of bytes in bits per dimension; of an ensemble in training that of a random
   * member or order. @throws OptionError where the conditionals are those of a class and there are no labels
   */
  loss({ x, label }: SymbolicBatch): Losses {
    const { conditionals } = this;
    const rows = this.rows(x);
    if (isOfClass(conditionals) && label === undefined) {
      throw new OptionError("this model is conditional: its batches need the class of each sample");
    }
    const logProb =
      conditionals.kind === "ensemble"
        ? conditionals.lossLogProb(rows)
        : conditionals.elementLogProb(rows, label).sum(1);
    const nats = logProb.mean().neg();
    return { total: this.data.kind === "image" ? nats.mul(1 / (this.dimensions * Math.LN2)) : nats };
  }

  /**
   * Exact log-probability in nats, [n, …sample] → [n]; of an ensemble, that of the mixture of its members, and of
   * conditionals of a class that is not given, that of the mixture of the classes by their shares.
   */
  logProb(x: Tensor, label?: Tensor): Tensor {
    const { conditionals } = this;
    const rows = this.rows(x);
    if (conditionals.kind === "ensemble") return mixtureLogProb(conditionals, rows);
    return isOfClass(conditionals) && label === undefined
      ? classMixtureLogProb(conditionals, classShares(this.data), rows)
      : conditionals.elementLogProb(rows, label).sum(1);
  }

  /** Draws samples element by element; of an ensemble, each of a member of its own. */
  sample(session: Session, options: SampleOptions): Promise<NdArray<"float32">> {
    const { dimensions } = this;
    const members = this.orders.length;
    const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / dimensions)));
    const ofClass = isOfClass(this.conditionals);
    return sampleInParts(options, this.data.sampleShape, limit, async (randoms, _first, onProgress) => {
      const wanted = randoms.map((random) => ({
        random,
        ...(members > 1 && { member: random.split("member").integer(members) }),
        ...(ofClass && { label: options.label ?? drawClass(this.data, random.split("label").uniform()) }),
      }));
      const { x } = await drawRows(this.conditionals, dimensions, session, wanted, onProgress);
      return float32(x, [randoms.length, ...this.data.sampleShape]);
    });
  }

  /** Completions of partly known samples; see `inpaintAutoregressive`. */
  inpaint(session: Session, options: InpaintOptions): Promise<NdArray<"float32">> {
    return inpaintAutoregressive(this.conditionals, this.data, session, options);
  }

  /** log p(x_i | x_<i) of each element, [n, D] → [n, D], where all members have one order; otherwise undefined. */
  private elementLogProb(rows: Tensor, label: Tensor | undefined): Tensor | undefined {
    const { conditionals } = this;
    if (conditionals.kind === "one-order") return conditionals.elementLogProb(rows, label);
    const order = commonOrder(conditionals.orders);
    return order && mixtureElementLogProb(conditionals, rows, order);
  }

  /** The log-probability as a graph and, for zeros and ones in one order, p(x_i = 1 | x_<i) of each element. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const shape: Shape = ["batch", ...this.data.sampleShape];
    const x = input("x", shape);
    const { conditionals } = this;
    const units = this.data.kind === "binary" ? "zeros and ones in float32" : "data units in float32";
    const label = isOfClass(conditionals) ? input("label", ["batch"], "int64") : undefined;
    const classes = label && ` label: class 0 to ${classShares(this.data).length - 1}.`;
    const description = `x: ${units}, [batch, ${this.data.sampleShape}].${classes ?? ""} logProb: log-probability in nats.`;
    const rows = this.rows(x);
    const logs = this.data.kind === "binary" ? this.elementLogProb(rows, label) : undefined;
    if (logs === undefined) return { outputs: { logProb: this.logProb(x, label) }, description };
    // p(1) where the element is one, 1 − p(0) where it is zero.
    const ones = rows.mul(2).sub(1).mul(logs.exp()).sub(rows).add(1);
    return {
      outputs: { logProb: logs.sum(1), probability: ones.reshape(shape) },
      description: `${description} probability: that each element is one, given those before it.`,
    };
  }
}

/** What distinguishes an autoregressive model. Everything else is the same for all. */
export interface AutoregressiveSystem<N extends string, S extends z.ZodType> {
  /** Name on the command line. */
  readonly name: N;
  /** One line on what it is. */
  readonly summary: string;
  readonly paper: string;
  /** Kinds of data (default: zeros and ones). */
  readonly dataKinds?: readonly DataKind[];
  /** Architecture options; each has a description and a default. */
  readonly options: S;
  /** The conditional distributions of the elements of a flattened sample. @throws OptionError where options do not fit the data */
  conditionals(options: z.output<S>, data: DataInfo): Conditionals | Ensemble;
  /** Training options that differ from those of most autoregressive models. */
  readonly preferences: FitPreferences | ((data: DataInfo) => FitPreferences);
}

/** What every autoregressive model can do. */
const ABILITIES = ["sample", "score", "inpaint", "export"] as const;

/** What most autoregressive models prefer: on small data they would learn their training samples by heart. */
const PREFERENCES = {
  optimizer: "adamw",
  weightDecay: 0.1,
  batchSize: 128,
  averageDecay: 0.998,
} as const satisfies FitPreferences;

/** The definition of an autoregressive model for the catalogue, by its conditional distributions. */
export function defineAutoregressive<const N extends string, S extends z.ZodType>({
  dataKinds = ["binary"],
  conditionals,
  preferences,
  ...system
}: AutoregressiveSystem<N, S>): Defined<N, S, typeof ABILITIES, AutoregressiveModel> {
  return defineModel({
    ...system,
    dataKinds,
    can: ABILITIES,
    build: (options: z.output<S>, data: DataInfo) =>
      new AutoregressiveModel(conditionals(options, data), data),
    preferences: (data: DataInfo) => ({
      ...PREFERENCES,
      ...(typeof preferences === "function" ? preferences(data) : preferences),
    }),
  });
}
