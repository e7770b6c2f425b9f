import { add, multiply } from "./core.ts";
import { where } from "./elementwise.ts";
import { shapeError, sizeAt, type Tensor } from "./graph.ts";
import { lowerTriangularMask } from "./indexing.ts";
import { matmul } from "./matmul.ts";
import { softmax } from "./reduce.ts";

export interface AttentionOptions {
  /** Broadcastable to [..., L, S]: booleans (true: may be attended to) or floats that are added to the scores. */
  readonly mask?: Tensor;
  /** Position i attends to positions 0…i only. */
  readonly causal?: boolean;
  /** Factor of the scores; 1 / √d unless told. */
  readonly scale?: number;
}

/** Far below any score, yet its exponential is 0 and not NaN where all of a row is masked. */
const MASKED = -1e9;

/**
 * Scaled dot-product attention, softmax(q · kᵀ / √d) · v (Vaswani et al., Attention Is All You Need, 2017, eq. 1):
 * q [..., L, d], k [..., S, d], v [..., S, e] → [..., L, e]. Leading axes (batch, heads) broadcast.
 * @throws ShapeError
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const name = "scaledDotProductAttention";
  if (Math.min(q.rank, k.rank, v.rank) < 2) throw shapeError(name, [q, k, v], "wants at least two axes each");
  if (q.shape.at(-1) !== k.shape.at(-1) || k.shape.at(-2) !== v.shape.at(-2)) {
    throw shapeError(name, [q, k, v], "wants q [..., L, d], k [..., S, d] and v [..., S, e]");
  }
  const width = sizeAt(name, q, -1);
  const scaled = multiply(q, options.scale ?? 1 / Math.sqrt(width));
  let scores = matmul(scaled, k, { transposeB: true });
  if (options.causal) {
    scores = where(lowerTriangularMask(sizeAt(name, q, -2), sizeAt(name, k, -2)), scores, MASKED);
  }
  const { mask } = options;
  if (mask !== undefined) {
    scores = mask.dtype === "bool" ? where(mask, scores, MASKED) : add(scores, mask);
  }
  return matmul(softmax(scores, -1), v);
}
