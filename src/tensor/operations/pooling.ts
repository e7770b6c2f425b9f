import { OptionError } from "../../errors.ts";
import { type DType, elementCount } from "../array.ts";
import { BLOCKED_DOMAIN, prefersBlocked } from "../blocked.ts";
import { edges, type Padding, pair } from "../convolution/convolution.ts";
import { int64Vector, multiply } from "../core.ts";
import {
  type Attributes,
  apply,
  dimAt,
  inputAt,
  type LowerContext,
  type OnnxAttribute,
  type Operation,
  onlyGradient,
  outputAt,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { constant, filled } from "../leaves.ts";
import type { Shape } from "../shape.ts";
import { matmul } from "./matmul.ts";

/** Kernel, stride and padding [top, left, bottom, right] of a pooling operation. */
interface WindowAttributes extends Attributes {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}

export interface PoolingOptions {
  /** Height and width of the window. */
  readonly kernel: number | readonly [number, number];
  /** Step of the window. Default: the kernel, so that windows do not overlap. */
  readonly stride?: number | readonly [number, number];
  /** Border around the map, smaller than the kernel. Default: 0. */
  readonly padding?: Padding;
}

/** Checked window attributes. @throws OptionError */
function windowAttributes(operation: string, options: PoolingOptions): WindowAttributes {
  const kernel = pair(options.kernel);
  const stride = pair(options.stride ?? kernel);
  const padding = edges(options.padding ?? 0);
  const positive = [...kernel, ...stride].every((value) => Number.isInteger(value) && value > 0);
  if (
    !positive ||
    padding.some((value, i) => !Number.isInteger(value) || value < 0 || value >= (kernel[i % 2] ?? 1))
  ) {
    throw new OptionError(
      `${operation}: kernel [${kernel}] and stride [${stride}] must be positive integers, padding [${padding}] integers ≥ 0 and smaller than the kernel`,
    );
  }
  return { kernel, stride, padding };
}

/** The shape after pooling. @throws ShapeError */
function pooledShape(operation: string, x: Tensor, { kernel, stride, padding }: WindowAttributes): Shape {
  if (x.rank !== 4) throw shapeError(operation, [x], "wants [N, C, H, W]");
  const size = ([0, 1] as const).map((axis) => {
    const padded = sizeAt(operation, x, 2 + axis) + padding[axis] + (padding[axis + 2] ?? 0);
    return Math.floor((padded - kernel[axis]) / stride[axis]) + 1;
  });
  if (size.some((value) => value < 1))
    throw shapeError(operation, [x], `is smaller than the window [${kernel}]`);
  return [dimAt(x, 0), dimAt(x, 1), ...size];
}

/** The ONNX attributes of a pooling node. */
function windowNode({ kernel, stride, padding }: WindowAttributes): Record<string, OnnxAttribute> {
  return { kernel_shape: { ints: kernel }, strides: { ints: stride }, pads: { ints: padding } };
}

// The location of every maximum is the operation's second output: its index in the flattened input. The gradient puts the
// incoming values there; being linear, its own gradient takes the values from there.

const maxPoolOperation: Operation<WindowAttributes> = {
  name: "maxPool2d",
  infer: (inputs, attributes) => {
    const x = inputAt(inputs, 0);
    const shape = pooledShape("maxPool2d", x, attributes);
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "int64" },
    ];
  },
  gradient: ({ inputs, outputs, attributes, gradients: [g] }) => {
    if (g === undefined) return [];
    const locations = outputAt(outputs, 1);
    return [apply(scatterMaxima, [g, locations], { ...attributes, shape: inputAt(inputs, 0).shape })];
  },
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const attributes = windowNode(node.attributes);
    if (context.uses(outputAt(node.outputs, 1)) > 0) {
      if (!context.target.contrib) return emitMaximaAndPlaces(context, x, node.attributes);
      return context.emit({ op: "MaxPool", inputs: [context.value(x)], attributes, outputs: 2 });
    }
    if (prefersBlocked(context, [x])) {
      const inputs = [context.blockedValue(x)];
      return [{ blocked: context.emit1({ op: "MaxPool", domain: BLOCKED_DOMAIN, inputs, attributes }) }];
    }
    return [context.emit1({ op: "MaxPool", inputs: [context.value(x)], attributes })];
  },
};

