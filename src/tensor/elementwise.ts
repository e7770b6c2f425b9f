import { lowerTo } from "./core.ts";
import { type Attributes, apply, inputAt, type Operation, type Tensor } from "./graph.ts";

// Everything that works element by element.
export * from "./activations.ts";
export * from "./arithmetic.ts";
export * from "./comparison.ts";
export * from "./functions.ts";
export { leakyRelu } from "./leaky-relu.ts";

const stopGradientOperation: Operation = {
  name: "stopGradient",
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: () => [undefined],
  lower: lowerTo("Identity"),
  simplify: ([x]) => x,
};

/** The same values, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return apply(stopGradientOperation, [x], {} satisfies Attributes);
}
