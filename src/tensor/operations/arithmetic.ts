import {
  asTensor,
  binary,
  broadcastType,
  cast,
  evaluateElementwise,
  fold,
  isConstantOf,
  isFloat,
  lowerTo,
  multiply,
  reduceTo,
  type TensorLike,
} from "../core.ts";
import { apply, inputAt, type Operation, onlyGradient, outputAt, shapeError, type Tensor } from "../graph.ts";
import { binaryOperation, unaryOperation } from "../rules.ts";
import { broadcastShapes, sameShape } from "../shape.ts";

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
    const g = onlyGradient(gradients);
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

const negOperation = unaryOperation({
  name: "neg",
  lower: lowerTo("Neg"),
  compute: (x) => -x,
  gradient: (_x, _y, g) => neg(g),
});

/** −x. */
export function neg(x: Tensor): Tensor {
  return negOperation(x);
}

const subOperation = binaryOperation({
  name: "sub",
  onnx: "Sub",
  compute: (a, b) => a - b,
  gradient: (_a, _b, _y, g) => [() => g, () => neg(g)],
  simplify: (a, b) =>
    isConstantOf(b, 0) && sameShape(broadcastShapes(a.shape, b.shape) ?? [], a.shape) ? a : undefined,
});

/** a − b with broadcasting. @throws ShapeError */
export function sub(a: TensorLike, b: TensorLike): Tensor {
  return binary(subOperation, a, b);
}

const divOperation = binaryOperation({
  name: "div",
  onnx: "Div",
  compute: (a, b) => a / b,
  gradient: (_a, b, y, g) => [() => div(g, b), () => neg(div(multiply(g, y), b))],
  simplify: (a, b) =>
    isConstantOf(b, 1) && sameShape(broadcastShapes(a.shape, b.shape) ?? [], a.shape) ? a : undefined,
});

/** a / b with broadcasting. @throws ShapeError */
export function div(a: TensorLike, b: TensorLike): Tensor {
  return binary(divOperation, a, b);
}

const maximumOperation = binaryOperation({
  name: "maximum",
  onnx: "Max",
  compute: Math.max,
  gradient: (a, b, _y, g) => [
    () => multiply(g, cast(greaterEqual(a, b), g.dtype)),
    () => multiply(g, cast(less(a, b), g.dtype)),
  ],
});

/** The larger of a and b; where they are equal the gradient goes to a. @throws ShapeError */
export function maximum(a: TensorLike, b: TensorLike): Tensor {
  return binary(maximumOperation, a, b);
}

const minimumOperation = binaryOperation({
  name: "minimum",
  onnx: "Min",
  compute: Math.min,
  gradient: (a, b, _y, g) => [
    () => multiply(g, cast(lessEqual(a, b), g.dtype)),
    () => multiply(g, cast(greater(a, b), g.dtype)),
  ],
});

/** The smaller of a and b; where they are equal the gradient goes to a. @throws ShapeError */
export function minimum(a: TensorLike, b: TensorLike): Tensor {
  return binary(minimumOperation, a, b);
}

/** x limited to [low, high]; the gradient is 0 outside. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  return minimum(maximum(x, low), high);
}
