import { OptionError } from "../../errors.ts";
import { orthogonal } from "../../nn/initializers.ts";
import { Random } from "../../random.ts";
import { apply, flip, inputAt, type Operation, shapeError } from "../../tensor/index.operations.ts";
import {
  constant,
  conv2d,
  float32,
  type Initializer,
  int64,
  linear,
  Parameter,
  type Tensor,
} from "../../tensor/index.ts";
import { positions } from "./normalization.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

type Order = { readonly order: readonly number[] };

function inverseOf(order: readonly number[]): readonly number[] {
  const inverse = new Array<number>(order.length).fill(0);
  order.forEach((from, to) => {
    inverse[from] = to;
  });
  return inverse;
}

/** Reordering of axis 1. Unlike that of a gather, its gradient needs no scattering: it is the inverse reordering. */
const permuteOperation: Operation<Order> = {
  name: "permute",
  infer: (inputs, { order }) => {
    const x = inputAt(inputs, 0);
    if (x.shape[1] !== order.length) throw shapeError("permute", inputs, `axis 1 must be ${order.length}`);
    return [x];
  },
  gradient: ({ attributes: { order }, gradients }) => [
    gradients[0] && apply(permuteOperation, [gradients[0]], { order: inverseOf(order) }),
  ],
  lower: (context, { inputs, attributes: { order } }) => [
    context.emit1({
      op: "Gather",
      inputs: [context.value(inputAt(inputs, 0)), context.constant(int64(order, [order.length]))],
      attributes: { axis: { int: 1 } },
    }),
  ],
};

/** Puts the components, or the channels, of axis 1 in another order that never changes. Volume is preserved. */
export class Permutation implements Transform {
  /** Position i of the result takes the component at position order[i]. */
  readonly order: readonly number[];

  /** @throws OptionError where a position is missing or taken twice */
  constructor(order: readonly number[]) {
    const sorted = [...order].sort((a, b) => a - b);
    if (sorted.some((place, i) => place !== i))
      throw new OptionError(`permutation: [${order}] must hold each of 0 to ${order.length - 1} once`);
    this.order = [...order];
  }

  /** Last to first. */
  static reversed(size: number): Permutation {
    return new Permutation(Array.from({ length: size }, (_, i) => size - 1 - i));
  }

  /** An order drawn from a seed; all are equally likely. */
  static random(size: number, seed: number): Permutation {
    return new Permutation(Array.from(new Random(seed).permutation(size)));
  }

  forward(x: Tensor): Forward {
    return { y: apply(permuteOperation, [x], { order: this.order }), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    const x = apply(permuteOperation, [y], { order: inverseOf(this.order) });
    return { x, logDet: noVolumeChange(y) };
  }
}

/** A constant matrix [size, size] of 1 where the condition holds, and 0 elsewhere. */
function mask(size: number, holds: (row: number, column: number) => boolean): Tensor {
  const values = Array.from({ length: size * size }, (_, i) => Number(holds(Math.floor(i / size), i % size)));
  return constant(float32(values, [size, size]));
}

/**
 * The factors of a random rotation, both in one matrix: of W = P L U, the elements of L below the diagonal, those of U
 * above, and the logarithms of U's diagonal on it. The rows of the rotation are put in the order that pivoting wants and
 * given the signs that make pivots positive, which leaves it a rotation, or a reflection.
 */
const factorsOfRotation: Initializer = (target, shape, random) => {
  const size = shape[0] ?? 1;
  const drawn = new Float32Array(size * size);
  orthogonal()(drawn, shape, random);
  const rows = Array.from({ length: size }, (_, i) => Array.from(drawn.subarray(i * size, (i + 1) * size)));
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let k = 0; k < size; k++) {
    let pivot = k;
    for (let i = k + 1; i < size; i++) if (Math.abs(at(i, k)) > Math.abs(at(pivot, k))) pivot = i;
    const sign = Math.sign(at(pivot, k));
    const top = (rows[pivot] ?? []).map((value) => sign * value);
    rows[pivot] = rows[k] ?? [];
    rows[k] = top;
    for (let i = k + 1; i < size; i++) {
      const factor = at(i, k) / at(k, k);
      rows[i] = (rows[i] ?? []).map((value, j) =>
        j > k ? value - factor * at(k, j) : j === k ? factor : value,
      );
    }
  }
  rows.forEach((row, i) => {
    target.set(
      row.map((value, j) => (i === j ? Math.log(value) : value)),
      i * size,
    );
  });
};

