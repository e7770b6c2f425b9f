import type { LowerContext, OnnxNode, Tensor } from "./graph.ts";

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
