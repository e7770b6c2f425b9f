import { add, int64Vector, multiply, reshape, sum } from "./core.ts";
import { square, sub } from "./elementwise.ts";
import { type Attributes, apply, inputAt, type Operation, shapeError, sizeAt, type Tensor } from "./graph.ts";
import { filled, full } from "./leaves.ts";
import { mean } from "./reduce.ts";
import { type Dim, type Shape, sameShape, showShape, sizeOf } from "./shape.ts";

/** Learned factor and shift of a normalisation, and what is added to the variance. */
export interface NormalisationOptions {
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  /** Added to the variance; 1e-5 unless told. */
  readonly epsilon?: number;
}

interface LayerNormAttributes extends Attributes {
  readonly epsilon: number;
}

/** Normalises the rows of [R, L]: one kernel, which also gives mean and inverse deviation [R, 1]. */
const layerNormOperation: Operation<LayerNormAttributes> = {
  name: "layerNorm",
  infer: (inputs) => {
    const { shape, dtype } = inputAt(inputs, 0);
    const statistic = { shape: [shape[0] ?? 1, 1], dtype };
    return [{ shape, dtype }, statistic, statistic];
  },
  gradient: ({ inputs, outputs, gradients: [g, toMean, toInverse], needed }) => {
    const [x, weight] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const [average, inverse] = [inputAt(outputs, 1), inputAt(outputs, 2)];
    const share = 1 / sizeAt("layerNorm", x, 1);
    const normal = multiply(sub(x, average), inverse);
    const parts: Tensor[] = [];
    let weightGradient: Tensor | undefined;
    if (g !== undefined) {
      const product = multiply(g, normal);
      weightGradient = sum(product, 0);
      const weighted = multiply(g, weight);
      const onMean = mean(weighted, 1, true);
      const onDeviation = mean(multiply(product, weight), 1, true);
      parts.push(multiply(sub(sub(weighted, onMean), multiply(normal, onDeviation)), inverse));
    }
    if (toMean !== undefined) parts.push(multiply(toMean, share));
    if (toInverse !== undefined) {
      parts.push(multiply(normal, multiply(toInverse, multiply(square(inverse), -share))));
    }
    return [
      needed[0] ? parts.reduce(add) : undefined,
      needed[1] ? weightGradient : undefined,
      needed[2] && g !== undefined ? sum(g, 0) : undefined,
    ];
  },
  lower: (context, { inputs, outputs, attributes: { epsilon } }) => {
    const names = inputs.map((input) => context.value(input));
    const { dtype } = inputAt(inputs, 0);
    const wanted = outputs.slice(1).some((output) => context.uses(output) > 0);
    if (dtype === "float32") {
      return context.emit({
        op: "LayerNormalization",
        inputs: names,
        attributes: { axis: { int: 1 }, epsilon: { float: epsilon } },
        outputs: wanted ? 3 : 1,
      });
    }
    // The kernel gives its statistics in float32.
    const emit = (op: string, ...args: readonly string[]): string => context.emit1({ op, inputs: args });
    const rowMean = (value: string): string => emit("ReduceMean", value, context.constant(int64Vector([1])));
    const [x = "", weight = "", bias = ""] = names;
    const average = rowMean(x);
    const centred = emit("Sub", x, average);
    const variance = emit(
      "Add",
      rowMean(emit("Mul", centred, centred)),
      context.constant(filled(dtype, [], epsilon)),
    );
    const inverse = emit("Reciprocal", emit("Sqrt", variance));
    return [emit("Add", emit("Mul", emit("Mul", centred, inverse), weight), bias), average, inverse];
  },
};

export interface LayerNormOptions extends NormalisationOptions {
  /** How many trailing axes are normalised together; those of the weight, or 1, unless told. */
  readonly axes?: number;
}

/**
 * Layer normalisation (Ba, Kiros and Hinton 2016) over the trailing axes: (x − mean) / √(variance + ε) · weight + bias,
 * weight and bias of the shape of those axes.
 * @throws ShapeError
 */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  const axes = options.axes ?? options.weight?.rank ?? 1;
  if (!Number.isInteger(axes) || axes < 1 || axes > x.rank) {
    throw shapeError("layerNorm", [x], `cannot normalise the last ${axes} axes`);
  }
  const trailing: Shape = x.shape.slice(x.rank - axes);
  const length = sizeOf(trailing);
  const rows = sizeOf(x.shape.slice(0, x.rank - axes));
  if (typeof length !== "number" || rows === undefined) {
    throw shapeError("layerNorm", [x], "the normalised axes must be known while tracing");
  }
  const flat = (parameter: Tensor | undefined, value: number): Tensor => {
    if (parameter === undefined) return full([length], value, x.dtype);
    if (!sameShape(parameter.shape, trailing)) {
      throw shapeError("layerNorm", [x, parameter], `weight and bias must be ${showShape(trailing)}`);
    }
    return reshape(parameter, [length]);
  };
  const matrix: readonly Dim[] = [rows, length];
  const y = apply(layerNormOperation, [reshape(x, matrix), flat(options.weight, 1), flat(options.bias, 0)], {
    epsilon: options.epsilon ?? 1e-5,
  });
  return reshape(y, x.shape);
}
