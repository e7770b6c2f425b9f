import { concat, float32, matmul, softmax, split, type Tensor } from "../tensor/index.ts";
import { constant } from "../tensor/leaves.ts";

/** Far below any score, yet its exponential is 0 and not NaN where all of a row is masked. */
export const MASKED = -1e9;

/** Positions of a block are at most about as many, so that little is computed in vain and products stay large. */
const BLOCK = 96;

/** A window has at least about as many blocks. */
const BLOCKS_OF_WINDOW = 2;

/**
 * Attention in which each position sees itself and those before it: q, k, v [n, heads, T, d] → [n, heads, T, d]. Queries
 * are taken in blocks, each with the keys that any of it may see, so that about half of the scores are never computed.
 * @param window how many positions each sees, itself included; all before it unless told
 */
export function causalAttention(q: Tensor, k: Tensor, v: Tensor, window = Number.POSITIVE_INFINITY): Tensor {
  const [, , length = 1, size = 1] = q.shape.map(Number);
  const block = Math.max(1, Math.min(BLOCK, window / BLOCKS_OF_WINDOW));
  const count = Math.max(1, Math.round(length / block));
  const starts = Array.from({ length: count + 1 }, (_, i) => Math.round((i * length) / count));
  const sizes = starts.slice(1).map((end, i) => end - (starts[i] ?? 0));
  const [queries, keys, values] = [q.mul(1 / Math.sqrt(size)), k, v].map((x) => split(x, 2, sizes));
  const outputs = sizes.map((rows, b) => {
    const start = starts[b] ?? 0;
    const first = starts.findLastIndex((at, i) => i <= b && at <= Math.max(0, start - window + 1));
    const seen = (parts: readonly Tensor[] = []): Tensor => concat(parts.slice(first, b + 1), 2);
    const scores = matmul(queries?.[b] ?? q, seen(keys), { transposeB: true });
    const mask = blockMask(rows, start - (starts[first] ?? 0), window);
    return matmul(softmax(scores.add(mask)), seen(values));
  });
  return concat(outputs, 2);
}

/** What is added to the scores of a block, [rows, before + rows]: query i stands at key before + i. */
function blockMask(rows: number, before: number, window: number): Tensor {
  const columns = before + rows;
  const mask = new Float32Array(rows * columns);
  for (let i = 0; i < mask.length; i++) {
    const distance = before + Math.floor(i / columns) - (i % columns);
    if (distance < 0 || distance >= window) mask[i] = MASKED;
  }
  return constant(float32(mask, [rows, columns]));
}
