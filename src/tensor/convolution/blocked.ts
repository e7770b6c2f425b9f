import { BLOCKED_DOMAIN } from "../blocked.ts";
import type { LowerContext, OnnxAttribute, Tensor } from "../graph.ts";
import { filled } from "../leaves.ts";
import { movers } from "./geometry.ts";
import { exchangedElements } from "./kernel-order.ts";

// Convolutions by ONNX Runtime's kernels for blocked layout. Its optimizer uses them only where weights are constants,
// which in training they are not; here the operators are named and the weights are blocked by ordinary nodes.

/** A weight [O, I / groups, kh, kw], used as it is or turned by 180° with its channel axes exchanged. */
export interface Kernel {
  readonly weight: Tensor;
  readonly groups: number;
  readonly adjoint: boolean;
}

/** Channels that a kernel reads and writes, and its number of elements a channel pair. */
function kernelSizes({ weight, groups, adjoint }: Kernel) {
  const [o = 1, i = 1, height = 1, width = 1] = weight.shape.map(Number);
  const [from, to] = adjoint ? [o, i * groups] : [i * groups, o];
  return { from, to, height, width, taps: height * width };
}

/** How the blocked kernels can do a convolution; undefined where they cannot. */
export type BlockedForm = "full" | "narrowInput" | "narrowOutput" | "depthwise";

export function blockedForm(context: LowerContext, kernel: Kernel): BlockedForm | undefined {
  const { block } = context.target;
  if (block === 0 || kernel.weight.dtype !== "float32") return undefined;
  const { groups } = kernel;
  const { from, to, taps } = kernelSizes(kernel);
  const whole = (channels: number): boolean => channels % block === 0;
  if (groups > 1 && groups === from && groups === to) return whole(from) ? "depthwise" : undefined;
  if (whole(from / groups) && whole(to / groups)) return "full";
  if (groups > 1) return undefined;
  if (from < block && whole(to)) return "narrowInput";
  // The results of all kernel elements must fit into a few blocks (64 channels to 4 or 8 by 3×3, a coupling's last
  // convolution: three to four times as fast as one plain node).
  return whole(from) && taps > 1 && to * taps <= 5 * 16 ? "narrowOutput" : undefined;
}

/** The weight in the order that the blocked kernels read: [O / b, I / b, kh, kw, b of I, b of O], narrow ones without I's. */
function blockedWeight(context: LowerContext, kernel: Kernel, form: BlockedForm): string {
  const { reshape, transpose, reverse } = movers(context);
  const { block: b } = context.target;
  const { weight, groups, adjoint } = kernel;
  const { from, to, height, width, taps } = kernelSizes(kernel);
  const [o = 1, i = 1] = weight.shape.map(Number);
  const ordered = (): string => {
    const plain = form === "full" ? "" : context.value(weight);
    if (form === "depthwise") {
      const lanes = transpose(reshape(plain, [o / b, b, taps]), [0, 2, 1]);
      return adjoint ? reverse(lanes, 1, taps) : lanes;
    }
    if (form === "narrowInput") {
      if (!adjoint) return transpose(reshape(plain, [o / b, b, i * taps]), [0, 2, 1]);
      return reverse(transpose(reshape(plain, [o, i / b, b, taps]), [1, 0, 3, 2]), 2, taps);
    }
    if (!adjoint) return context.kernelValue(weight);
    const reversed = Array.from({ length: taps }, (_, tap) => taps - 1 - tap);
    return exchangedElements(context, kernel, reversed);
  };
  return reshape(ordered(), [to, from / groups, height, width]);
}

/** A convolution of a map by the blocked kernels: the name of the result in blocked layout. */
export function emitBlockedConvolution(
  context: LowerContext,
  x: Tensor,
  kernel: Kernel,
  form: Exclude<BlockedForm, "narrowOutput">,
  bias: Tensor | undefined,
  attributes: Readonly<Record<string, OnnxAttribute>>,
): string {
  return context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [
      // The kernel for less than a block of channels reads them from the plain layout.
      form === "narrowInput" ? context.value(x) : context.blockedValue(x),
      blockedWeight(context, kernel, form),
      ...(bias === undefined ? [] : [context.value(bias)]),
    ],
    attributes,
  });
}

/**
 * A convolution to less than a block of channels, by two that fill blocks: the products of every position with every
 * kernel element (pointwise), then a shift of each to its location (depthwise, with one 1 a channel) and their sum. The
 * name of the result in plain layout.
 */
export function emitNarrowConvolution(
  context: LowerContext,
  x: Tensor,
  kernel: Kernel,
  bias: Tensor | undefined,
  attributes: Readonly<Record<string, OnnxAttribute>>,
  size: readonly [number, number],
): string {
  const { reshape, transpose, reverse, extend, sum } = movers(context);
  const { block: b } = context.target;
  const { from, to, height, width, taps } = kernelSizes(kernel);
  const lanes = Math.ceil((to * taps) / b) * b;
  // Lane t·to + o holds kernel element t of output channel o.
  const [o = 1, i = 1] = kernel.weight.shape.map(Number);
  const elements = reshape(context.value(kernel.weight), [o, i, taps]);
  const rows = kernel.adjoint
    ? transpose(reverse(elements, 2, taps), [2, 1, 0])
    : transpose(elements, [2, 0, 1]);
  const padded = extend(reshape(rows, [to * taps, from]), 2, 0, lanes - to * taps);
  const pointwise = transpose(reshape(padded, [lanes / b, b, from / b, b]), [0, 2, 3, 1]);
  const products = context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [context.blockedValue(x), reshape(pointwise, [lanes, from, 1, 1])],
    attributes: { kernel_shape: { ints: [1, 1] } },
  });
  const shifts = filled("float32", [lanes, 1, height, width], 0);
  for (let lane = 0; lane < to * taps; lane++) {
    const tap = Math.floor(lane / to);
    shifts.data[(Math.floor(lane / b) * taps + tap) * b + (lane % b)] = 1;
  }
  const shifted = context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [products, context.constant(shifts)],
    attributes: { ...attributes, group: { int: lanes } },
  });
  const plain = context.emit1({
    op: "ReorderOutput",
    domain: BLOCKED_DOMAIN,
    inputs: [shifted],
    attributes: { channels: { int: to * taps } },
  });
  const result = reshape(sum(reshape(plain, [-1, taps, to * size[0] * size[1]]), [1]), [-1, to, ...size]);
  if (bias === undefined) return result;
  return context.emit1({ op: "Add", inputs: [result, reshape(context.value(bias), [1, to, 1, 1])] });
}
