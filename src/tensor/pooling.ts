import { OptionError } from "../errors.ts";
import { pair } from "./convolution.ts";
import { int64Vector, multiply } from "./core.ts";
import {
  type Attributes,
  apply,
  dimAt,
  inputAt,
  type LowerContext,
  type Operation,
  outputAt,
  shapeError,
  sizeAt,
  type Tensor,
} from "./graph.ts";
import { BLOCKED_DOMAIN, prefersBlocked } from "./layout.ts";
import { constant, filled } from "./leaves.ts";
import { matmul } from "./matmul.ts";
import { onlyGradient } from "./rules.ts";
import {
  type PoolingOptions,
  pooledShape,
  type WindowAttributes,
  windowAttributes,
  windowNode,
} from "./windows.ts";

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

export { maxPool2d } from "./max-pooling.ts";
export type { PoolingOptions } from "./windows.ts";