/**
 * The inverse of a triangular matrix, diagonal blocks of 1, 2, 4, … at a time: with the inverses X of the diagonal blocks
 * of one size, and B what couples pairs of them, the inverses of the blocks of twice that size are X − X B X. This is
 * substitution, in ⌈log₂ size⌉ rounds of two matrix products.
 * @param matrix elements off the diagonal; others are not looked at
 * @param inverseDiagonal matrix with the inverse of the diagonal on it, and zeros elsewhere
 */
export function triangularInverse(matrix: Tensor, inverseDiagonal: Tensor, part: "lower" | "upper"): Tensor {
  const size = Number(matrix.shape[0]);
  let inverse = inverseDiagonal;
  for (let block = 1; block < size; block *= 2) {
    const inPair = (row: number, column: number): boolean =>
      Math.floor(row / (2 * block)) === Math.floor(column / (2 * block)) &&
      Math.floor(row / block) !== Math.floor(column / block) &&
      (part === "lower" ? row > column : row < column);
    inverse = inverse.sub(inverse.matmul(matrix.mul(mask(size, inPair))).matmul(inverse));
  }
  return inverse;
}

/**
 * y = W x on rows [n, c], or at every position of images [n, c, h, w] (an invertible 1×1 convolution), with W = P L U: L
 * unit lower triangular, U upper triangular with positive diagonal, P the fixed permutation that reverses the order. The
 * log-determinant is h · w · Σ log U_ii (Kingma and Dhariwal 2018, "Glow", section 3.2). W starts as a random rotation.
 */
export class InvertibleLinear implements Transform {
  /** L below the diagonal, U above it, log U_ii on it: [size, size]. */
  readonly factors: Parameter;
  private readonly size: number;

  /** @param size columns of rows, or channels of images */
  constructor(size: number) {
    this.size = size;
    this.factors = new Parameter([size, size], factorsOfRotation);
  }

  /** log U_ii on the diagonal of a matrix of zeros. */
  private get logDiagonal(): Tensor {
    return this.factors.mul(mask(this.size, (row, column) => row === column));
  }

  private diagonal(sign: 1 | -1): Tensor {
    const identity = mask(this.size, (row, column) => row === column);
    return this.logDiagonal.mul(sign).exp().mul(identity);
  }

  /** W, [size, size]. */
  get weight(): Tensor {
    const identity = mask(this.size, (row, column) => row === column);
    const lower = this.factors.mul(mask(this.size, (row, column) => row > column)).add(identity);
    const upper = this.factors.mul(mask(this.size, (row, column) => row < column)).add(this.diagonal(1));
    return flip(lower.matmul(upper), 0);
  }

  /** W⁻¹ = U⁻¹ L⁻¹ Pᵀ, [size, size]. */
  get inverseWeight(): Tensor {
    const identity = mask(this.size, (row, column) => row === column);
    const lower = triangularInverse(this.factors, identity, "lower");
    const upper = triangularInverse(this.factors, this.diagonal(-1), "upper");
    return flip(upper.matmul(lower), 1);
  }

  private apply(x: Tensor, weight: Tensor): Tensor {
    return x.rank === 2 ? linear(x, weight) : conv2d(x, weight.reshape([this.size, this.size, 1, 1]));
  }

  forward(x: Tensor): Forward {
    const logDet = this.logDiagonal.sum().mul(positions(x));
    return { y: this.apply(x, this.weight), logDet: noVolumeChange(x).add(logDet) };
  }

  inverse(y: Tensor): Inverse {
    const logDet = this.logDiagonal.sum().mul(positions(y));
    return { x: this.apply(y, this.inverseWeight), logDet: noVolumeChange(y).sub(logDet) };
  }
}
