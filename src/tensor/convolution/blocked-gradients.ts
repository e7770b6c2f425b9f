import { BLOCKED_DOMAIN } from "../blocked.ts";
import { int64Vector } from "../core.ts";
import { type LowerContext, type Lowered, sizeAt, type Tensor } from "../graph.ts";
import { filled } from "../leaves.ts";
import { emitProduct } from "../steady.ts";
import { flippedPadding, type Geometry, movers, sliceMap } from "./geometry.ts";
import { emitGradientOrder, emitPlainOrder, exchangedElements } from "./kernel-order.ts";

// The gradient of a convolution to its kernel, from maps in blocked layout.

/** Sizes of the maps and of the kernel whose gradient is asked for. */
interface Sizes {
  readonly n: number;
  readonly c: number;
  readonly o: number;
  /** Height and width of the input, of the output and of the kernel. */
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
}

function sizesOf(x: Tensor, g: Tensor, weight: Tensor): Sizes | undefined {
  const name = "conv2dKernelGradient";
  const spatial = (map: Tensor): [number, number] => [sizeAt(name, map, 2), sizeAt(name, map, 3)];
  const n = x.shape[0];
  if (typeof n !== "number" || n === 0) return undefined;
  return {
    n,
    c: sizeAt(name, x, 1),
    o: sizeAt(name, g, 1),
    input: spatial(x),
    output: spatial(g),
    kernel: spatial(weight),
  };
}

/** The gradient [O, C, kh, kw]; undefined where blocked layout is of no use. */
export function blockedKernelGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  weight: Tensor,
  geometry: Geometry,
): Lowered | undefined {
  const { block } = context.target;
  const sizes = sizesOf(x, g, weight);
  if (block === 0 || x.dtype !== "float32" || geometry.groups > 1 || sizes === undefined) return undefined;
  const [wholeC, wholeO] = [sizes.c % block === 0, sizes.o % block === 0];
  if (wholeC && wholeO) {
    if (context.target.contrib && pointwise(sizes, geometry)) return pointwiseGradient(context, x, g, sizes);
    const taps = gradientTaps(context, () => context.blockedValue(x), g, sizes, geometry);
    return taps === undefined
      ? undefined
      : { kernel: emitGradientOrder(context, taps, [sizes.o, sizes.c, ...sizes.kernel]) };
  }
  if (sizes.c < block && wholeO) {
    return (
      narrowStridedGradient(context, x, g, sizes, geometry) ??
      narrowInputGradient(context, x, g, sizes, geometry)
    );
  }
  if (sizes.o < block && wholeC) return narrowOutputGradient(context, x, g, sizes, geometry);
  return undefined;
}

function pointwise({ kernel }: Sizes, { stride, padding }: Geometry): boolean {
  return [...kernel, ...stride].every((value) => value === 1) && padding.every((value) => value === 0);
}

/**
 * For a 1×1 kernel: products of both maps over positions, summed over the batch. Carrying both into plain layout and one
 * large product a sample take a third to a fifth of the time of products block by block.
 */
function pointwiseGradient(context: LowerContext, x: Tensor, g: Tensor, { c, o, output }: Sizes): string {
  const { reshape, sum } = movers(context);
  const positions = output[0] * output[1];
  const maps = [
    reshape(context.value(g), [-1, o, positions]),
    reshape(context.value(x), [-1, c, positions]),
  ] as const;
  const products = emitProduct(context, maps, 3, { m: o, n: c, k: positions }, true);
  return reshape(sum(products, [0]), [o, c, 1, 1]);
}

/** How much of the work cutting into strips must save to be worth copying rows. */
const WORTHWHILE = 0.9;

/** Blocks of channels that the kernels of one pass give. */
const FILTER_BLOCKS = 4;

/** Bytes of weights that a pass over a row should read at most: what stays in a core's second cache, since each row reads them all. */
const CACHED_BYTES = 1 << 20;

