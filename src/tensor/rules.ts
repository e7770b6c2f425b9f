import type { NdArray } from "./array.ts";
import {
  broadcastTo,
  broadcastType,
  evaluateElementwise,
  fold,
  lowerElementwise,
  lowerTo,
  reduceTo,
  scalarShape,
} from "./core.ts";
import {
  apply,
  inputAt,
  type LowerContext,
  type Lowered,
  type Node,
  type Operation,
  onlyGradient,
  outputAt,
  shapeError,
  type Tensor,
  type TensorType,
} from "./graph.ts";
import { filled } from "./leaves.ts";
import { isConcrete, type Shape, sizeOf, strides } from "./shape.ts";

// What the rules of several operations share.

/** Largest constant that folding may make. */
const FOLD_LIMIT = 1 << 16;

/** Folds an operation that only moves elements: `offset` gives the element of the constant that stands at a position. */
export function pickElements(
  x: NdArray | undefined,
  type: TensorType,
  offset: (position: readonly number[], strides: readonly number[]) => number,
): NdArray | undefined {
  const { shape } = type;
  const size = sizeOf(shape);
  if (x === undefined || !isConcrete(shape) || typeof size !== "number" || size > FOLD_LIMIT)
    return undefined;
  const result = filled(type.dtype, shape, 0);
  const from = strides(x.shape);
  const to = strides(shape);
  for (let i = 0; i < size; i++) {
    const position = shape.map((dim, axis) => Math.floor(i / outputAt(to, axis)) % dim);
    result.data[i] = x.data[offset(position, from)] ?? 0;
  }
  return result;
}

/** Repeats a gradient along those axes for which a rule needs it in full; other axes of size 1 stay as they are. */
export function materialize(gradient: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return broadcastTo(
    gradient,
    gradient.shape.map((dim, axis) => (axes.includes(axis) ? outputAt(shape, axis) : dim)),
  );
}

type Lowering = (context: LowerContext, node: Node) => readonly Lowered[];

/** A function of one number, applied to every element of a float tensor. */
export function unaryOperation(definition: {
  readonly name: string;
  readonly lower: Lowering;
  readonly compute: (x: number) => number;
  /** Derivative as a function of input and output, or its product with the incoming gradient. */
  readonly gradient: (x: Tensor, y: Tensor, g: Tensor) => Tensor | undefined;
  readonly simplify?: (x: Tensor) => Tensor | undefined;
}): (x: Tensor) => Tensor {
  const operation: Operation = {
    name: definition.name,
    broadcastGradient: true,
    infer: (inputs) => {
      const x = inputAt(inputs, 0);
      if (x.dtype === "bool") throw shapeError(definition.name, inputs, "wants numbers, not booleans");
      return [x];
    },
    gradient: ({ inputs, outputs, gradients }) => [
      definition.gradient(inputAt(inputs, 0), outputAt(outputs, 0), onlyGradient(gradients)),
    ],
    lower: definition.lower,
    evaluate: (inputs, _attributes, type) => evaluateElementwise(inputs, type, definition.compute),
    ...(definition.simplify && {
      simplify: (inputs: readonly Tensor[]) => definition.simplify?.(inputAt(inputs, 0)),
    }),
  };
  return (x) => apply(operation, [x], {});
}

/** A lowering of an operation on one tensor to several ONNX nodes, still element by element. */
export function lowerBy(build: (emit: Emit, x: string, scalar: Scalar) => string): Lowering {
  return (context, node) => {
    const { dtype, shape } = outputAt(node.outputs, 0);
    const emit: Emit = (op, ...inputs) => context.emit1({ op, inputs });
    const scalar: Scalar = (value) => context.constant(filled(dtype, scalarShape(shape), value));
    return [lowerElementwise(context, node, ([x]) => build(emit, x, scalar))];
  };
}

type Emit = (op: string, ...inputs: readonly string[]) => string;

type Scalar = (value: number) => string;

/** A two-operand operation whose gradient rule returns the full-shape gradients of both operands. */
export function binaryOperation(definition: {
  readonly name: string;
  readonly onnx: string;
  readonly compute: (a: number, b: number) => number;
  readonly gradient: (a: Tensor, b: Tensor, y: Tensor, g: Tensor) => readonly [() => Tensor, () => Tensor];
  readonly simplify?: (a: Tensor, b: Tensor) => Tensor | undefined;
}): Operation {
  return {
    name: definition.name,
    broadcastGradient: true,
    infer: (inputs) => [broadcastType(definition.name, inputs)],
    gradient: ({ inputs, outputs, gradients, needed }) => {
      const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
      const y = outputAt(outputs, 0);
      const both = definition.gradient(a, b, y, onlyGradient(gradients));
      return [
        needed[0] ? reduceTo(both[0](), y.shape, a.shape) : undefined,
        needed[1] ? reduceTo(both[1](), y.shape, b.shape) : undefined,
      ];
    },
    lower: lowerTo(definition.onnx),
    evaluate: fold(definition.compute),
    ...(definition.simplify && {
      simplify: (inputs: readonly Tensor[]) => definition.simplify?.(inputAt(inputs, 0), inputAt(inputs, 1)),
    }),
  };
}
