import {
  asTensor,
  binary,
  broadcastType,
  evaluateElementwise,
  isFloat,
  lowerTo,
  reduceTo,
  type TensorLike,
} from "./core.ts";
import { fold } from "./elementwise-operation.ts";
import { apply, inputAt, type Operation, outputAt, shapeError, type Tensor } from "./graph.ts";
import { constant } from "./leaves.ts";
import { broadcastShapes } from "./shape.ts";

function comparison(name: string, onnx: string, compute: (a: number, b: number) => boolean): Operation {
  return {
    name,
    infer: (inputs) => [{ ...broadcastType(name, inputs), dtype: "bool" }],
    gradient: () => [undefined, undefined],
    lower: lowerTo(onnx),
    evaluate: fold((a, b) => Number(compute(a, b))),
  };
}

const equalOperation = comparison("equal", "Equal", (a, b) => a === b);

const lessOperation = comparison("less", "Less", (a, b) => a < b);

const lessEqualOperation = comparison("lessEqual", "LessOrEqual", (a, b) => a <= b);

const greaterOperation = comparison("greater", "Greater", (a, b) => a > b);

const greaterEqualOperation = comparison("greaterEqual", "GreaterOrEqual", (a, b) => a >= b);

const andOperation = comparison("logicalAnd", "And", (a, b) => a !== 0 && b !== 0);

const orOperation = comparison("logicalOr", "Or", (a, b) => a !== 0 || b !== 0);

/** a = b, as booleans. @throws ShapeError */
export function equal(a: TensorLike, b: TensorLike): Tensor {
  return binary(equalOperation, a, b);
}

/** a < b, as booleans. @throws ShapeError */
export function less(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessOperation, a, b);
}

/** a ≤ b, as booleans. @throws ShapeError */
export function lessEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessEqualOperation, a, b);
}

/** a > b, as booleans. @throws ShapeError */
export function greater(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterOperation, a, b);
}

/** a ≥ b, as booleans. @throws ShapeError */
export function greaterEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterEqualOperation, a, b);
}

/** Both, for booleans. @throws ShapeError */
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return binary(andOperation, a, b);
}

/** Either, for booleans. @throws ShapeError */
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  return binary(orOperation, a, b);
}

function predicate(
  name: string,
  onnx: string,
  wants: "bool" | "float",
  compute: (x: number) => boolean,
): Operation {
  return {
    name,
    infer: (inputs) => {
      const x = inputAt(inputs, 0);
      if (wants === "bool" ? x.dtype !== "bool" : !isFloat(x.dtype)) {
        throw shapeError(name, inputs, `wants a ${wants} tensor`);
      }
      return [{ shape: x.shape, dtype: "bool" }];
    },
    gradient: () => [undefined],
    lower: (context, node) => [context.emit1({ op: onnx, inputs: [context.value(inputAt(node.inputs, 0))] })],
    evaluate: (inputs, _attributes, type) => evaluateElementwise(inputs, type, (x) => Number(compute(x))),
  };
}

const notOperation = predicate("logicalNot", "Not", "bool", (x) => x === 0);

const isNaNOperation = predicate("isNan", "IsNaN", "float", Number.isNaN);

/** The opposite, for booleans. */
export function logicalNot(x: Tensor): Tensor {
  return apply(notOperation, [x], {});
}

/** True where x is not a number. */
export function isNan(x: Tensor): Tensor {
  return apply(isNaNOperation, [x], {});
}

const whereOperation: Operation = {
  name: "where",
  broadcastGradient: true,
  infer: (inputs) => {
    const condition = inputAt(inputs, 0);
    const { dtype } = broadcastType("where", inputs.slice(1));
    const shape = broadcastShapes(...inputs.map((input) => input.shape));
    if (shape === undefined) throw shapeError("where", inputs, "shapes do not broadcast together");
    if (condition.dtype !== "bool") throw shapeError("where", inputs, "the condition must be boolean");
    return [{ shape, dtype }];
  },
  gradient: ({ inputs, outputs, gradients, needed }) => {
    const [condition, a, b] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
    const g = outputAt(gradients, 0) ?? constant(0);
    const { shape } = outputAt(outputs, 0);
    return [
      undefined,
      needed[1] ? reduceTo(where(condition, g, 0), shape, a.shape) : undefined,
      needed[2] ? reduceTo(where(condition, 0, g), shape, b.shape) : undefined,
    ];
  },
  lower: lowerTo("Where"),
  evaluate: (inputs, _attributes, type) =>
    evaluateElementwise(inputs, type, (condition, a = 0, b = 0) => (condition === 0 ? b : a)),
};

/** a where the condition holds, b elsewhere, with broadcasting. @throws ShapeError */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  const dtype = typeof a !== "number" ? a.dtype : typeof b !== "number" ? b.dtype : "float32";
  return apply(whereOperation, [condition, asTensor(a, dtype), asTensor(b, dtype)], {});
}
