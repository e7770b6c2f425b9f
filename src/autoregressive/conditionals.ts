import { OptionError } from "../errors.ts";
import { countNumbers } from "../memory.ts";
import type { DataInfo } from "../model/data-info.ts";
import { zeros } from "../nn/initializers.ts";
import type { LinearOptions } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Random } from "../random.ts";
import { cumSum } from "../tensor/index.operations.ts";
import {
  constant,
  float32,
  gather,
  int64,
  pad,
  type Shape,
  slice,
  type Tensor,
  topK,
  whileLoop,
} from "../tensor/index.ts";

/** Orders by name: that of the flattened sample, or a random one. */
export const ELEMENT_ORDERS = ["natural", "random"] as const;

export type ElementOrder = (typeof ELEMENT_ORDERS)[number];

/** The element at each position. @param seed of a random order */
export function elementOrder(kind: ElementOrder, dimensions: number, seed: number): readonly number[] {
  countNumbers("order of elements", dimensions);
  return kind === "random"
    ? Array.from(new Random(seed).split("order").permutation(dimensions))
    : Array.from({ length: dimensions }, (_, i) => i);
}

/** @throws OptionError where an order does not name each element once */
export function checkOrder(order: readonly number[], dimensions: number): void {
  if (order.length === dimensions) {
    const named = new Uint8Array(dimensions);
    for (const element of order) if (Number.isInteger(element)) named[element] = 1;
    if (named.every((is) => is === 1)) return;
  }
  throw new OptionError(`order [${order}]: must name each of ${dimensions} elements, from 0 on, once`);
}

/** An order as the programs take it, int64 [D]. */
export function orderTensor(order: readonly number[]): Tensor {
  return constant(int64(order, [order.length]));
}

/** The position of each element of an order, int64 [D]: the inverse permutation. */
export function positionsOf(order: Tensor): Tensor {
  return topK(order.cast("float32"), Number(order.shape[0]), -1, "smallest").indices;
}

/** A random order, another at each run of the program, int64 [D]. @param keys uniform numbers, [D] */
export function orderByKeys(keys: Tensor): Tensor {
  return topK(keys, Number(keys.shape[0])).indices;
}

/** A whole number below `count` from a uniform number on [0, 1), as floats; rounding does not lead to `count` itself. */
export function uniformInteger(u: Tensor, count: Tensor | number): Tensor {
  const top = typeof count === "number" ? count - 1 : count.sub(1);
  return u.mul(count).floor().minimum(top);
}

/**
 * log p(x) of zeros and ones where `logits` are log p(1) − log p(0), element by element: log σ(logit) of a one and
 * log σ(−logit) of a zero, each without the cancellation of x · logit − log(1 + e^logit).
 */
export function bernoulliLogProb(logits: Tensor, x: Tensor): Tensor {
  return x.mul(2).sub(1).mul(logits).logSigmoid();
}

/**
 * Layers that output logits begin with weights of zero: elements are independent of those before. Small sets are then
 * not fitted away from the noise of random weights, most of which no gradient ever removes.
 * @param marginals log-odds of ones at which the elements begin, as `marginalLogits` gives them (default: both values equally likely)
 */
export function atRest(marginals?: Float32Array): LinearOptions {
  const initializeBias: LinearOptions["initializeBias"] =
    marginals === undefined ? zeros : (target) => target.set(marginals);
  return { initializeWeight: zeros, initializeBias };
}

/** Log-odds of ones of each element among the training samples, where they are known: the logits of independent elements. */
export function marginalLogits({ ones }: Pick<DataInfo, "ones">): Float32Array | undefined {
  return ones && Float32Array.from(ones, (share) => Math.log(share) - Math.log1p(-share));
}

/** What elements are drawn from, all [n, D]. */
export interface DrawInputs {
  /** Uniform on [0, 1): element i is drawn by the i-th number. */
  readonly uniforms: Tensor;
  /** Elements in data units; unknown ones are ignored as long as they are valid elements. */
  readonly given: Tensor;
  /** 1 where the element is the given one, 0 where it is drawn. */
  readonly known: Tensor;
  /** Class of each row, int64 [n], where the conditionals are those of a class. */
  readonly label?: Tensor | undefined;
}

/** Drawn elements. */
export interface Draw {
  /** [n, D] in data units. */
  readonly x: Tensor;
  /** Σ log p(x_i | x_<i) over known elements, [n]: the log of the importance weight of the draw. */
  readonly logKnown: Tensor;
}

/** The conditional distributions of elements, each given those before it: what makes an autoregressive model. */
export interface Factors {
  /**
   * log p(x_i | the elements before it) of every element at once: [n, D] in data units → [n, D], column i of element i.
   * @param label class of each row, int64 [n], where the conditionals are those of a class
   */
  elementLogProb(x: Tensor, label?: Tensor): Tensor;
  /** Draws the elements in order, all in one program. */
  draw(inputs: DrawInputs): Draw;
}

