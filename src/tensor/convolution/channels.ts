import {
  BLOCKED_DOMAIN,
  emitBlockedCombination,
  foldIntoConvolution,
  knownSamples,
  prefersBlocked,
} from "../blocked.ts";
import { int64Vector, multiply, reduceTo, reshape } from "../core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type LowerContext,
  type Lowered,
  type Operation,
  onlyGradient,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { filled } from "../leaves.ts";
import { type Shape, sameShape } from "../shape.ts";
import { steadyReduction } from "../steady.ts";

// What normalization needs of maps [N, C, ...]: means over positions and linear combinations with one factor a channel.
// They form a closed set under differentiation and can be done on blocked values, so that activations need not be
// reordered between convolutions.

const spatialAxes = (x: Tensor): number[] => x.shape.map((_, axis) => axis).slice(2);
const channelShape = (x: Tensor): Shape => x.shape.slice(0, 2);

/** A per-channel tensor [N or 1, C] as [N or 1, C, 1, ...] of a rank. */
function spread(x: Tensor, rank: number): Tensor {
  return reshape(x, [...x.shape, ...new Array<1>(rank - 2).fill(1)]);
}

/** The values in blocked layout where that saves reorders. */
function blockedNames(context: LowerContext, tensors: readonly Tensor[]): readonly string[] | undefined {
  return prefersBlocked(context, tensors) ? tensors.map((tensor) => context.blockedValue(tensor)) : undefined;
}

const vector = (context: LowerContext, values: readonly number[]): string =>
  context.constant(int64Vector(values));

/** How many positions a map has a channel. */
export function positionsOf(x: Tensor): number {
  return spatialAxes(x).reduce((product, axis) => product * sizeAt("channelMean", x, axis), 1);
}

/** Mean over positions of a value: [N, C], from the plain or from the blocked layout. */
function emitChannelMean(context: LowerContext, name: string, x: Tensor, blocked: boolean): string {
  if (!blocked) {
    const steady = steadyReduction(context, "ReduceMean", x, name, spatialAxes(x), false);
    if (steady !== undefined) return steady;
    return context.emit1({
      op: "ReduceMean",
      inputs: [name, vector(context, spatialAxes(x))],
      attributes: { keepdims: { int: 0 } },
    });
  }
  // One value a channel lies in memory in the same order in both layouts.
  const means = context.emit1({ op: "GlobalAveragePool", domain: BLOCKED_DOMAIN, inputs: [name] });
  return context.emit1({
    op: "Reshape",
    inputs: [means, vector(context, [-1, sizeAt("channelMean", x, 1)])],
  });
}

const channelMeanOperation: Operation = {
  name: "channelMean",
  infer: (inputs) => {
    const x = inputAt(inputs, 0);
    return [{ shape: channelShape(x), dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients }) => {
    const x = inputAt(inputs, 0);
    return [spread(multiply(onlyGradient(gradients), 1 / positionsOf(x)), x.rank)];
  },
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const blocked = blockedNames(context, [x]);
    return [emitChannelMean(context, blocked?.[0] ?? context.value(x), x, blocked !== undefined)];
  },
};

/** Mean over positions: [N, C, ...] → [N, C]. */
export function channelMean(x: Tensor): Tensor {
  return x.rank === 2 ? x : apply(channelMeanOperation, [x], {});
}

const productMeanOperation: Operation = {
  name: "channelMeanOfProduct",
  infer: (inputs) => {
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (!sameShape(a.shape, b.shape)) throw shapeError("channelMeanOfProduct", inputs, "shapes differ");
    return [{ shape: channelShape(a), dtype: a.dtype }];
  },
  gradient: ({ inputs, gradients, needed }) => {
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const factor = multiply(onlyGradient(gradients), 1 / positionsOf(a));
    return [
      needed[0] ? channelCombination([{ x: b, factor }]) : undefined,
      needed[1] ? channelCombination([{ x: a, factor }]) : undefined,
    ];
  },
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const blocked = blockedNames(context, node.inputs);
    const sums = blocked && emitBlockedProductMean(context, blocked, x);
    if (sums !== undefined) return [sums];
    const inputs = blocked ?? node.inputs.map((input) => context.value(input));
    return [emitChannelMean(context, context.emit1({ op: "Mul", inputs }), x, blocked !== undefined)];
  },
};

/**
 * Mean over positions of the product of two maps in blocked layout: a depthwise convolution of the one with the other as its kernel, in which the
 * channels of all samples are those of one image. It reads both once and writes no product. Undefined where the number of samples is not known.
 */
