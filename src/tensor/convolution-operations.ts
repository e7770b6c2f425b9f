import { channelMean, positionsOf } from "./channels.ts";
import { convolutionSize, type Geometry } from "./convolution-geometry.ts";
import { lowerConvolution, lowerInputGradient, lowerKernelGradient } from "./convolution-lowering.ts";
import { multiply, sum } from "./core.ts";
import { apply, dimAt, inputAt, type Operation, outputAt, shapeError, sizeAt, type Tensor } from "./graph.ts";

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
    const [x, weight, g] = [inputAt(inputs, 0), inputAt(inputs, 1), gradients[0]];
    if (g === undefined) return [];
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
    const [y, weight, g] = [inputAt(inputs, 0), inputAt(inputs, 1), gradients[0]];
    if (g === undefined) return [];
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
    const [x, y, g] = [inputAt(inputs, 0), inputAt(inputs, 1), gradients[0]];
    if (g === undefined) return [];
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
