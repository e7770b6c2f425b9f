import { elementCount, int64 } from "./array.ts";
import { dimAt, type LowerContext, type Lowered, type OnnxNode, type Tensor } from "./graph.ts";
import { filled } from "./leaves.ts";
import { isConcrete, type Shape, sameShape, sizeOf } from "./shape.ts";

// Blocked layout (NCHWc): maps [N, C, H, W] kept in memory as [N, C / b, H, W, b], for which ONNX Runtime's CPU provider
// has its fastest convolutions. The declared shape stays [N, C, H, W].

/** The domain of ONNX Runtime's kernels for blocked layout. */
export const BLOCKED_DOMAIN = "com.microsoft.nchwc";

/** Whether a map can be had in blocked layout: float32 (or a mask made of such), its channels whole blocks. */
export function canBlock(context: LowerContext, { shape, dtype }: Tensor): boolean {
  const { block } = context.target;
  const channels = shape[1];
  return (
    block > 0 &&
    shape.length === 4 &&
    typeof channels === "number" &&
    channels % block === 0 &&
    (dtype === "float32" || dtype === "bool")
  );
}

/**
 * Whether an operation that can work in either layout had better do so in blocked layout: where fewer of the maps that
 * it reads would have to be reordered, and on a draw.
 */
export function prefersBlocked(context: LowerContext, maps: readonly Tensor[]): boolean {
  if (!maps.every((map) => canBlock(context, map)) || !maps.some((map) => context.hasBlocked(map)))
    return false;
  const count = (holds: (map: Tensor) => boolean): number => maps.filter(holds).length;
  return count((map) => !context.hasBlocked(map)) <= count((map) => context.onlyBlocked(map));
}

/**
 * Lets the blocked convolution that made a map do more: its node, if nothing but the caller wants the map, is replaced by
 * a changed one. Undefined where the map comes from elsewhere or the change is declined.
 */
export function extendConvolution(
  context: LowerContext,
  map: Tensor,
  change: (node: OnnxNode) => OnnxNode | undefined,
): string | undefined {
  if (context.target.block === 0 || context.uses(map) !== 1 || !context.onlyBlocked(map)) return undefined;
  const name = context.blockedValue(map);
  const node = context.unreadNode(name);
  if (node?.op !== "Conv" || node.domain !== BLOCKED_DOMAIN) return undefined;
  const changed = change(node);
  return changed && context.replaceUnread(name, changed);
}

/** A map added to the result of a blocked convolution by the convolution itself. */
export function addToConvolution(context: LowerContext, a: Tensor, b: Tensor): string | undefined {
  const other = (map: Tensor): Tensor => (map === a ? b : a);
  for (const map of [b, a]) {
    const name = extendConvolution(context, map, ({ inputs, ...node }) => {
      const [x = "", weight = "", bias = "", sum] = inputs;
      if (sum !== undefined || node.attributes?.activation !== undefined) return undefined;
      return { ...node, inputs: [x, weight, bias, context.blockedValue(other(map))] };
    });
    if (name !== undefined) return name;
  }
  return undefined;
}

/** Whether there is one number a channel, [1, C] and ones, or one a channel of every sample, [N, C] and ones. */
function isPerChannel(x: Tensor, { shape, dtype }: Tensor): boolean {
  return (
    dtype === x.dtype &&
    shape.length === x.rank &&
    !sameShape(shape, x.shape) &&
    shape[1] === x.shape[1] &&
    (shape[0] === 1 || shape[0] === x.shape[0]) &&
    shape.slice(2).every((size) => size === 1)
  );
}

/** Numbers for every sample need the number of samples while lowering. */
export function knownSamples(x: Tensor, factors: readonly Tensor[]): boolean {
  return typeof x.shape[0] === "number" || factors.every(({ shape }) => shape[0] === 1);
}

/**
 * Σ factor · map + shift on maps in blocked layout. A factor and a shift a channel are a depthwise 1×1 convolution: one
 * threaded pass, which also adds the previous term. With a factor for every sample, samples and channels together are
 * the channels of one image; the memory is the same. Factors are [N, C] or [1, C], axes of size 1 behind them ignored.
 */