function emitBlockedProductMean(
  context: LowerContext,
  [a = "", b = a]: readonly string[],
  x: Tensor,
): string | undefined {
  const [n, channels] = [x.shape[0], sizeAt("channelMeanOfProduct", x, 1)];
  if (typeof n !== "number" || n === 0) return undefined;
  const size = spatialAxes(x).map((axis) => sizeAt("channelMeanOfProduct", x, axis));
  const reshaped = (name: string, shape: readonly number[]): string =>
    context.emit1({ op: "Reshape", inputs: [name, vector(context, shape)] });
  const sums = context.emit1({
    op: "Conv",
    domain: BLOCKED_DOMAIN,
    inputs: [reshaped(a, [1, n * channels, ...size]), reshaped(b, [n * channels, 1, ...size])],
    attributes: { group: { int: n * channels }, kernel_shape: { ints: size } },
  });
  const share = context.constant(filled("float32", [], 1 / positionsOf(x)));
  return context.emit1({ op: "Mul", inputs: [reshaped(sums, [n, channels]), share] });
}

/** Mean over positions of a · b: [N, C, ...] and [N, C, ...] → [N, C]. */
export function channelMeanOfProduct(a: Tensor, b: Tensor): Tensor {
  return a.rank === 2 ? multiply(a, b) : apply(productMeanOperation, [a, b], {});
}

interface CombinationAttributes extends Attributes {
  /** How many maps are combined. */
  readonly terms: number;
}

const combinationOperation: Operation<CombinationAttributes> = {
  name: "channelCombination",
  infer: (inputs) => [{ shape: inputAt(inputs, 0).shape, dtype: inputAt(inputs, 0).dtype }],
  gradient: ({ inputs, attributes: { terms }, gradients, needed }) => {
    const g = onlyGradient(gradients);
    const toFactor = (average: Tensor, factor: Tensor): Tensor =>
      multiply(reduceTo(average, average.shape, factor.shape), positionsOf(g));
    return inputs.map((input, i) => {
      if (!needed[i]) return undefined;
      if (i < terms) return channelCombination([{ x: g, factor: inputAt(inputs, terms + i) }]);
      if (i < 2 * terms) return toFactor(channelMeanOfProduct(g, inputAt(inputs, i - terms)), input);
      return toFactor(channelMean(g), input);
    });
  },
  lower: (context, { inputs, attributes: { terms } }) => [
    lowerCombination(context, inputs.slice(0, terms), inputs.slice(terms, 2 * terms), inputs[2 * terms]),
  ],
};

/** Lowers Σ factor · map + shift. */
export function lowerCombination(
  context: LowerContext,
  maps: readonly Tensor[],
  factors: readonly Tensor[],
  shift: Tensor | undefined,
): Lowered {
  const x = inputAt(maps, 0);
  const folded = maps.length === 1 && foldIntoConvolution(context, x, inputAt(factors, 0), shift);
  if (folded) return { blocked: folded };
  const blocked = knownSamples(x, [...factors, ...(shift === undefined ? [] : [shift])])
    ? blockedNames(context, maps)
    : undefined;
  return blocked === undefined
    ? combinePlain(context, maps, factors, shift)
    : emitBlockedCombination(context, x, blocked, factors, shift);
}

function combinePlain(
  context: LowerContext,
  maps: readonly Tensor[],
  factors: readonly Tensor[],
  shift: Tensor | undefined,
): string {
  const { rank } = inputAt(maps, 0);
  const spreadValue = (factor: Tensor): string => {
    if (rank === 2) return context.value(factor);
    const shape = [factor.shape[0] === 1 ? 1 : -1, sizeAt("channelCombination", factor, 1)];
    const ones = new Array<number>(rank - 2).fill(1);
    return context.emit1({
      op: "Reshape",
      inputs: [context.value(factor), vector(context, [...shape, ...ones])],
    });
  };
  const parts = maps.map((map, i) =>
    context.emit1({ op: "Mul", inputs: [context.value(map), spreadValue(inputAt(factors, i))] }),
  );
  if (shift !== undefined) parts.push(spreadValue(shift));
  return parts.reduce((left, right) => context.emit1({ op: "Add", inputs: [left, right] }));
}

/** One term of a combination: a map [N, C, ...] and its factor [N, C] or [1, C]. */
export interface ChannelTerm {
  readonly x: Tensor;
  readonly factor: Tensor;
}

/** Σ factor · x + shift, factors and shift [N, C] or [1, C], the maps [N, C, ...] of one shape. */
export function channelCombination(terms: readonly ChannelTerm[], shift?: Tensor): Tensor {
  const maps = terms.map(({ x }) => x);
  const factors = terms.map(({ factor }) => factor);
  const inputs = [...maps, ...factors, ...(shift === undefined ? [] : [shift])];
  const shape = inputAt(maps, 0).shape;
  if (maps.some((map) => !sameShape(map.shape, shape)))
    throw shapeError("channelCombination", maps, "shapes differ");
  return apply(combinationOperation, inputs, { terms: terms.length });
}
