import { OptionError } from "../../errors.ts";
import { add, reshape } from "../core.ts";
import { apply, dimAt, shapeError, sizeAt, type Tensor } from "../graph.ts";
import type { Geometry } from "./geometry.ts";
import { convolutionOperation, inputGradient } from "./operations.ts";

/** A number for both directions, [vertical, horizontal], or for padding also [top, left, bottom, right]. */
export type Padding = number | readonly [number, number] | readonly [number, number, number, number];

export interface ConvolutionOptions {
  /** Step of the kernel. Default: 1. */
  readonly stride?: number | readonly [number, number];
  /** Zeros added around the map. Default: 0. */
  readonly padding?: Padding;
  /** Distance between neighboring kernel elements. Default: 1. */
  readonly dilation?: number | readonly [number, number];
  /** Number of groups of channels that are convolved apart. Default: 1. */
  readonly groups?: number;
  /** Added to every output channel; of shape [O]. */
  readonly bias?: Tensor;
}

/** A number stands for both directions. */
export function pair(value: number | readonly [number, number]): readonly [number, number] {
  return typeof value === "number" ? [value, value] : value;
}

/** Padding as [top, left, bottom, right]. */
export function edges(padding: Padding): readonly [number, number, number, number] {
  if (typeof padding === "number") return [padding, padding, padding, padding];
  return padding.length === 4 ? padding : [padding[0], padding[1], padding[0], padding[1]];
}

function geometry(operation: string, options: ConvolutionOptions): Geometry {
  const result = {
    stride: pair(options.stride ?? 1),
    padding: edges(options.padding ?? 0),
    dilation: pair(options.dilation ?? 1),
    groups: options.groups ?? 1,
  };
  const whole = (least: number) => (value: number) => Number.isInteger(value) && value >= least;
  const positive = [...result.stride, ...result.dilation, result.groups].every(whole(1));
  if (!positive || !result.padding.every(whole(0))) {
    throw new OptionError(
      `${operation}: stride [${result.stride}], dilation [${result.dilation}] and groups ${result.groups} must be positive integers, padding [${result.padding}] integers ≥ 0`,
    );
  }
  return result;
}

/**
 * Two-dimensional cross-correlation with PyTorch's layouts: x [N, C, H, W], weight [O, C / groups, kh, kw] →
 * [N, O, H', W'] with H' = ⌊(H + top + bottom − dilation·(kh − 1) − 1) / stride⌋ + 1.
 * @throws ShapeError
 * @throws OptionError where stride, dilation, padding or groups are not such integers
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvolutionOptions = {}): Tensor {
  const { bias } = options;
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  return apply(convolutionOperation, inputs, geometry("conv2d", options));
}

/**
 * One-dimensional cross-correlation: x [N, C, L], weight [O, C / groups, k] → [N, O, L'].
 * Padding is a number or [before, after].
 * @throws ShapeError
 */
export function conv1d(
  x: Tensor,
  weight: Tensor,
  options: {
    readonly stride?: number;
    readonly padding?: number | readonly [number, number];
    readonly dilation?: number;
    readonly groups?: number;
    readonly bias?: Tensor;
  } = {},
): Tensor {
  if (x.rank !== 3 || weight.rank !== 3) {
    throw shapeError("conv1d", [x, weight], "wants an input [N, C, L] and a weight [O, C / groups, k]");
  }
  const row = (tensor: Tensor): Tensor =>
    reshape(tensor, [dimAt(tensor, 0), dimAt(tensor, 1), 1, dimAt(tensor, 2)]);
  const [before, after] = pair(options.padding ?? 0);
  const y = conv2d(row(x), row(weight), {
    ...(options.bias && { bias: options.bias }),
    stride: [1, options.stride ?? 1],
    padding: [0, before, 0, after],
    dilation: [1, options.dilation ?? 1],
    groups: options.groups ?? 1,
  });
  return reshape(y, [dimAt(y, 0), dimAt(y, 1), dimAt(y, 3)]);
}

export interface TransposedConvolutionOptions extends ConvolutionOptions {
  /** Rows and columns added to one side of the output, smaller than the stride. Default: 0. */
  readonly outputPadding?: number | readonly [number, number];
}

/**
 * Transposed convolution with PyTorch's layouts: x [N, C, H, W], weight [C, O / groups, kh, kw] →
 * [N, O, H', W'] with H' = (H − 1)·stride − top − bottom + dilation·(kh − 1) + outputPadding + 1. It is the gradient
 * of a convolution to its input.
 * @throws ShapeError
 * @throws OptionError where an option is not acceptable
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  options: TransposedConvolutionOptions = {},
): Tensor {
  const { bias } = options;
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  const shape = geometry("convTranspose2d", options);
  if (x.rank !== 4 || weight.rank !== 4) {
    throw shapeError(
      "convTranspose2d",
      inputs,
      "wants an input [N, C, H, W] and a weight [C, O / groups, kh, kw]",
    );
  }
  if (x.shape[1] !== weight.shape[0] || sizeAt("convTranspose2d", x, 1) % shape.groups !== 0) {
    throw shapeError(
      "convTranspose2d",
      inputs,
      `${x.shape[1]} channels in ${shape.groups} groups, the weight takes ${weight.shape[0]}`,
    );
  }
  const extra = pair(options.outputPadding ?? 0);
  if (
    extra.some((value, axis) => !Number.isInteger(value) || value < 0 || value >= (shape.stride[axis] ?? 1))
  ) {
    throw new OptionError(
      `convTranspose2d: outputPadding [${extra}] must be smaller than the stride [${shape.stride}]`,
    );
  }
  const size = ([0, 1] as const).map((axis) => {
    const kernel = sizeAt("convTranspose2d", weight, 2 + axis);
    const [before, after] = [shape.padding[axis], shape.padding[2 + axis] ?? 0];
    const steps = (sizeAt("convTranspose2d", x, 2 + axis) - 1) * shape.stride[axis];
    return steps - before - after + shape.dilation[axis] * (kernel - 1) + extra[axis] + 1;
  });
  const [height = 0, width = 0] = size;
  if (height < 1 || width < 1) {
    throw shapeError("convTranspose2d", inputs, `the padding leaves an output of ${height}×${width}`);
  }
  const y = inputGradient(x, weight, shape, [height, width]);
  if (bias === undefined) return y;
  const filters = sizeAt("convTranspose2d", y, 1);
  if (bias.rank !== 1 || bias.shape[0] !== filters) {
    throw shapeError("convTranspose2d", inputs, `the bias must be [${filters}]`);
  }
  return add(y, reshape(bias, [1, filters, 1, 1]));
}
