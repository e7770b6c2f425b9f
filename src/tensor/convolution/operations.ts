import { int64Vector, multiply, sum } from "../core.ts";
import {
  apply,
  dimAt,
  inputAt,
  type LowerContext,
  type Lowered,
  type OnnxAttribute,
  type Operation,
  onlyGradient,
  outputAt,
  reachableNodes,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { emitProduct, steadyConvolution } from "../steady.ts";
import { blockedForm, emitBlockedConvolution, emitNarrowConvolution, type Kernel } from "./blocked.ts";
import { blockedKernelGradient, blockedStridedGradient } from "./blocked-gradients.ts";
import { channelMean, positionsOf } from "./channels.ts";
import { depthwiseKernelGradient } from "./depthwise.ts";
import { convolutionSize, flippedPadding, type Geometry, movers, padMap, sliceMap } from "./geometry.ts";
import { canOrder } from "./kernel-order.ts";

/** The ONNX attributes of a convolution node. */
function convolutionAttributes(geometry: Geometry, kernel: readonly number[]): Record<string, OnnxAttribute> {
  return {
    kernel_shape: { ints: kernel },
    strides: { ints: geometry.stride },
    pads: { ints: geometry.padding },
    dilations: { ints: geometry.dilation },
    group: { int: geometry.groups },
  };
}

/** A convolution with a kernel by the blocked kernels where they can do it, else by one plain node. */
function lowerKernel(
  context: LowerContext,
  x: Tensor,
  kernel: Kernel,
  bias: Tensor | undefined,
  output: Tensor,
  geometry: Geometry,
): Lowered {
  const name = "conv2d";
  const size = [sizeAt(name, kernel.weight, 2), sizeAt(name, kernel.weight, 3)];
  const attributes = convolutionAttributes(geometry, size);
  const form = blockedForm(context, kernel);
  if (form === "narrowOutput") {
    const result = [sizeAt(name, output, 2), sizeAt(name, output, 3)] as const;
    return emitNarrowConvolution(context, x, kernel, bias, attributes, result);
  }
  if (form !== undefined) {
    return { blocked: emitBlockedConvolution(context, x, kernel, form, bias, attributes, geometry) };
  }
  const weight = kernel.adjoint
    ? flippedKernel(context, kernel.weight, kernel.groups)
    : context.value(kernel.weight);
  const others = [weight, ...(bias === undefined ? [] : [context.value(bias)])];
  const convolve = (name: string): string =>
    context.emit1({ op: "Conv", inputs: [name, ...others], attributes });
  const inner = (size[0] ?? 1) * (size[1] ?? 1) * (sizeAt(name, x, 1) / geometry.groups);
  return steadyConvolution(context, x, inner, convolve) ?? convolve(context.value(x));
}

/** The convolution. */
function lowerConvolution(
  context: LowerContext,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  output: Tensor,
  geometry: Geometry,
): Lowered {
  const kernel = { weight, groups: geometry.groups, adjoint: false };
  return lowerKernel(context, x, kernel, bias, output, geometry);
}

/**
 * The gradient of a convolution to its input. At stride 1 it is a convolution with the flipped kernel, its two channel
 * axes exchanged, which is faster than ConvTranspose.
 */
function lowerInputGradient(
  context: LowerContext,
  g: Tensor,
  weight: Tensor,
  output: Tensor,
  geometry: Geometry,
): Lowered {
  const name = "conv2dInputGradient";
  const { stride, padding, dilation, groups } = geometry;
  const spatial = (tensor: Tensor): readonly [number, number] => [
    sizeAt(name, tensor, 2),
    sizeAt(name, tensor, 3),
  ];
  const kernel = spatial(weight);
  const flipped = flippedPadding(geometry, kernel, spatial(output), spatial(g));
  if (flipped !== undefined) {
    const turned = { weight, groups, adjoint: true };
    return lowerKernel(context, g, turned, undefined, output, { ...geometry, padding: flipped });
  }
  const strided = blockedStridedGradient(context, g, weight, output, geometry);
  if (strided !== undefined) return strided;
  const extra = ([0, 1] as const).map((axis) => {
    const steps = (sizeAt(name, g, 2 + axis) - 1) * stride[axis];
    const reached =
      steps + dilation[axis] * (kernel[axis] - 1) + 1 - padding[axis] - padding[axis === 0 ? 2 : 3];
    return sizeAt(name, output, 2 + axis) - reached;
  });
  return context.emit1({
    op: "ConvTranspose",
    inputs: [context.value(g), context.value(weight)],
    attributes: { ...convolutionAttributes(geometry, kernel), output_padding: { ints: extra } },
  });
}

/** The weight [O, I / groups, kh, kw] turned by 180° with its channel axes exchanged: [I, O / groups, kh, kw]. */
function flippedKernel(context: LowerContext, weight: Tensor, groups: number): string {
  const { reshape, transpose, reverse } = movers(context);
  const [o = 1, i = 1, kh = 1, kw = 1] = weight.shape.map(Number);
  const parted = reshape(context.value(weight), [groups, o / groups, i, kh * kw]);
  const turned = reverse(parted, 3, kh * kw);
  return reshape(transpose(turned, [0, 2, 1, 3]), [groups * i, o / groups, kh, kw]);
}

/**
 * The gradient of a convolution to its kernel. In plain layout: for every kernel element the product of the output gradient with the
 * input shifted to it, summed over positions by a matrix product and over the batch.
 */
function lowerKernelGradient(
  context: LowerContext,
  x: Tensor,
  g: Tensor,
  output: Tensor,
  geometry: Geometry,
): Lowered {
  const name = "conv2dKernelGradient";
  const fast =
    depthwiseKernelGradient(context, x, g, output, geometry) ??
    blockedKernelGradient(context, x, g, output, geometry);
  if (fast !== undefined) return fast;
  const { reshape, transpose } = movers(context);
  const { stride, dilation, groups } = geometry;
  const [o, i, kh, kw] = [0, 1, 2, 3].map((axis) => sizeAt(name, output, axis)) as [
    number,
    number,
    number,
    number,
  ];
  const [h, w] = [sizeAt(name, g, 2), sizeAt(name, g, 3)];
  const rows = transpose(reshape(context.value(g), [-1, groups, o / groups, h * w]), [0, 1, 3, 2]);
  const padded = padMap(context, context.value(x), x.dtype, geometry);
  const taps: string[] = [];
  for (let tap = 0; tap < kh * kw; tap++) {
    const top = Math.floor(tap / kw) * dilation[0];
    const left = (tap % kw) * dilation[1];
    const shifted = sliceMap(
      context,
      padded,
      [top, left],
      [top + (h - 1) * stride[0] + 1, left + (w - 1) * stride[1] + 1],
      stride,
    );
    const operands = [reshape(shifted, [-1, groups, i, h * w]), rows] as const;
    const product =
      x.dtype === "float32"
        ? emitProduct(context, operands, 4, { m: i, n: o / groups, k: h * w })
        : context.emit1({ op: "MatMul", inputs: operands });
    taps.push(
      context.emit1({
        op: "ReduceSum",
        inputs: [product, context.constant(int64Vector([0]))],
        attributes: { keepdims: { int: 1 } },
      }),
    );
  }
  const stacked = context.emit1({ op: "Concat", inputs: taps, attributes: { axis: { int: 0 } } });
  return reshape(transpose(stacked, [1, 3, 2, 0]), [o, i, kh, kw]);
}

// Convolution is a trilinear form T(input, kernel, output): fixing two of the three and asking for the third gives
// three operations, the convolution, its gradient to the input and its gradient to the kernel. Each is bilinear and
// its own gradients are the other two, so the set is closed and can be differentiated any number of times.

interface InputGradientAttributes extends Geometry {
  /** Height and width of the input. */
  readonly size: readonly [number, number];
}

interface KernelGradientAttributes extends Geometry {
  /** Height and width of the kernel. */
  readonly size: readonly [number, number];
}

const geometryOf = ({ stride, padding, dilation, groups }: Geometry): Geometry => ({
  stride,
  padding,
  dilation,
  groups,
});

const spatialSizes = (operation: string, x: Tensor): [number, number] => [
  sizeAt(operation, x, 2),
  sizeAt(operation, x, 3),
];

/** Height and width of the output of a convolution over `x`. */
function outputSizes(
  operation: string,
  inputs: readonly Tensor[],
  x: Tensor,
  kernel: readonly number[],
  geometry: Geometry,
): [number, number] {
  const [height, width] = spatialSizes(operation, x);
  const result: [number, number] = [
    convolutionSize(height, kernel[0] ?? 1, geometry, 0),
    convolutionSize(width, kernel[1] ?? 1, geometry, 1),
  ];
  if (result.some((size) => size < 1)) {
    throw shapeError(
      operation,
      inputs,
      `the kernel does not fit into the padded map (output ${result.join("×")})`,
    );
  }
  return result;
}

function checkOperands(operation: string, inputs: readonly Tensor[], expected: string): void {
  const first = inputAt(inputs, 0);
  if (inputs.slice(0, 2).some((input) => input.rank !== 4)) {
    throw shapeError(operation, inputs, `wants ${expected}`);
  }
  if (inputs.some((input) => input.dtype !== first.dtype)) {
    throw shapeError(operation, inputs, "dtypes differ; cast one of them");
  }
}

export const convolutionOperation: Operation<Geometry> = {
  name: "conv2d",
  infer: (inputs, geometry) => {
    checkOperands("conv2d", inputs, "an input [N, C, H, W] and a weight [O, C / groups, kh, kw]");
    const [x, weight, bias] = [inputAt(inputs, 0), inputAt(inputs, 1), inputs[2]];
    const { groups } = geometry;
    const [channels, filters] = [sizeAt("conv2d", x, 1), sizeAt("conv2d", weight, 0)];
    if (channels % groups !== 0 || filters % groups !== 0) {
      throw shapeError(
        "conv2d",
        inputs,
        `${channels} and ${filters} channels do not divide into ${groups} groups`,
      );
    }
    if (weight.shape[1] !== channels / groups) {
      const each = groups === 1 ? "" : ` in each of ${groups} groups`;
      throw shapeError(
        "conv2d",
        inputs,
        `the input has ${channels / groups} channels${each}, the weight takes ${weight.shape[1]}`,
      );
    }
    if (bias !== undefined && (bias.rank !== 1 || bias.shape[0] !== filters)) {
      throw shapeError("conv2d", inputs, `the bias must be [${filters}]`);
    }
    const size = outputSizes("conv2d", inputs, x, spatialSizes("conv2d", weight), geometry);
    return [{ shape: [dimAt(x, 0), filters, ...size], dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients, attributes, needed }) => {
    const [x, weight, g] = [inputAt(inputs, 0), inputAt(inputs, 1), onlyGradient(gradients)];
    return [
      needed[0] ? inputGradient(g, weight, attributes, spatialSizes("conv2d", x)) : undefined,
      needed[1] ? kernelGradient(x, g, attributes, spatialSizes("conv2d", weight)) : undefined,
      needed[2] ? multiply(sum(channelMean(g), 0), positionsOf(g)) : undefined,
    ];
  },
  lower: (context, node) => [
    lowerConvolution(
      context,
      inputAt(node.inputs, 0),
      inputAt(node.inputs, 1),
      node.inputs[2],
      outputAt(node.outputs, 0),
      node.attributes,
    ),
  ],
};

const inputGradientOperation: Operation<InputGradientAttributes> = {
  name: "conv2dInputGradient",
  infer: (inputs, attributes) => {
    checkOperands(
      "conv2dInputGradient",
      inputs,
      "an output gradient [N, O, h, w] and a weight [O, C / groups, kh, kw]",
    );
    const [g, weight] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (g.shape[1] !== weight.shape[0]) {
      throw shapeError(
        "conv2dInputGradient",
        inputs,
        `${g.shape[1]} channels, the weight takes ${weight.shape[0]}`,
      );
    }
    const channels = sizeAt("conv2dInputGradient", weight, 1) * attributes.groups;
    return [{ shape: [dimAt(g, 0), channels, ...attributes.size], dtype: g.dtype }];
  },
  gradient: ({ inputs, gradients, attributes, needed }) => {
    const [y, weight, g] = [inputAt(inputs, 0), inputAt(inputs, 1), onlyGradient(gradients)];
    return [
      needed[0] ? apply(convolutionOperation, [g, weight], geometryOf(attributes)) : undefined,
      needed[1] ? kernelGradient(g, y, attributes, spatialSizes("conv2d", weight)) : undefined,
    ];
  },
  lower: (context, node) => [
    lowerInputGradient(
      context,
      inputAt(node.inputs, 0),
      inputAt(node.inputs, 1),
      outputAt(node.outputs, 0),
      node.attributes,
    ),
  ],
};

const kernelGradientOperation: Operation<KernelGradientAttributes> = {
  name: "conv2dKernelGradient",
  infer: (inputs, { size, groups }) => {
    checkOperands(
      "conv2dKernelGradient",
      inputs,
      "an input [N, C, H, W] and an output gradient [N, O, h, w]",
    );
    const [x, g] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const channels = sizeAt("conv2dKernelGradient", x, 1) / groups;
    return [{ shape: [dimAt(g, 1), channels, ...size], dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients, attributes, needed }) => {
    const [x, y, g] = [inputAt(inputs, 0), inputAt(inputs, 1), onlyGradient(gradients)];
    return [
      needed[0] ? inputGradient(y, g, attributes, spatialSizes("conv2d", x)) : undefined,
      needed[1] ? apply(convolutionOperation, [x, g], geometryOf(attributes)) : undefined,
    ];
  },
  lower: (context, node) => [
    lowerKernelGradient(
      context,
      inputAt(node.inputs, 0),
      inputAt(node.inputs, 1),
      outputAt(node.outputs, 0),
      node.attributes,
    ),
  ],
};

/** The gradient of a convolution to its input, whose height and width are given. @throws ShapeError */
export function inputGradient(
  g: Tensor,
  weight: Tensor,
  geometry: Geometry,
  size: readonly [number, number],
): Tensor {
  return apply(inputGradientOperation, [g, weight], { ...geometryOf(geometry), size });
}

function kernelGradient(x: Tensor, g: Tensor, geometry: Geometry, size: readonly [number, number]): Tensor {
  return apply(kernelGradientOperation, [x, g], { ...geometryOf(geometry), size });
}

/**
 * Those of some leaves of a graph that nothing but convolutions reads, as their weights, and whose channels are whole blocks: they may be kept
 * in the order of the blocked kernels.
 */
export function orderedWeights<T extends Tensor>(
  outputs: readonly Tensor[],
  leaves: readonly T[],
  block: number,
): ReadonlySet<T> {
  const read = new Set<Tensor>();
  const other = new Set<Tensor>(outputs);
  for (const { operation, inputs } of reachableNodes(outputs)) {
    const takesWeight =
      operation.name === convolutionOperation.name || operation.name === inputGradientOperation.name;
    for (const [i, input] of inputs.entries()) (takesWeight && i === 1 ? read : other).add(input);
  }
  return new Set(leaves.filter((leaf) => read.has(leaf) && !other.has(leaf) && canOrder(leaf.shape, block)));
}