/** The conditionals of a model in one order; elements are those of the flattened sample. */
export interface Conditionals extends Factors, Module {
  readonly kind: "one-order";
  /** The element at each position of the order. */
  readonly order: readonly number[];
  /** Number of classes that the conditionals depend on (default: 0, none). */
  readonly classes?: number;
  /** Rows that memory allows to draw at once, where that is fewer than for other models. */
  readonly rowsAtOnce?: number;
}

/**
 * Models of the same elements that share their parameters and differ in their orders or masks. Together they are the
 * mixture p(x) = 1/M Σ_m p_m(x) (Uria et al. 2014, "A deep and tractable density estimator", section 4.1).
 */
export interface Ensemble extends Module {
  readonly kind: "ensemble";
  /** The order of each member. */
  readonly orders: readonly (readonly number[])[];
  /** The member of a number, an int64 scalar that may be known only while the program runs. */
  member(index: Tensor): Factors;
  /**
   * The estimate of log p(x) that the loss takes, [n, D] → [n]: in training of a random member or order, in validation
   * that of the mixture where it is cheap.
   */
  lossLogProb(x: Tensor): Tensor;
  /** For members that were trained to serve any order: the model in the order given as the element at each position, int64 [D]. */
  inOrder?(order: Tensor): Factors;
}

/** The order of every member. */
export function ordersOf(conditionals: Conditionals | Ensemble): readonly (readonly number[])[] {
  return conditionals.kind === "ensemble" ? conditionals.orders : [conditionals.order];
}

/** The order that all members have; undefined where they differ. */
export function commonOrder(orders: readonly (readonly number[])[]): readonly number[] | undefined {
  const [first, ...others] = orders;
  return others.every((order) => order.join() === first?.join()) ? first : undefined;
}

/** Whether the conditionals depend on a class. */
export function isOfClass(conditionals: Conditionals | Ensemble): boolean {
  return conditionals.kind === "one-order" && conditionals.classes !== undefined && conditionals.classes > 0;
}

/** Below every log-probability, with room for a difference of two. */
const LOWEST = -1e30;

/** log(eᵃ + eᵇ) without overflow. */
function logAddExp(a: Tensor, b: Tensor): Tensor {
  return a.maximum(b).add(a.sub(b).abs().neg().exp().log1p());
}

/**
 * log Σ_k exp(l_k) over the first numbers k, one after the other, so that memory does not grow with how many there are. Has
 * no gradient.
 * @param logs l_k by k, an int64 scalar
 */
function logSumOver(count: number, shape: Shape, logs: (index: Tensor) => Tensor): Tensor {
  const [total] = whileLoop(
    [constant(LOWEST).broadcastTo(shape)],
    ([before], index) => ({ state: [logAddExp(before, logs(index))] }),
    { maximum: count },
  );
  return total;
}

/** log 1/M Σ_m p_m(x), probabilities and not their logarithms averaged: [n, D] → [n]. Has no gradient. */
export function mixtureLogProb(ensemble: Ensemble, x: Tensor): Tensor {
  const count = ensemble.orders.length;
  const logs = (index: Tensor): Tensor => ensemble.member(index).elementLogProb(x).sum(1);
  return logSumOver(count, x.shape.slice(0, 1), logs).sub(Math.log(count));
}

/**
 * log p(x_i | x_<i) of a mixture whose members have one order: quotients of the mixture's probabilities of the first
 * elements, [n, D] → [n, D] by element. Has no gradient.
 * @param order the element at each position
 */
export function mixtureElementLogProb(ensemble: Ensemble, x: Tensor, order: readonly number[]): Tensor {
  const own = orderTensor(order);
  const count = ensemble.orders.length;
  const logs = (index: Tensor): Tensor => cumSum(gather(ensemble.member(index).elementLogProb(x), own, 1), 1);
  const first = logSumOver(count, x.shape, logs).sub(Math.log(count));
  const before = pad(slice(first, 1, 0, -1), [[1, 0]]);
  return gather(first.sub(before), positionsOf(own), 1);
}

/**
 * log Σ_k share_k p(x | k) over classes, [n, D] → [n], where the class of a row is not known. One class after the other;
 * has no gradient.
 * @param shares of the classes; those without are left out
 */
export function classMixtureLogProb(
  conditionals: Conditionals,
  shares: readonly number[],
  x: Tensor,
): Tensor {
  const rows = x.shape.slice(0, 1);
  const classes = shares.flatMap((share, k) => (share > 0 ? [k] : []));
  const numbers = constant(int64(classes, [classes.length]));
  const logShares = constant(
    float32(
      classes.map((k) => Math.log(shares[k] ?? 0)),
      [classes.length],
    ),
  );
  return logSumOver(classes.length, rows, (index) => {
    const label = gather(numbers, index).broadcastTo(rows);
    return conditionals.elementLogProb(x, label).sum(1).add(gather(logShares, index));
  });
}
