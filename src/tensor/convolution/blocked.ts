import { BLOCKED_DOMAIN } from "../blocked.ts";
import { int64Vector } from "../core.ts";
import type { LowerContext, OnnxAttribute, Tensor } from "../graph.ts";
import { filled } from "../leaves.ts";
import { type Geometry, movers } from "./geometry.ts";
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
  const { reshape, transpose, exchange, reverse } = movers(context);
  const { block: b } = context.target;
  const { weight, groups, adjoint } = kernel;
  const { from, to, height, width, taps } = kernelSizes(kernel);
  const [o = 1, i = 1] = weight.shape.map(Number);
  const ordered = (): string => {
    const plain = form === "full" ? "" : context.value(weight);
    if (form === "depthwise") {
      const lanes = exchange(plain, [o / b, b, taps]);
      return adjoint ? reverse(reshape(lanes, [o / b, taps, b]), 1, taps) : lanes;
    }
    if (form === "narrowInput") {
      if (!adjoint) return exchange(plain, [o / b, b, i * taps]);
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
  geometry: Geometry,
): string {
  const joined = form === "full" ? joinedRows(x, kernel, geometry) : undefined;
  if (joined !== undefined) return emitJoinedConvolution(context, x, kernel, bias, joined);
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

/** Sizes of a convolution of which the maps of all samples are put side by side. */
interface JoinedRows {
  readonly n: number;
  readonly height: number;
  readonly width: number;
  /** Columns of zeros behind each map. */
  readonly gap: number;
  /** Of the result of each sample. */
  readonly result: readonly [number, number];
  readonly padding: Geometry["padding"];
}

/** Columns of a map up to which those at its edges, each computed by itself, take a good part of the time. */
const NARROW = 6;

/** Bytes of weights that are read again for each sample from farther away than a core's second cache. */
const MANY_BYTES = 1 << 20;

/** How maps are put side by side; undefined where that gains nothing. */
function joinedRows(
  x: Tensor,
  kernel: Kernel,
  { stride, padding, dilation }: Geometry,
): JoinedRows | undefined {
  const [n, , height, width] = x.shape;
  if (typeof n !== "number" || n < 2 || typeof height !== "number" || typeof width !== "number")
    return undefined;
  const { from, to, taps, height: kh, width: kw } = kernelSizes(kernel);
  if (kernel.groups > 1 || kw === 1 || Math.max(...stride, ...dilation) > 1) return undefined;
  if (width > NARROW || 4 * from * to * taps < MANY_BYTES) return undefined;
  const [top, left, bottom, right] = padding;
  const result = [height + top + bottom - kh + 1, width + left + right - kw + 1] as const;
  const gap = Math.max(left, right);
  if (gap === 0 || result[1] > width + gap || left > kw - 1) return undefined;
  return { n, height, width, gap, result, padding: [top, left, bottom, kw - 1 - left] };
}

/**
 * A convolution of small maps, side by side in one, with columns of zeros between them. So weights are read once, not for each sample, and only
 * the outermost columns are edges, which the kernels compute one at a time.
 */
function emitJoinedConvolution(
  context: LowerContext,
  x: Tensor,
  kernel: Kernel,
  bias: Tensor | undefined,
  { n, height, width, gap, result, padding }: JoinedRows,
): string {
  const { reshape, transpose, extend } = movers(context);
  const { block: b } = context.target;
  const sizes = kernelSizes(kernel);
  const rows = (sizes.from / b) * height;
  const beside = transpose(reshape(context.blockedValue(x), [n, rows, width * b]), [1, 0, 2]);
  const map = reshape(extend(beside, 3, 2, gap * b), [1, sizes.from, height, n * (width + gap)]);
  const convolved = context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [
      map,
      blockedWeight(context, kernel, "full"),
      ...(bias === undefined ? [] : [context.value(bias)]),
    ],
    attributes: { kernel_shape: { ints: [sizes.height, sizes.width] }, pads: { ints: padding } },
  });
  const lines = reshape(convolved, [(sizes.to / b) * result[0], n, (width + gap) * b]);
  const cut = context.emit1({
    op: "Slice",
    inputs: [lines, ...[[0], [result[1] * b], [2]].map((values) => context.constant(int64Vector(values)))],
  });
  return reshape(transpose(cut, [1, 0, 2]), [n, sizes.to, ...result]);
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
