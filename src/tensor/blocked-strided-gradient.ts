import { exchangedBlocks } from "./blocked-convolution.ts";
import type { Geometry } from "./convolution-geometry.ts";
import { type LowerContext, type Lowered, sizeAt, type Tensor } from "./graph.ts";
import { BLOCKED_DOMAIN } from "./layout.ts";
import { movers } from "./movers.ts";

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
 * Undefined where channels are not whole blocks, the size is no multiple of the stride or the kernel is dilated or
 * grouped.
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
  if (b === 0 || o % b !== 0 || i % b !== 0 || groups !== 1 || weight.dtype !== "float32") return undefined;
  if (dilation[0] !== 1 || dilation[1] !== 1) return undefined;
  const [, height = 0, width = 0] = sizes(input);
  const rows = phases(height, sizeAt(name, g, 2), kh, stride[0], padding[0]);
  const columns = phases(width, sizeAt(name, g, 3), kw, stride[1], padding[1]);
  if (rows === undefined || columns === undefined) return undefined;

  const { reshape, transpose, take } = movers(context);
  const exchanged = exchangedBlocks(context, { weight, groups });
  const results = rows.flatMap((row) =>
    columns.map((column) => {
      const window = [row.elements.length, column.elements.length];
      const picked = row.elements.flatMap((t) => column.elements.map((u) => t * kw + u));
      return context.emit1({
        op: "Conv",
        domain: BLOCKED_DOMAIN,
        inputs: [context.blockedValue(g), reshape(take(exchanged, 2, picked), [i, o, ...window])],
        attributes: {
          kernel_shape: { ints: window },
          pads: { ints: [row.before, column.before, row.after, column.after] },
        },
      });
    }),
  );
  const together = context.emit1({ op: "Concat", inputs: results, attributes: { axis: { int: 1 } } });
  const [vertical, horizontal] = stride;
  const apart = [-1, vertical, horizontal, i / b, height / vertical, width / horizontal, b];
  const interleaved = transpose(reshape(together, apart), [0, 3, 4, 1, 5, 2, 6]);
  return { blocked: reshape(interleaved, [-1, i, height, width]) };
}
