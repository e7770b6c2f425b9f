import { BLOCKED_DOMAIN } from "../blocked.ts";
import { type LowerContext, sizeAt, type Tensor } from "../graph.ts";
import { filled } from "../leaves.ts";
import { type Geometry, movers, padMap, sliceMap } from "./geometry.ts";

// The gradient of a depthwise convolution, whose groups are single channels, to its kernel. It is a depthwise convolution again: of the
// input with the output gradient as kernel, in which stride and dilation change places and the channels of all samples are those of one
// image, [1, N · C, H, W]. What is left is a sum over samples.

/** Sizes of the maps and of the kernel whose gradient is asked for. */
interface Sizes {
  readonly n: number | undefined;
  readonly c: number;
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
}

/** The gradient [C, 1, kh, kw]; undefined where the convolution is not depthwise. */
export function depthwiseKernelGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  weight: Tensor,
  geometry: Geometry,
): string | undefined {
  const name = "conv2dKernelGradient";
  const c = sizeAt(name, x, 1);
  const { groups, stride } = geometry;
  if (groups === 1 || groups !== c || groups !== sizeAt(name, g, 1)) return undefined;
  const spatial = (map: Tensor): [number, number] => [sizeAt(name, map, 2), sizeAt(name, map, 3)];
  const n = typeof x.shape[0] === "number" ? x.shape[0] : undefined;
  const sizes = { n, c, input: spatial(x), output: spatial(g), kernel: spatial(weight) };
  const { block, deterministic } = context.target;
  if (n === undefined || n === 0 || x.dtype !== "float32")
    return shiftedProducts(context, x, g, sizes, geometry);
  if (block > 0 && c % block === 0)
    return blockedConvolution(context, x, g, { ...sizes, n }, geometry, block);
  // Strided slices are slow, and so is a convolution whose few outputs are sums over a whole map, which threads may also divide.
  return Math.max(...stride) > 1 && !deterministic
    ? plainConvolution(context, x, g, { ...sizes, n }, geometry)
    : shiftedProducts(context, x, g, sizes, geometry);
}

type KnownSizes = Sizes & { readonly n: number };

/** The convolution's zeros after the map, and how many kernel elements it finds: more than there are where no window reaches the map's end. */
function reachOf(
  { input, output, kernel }: Sizes,
  { stride, padding, dilation }: Geometry,
  axis: 0 | 1,
): { readonly after: number; readonly found: number } {
  const spread = (output[axis] - 1) * stride[axis] + 1;
  const before = input[axis] + padding[axis];
  const after = Math.max(0, spread + dilation[axis] * (kernel[axis] - 1) - before);
  return { after, found: Math.floor((before + after - spread) / dilation[axis]) + 1 };
}

/** The blocked kernels read weights in the order in which blocked maps lie in memory, so that neither map is moved. */
function blockedConvolution(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  sizes: KnownSizes,
  geometry: Geometry,
  block: number,
): string {
  const { reshape, exchange, sum } = movers(context);
  const { n, c, input, output, kernel } = sizes;
  const { stride, padding, dilation } = geometry;
  const [vertical, horizontal] = [reachOf(sizes, geometry, 0), reachOf(sizes, geometry, 1)];
  const [left, right] = [padding[1], horizontal.after];
  // Kernel elements of a row whose windows are all inside of the map are computed together. That is worth a pass over the input, unless a
  // stride makes the input much larger than what it is multiplied with.
  const widened = left + right > 0 && kernel[1] > 1 && stride[0] * stride[1] === 1;
  const map = widened
    ? context.emit1({
        op: "Conv",
        domain: BLOCKED_DOMAIN,
        inputs: [context.blockedValue(x), context.constant(filled("float32", [c, 1, 1, 1], 1))],
        attributes: {
          group: { int: c },
          kernel_shape: { ints: [1, 1] },
          pads: { ints: [0, left, 0, right] },
        },
      })
    : context.blockedValue(x);
  const elements = context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [
      reshape(map, [1, n * c, input[0], input[1] + (widened ? left + right : 0)]),
      reshape(context.blockedValue(g), [n * c, 1, ...output]),
    ],
    attributes: {
      group: { int: n * c },
      kernel_shape: { ints: output },
      strides: { ints: dilation },
      dilations: { ints: stride },
      pads: { ints: [padding[0], widened ? 0 : left, vertical.after, widened ? 0 : right] },
    },
  });
  const count = vertical.found * horizontal.found;
  const total = sum(reshape(elements, [n, c * count]), [0]);
  const lanes = exchange(total, [c / block, count, block]);
  const plain = reshape(lanes, [c, 1, vertical.found, horizontal.found]);
  return cropped(context, plain, sizes, [vertical.found, horizontal.found]);
}

function plainConvolution(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  sizes: KnownSizes,
  geometry: Geometry,
): string {
  const { reshape, sum } = movers(context);
  const { n, c, input, output } = sizes;
  const { stride, padding, dilation } = geometry;
  const [vertical, horizontal] = [reachOf(sizes, geometry, 0), reachOf(sizes, geometry, 1)];
  const elements = context.emit1({
    op: "Conv",
    inputs: [
      reshape(context.value(x), [1, n * c, ...input]),
      reshape(context.value(g), [n * c, 1, ...output]),
    ],
    attributes: {
      group: { int: n * c },
      kernel_shape: { ints: output },
      strides: { ints: dilation },
      dilations: { ints: stride },
      pads: { ints: [padding[0], padding[1], vertical.after, horizontal.after] },
    },
  });
  const found = [vertical.found, horizontal.found] as const;
  const total = sum(reshape(elements, [n, c * found[0] * found[1]]), [0]);
  return cropped(context, reshape(total, [c, 1, ...found]), sizes, found);
}

function cropped(
  context: LowerContext,
  found: string,
  { kernel }: Sizes,
  size: readonly [number, number],
): string {
  const whole = size[0] === kernel[0] && size[1] === kernel[1];
  return whole ? found : sliceMap(context, found, [0, 0], kernel, [1, 1]);
}

/** For every kernel element the input shifted to it, times the output gradient, summed over positions and samples. */
function shiftedProducts(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  { c, output, kernel }: Sizes,
  geometry: Geometry,
): string {
  const { reshape, sum } = movers(context);
  const { stride, dilation } = geometry;
  const padded = padMap(context, context.value(x), x.dtype, geometry);
  const elements: string[] = [];
  for (let row = 0; row < kernel[0]; row++) {
    for (let column = 0; column < kernel[1]; column++) {
      const start = [row * dilation[0], column * dilation[1]] as const;
      const end = [
        start[0] + (output[0] - 1) * stride[0] + 1,
        start[1] + (output[1] - 1) * stride[1] + 1,
      ] as const;
      const shifted = sliceMap(context, padded, start, end, stride);
      const products = context.emit1({ op: "Mul", inputs: [shifted, context.value(g)] });
      const ofSamples = sum(reshape(products, [-1, output[0] * output[1]]), [1]);
      elements.push(sum(reshape(ofSamples, [-1, c, 1]), [0]));
    }
  }
  const all = context.emit1({ op: "Concat", inputs: elements, attributes: { axis: { int: 1 } } });
  return reshape(all, [c, 1, ...kernel]);
}
