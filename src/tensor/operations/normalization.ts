import { OptionError } from "../../errors.ts";
import {
  type ChannelTerm,
  channelCombination,
  channelMean,
  channelMeanOfProduct,
  lowerCombination,
  positionsOf,
} from "../convolution/channels.ts";
import { add, int64Vector, multiply, reduceTo, reshape, sum } from "../core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  onlyGradient,
  outputAt,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { constant, filled, full } from "../leaves.ts";
import { type Dim, type Shape, sameShape, showShape, sizeOf } from "../shape.ts";
import { neg, reciprocal, relu, sqrt, square, sub } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { mean } from "./reduce.ts";

/** Learned factor and shift of a normalization, and what is added to the variance. */
export interface NormalizationOptions {
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  /** Added to the variance. Default: 1e-5. */
  readonly epsilon?: number;
}

interface LayerNormAttributes extends Attributes {
  readonly epsilon: number;
}

/** Normalizes the rows of [R, L]: one kernel, which also gives mean and inverse deviation [R, 1]. */
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
    const [x, weight, bias] = [outputAt(names, 0), outputAt(names, 1), outputAt(names, 2)];
    const average = rowMean(x);
    const centered = emit("Sub", x, average);
    const variance = emit(
      "Add",
      rowMean(emit("Mul", centered, centered)),
      context.constant(filled(dtype, [], epsilon)),
    );
    const inverse = emit("Reciprocal", emit("Sqrt", variance));
    return [emit("Add", emit("Mul", emit("Mul", centered, inverse), weight), bias), average, inverse];
  },
};

export interface LayerNormOptions extends NormalizationOptions {
  /** How many trailing axes are normalized together. Default: those of the weight, or 1. */
  readonly axes?: number;
}

