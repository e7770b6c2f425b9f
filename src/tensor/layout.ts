import type { LowerContext, Tensor } from "./graph.ts";

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