/** How many times as long a row takes whose weights come from farther away. */
const UNCACHED = 1.6;

/** Multiplications that take as long as carrying one number of the input to where the convolution reads it. */
const COPY = 256;

/** Strips that the maps of a batch are cut into, and the rows of each. */
interface Strips {
  readonly strips: number;
  readonly rows: number;
}

/**
 * Into how many strips of rows of the output the maps are best cut. Strips count as samples: in small batches there are too few of these to fill a
 * block, and the output gradient of whole large maps, which is the convolution's weight, does not stay in a cache. Work is counted in rows
 * of whole blocks of samples; each strip copies the rows that it shares with the next. What the last strip lacks of rows is filled up with
 * zeros.
 */
function stripsOf({ n, o, output, kernel }: Sizes, block: number): Strips {
  const [height, width] = output;
  const copy = COPY / (o * kernel[0] * kernel[1]);
  const rowBytes = 4 * Math.min(o, FILTER_BLOCKS * block) * block * width;
  const rowsOf = (strips: number): number => Math.ceil(height / strips);
  const work = (strips: number): number => {
    const rows = rowsOf(strips);
    const multiplied = rows * (rows * rowBytes > CACHED_BYTES ? UNCACHED : 1);
    return Math.ceil((n * strips) / block) * (multiplied + copy * (rows + kernel[0] - 1));
  };
  // No strip may be of zeros alone.
  const candidates = Array.from({ length: height }, (_, i) => i + 1).filter(
    (strips) => (strips - 1) * rowsOf(strips) < height,
  );
  const best = candidates.reduce((least, strips) => (work(strips) < work(least) ? strips : least), 1);
  const strips = work(best) < WORTHWHILE * work(1) ? best : 1;
  return { strips, rows: rowsOf(strips) };
}

/**
 * The kernel gradient is a convolution over the batch: channels are samples, the input is the map and the kernel the
 * output gradient. With the block of the input's channels as neighbors in a row, and a dilation of one block, a row of
 * its output is long enough for the kernel to run at full speed, and nothing has to leave the blocked layout but the
 * samples, which become channels.
 *
 * @param map the name of the input in blocked layout
 * @returns the name of the gradient [C / b, O / b, kh, kw, b of C, b of O]
 */
function gradientTaps(
  context: LowerContext,
  map: () => string,
  g: Tensor,
  sizes: Sizes,
  geometry: Geometry,
): string | undefined {
  const { reshape, transpose, extend, take } = movers(context);
  const { block: b } = context.target;
  const { n: maps, c, o, input, output, kernel } = sizes;
  const { stride, dilation } = geometry;
  if (dilation[0] !== 1 || dilation[1] !== 1) return undefined;
  // Rows and columns that no window reaches are not padded; they must not be part of the map itself.
  const [top, left] = geometry.padding;
  const [bottom, right] = ([0, 1] as const).map(
    (axis) => (output[axis] - 1) * stride[axis] + kernel[axis] - input[axis] - geometry.padding[axis],
  ) as [number, number];
  if (bottom < 0 || right < 0) return undefined;
  const [height, width] = [input[0] + top + bottom, input[1] + left + right];
  const { strips, rows: outputRows } = stripsOf(sizes, b);
  const n = maps * strips;
  const missing = (b - (n % b)) % b;
  const padded =
    Math.max(top, left, bottom, right) === 0
      ? map()
      : context.emit1({
          op: "Conv",
          domain: BLOCKED_DOMAIN,
          inputs: [map(), context.constant(filled("float32", [c, 1, 1, 1], 1))],
          attributes: {
            kernel_shape: { ints: [1, 1] },
            pads: { ints: [top, left, bottom, right] },
            group: { int: c },
          },
        });
  const whole = transpose(reshape(padded, [maps, c / b, height, width * b]), [1, 0, 2, 3]);
  // The rows that the windows of a strip reach: neighbors share some.
  const stripHeight = (outputRows - 1) * stride[0] + kernel[0];
  // What meets the zeros of the last strip may be any row.
  const reached = Array.from({ length: strips }, (_, strip) =>
    Array.from({ length: stripHeight }, (_, row) =>
      Math.min(strip * outputRows * stride[0] + row, height - 1),
    ),
  ).flat();
  const rows = strips === 1 ? whole : reshape(take(whole, 2, reached), [c / b, n, stripHeight, width * b]);
  const samples = context.emit1({
    op: "ReorderInput",
    domain: BLOCKED_DOMAIN,
    inputs: [extend(rows, 4, 1, missing)],
  });
  const positions = outputRows * output[1];
  const inStrips = (map: string): string => {
    const lines = reshape(map, [maps, o / b, output[0], output[1] * b]);
    const whole = extend(lines, 4, 2, strips * outputRows - output[0]);
    return transpose(reshape(whole, [maps, o / b, strips, positions * b]), [0, 2, 1, 3]);
  };
  const gradients = strips === 1 ? context.blockedValue(g) : inStrips(context.blockedValue(g));
  const gradient = extend(reshape(gradients, [n, o * positions]), 2, 0, missing);
  const filter = transpose(reshape(gradient, [(n + missing) / b, b, o / b, positions, b]), [2, 0, 3, 1, 4]);
  return context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [samples, reshape(filter, [o, n + missing, outputRows, output[1]])],
    attributes: {
      kernel_shape: { ints: [outputRows, output[1]] },
      dilations: { ints: [stride[0], stride[1] * b] },
    },
  });
}