export function emitBlockedCombination(
  context: LowerContext,
  x: Tensor,
  maps: readonly string[],
  factors: readonly (Tensor | 1)[],
  shift: Tensor | undefined,
): Lowered {
  const [c, h, w] = [1, 2, 3].map((axis) => Number(dimAt(x, axis))) as [number, number, number];
  const given = [...factors, shift].filter((factor) => factor !== undefined && factor !== 1);
  const n = dimAt(x, 0);
  const perSample = typeof n === "number" && n > 1 && given.some(({ shape }) => shape[0] !== 1);
  const channels = perSample ? n * c : c;
  const reshaped = (name: string, shape: readonly number[]): string =>
    context.emit1({ op: "Reshape", inputs: [name, context.constant(int64(shape, [shape.length]))] });
  const perChannel = (factor: Tensor, shape: readonly number[]): string => {
    const row = reshaped(context.value(factor), factor.shape[0] === 1 && perSample ? [1, c] : shape);
    if (!perSample || factor.shape[0] !== 1) return row;
    const all = context.emit1({ op: "Expand", inputs: [row, context.constant(int64([n, c], [2]))] });
    return reshaped(all, shape);
  };
  const weight = [channels, 1, 1, 1];
  let sum: string | undefined;
  maps.forEach((map, i) => {
    const factor = factors[i] ?? 1;
    const bias = i === 0 && shift !== undefined ? perChannel(shift, [channels]) : "";
    sum = context.emit1({
      op: "Conv",
      domain: BLOCKED_DOMAIN,
      inputs: [
        perSample ? reshaped(map, [1, channels, h, w]) : map,
        factor === 1 ? context.constant(filled("float32", weight, 1)) : perChannel(factor, weight),
        ...(sum === undefined ? (bias === "" ? [] : [bias]) : ["", sum]),
      ],
      attributes: { group: { int: channels }, kernel_shape: { ints: [1, 1] } },
    });
  });
  return { blocked: perSample ? reshaped(sum ?? "", [n, c, h, w]) : (sum ?? "") };
}

/**
 * factor · map + shift, one of each a channel, by the convolution that made the map: its weight is multiplied and its bias changed, so that no
 * pass over the map is needed. Undefined where somebody else reads the map, too, or has more weights than the map has numbers.
 */
export function foldIntoConvolution(
  context: LowerContext,
  map: Tensor,
  factor: Tensor,
  shift: Tensor | undefined,
): string | undefined {
  const { operation, inputs } = map.node;
  const weight = inputs[1];
  if (operation.name !== "conv2d" || weight === undefined) return undefined;
  if (factor.shape[0] !== 1 || (shift !== undefined && shift.shape[0] !== 1)) return undefined;
  const [weights, numbers] = [sizeOf(weight.shape), sizeOf(map.shape)];
  if (typeof weights !== "number" || (typeof numbers === "number" && weights > numbers)) return undefined;
  const { block: b } = context.target;
  const channels = Number(dimAt(map, 1));
  const reshaped = (name: string, shape: readonly number[]): string =>
    context.emit1({ op: "Reshape", inputs: [name, context.constant(int64(shape, [shape.length]))] });
  return extendConvolution(context, map, (node) => {
    const [x = "", blocked = "", bias = "", sum] = node.inputs;
    if (sum !== undefined || node.attributes?.activation !== undefined) return undefined;
    const factors = context.value(factor);
    // The channels of a block are the last axis of a blocked weight.
    const lanes = [reshaped(blocked, [channels / b, -1, b]), reshaped(factors, [channels / b, 1, b])];
    const multiplied = context.emit1({ op: "Mul", inputs: lanes });
    const row = (name: string): string => reshaped(name, [channels]);
    const added = [
      ...(bias === "" ? [] : [context.emit1({ op: "Mul", inputs: [bias, row(factors)] })]),
      ...(shift === undefined ? [] : [row(context.value(shift))]),
    ];
    return {
      ...node,
      inputs: [
        x,
        reshaped(multiplied, weight.shape.map(Number)),
        ...(added.length === 0
          ? []
          : [added.reduce((one, other) => context.emit1({ op: "Add", inputs: [one, other] }))]),
      ],
    };
  });
}

/** Lowers x + b or x · b in blocked layout where b has one number a channel; undefined where that does not apply. */
export function lowerPerChannel(
  context: LowerContext,
  op: "Add" | "Mul",
  [a, b]: readonly [Tensor, Tensor],
): Lowered | undefined {
  for (const [map, factor] of [
    [a, b],
    [b, a],
  ] as const) {
    const applies =
      isPerChannel(map, factor) && knownSamples(map, [factor]) && prefersBlocked(context, [map]);
    if (!applies) continue;
    const name = context.blockedValue(map);
    return op === "Mul"
      ? emitBlockedCombination(context, map, [name], [factor], undefined)
      : emitBlockedCombination(context, map, [name], [1], factor);
  }
  return undefined;
}

/**
 * Lowers the mean or sum over the positions of a map in blocked layout; undefined where that does not apply. One value a
 * channel lies in memory in the same order in both layouts.
 */
export function lowerPositionReduction(
  context: LowerContext,
  op: string,
  x: Tensor,
  axes: readonly number[],
  keepDims: boolean,
): string | undefined {
  const positions: Shape = x.shape.slice(2);
  const applies =
    (op === "ReduceMean" || op === "ReduceSum") &&
    axes.join() === "2,3" &&
    isConcrete(positions) &&
    canBlock(context, x) &&
    prefersBlocked(context, [x]);
  if (!applies) return undefined;
  const means = context.emit1({
    op: "GlobalAveragePool",
    domain: BLOCKED_DOMAIN,
    inputs: [context.blockedValue(x)],
  });
  const kept = keepDims
    ? means
    : context.emit1({
        op: "Reshape",
        inputs: [means, context.constant(int64([-1, Number(dimAt(x, 1))], [2]))],
      });
  if (op === "ReduceMean") return kept;
  const count = context.constant(filled(x.dtype, [], elementCount(positions)));
  return context.emit1({ op: "Mul", inputs: [kept, count] });
}
