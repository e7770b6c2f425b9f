import { OptionError } from "../errors.ts";
import { edges, type Padding, pair } from "./convolution.ts";
import { type Attributes, dimAt, type OnnxAttribute, shapeError, sizeAt, type Tensor } from "./graph.ts";
import type { Shape } from "./shape.ts";

/** Kernel, stride and padding [top, left, bottom, right] of a pooling operation. */
export interface WindowAttributes extends Attributes {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}

export interface PoolingOptions {
  /** Height and width of the window. */
  readonly kernel: number | readonly [number, number];
  /** Step of the window; the kernel unless told, so that windows do not overlap. */
  readonly stride?: number | readonly [number, number];
  /** Border around the map, smaller than the kernel; 0 unless told. */
  readonly padding?: Padding;
}

/** Checked window attributes. @throws OptionError */
export function windowAttributes(operation: string, options: PoolingOptions): WindowAttributes {
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
export function pooledShape(
  operation: string,
  x: Tensor,
  { kernel, stride, padding }: WindowAttributes,
): Shape {
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
export function windowNode({ kernel, stride, padding }: WindowAttributes): Record<string, OnnxAttribute> {
  return { kernel_shape: { ints: kernel }, strides: { ints: stride }, pads: { ints: padding } };
}
