import { z } from "zod";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { drawClass } from "../../model/data-info.ts";
import type { Random } from "../../random.ts";
import {
  concat,
  constant,
  float32,
  int64,
  type NdArray,
  split,
  type Tensor,
  uniform,
  where,
} from "../../tensor/index.ts";
import type { Predicted } from "./objective.ts";

/** Options of conditional models, which every diffusion model has. */
export const classOptions = z.strictObject({
  conditional: z
    .boolean()
    .default(true)
    .describe("learn the distribution of each class, where data has classes"),
  classDropout: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("share of training samples whose class is hidden, so that guidance is possible"),
});

export type ClassOptions = z.output<typeof classOptions>;

/** Under what samples are evaluated. */
export interface Condition {
  /** The class of each sample; undefined where it is hidden, or the model knows none. */
  readonly labels?: readonly number[] | undefined;
  /** w of classifier-free guidance; default: 1, none. */
  readonly guidance?: number;
  /** Whether estimates of images are kept within the range of bytes. */
  readonly clip?: boolean;
}

/** A network: state [n, …], times [n] and maybe classes [n] to what it predicts. */
export type NetworkCall = (x: Tensor, time: Tensor, label?: Tensor) => Predicted;

/** A network under a condition, for programs: what they give it beside state and time, and how it is then called. */
export interface ConditionedCall {
  /** Calls of different forms are different programs. */
  readonly form: "plain" | "conditional" | "guided";
  readonly inputs: Readonly<Record<string, NdArray>>;
  readonly call: (x: Tensor, time: Tensor, inputs: Readonly<Record<string, Tensor>>) => Predicted;
}

/**
 * The classes of a model, one of which may be hidden in training: the index after the last stands for any.
 */
export class ClassCondition {
  /** Number of classes; 0 where the model is not conditional. */
  readonly classes: number;
  private readonly data: DataInfo;
  private readonly dropout: number;

  constructor({ conditional, classDropout }: ClassOptions, data: DataInfo) {
    this.classes = conditional ? (data.classes ?? 0) : 0;
    this.data = data;
    this.dropout = classDropout;
  }

  /** Classes a network must know, with the one for any. */
  get networkClasses(): number {
    return this.classes > 0 ? this.classes + 1 : 0;
  }

  /** Whether the network has learnt what samples of any class are like. */
  get knowsAny(): boolean {
    return this.classes === 0 || this.dropout > 0;
  }

  /** Classes of a training batch, some of them hidden. @throws OptionError where the model is conditional and there are none */
  training(label: Tensor | undefined, count: number): Tensor | undefined {
    if (this.classes === 0) return undefined;
    if (label === undefined)
      throw new OptionError("this diffusion model is conditional: its batches need labels");
    const hidden = uniform([count]).less(this.dropout);
    return where(hidden, constant(int64([this.classes], [])), label);
  }

  /** @throws OptionError where a class is asked for that the model does not know */
  check(label: number | undefined): void {
    if (label === undefined) return;
    if (this.classes === 0) {
      throw new OptionError("label: this model was fitted without classes; leave the label out");
    }
    if (!Number.isInteger(label) || label < 0 || label >= this.classes) {
      throw new OptionError(`label: must be a whole number from 0 to ${this.classes - 1}, not ${label}`);
    }
  }

  /** Classes of samples: the one asked for, or each drawn by its share; undefined where the model knows none. */
  draw(randoms: readonly Random[], label: number | undefined): readonly number[] | undefined {
    if (this.classes === 0) return undefined;
    return randoms.map((random) => label ?? drawClass(this.data, random.split("label").uniform()));
  }

  /**
   * The same inside a graph that is given the class of each sample, [batch] int64: the network for a solver alone.
   * @param label undefined where the model knows no classes
   */
  applyInGraph(
    network: NetworkCall,
    label: Tensor | undefined,
    guidance: number,
  ): (x: Tensor, time: Tensor) => Predicted {
    if (label === undefined) return (x, time) => network(x, time);
    const hidden = label.mul(0).add(this.classes);
    if (guidance === 0 || guidance === 1) {
      const own = guidance === 0 ? hidden : label;
      return (x, time) => network(x, time, own);
    }
    const given = { label: concat([label, hidden], 0), guidance: constant(guidance) };
    return (x, time) => guided(network, x, time, given);
  }

  /**
   * A network under a condition, with guidance as in Ho and Salimans 2022, "Classifier-free diffusion guidance", equation 6,
   * (1 − w) any + w class, evaluated as one batch of twice the size. What a network predicts is linear in the denoiser, so
   * guidance is the same for every prediction.
   * @param count rows of a batch
   */
  apply(network: NetworkCall, { labels, guidance = 1 }: Condition, count: number): ConditionedCall {
    if (this.classes === 0) return { form: "plain", inputs: {}, call: (x, time) => network(x, time) };
    const hidden = new Array<number>(count).fill(this.classes);
    if (labels === undefined || guidance === 0 || guidance === 1) {
      const own = labels === undefined || guidance === 0 ? hidden : labels;
      return {
        form: "conditional",
        inputs: { label: int64(own, [count]) },
        call: (x, time, { label }) => network(x, time, label),
      };
    }
    return {
      form: "guided",
      inputs: { label: int64([...labels, ...hidden], [2 * count]), guidance: float32([guidance], []) },
      call: (x, time, given) => guided(network, x, time, given),
    };
  }
}

/** One evaluation of a doubled batch: label is the classes, then as many times the one for any. */
function guided(
  network: NetworkCall,
  x: Tensor,
  time: Tensor,
  { label, guidance = constant(1) }: Readonly<Record<string, Tensor>>,
): Predicted {
  const { output, variance } = network(concat([x, x], 0), concat([time, time], 0), label);
  const [towards, any] = halves(output, x);
  return {
    output: any.add(towards.sub(any).mul(guidance)),
    ...(variance !== undefined && { variance: halves(variance, x)[0] }),
  };
}

/** The two halves of a doubled batch, each of the shape of x, whose rows may be a symbol. */
function halves(both: Tensor, x: Tensor): readonly [Tensor, Tensor] {
  const [first, second] = split(both.reshape([2, ...x.shape]), 0, 2);
  return [first.squeeze(0), second.squeeze(0)];
}