/** How many times as much may be multiplied by whole blocks of channels and windows of whole strides. */
const MORE = 2;

/**
 * Few input channels at a stride: the pixels that meet one kernel element in neighboring windows become channels (space to depth), by a
 * convolution with a single 1 for each. What is left is the gradient of a convolution at stride 1 whose kernel is smaller by the stride.
 */
function narrowStridedGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  sizes: Sizes,
  { stride, padding, dilation }: Geometry,
): string | undefined {
  const { reshape, transpose } = movers(context);
  const { block: b } = context.target;
  const { n, c, o, input, output, kernel } = sizes;
  const [sh, sw] = stride;
  if (sh * sw === 1 || Math.max(...dilation) > 1) return undefined;
  const window = [Math.ceil(kernel[0] / sh), Math.ceil(kernel[1] / sw)] as const;
  const size = [output[0] + window[0] - 1, output[1] + window[1] - 1] as const;
  const after = ([0, 1] as const).map((axis) => size[axis] * stride[axis] - input[axis] - padding[axis]);
  const [bottom = 0, right = 0] = after;
  // Pixels behind the last window of all are not read.
  if (bottom <= -sh || right <= -sw) return undefined;
  const channels = Math.ceil((c * sh * sw) / b) * b;
  if (channels * window[0] * window[1] > MORE * c * kernel[0] * kernel[1]) return undefined;
  const ones = filled("float32", [channels, c, sh, sw], 0);
  // A narrow convolution's weight has the block of output channels last: [channels / b, c, sh, sw, b].
  for (let lane = 0; lane < c * sh * sw; lane++) {
    ones.data[(Math.floor(lane / b) * c * sh * sw + lane) * b + (lane % b)] = 1;
  }
  const map = (): string =>
    context.emit1({
      op: "Conv",
      domain: BLOCKED_DOMAIN,
      inputs: [context.value(x), context.constant(ones)],
      attributes: {
        kernel_shape: { ints: [sh, sw] },
        strides: { ints: stride },
        pads: { ints: [padding[0], padding[1], Math.max(0, bottom), Math.max(0, right)] },
      },
    });
  const inner = { n, c: channels, o, input: size, output, kernel: window };
  const plain: Geometry = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };
  const taps = gradientTaps(context, map, g, inner, plain);
  if (taps === undefined) return undefined;
  const shape = [o, channels, ...window];
  const elements = emitPlainOrder(context, emitGradientOrder(context, taps, shape), shape);
  // A channel is a pixel of a cell, so that the elements of a kernel are those of its cells.
  const cells = context.emit1({
    op: "Slice",
    inputs: [
      reshape(elements, [o, channels, window[0] * window[1]]),
      ...[[0], [c * sh * sw], [1]].map((values) => context.constant(int64Vector(values))),
    ],
  });
  const apart = transpose(reshape(cells, [o, c, sh, sw, ...window]), [0, 1, 4, 2, 5, 3]);
  const whole = reshape(apart, [o, c, window[0] * sh, window[1] * sw]);
  return sliceMap(context, whole, [0, 0], kernel, [1, 1]);
}