/**
 * Maxima and their locations where the runtime's pooling kernel does not give them (WebGPU): the elements of each window
 * are gone through, one position of the window after another.
 */
function emitMaximaAndPlaces(
  context: LowerContext,
  x: Tensor,
  attributes: WindowAttributes,
): readonly [maxima: string, locations: string] {
  const { kernel, stride, padding } = attributes;
  const name = "maxPool2d";
  const [n, c, h, w] = [0, 1, 2, 3].map((axis) => sizeAt(name, x, axis)) as [number, number, number, number];
  const [, , rows, columns] = pooledShape(name, x, attributes).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const vector = (values: readonly number[]): string => context.constant(int64Vector(values));
  const int64 = (shape: readonly number[], value: (i: number) => number): string =>
    context.constant({
      ...int64Vector(Array.from({ length: elementCount(shape) }, (_, i) => value(i))),
      shape,
    });
  const lowest = context.constant(filled(x.dtype, [], Number.NEGATIVE_INFINITY));
  const [top, left, bottom, right] = padding;
  const pads = vector([0, 0, top, left, 0, 0, bottom, right]);
  const padded = context.emit1({ op: "Pad", inputs: [context.value(x), pads, lowest] });
  let maxima: string | undefined;
  let locations = "";
  for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
    const start = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
    const end = [start[0] + (rows - 1) * stride[0] + 1, start[1] + (columns - 1) * stride[1] + 1];
    const values = context.emit1({
      op: "Slice",
      inputs: [padded, vector(start), vector(end), vector([2, 3]), vector(stride)],
    });
    const here = int64([rows, columns], (i) => {
      const row = Math.floor(i / columns) * stride[0] + start[0] - top;
      return row * w + (i % columns) * stride[1] + start[1] - left;
    });
    if (maxima === undefined) {
      maxima = values;
      locations = context.emit1({ op: "Expand", inputs: [here, vector([n, c, rows, columns])] });
      continue;
    }
    const larger = context.emit1({ op: "Greater", inputs: [values, maxima] });
    maxima = context.emit1({ op: "Where", inputs: [larger, values, maxima] });
    locations = context.emit1({ op: "Where", inputs: [larger, here, locations] });
  }
  const maps = int64([n, c, 1, 1], (i) => i * h * w);
  return [maxima ?? padded, context.emit1({ op: "Add", inputs: [locations, maps] })];
}

interface PlaceAttributes extends WindowAttributes {
  /** The shape of the map that was pooled. */
  readonly shape: Shape;
}

const scatterMaxima: Operation<PlaceAttributes> = {
  name: "maxPool2dGradient",
  infer: (inputs, { shape }) => [{ shape, dtype: inputAt(inputs, 0).dtype }],
  gradient: ({ inputs, attributes, gradients }) => [
    apply(takeMaxima, [onlyGradient(gradients), inputAt(inputs, 1)], attributes),
    undefined,
  ],
  lower: (context, node) => {
    const [g, locations] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1)];
    const { kernel, stride, padding, shape } = node.attributes;
    const exact = ([0, 1] as const).every((axis) => {
      const reached = (sizeAt("maxPool2d", g, 2 + axis) - 1) * stride[axis] + kernel[axis];
      return (
        stride[axis] >= kernel[axis] && reached - padding[axis] - (padding[axis + 2] ?? 0) === shape[2 + axis]
      );
    });
    if (exact) {
      const inputs = [context.value(g), context.value(locations)];
      return [context.emit1({ op: "MaxUnpool", inputs, attributes: windowNode(node.attributes) })];
    }
    const flat = (name: string): string =>
      context.emit1({ op: "Reshape", inputs: [name, context.constant(int64Vector([-1]))] });
    const full = context.shapeValue(shape);
    const size = context.emit1({
      op: "ReduceProd",
      inputs: [full],
      attributes: { keepdims: { int: 1 } },
    });
    const zeros = emitZeros(context, g.dtype, size);
    const scattered = context.emit1({
      op: "ScatterElements",
      inputs: [zeros, flat(context.value(locations)), flat(context.value(g))],
      attributes: { axis: { int: 0 }, reduction: { string: "add" } },
    });
    return [context.emit1({ op: "Reshape", inputs: [scattered, full] })];
  },
};

