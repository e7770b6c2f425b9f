import { OptionError } from "../errors.ts";
import { matmul, softmax } from "../tensor/index.operations.ts";
import {
  arange,
  concat,
  float32,
  linear,
  logicalAnd,
  Parameter,
  split,
  type Tensor,
  where,
} from "../tensor/index.ts";
import { constant } from "../tensor/leaves.ts";
import { xavierUniform, zeros } from "./initializers.ts";
import { Dropout, Linear } from "./linear.ts";
import { LayerNorm } from "./normalization.ts";

/** Far below any score, yet its exponential is 0 and not NaN where all of a row is masked. */
export const MASKED = -1e9;

/** Positions of a block are at most about as many, so that little is computed in vain and products stay large. */
const BLOCK = 96;

/** A window has at least about as many blocks. */
const BLOCKS_OF_WINDOW = 2;

/**
 * Attention in which each position sees itself and those before it: q, k, v [n, heads, T, d] → [n, heads, T, d]. Queries
 * are taken in blocks, each with the keys that any of it may see, so that about half of the scores are never computed.
 * @param window how many positions each sees, itself included (default: all before it)
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

/** Keys and values of consecutive positions, each [n, heads, positions, d]. */
export interface KeysAndValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** What one position attends to while a sequence is made position by position. */
export interface StepMemory {
  /** Keys and values of the last positions before the segment that is being made; none at its start. */
  readonly past?: KeysAndValues | undefined;
  /** Those of the segment, whose later positions are not filled yet. */
  readonly segment: KeysAndValues;
  /** The position within the segment, an int64 scalar. */
  readonly position: Tensor;
}

/** Multi-head self-attention of each position to itself and those before it; parameters are nn.MultiheadAttention's. */
export class CausalSelfAttention {
  readonly in_proj_weight: Parameter;
  readonly in_proj_bias: Parameter;
  readonly out_proj: Linear;
  private readonly heads: number;
  private readonly window: number | undefined;

  /**
   * @param window how many positions each sees, itself included (default: all before it)
   * @throws OptionError where the heads do not divide the width
   */
  constructor(width: number, heads: number, window?: number) {
    if (width % heads !== 0) {
      throw new OptionError(`option heads: ${heads} heads must divide the width ${width}`);
    }
    this.in_proj_weight = new Parameter([3 * width, width], xavierUniform());
    this.in_proj_bias = new Parameter([3 * width], zeros);
    this.out_proj = new Linear(width, width, { initializeBias: zeros });
    this.heads = heads;
    this.window = window;
  }

  /** x [n, T, width] → queries, keys and values, each [n, heads, T, d]. */
  private project(x: Tensor): readonly [Tensor, Tensor, Tensor] {
    const [n = 1, length = 1, width = 1] = x.shape;
    const pieces = split(linear(x, this.in_proj_weight, this.in_proj_bias), 2, 3);
    const size = Number(width) / this.heads;
    return pieces.map((piece) => piece.reshape([n, length, this.heads, size]).transpose([0, 2, 1, 3])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
  }

  /** Whole sequences: [n, T, width] → the same shape. */
  forward(x: Tensor): Tensor {
    const mixed = causalAttention(...this.project(x), this.window);
    return this.out_proj.forward(mixed.transpose([0, 2, 1, 3]).reshape(x.shape));
  }

  /** The next position, x [n, width] → the same shape, and the segment with its keys and values in their positions. */
  step(x: Tensor, { past, segment, position }: StepMemory): StepResult {
    const [query, key, value] = this.project(x.unsqueeze(1));
    const length = Number(segment.keys.shape[2]);
    const here = arange(0, length).equal(position).reshape([length, 1]);
    const next = { keys: where(here, key, segment.keys), values: where(here, value, segment.values) };
    const parts = past === undefined ? [next] : [past, next];
    const scaled = query.mul(1 / Math.sqrt(Number(query.shape[3])));
    const scores = concat(
      parts.map(({ keys }) => matmul(scaled, keys, { transposeB: true })),
      3,
    );
    const before = Number(past?.keys.shape[2] ?? 0);
    // Counted from the start of the segment; those before it are negative.
    const positions = arange(-before, length);
    const reached = positions.greater(position.sub(this.window ?? before + length));
    const seen = logicalAnd(positions.lessEqual(position), reached);
    const weights = split(softmax(where(seen, scores, MASKED)), 3, past ? [before, length] : [length]);
    const [mixed = scaled, rest] = parts.map(({ values }, i) => matmul(weights[i] ?? scores, values));
    const sum = rest === undefined ? mixed : mixed.add(rest);
    return { y: this.out_proj.forward(sum.reshape(x.shape)), segment: next };
  }
}

/** What a layer makes of the next position. */
export interface StepResult {
  readonly y: Tensor;
  readonly segment: KeysAndValues;
}

export interface TransformerLayerOptions {
  readonly width: number;
  readonly heads: number;
  /** Units of the perceptron. */
  readonly hidden: number;
  readonly dropout: number;
  /** How many positions each sees, itself included (default: all before it). */
  readonly window?: number | undefined;
}

/**
 * A layer of a decoder-only Transformer with normalization before its parts: x + attention(norm₁ x), then
 * x + perceptron(norm₂ x) with GELU. Parameters are those of nn.TransformerEncoderLayer.
 */
export class TransformerLayer {
  readonly self_attn: CausalSelfAttention;
  readonly linear1: Linear;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  private readonly dropout: Dropout;

  /** @throws OptionError where the heads do not divide the width */
  constructor({ width, heads, hidden, dropout, window }: TransformerLayerOptions) {
    this.self_attn = new CausalSelfAttention(width, heads, window);
    this.linear1 = new Linear(width, hidden);
    this.linear2 = new Linear(hidden, width);
    this.norm1 = new LayerNorm(width);
    this.norm2 = new LayerNorm(width);
    this.dropout = new Dropout(dropout);
  }

  /** Whole sequences: [n, T, width] → the same shape. */
  forward(x: Tensor): Tensor {
    const attended = this.self_attn.forward(this.norm1.forward(x));
    return this.perceptron(x.add(this.dropout.forward(attended)));
  }

  /** The next position, x [n, width] → the same shape. */
  step(x: Tensor, memory: StepMemory): StepResult {
    const { y, segment } = this.self_attn.step(this.norm1.forward(x), memory);
    return { y: this.perceptron(x.add(y)), segment };
  }

  private perceptron(x: Tensor): Tensor {
    const hidden = this.dropout.forward(this.linear1.forward(this.norm2.forward(x)).gelu());
    return x.add(this.dropout.forward(this.linear2.forward(hidden)));
  }
}
