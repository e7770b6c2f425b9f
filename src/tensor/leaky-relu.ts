import { greater, where } from "./comparison.ts";
import { evaluateElementwise, lowerElementwise, multiply } from "./core.ts";
import { type Attributes, apply, inputAt, type Operation, outputAt, type Tensor } from "./graph.ts";
import { extendConvolution } from "./layout.ts";
import { constant, filled } from "./leaves.ts";

interface SlopeAttributes extends Attributes {
  /** Above 0 and below 1. */
  readonly slope: number;
}

/** Times any float but the smallest, this is beyond −1 and 1. */
const STEEP = 1e30;

/**
 * The derivative of a leaky rectifier from its value: 1 above 0, the slope elsewhere. Clipping a steep line is less than
 * half the work of a comparison and a choice.
 */
const stepOperation: Operation<SlopeAttributes> = {
  name: "leakyReluStep",
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: () => [undefined],
  lower: (context, node) => {
    const { dtype } = outputAt(node.outputs, 0);
    const scalar = (value: number): string => context.constant(filled(dtype, [], value));
    return [
      lowerElementwise(context, node, ([y = ""]) =>
        context.emit1({
          op: "Clip",
          inputs: [
            context.emit1({ op: "Mul", inputs: [y, scalar(STEEP)] }),
            scalar(node.attributes.slope),
            scalar(1),
          ],
        }),
      ),
    ];
  },
  evaluate: (inputs, { slope }, type) => evaluateElementwise(inputs, type, (y) => (y > 0 ? 1 : slope)),
};

const leakyReluOperation: Operation<SlopeAttributes> = {
  name: "leakyRelu",
  broadcastGradient: true,
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: ({ outputs, gradients, attributes }) => {
    const step = apply(stepOperation, [outputAt(outputs, 0)], attributes);
    return [multiply(outputAt(gradients, 0) ?? constant(0), step)];
  },
  lower: (context, node) => {
    const { slope } = node.attributes;
    const fused = extendConvolution(context, inputAt(node.inputs, 0), (convolution) =>
      convolution.attributes?.activation === undefined
        ? {
            ...convolution,
            attributes: {
              ...convolution.attributes,
              activation: { string: "LeakyRelu" },
              activation_params: { floats: [slope] },
            },
          }
        : undefined,
    );
    if (fused !== undefined) return [{ blocked: fused }];
    return [
      lowerElementwise(context, node, ([x = ""]) => {
        const { dtype } = outputAt(node.outputs, 0);
        if (dtype === "float32") {
          return context.emit1({ op: "LeakyRelu", inputs: [x], attributes: { alpha: { float: slope } } });
        }
        const less = context.emit1({ op: "Mul", inputs: [x, context.constant(filled(dtype, [], slope))] });
        return context.emit1({ op: "Max", inputs: [x, less] });
      }),
    ];
  },
  evaluate: (inputs, { slope }, type) => evaluateElementwise(inputs, type, (x) => (x > 0 ? x : slope * x)),
};

/** x where positive, `slope` · x elsewhere (Maas et al. 2013); the derivative at 0 is the slope. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  if (slope > 0 && slope < 1) return apply(leakyReluOperation, [x], { slope });
  return where(greater(x, 0), x, multiply(x, slope));
}