/** All values that meet each kernel element, [N, C · taps, positions], by a convolution with one 1 a channel. */
function emitTaps(
  context: LowerContext,
  x: Tensor,
  channels: number,
  [height, width]: readonly [number, number],
  { stride, padding, dilation }: Geometry,
  reversed: boolean,
): string {
  const taps = height * width;
  const ones = filled("float32", [channels * taps, 1, height, width], 0);
  for (let row = 0; row < channels * taps; row++) {
    const tap = row % taps;
    ones.data[row * taps + (reversed ? taps - 1 - tap : tap)] = 1;
  }
  return context.emit1({
    op: "Conv",
    inputs: [context.value(x), context.constant(ones)],
    attributes: {
      kernel_shape: { ints: [height, width] },
      strides: { ints: stride },
      pads: { ints: padding },
      dilations: { ints: dilation },
      group: { int: channels },
    },
  });
}

/** taps [N, R, P] times a blocked map of C channels, summed over the batch: [C, R]. */
function emitProducts(
  context: LowerContext,
  taps: string,
  rows: number,
  map: Tensor,
  channels: number,
  positions: number,
): string {
  const { reshape, exchange, sum } = movers(context);
  const { block: b } = context.target;
  const blocked = reshape(context.blockedValue(map), [-1, channels / b, positions, b]);
  const operands = [reshape(taps, [-1, 1, rows, positions]), blocked] as const;
  const product = emitProduct(context, operands, 4, { m: rows, n: b, k: positions });
  return reshape(exchange(sum(product, [0]), [channels / b, rows, b]), [channels, rows]);
}

/** Few input channels: their shifted copies times the blocked output gradient. */
function narrowInputGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  sizes: Sizes,
  geometry: Geometry,
): string {
  const { c, o, output, kernel } = sizes;
  const taps = emitTaps(context, x, c, kernel, geometry, false);
  const rows = c * kernel[0] * kernel[1];
  const products = emitProducts(context, taps, rows, g, o, output[0] * output[1]);
  return movers(context).reshape(products, [o, c, ...kernel]);
}

/** Few output channels, at stride 1: shifted copies of the output gradient times the blocked input. */
function narrowOutputGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  sizes: Sizes,
  geometry: Geometry,
): string | undefined {
  const { reshape, transpose } = movers(context);
  const { c, o, input, output, kernel } = sizes;
  const padding = flippedPadding(geometry, kernel, input, output);
  if (padding === undefined) return undefined;
  const taps = emitTaps(context, g, o, kernel, { ...geometry, padding }, true);
  const count = kernel[0] * kernel[1];
  const products = emitProducts(context, taps, o * count, x, c, input[0] * input[1]);
  return reshape(transpose(reshape(products, [c, o, count]), [1, 0, 2]), [o, c, ...kernel]);
}

/** What one phase of the stride reads along an axis: kernel elements and the padding of the output gradient. */
interface Phase {
  readonly elements: readonly number[];
  readonly before: number;
  readonly after: number;
}

/**
 * Input position i = s·q + a takes part in output r with kernel element t where i = s·r + t − p; with r = q + δ that is
 * t = a + p − s·δ. So each phase a is a convolution at stride 1 over the δ for which there is a t. Undefined where a
 * phase has no kernel element, or would not read all of the output gradient.
 */
