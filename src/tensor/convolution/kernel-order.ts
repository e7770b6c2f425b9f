import type { LowerContext, Tensor } from "../graph.ts";
import { movers } from "./geometry.ts";

// Weights of convolutions in the order in which the blocked kernels read them: [O / b, I / b, kh, kw, b of I, b of O] in memory. Values in this
// order are of any shape, since a shape costs a copy where a value leaves a program: who reads one gives it the shape that is wanted. The gradient of a kernel comes out of its convolution in blocks of the same kind. So a weight that is kept in
// this order, from step to step, is neither carried into it nor its gradient out of it.

/** Whether a weight [O, I / groups, kh, kw] can be had in kernel order: whole blocks of channels. For 1×1 that would gain nothing. */
export function canOrder(shape: readonly unknown[], block: number): shape is readonly number[] {
  const [o, i, height, width] = shape;
  const whole = (size: unknown): boolean => typeof size === "number" && size > 0 && size % block === 0;
  return block > 0 && shape.length === 4 && whole(o) && whole(i) && Number(height) * Number(width) > 1;
}

/** Sizes of a weight: blocks of outputs and of inputs, kernel elements, and the block. */
function blocksOf(shape: readonly unknown[], block: number) {
  const [o = 1, i = 1, height = 1, width = 1] = shape.map(Number);
  return { outputs: o / block, inputs: i / block, taps: height * width, o, i, height, width };
}

/** A weight in plain order carried into kernel order. */
export function emitKernelOrder(context: LowerContext, plain: string, shape: readonly unknown[]): string {
  const { exchange } = movers(context);
  const { block: b } = context.target;
  const { o, i, taps } = blocksOf(shape, b);
  // Exchanging two axes twice takes a sixth of the time of one general transposition.
  const lanes = taps === 1 ? plain : exchange(plain, [(o * i) / b, b, taps]);
  return exchange(lanes, [o / b, b, i * taps]);
}

/** A weight in kernel order carried into plain order. */
export function emitPlainOrder(context: LowerContext, ordered: string, shape: readonly unknown[]): string {
  const { reshape, exchange } = movers(context);
  const { block: b } = context.target;
  const { o, i, taps, height, width } = blocksOf(shape, b);
  const rows = exchange(ordered, [o / b, i * taps, b]);
  const lanes = taps === 1 ? rows : exchange(rows, [(o * i) / b, taps, b]);
  return reshape(lanes, [o, i, height, width]);
}

/** The gradient of a weight as its convolution gives it, [I / b, O / b, kh, kw, b of I, b of O], carried into kernel order. */
export function emitGradientOrder(context: LowerContext, taps: string, shape: readonly unknown[]): string {
  const { reshape, transpose } = movers(context);
  const { block: b } = context.target;
  const { outputs, inputs, taps: count } = blocksOf(shape, b);
  return transpose(reshape(taps, [inputs, outputs, count * b * b]), [1, 0, 2]);
}

/**
 * Some elements of a weight, its channel axes exchanged, in blocks that the blocked kernels read: [groups · I / b, O / groups / b, elements,
 * b of O, b of I].
 * @param picked the elements, numbered row by row, in the order that is wanted
 */
export function exchangedElements(
  context: LowerContext,
  { weight, groups }: { readonly weight: Tensor; readonly groups: number },
  picked: readonly number[],
): string {
  const { reshape, exchange, take } = movers(context);
  const { block: b } = context.target;
  const { outputs, inputs, taps } = blocksOf(weight.shape, b);
  const each = outputs / groups;
  const order: number[] = [];
  for (let input = 0; input < groups * inputs; input++) {
    const group = Math.floor(input / inputs);
    for (let output = group * each; output < (group + 1) * each; output++) {
      for (const tap of picked) order.push((output * inputs + (input % inputs)) * taps + tap);
    }
  }
  // Whole blocks are copied, and each is transposed.
  const blocks = take(reshape(context.kernelValue(weight), [outputs * inputs * taps, b * b]), 0, order);
  const turned = exchange(blocks, [order.length, b, b]);
  return reshape(turned, [groups * inputs, each, picked.length, b, b]);
}

/** Numbers of a weight in plain order, written in kernel order, or the other way round. */
function carry(
  from: Float32Array,
  to: Float32Array,
  shape: readonly number[],
  block: number,
  intoOrder: boolean,
): void {
  const { outputs, inputs, taps, i } = blocksOf(shape, block);
  let ordered = 0;
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      for (let tap = 0; tap < taps; tap++) {
        for (let lane = 0; lane < block; lane++) {
          let plain = (output * block * i + input * block + lane) * taps + tap;
          for (let filter = 0; filter < block; filter++, ordered++, plain += i * taps) {
            if (intoOrder) to[ordered] = from[plain] ?? 0;
            else to[plain] = from[ordered] ?? 0;
          }
        }
      }
    }
  }
}

/** Writes a weight's numbers, given in plain order, into `to` in kernel order. */
export function intoKernelOrder(
  plain: Float32Array,
  to: Float32Array,
  shape: readonly number[],
  block: number,
): void {
  carry(plain, to, shape, block, true);
}

/** Writes a weight's numbers, given in kernel order, into `to` in plain order. */
export function intoPlainOrder(
  ordered: Float32Array,
  to: Float32Array,
  shape: readonly number[],
  block: number,
): void {
  carry(ordered, to, shape, block, false);
}