/** So many zeros. For float32 one node fills the memory, in a third of the time of an expansion. */
function emitZeros(context: LowerContext, dtype: DType, size: string): string {
  if (dtype === "float32") return context.emit1({ op: "ConstantOfShape", inputs: [size] });
  return context.emit1({ op: "Expand", inputs: [context.constant(filled(dtype, [1], 0)), size] });
}

const takeMaxima: Operation<PlaceAttributes> = {
  name: "maxPool2dTake",
  infer: (inputs) => [{ shape: inputAt(inputs, 1).shape, dtype: inputAt(inputs, 0).dtype }],
  gradient: ({ inputs, attributes, gradients }) => [
    apply(scatterMaxima, [onlyGradient(gradients), inputAt(inputs, 1)], attributes),
    undefined,
  ],
  lower: (context, node) => {
    const flat = context.emit1({
      op: "Reshape",
      inputs: [context.value(inputAt(node.inputs, 0)), context.constant(int64Vector([-1]))],
    });
    return [context.emit1({ op: "Gather", inputs: [flat, context.value(inputAt(node.inputs, 1))] })];
  },
};

/**
 * Maximum over windows: [N, C, H, W] → [N, C, H', W'] with H' = ⌊(H + top + bottom − kernel) / stride⌋ + 1. Padding never
 * wins. Among equal elements the first takes the gradient.
 * @throws ShapeError
 * @throws OptionError where kernel, stride or padding is not acceptable
 */
export function maxPool2d(x: Tensor, options: PoolingOptions): Tensor {
  return apply(maxPoolOperation, [x], windowAttributes("maxPool2d", options));
}

/** Whether the windows cover every element exactly once. */
function tiles(x: Tensor, { kernel, stride, padding }: WindowAttributes): boolean {
  return (
    padding.every((value) => value === 0) &&
    ([0, 1] as const).every(
      (axis) => kernel[axis] === stride[axis] && Number(x.shape[2 + axis]) % kernel[axis] === 0,
    )
  );
}

/** The matrix [windows, positions] that averages along one axis. */
function averagingMatrix(
  x: Tensor,
  y: Tensor,
  { kernel, stride, padding }: WindowAttributes,
  axis: 0 | 1,
): Tensor {
  const [positions, windows] = [sizeAt("averagePool2d", x, 2 + axis), sizeAt("averagePool2d", y, 2 + axis)];
  const matrix = filled(x.dtype, [windows, positions], 0);
  for (let i = 0; i < windows; i++) {
    for (let k = 0; k < kernel[axis]; k++) {
      const position = i * stride[axis] + k - padding[axis];
      if (position >= 0 && position < positions) matrix.data[i * positions + position] = 1 / kernel[axis];
    }
  }
  return constant(matrix);
}