function phases(
  size: number,
  output: number,
  kernel: number,
  stride: number,
  padding: number,
): readonly Phase[] | undefined {
  if (size % stride !== 0) return undefined;
  const result = Array.from({ length: stride }, (_, a): Phase => {
    const lowest = Math.ceil((a + padding - kernel + 1) / stride);
    const highest = Math.floor((a + padding) / stride);
    const count = Math.max(0, highest - lowest + 1);
    return {
      elements: Array.from({ length: count }, (_, j) => a + padding - stride * (lowest + j)),
      before: -lowest,
      after: size / stride - 1 + highest - (output - 1),
    };
  });
  const usable = result.every((phase) => phase.elements.length > 0 && phase.before >= 0 && phase.after >= 0);
  return usable ? result : undefined;
}

/**
 * The gradient of a strided convolution to its input in blocked layout (a transposed convolution): for each phase of the
 * stride a convolution at stride 1 with the kernel elements that meet it; their results are interleaved (Shi et al.,
 * Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, 2016).
 * Undefined where channels are not whole blocks, the size is no multiple of the stride, or the kernel is dilated or has groups of
 * several channels.
 */
export function blockedStridedGradient(
  context: LowerContext,
  g: Tensor,
  weight: Tensor,
  input: Tensor,
  { stride, padding, dilation, groups }: Geometry,
): Lowered | undefined {
  const name = "conv2dInputGradient";
  const { block: b } = context.target;
  const sizes = (tensor: Tensor): number[] => [1, 2, 3].map((axis) => sizeAt(name, tensor, axis));
  const [o, i = 0, kh = 0, kw = 0] = [sizeAt(name, weight, 0), ...sizes(weight)];
  const depthwise = groups > 1 && groups === o && i === 1;
  if (b === 0 || weight.dtype !== "float32" || o % b !== 0) return undefined;
  if (!depthwise && (groups !== 1 || i % b !== 0)) return undefined;
  if (dilation[0] !== 1 || dilation[1] !== 1) return undefined;
  const [, height = 0, width = 0] = sizes(input);
  const rows = phases(height, sizeAt(name, g, 2), kh, stride[0], padding[0]);
  const columns = phases(width, sizeAt(name, g, 3), kw, stride[1], padding[1]);
  if (rows === undefined || columns === undefined) return undefined;

  const { reshape, exchange, take } = movers(context);
  const c = i * groups;
  const lanes = depthwise
    ? reshape(exchange(context.value(weight), [c / b, b, kh * kw]), [c / b, kh * kw, b])
    : undefined;
  const elements = (picked: readonly number[]): string =>
    lanes === undefined ? exchangedElements(context, { weight, groups }, picked) : take(lanes, 1, picked);
  const results = rows.flatMap((row) =>
    columns.map((column) => {
      const window = [row.elements.length, column.elements.length];
      const picked = row.elements.flatMap((t) => column.elements.map((u) => t * kw + u));
      return context.emit1({
        op: "Conv",
        domain: BLOCKED_DOMAIN,
        inputs: [context.blockedValue(g), reshape(elements(picked), [c, o / groups, ...window])],
        attributes: {
          group: { int: groups },
          kernel_shape: { ints: window },
          pads: { ints: [row.before, column.before, row.after, column.after] },
        },
      });
    }),
  );
  // Neighboring columns first, then the rows: two copies, in a fifth less time than a copy and a general transposition.
  const join = (names: readonly string[], length: number): string =>
    context.emit1({
      op: "Concat",
      inputs: names.map((name) => reshape(name, [-1, length])),
      attributes: { axis: { int: 1 } },
    });
  const lines = rows.map((_, row) =>
    join(results.slice(row * columns.length, (row + 1) * columns.length), b),
  );
  return { blocked: reshape(join(lines, width * b), [-1, c, height, width]) };
}