/**
 * Layer normalization (Ba, Kiros and Hinton 2016) over the trailing axes: (x − mean) / √(variance + ε) · weight + bias,
 * weight and bias of the shape of those axes.
 * @throws ShapeError
 */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  const axes = options.axes ?? options.weight?.rank ?? 1;
  if (!Number.isInteger(axes) || axes < 1 || axes > x.rank) {
    throw shapeError("layerNorm", [x], `cannot normalize the last ${axes} axes`);
  }
  const trailing: Shape = x.shape.slice(x.rank - axes);
  const length = sizeOf(trailing);
  const rows = sizeOf(x.shape.slice(0, x.rank - axes));
  if (typeof length !== "number" || rows === undefined) {
    throw shapeError("layerNorm", [x], "the normalized axes must be known while tracing");
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

/** Over what the statistics of a map [N, C, ...] are taken: groups of channels of a sample, or the whole batch. */
interface StatisticsAttributes extends Attributes {
  readonly groups: number;
  readonly overBatch: boolean;
}

/** Means over positions [N or 1, C] → means over all that share statistics, [N or 1, groups]. */
function perGroup(means: Tensor, groups: number): Tensor {
  const channels = sizeAt("groupNorm", means, 1);
  return groups === channels ? means : matmul(means, membership(means, channels, groups, groups / channels));
}

/** Statistics [N or 1, groups] → one a channel, [N or 1, C]. */
function perChannel(statistics: Tensor, channels: number): Tensor {
  const groups = sizeAt("groupNorm", statistics, 1);
  if (groups === channels) return statistics;
  return matmul(statistics, membership(statistics, channels, groups, 1), { transposeB: true });
}

const memberships = new Map<string, Tensor>();

/** The matrix [C, groups] that holds a value where the channel belongs to the group; one constant for all layers. */
function membership({ dtype }: Tensor, channels: number, groups: number, value: number): Tensor {
  const key = `${dtype} ${channels} ${groups} ${value}`;
  const known = memberships.get(key);
  if (known !== undefined) return known;
  const matrix = filled(dtype, [channels, groups], 0);
  for (let channel = 0; channel < channels; channel++) {
    matrix.data[channel * groups + Math.floor((channel * groups) / channels)] = value;
  }
  const made = constant(matrix);
  memberships.set(key, made);
  return made;
}

/**
 * y = x · scale + shift with scale and shift made from weight, bias and the statistics of x. It is an operation of its
 * own because its gradient, in which mean and inverse deviation depend on x too, then takes two passes over memory:
 * with the means of g and of g·x over positions, the gradient is a combination of g and x with factors made of them
 * (Wu and He, Group Normalization, 2018; Ioffe and Szegedy, Batch Normalization, 2015). The statistics are inputs, so
 * that the second derivative follows them into x.
 */
const normalizeOperation: Operation<StatisticsAttributes> = {
  name: "normalise",
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: ({ inputs, attributes, gradients, needed }) => {
    const [x, weight, , average, inverse, scale] = inputs as readonly [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const g = onlyGradient(gradients);
    const channels = sizeAt("groupNorm", x, 1);
    const overRows = (means: Tensor): Tensor => (attributes.overBatch ? mean(means, 0, true) : means);
    const count = positionsOf(x) * (attributes.overBatch ? sizeAt("batchNorm", x, 0) : 1);
    const toRows = (means: Tensor, rows: Tensor): Tensor =>
      multiply(reduceTo(means, means.shape, rows.shape), count);
    const plain = overRows(channelMean(g));
    const biasGradient = needed[2] ? toRows(plain, inputAt(inputs, 2)) : undefined;
    if (!needed[0] && !needed[1]) return [undefined, undefined, biasGradient];
    const weighted = overRows(channelMeanOfProduct(g, x));
    const weightGradient = (): Tensor => {
      const centered = sub(weighted, multiply(perChannel(average, channels), plain));
      return toRows(multiply(centered, perChannel(inverse, channels)), weight);
    };
    const inputGradient = (): Tensor => {
      const a = perGroup(multiply(plain, weight), attributes.groups);
      const b = perGroup(multiply(weighted, weight), attributes.groups);
      const factor = multiply(sub(multiply(a, average), b), multiply(square(inverse), inverse));
      const shift = neg(add(multiply(factor, average), multiply(a, inverse)));
      const terms: ChannelTerm[] = [
        { x: g, factor: scale },
        { x, factor: perChannel(factor, channels) },
      ];
      return channelCombination(terms, perChannel(shift, channels));
    };
    return [needed[0] ? inputGradient() : undefined, needed[1] ? weightGradient() : undefined, biasGradient];
  },
  lower: (context, { inputs }) => [
    lowerCombination(context, [inputAt(inputs, 0)], [inputAt(inputs, 5)], inputAt(inputs, 6)),
  ],
};

/** A parameter [C] as [1, C]; one that may be given for every sample, [N, C], as it is. */
function rowsOf(
  operation: string,
  x: Tensor,
  parameter: Tensor | undefined,
  value: number,
  perSample = false,
): Tensor {
  const channels = sizeAt(operation, x, 1);
  if (parameter === undefined) return full([1, channels], value, x.dtype);
  if (perSample && parameter.rank === 2) {
    if (sameShape(parameter.shape, x.shape.slice(0, 2))) return parameter;
    throw shapeError(operation, [x, parameter], `weight and bias of samples must be [N, ${channels}]`);
  }
  if (parameter.rank !== 1 || parameter.shape[0] !== channels) {
    throw shapeError(operation, [x, parameter], `weight, bias and statistics must be [${channels}]`);
  }
  return reshape(parameter, [1, channels]);
}

function checkMap(operation: string, x: Tensor): void {
  if (x.rank < 2) throw shapeError(operation, [x], "wants [N, C, ...]");
}

function normalize(
  operation: string,
  x: Tensor,
  average: Tensor,
  variance: Tensor,
  attributes: StatisticsAttributes,
  options: NormalizationOptions,
): Tensor {
  const channels = sizeAt(operation, x, 1);
  const weight = rowsOf(operation, x, options.weight, 1, !attributes.overBatch);
  const bias = rowsOf(operation, x, options.bias, 0, !attributes.overBatch);
  const inverse = reciprocal(sqrt(add(variance, options.epsilon ?? 1e-5)));
  const scale = multiply(perChannel(inverse, channels), weight);
  const shift = sub(bias, multiply(perChannel(average, channels), scale));
  return apply(normalizeOperation, [x, weight, bias, average, inverse, scale, shift], attributes);
}

/**
 * Group normalization (Wu and He 2018): [N, C, ...], the channels in `groups` of neighbors; each group of each sample
 * gets mean 0 and variance 1, then weight and bias are applied: [C], or [N, C] with their own for every sample. The
 * variance is taken as E[x²] − E[x]².
 * @throws ShapeError
 * @throws OptionError where the channels do not divide into the groups
 */
export function groupNorm(x: Tensor, groups: number, options: NormalizationOptions = {}): Tensor {
  checkMap("groupNorm", x);
  const channels = sizeAt("groupNorm", x, 1);
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new OptionError(`groupNorm: ${channels} channels do not divide into ${groups} groups`);
  }
  const attributes = { groups, overBatch: false };
  const average = perGroup(channelMean(x), groups);
  const squares = perGroup(channelMeanOfProduct(x, x), groups);
  const variance = relu(sub(squares, square(average)));
  return normalize("groupNorm", x, average, variance, attributes, options);
}

/**
 * Instance normalization (Ulyanov et al. 2016): group normalization with a group for every channel.
 * @throws ShapeError
 */
export function instanceNorm(x: Tensor, options: NormalizationOptions = {}): Tensor {
  checkMap("instanceNorm", x);
  return groupNorm(x, sizeAt("instanceNorm", x, 1), options);
}

/** A normalized batch and its statistics [C] (the variance is the population's: divided by the count). */
export interface BatchNormResult {
  readonly y: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/**
 * Batch normalization with the statistics of the batch (Ioffe and Szegedy 2015): each channel of [N, C, ...] gets mean 0
 * and variance 1 over samples and positions, then weight [C] and bias [C] are applied. The statistics are returned so
 * that a layer can keep running averages.
 * @throws ShapeError
 */
export function batchNorm(x: Tensor, options: NormalizationOptions = {}): BatchNormResult {
  checkMap("batchNorm", x);
  const channels = sizeAt("batchNorm", x, 1);
  const attributes = { groups: channels, overBatch: true };
  const average = mean(channelMean(x), 0, true);
  // In two passes: tables come with means far from 0.
  const one = full([1, channels], 1, x.dtype);
  const centered = channelCombination([{ x, factor: one }], neg(average));
  const variance = mean(channelMeanOfProduct(centered, centered), 0, true);
  return {
    y: normalize("batchNorm", x, average, variance, attributes, options),
    mean: reshape(average, [channels]),
    variance: reshape(variance, [channels]),
  };
}

/**
 * Batch normalization with given statistics [C], as in inference: (x − mean) / √(variance + ε) · weight + bias.
 * @throws ShapeError
 */
export function batchNormWith(
  x: Tensor,
  statistics: { readonly mean: Tensor; readonly variance: Tensor },
  options: NormalizationOptions = {},
): Tensor {
  const operation = "batchNorm";
  checkMap(operation, x);
  const inverse = reciprocal(
    sqrt(add(rowsOf(operation, x, statistics.variance, 1), options.epsilon ?? 1e-5)),
  );
  const factor = multiply(inverse, rowsOf(operation, x, options.weight, 1));
  const shift = sub(
    rowsOf(operation, x, options.bias, 0),
    multiply(rowsOf(operation, x, statistics.mean, 0), factor),
  );
  return channelCombination([{ x, factor }], shift);
}