const averagePoolOperation: Operation<WindowAttributes> = {
  name: "averagePool2d",
  infer: (inputs, attributes) => {
    const x = inputAt(inputs, 0);
    return [{ shape: pooledShape("averagePool2d", x, attributes), dtype: x.dtype }];
  },
  gradient: ({ inputs, outputs, attributes, gradients }) => {
    const [x, y, g] = [inputAt(inputs, 0), outputAt(outputs, 0), onlyGradient(gradients)];
    const [kh, kw] = attributes.kernel;
    if (tiles(x, attributes)) return [upsampleNearest(multiply(g, 1 / (kh * kw)), [kh, kw])];
    const vertical = averagingMatrix(x, y, attributes, 0);
    const horizontal = averagingMatrix(x, y, attributes, 1);
    return [matmul(vertical, matmul(g, horizontal), { transposeA: true })];
  },
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const attributes = { ...windowNode(node.attributes), count_include_pad: { int: 1 } };
    if (prefersBlocked(context, [x])) {
      return [
        {
          blocked: context.emit1({
            op: "AveragePool",
            domain: BLOCKED_DOMAIN,
            inputs: [context.blockedValue(x)],
            attributes,
          }),
        },
      ];
    }
    return [context.emit1({ op: "AveragePool", inputs: [context.value(x)], attributes })];
  },
};

/**
 * Mean over windows: [N, C, H, W] → [N, C, H', W'] with H' = ⌊(H + top + bottom − kernel) / stride⌋ + 1. Padding counts
 * as zeros, as in PyTorch's default.
 * @throws ShapeError
 * @throws OptionError where kernel, stride or padding is not acceptable
 */
export function averagePool2d(x: Tensor, options: PoolingOptions): Tensor {
  return apply(averagePoolOperation, [x], windowAttributes("averagePool2d", options));
}

interface FactorAttributes extends Attributes {
  readonly factors: readonly [number, number];
}

const upsampleOperation: Operation<FactorAttributes> = {
  name: "upsampleNearest",
  infer: (inputs, { factors }) => {
    const x = inputAt(inputs, 0);
    if (x.rank !== 4) throw shapeError("upsampleNearest", inputs, "wants [N, C, H, W]");
    const size = ([0, 1] as const).map((axis) => sizeAt("upsampleNearest", x, 2 + axis) * factors[axis]);
    return [{ shape: [dimAt(x, 0), dimAt(x, 1), ...size], dtype: x.dtype }];
  },
  // The adjoint of repetition is the sum over each block.
  gradient: ({ attributes: { factors }, gradients }) => [
    multiply(averagePool2d(onlyGradient(gradients), { kernel: factors }), factors[0] * factors[1]),
  ],
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const { factors } = node.attributes;
    if (prefersBlocked(context, [x])) {
      const attributes = { scales: { ints: [1, 1, ...factors] }, mode: { string: "nearest" } };
      const inputs = [context.blockedValue(x)];
      return [{ blocked: context.emit1({ op: "Upsample", domain: BLOCKED_DOMAIN, inputs, attributes }) }];
    }
    return [emitRepetition(context, x, factors)];
  },
};

/** Repeats rows and columns through two axes of size 1. */
function emitRepetition(context: LowerContext, x: Tensor, [fh, fw]: readonly [number, number]): string {
  const [c, h, w] = [1, 2, 3].map((axis) => sizeAt("upsampleNearest", x, axis)) as [number, number, number];
  const vector = (values: readonly number[]): string => context.constant(int64Vector(values));
  const apart = context.emit1({ op: "Reshape", inputs: [context.value(x), vector([-1, c * h, 1, w, 1])] });
  const repeated = context.emit1({ op: "Expand", inputs: [apart, vector([1, 1, fh, 1, fw])] });
  return context.emit1({ op: "Reshape", inputs: [repeated, vector([-1, c, h * fh, w * fw])] });
}

/**
 * Repeats every element in a block of fh × fw: [N, C, H, W] → [N, C, fh·H, fw·W].
 * @throws ShapeError
 * @throws OptionError where a factor is not a positive integer
 */
export function upsampleNearest(x: Tensor, factor: number | readonly [number, number]): Tensor {
  const factors = pair(factor);
  if (factors.some((value) => !Number.isInteger(value) || value < 1)) {
    throw new OptionError(`upsampleNearest: factors [${factors}] must be positive integers`);
  }
  return factors[0] === 1 && factors[1] === 1 ? x : apply(upsampleOperation, [x], { factors });
}
