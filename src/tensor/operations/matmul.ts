import { add, multiply, reduceTo, reshape, sum } from "../core.ts";
import {
  type Attributes,
  apply,
  dimAt,
  inputAt,
  type LowerContext,
  type Operation,
  onlyGradient,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { full } from "../leaves.ts";
import { broadcastShapes, multiplyDims, type Shape } from "../shape.ts";
import { type ProductSizes, steadyOperand } from "../steady.ts";
import { where } from "./elementwise.ts";
import { lowerTriangularMask } from "./indexing.ts";
import { softmax } from "./reduce.ts";

/** Which operands of a matrix product are transposed in their last two axes before the product. */
export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

interface MatmulAttributes extends Attributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Rows and columns of an operand as the product sees it. */
function matrixShape(x: Tensor, transposed: boolean): readonly [rows: Shape[number], columns: Shape[number]] {
  return transposed ? [dimAt(x, -1), dimAt(x, -2)] : [dimAt(x, -2), dimAt(x, -1)];
}

const matmulOperation: Operation<MatmulAttributes> = {
  name: "matmul",
  infer: (inputs, { transposeA, transposeB }) => {
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (a.rank < 2 || b.rank < 2) throw shapeError("matmul", inputs, "both operands need at least two axes");
    if (a.dtype !== b.dtype) throw shapeError("matmul", inputs, "dtypes differ; cast one of them");
    const [rows, inner] = matrixShape(a, transposeA);
    const [other, columns] = matrixShape(b, transposeB);
    if (inner !== other) {
      const flags = `${transposeA ? ", first transposed" : ""}${transposeB ? ", second transposed" : ""}`;
      throw shapeError("matmul", inputs, `inner dimensions ${inner} and ${other} differ${flags}`);
    }
    const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
    if (batch === undefined) throw shapeError("matmul", inputs, "leading axes do not broadcast together");
    return [{ shape: [...batch, rows, columns], dtype: a.dtype }];
  },
  // With A' = op(A), B' = op(B): dA' = G·B'ᵀ and dB' = A'ᵀ·G, each again one product with flags.
  gradient: ({ inputs, gradients, attributes: { transposeA, transposeB }, needed }) => {
    const [a, b, g] = [inputAt(inputs, 0), inputAt(inputs, 1), onlyGradient(gradients)];
    const toOperand = (product: Tensor, operand: Tensor): Tensor =>
      reduceTo(product, product.shape, operand.shape);
    return [
      needed[0]
        ? toOperand(
            transposeA
              ? matmul(b, g, { transposeA: transposeB, transposeB: true })
              : matmul(g, b, { transposeB: !transposeB }),
            a,
          )
        : undefined,
      needed[1]
        ? toOperand(
            transposeB
              ? matmul(g, a, { transposeA: true, transposeB: transposeA })
              : matmul(a, g, { transposeA: !transposeA }),
            b,
          )
        : undefined,
    ];
  },
  lower: (context, node) => {
    const [a, b] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1)];
    return [emitMatmul(context, context.value(a), context.value(b), a, b, node.attributes)];
  },
};

/** Sizes of a product whose first operand is not transposed. */
function sizes(a: Tensor, b: Tensor, transposeB: boolean): ProductSizes {
  const size = (dim: Shape[number]): number | undefined => (typeof dim === "number" ? dim : undefined);
  return { m: size(dimAt(a, -2)), k: size(dimAt(a, -1)), n: size(dimAt(b, transposeB ? -2 : -1)) };
}

/** Emits the cheapest node for a product of values of the given types. */
function emitMatmul(
  context: LowerContext,
  a: string,
  b: string,
  typeA: Tensor,
  typeB: Tensor,
  { transposeA, transposeB }: MatmulAttributes,
): string {
  const steady =
    transposeA || typeA.dtype !== "float32"
      ? undefined
      : steadyOperand(context, a, typeA.rank, sizes(typeA, typeB, transposeB));
  if (steady !== undefined) {
    return emitMatmul(context, steady, b, typeA, typeB, { transposeA: true, transposeB });
  }
  if (!transposeA && !transposeB) return context.emit1({ op: "MatMul", inputs: [a, b] });
  const flags = { transA: { int: transposeA ? 1 : 0 }, transB: { int: transposeB ? 1 : 0 } };
  if (typeA.rank === 2 && typeB.rank === 2 && typeA.dtype !== "int64") {
    return context.emit1({ op: "Gemm", inputs: [a, b], attributes: flags });
  }
  if (context.target.contrib && typeA.dtype === "float32") {
    return context.emit1({ op: "FusedMatMul", domain: "com.microsoft", inputs: [a, b], attributes: flags });
  }
  const swapped = (name: string, { rank }: Tensor): string => {
    const perm = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
    return context.emit1({ op: "Transpose", inputs: [name], attributes: { perm: { ints: perm } } });
  };
  return context.emit1({
    op: "MatMul",
    inputs: [transposeA ? swapped(a, typeA) : a, transposeB ? swapped(b, typeB) : b],
  });
}

/** All leading axes as one; undefined where the product of symbolic axes has no name. */
function leadingSize(shape: Shape): Shape[number] | undefined {
  return shape
    .slice(0, -1)
    .reduce<Shape[number] | undefined>(
      (size, dim) => (size === undefined ? undefined : multiplyDims(size, dim)),
      1,
    );
}

/**
 * Matrix product of the last two axes: [..., m, k] · [..., k, n] → [..., m, n]. Leading axes broadcast as in NumPy.
 * Operands flagged as transposed are given as [..., k, m] or [..., n, k]; nothing is copied to transpose them where
 * the runtime has a kernel.
 * @throws ShapeError where inner dimensions differ or leading axes do not broadcast.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const attributes = { transposeA: options.transposeA ?? false, transposeB: options.transposeB ?? false };
  // One matrix for all: flattening the rows gives one large product, and a gradient without a sum over the batch.
  if (a.rank > 2 && b.rank === 2 && !attributes.transposeA) {
    const rows = leadingSize(a.shape);
    const inner = attributes.transposeB ? b.shape[1] : b.shape[0];
    if (rows !== undefined && inner === dimAt(a, -1)) {
      const product = apply(matmulOperation, [reshape(a, [rows, inner]), b], attributes);
      return reshape(product, [...a.shape.slice(0, -1), dimAt(product, -1)]);
    }
  }
  return apply(matmulOperation, [a, b], attributes);
}

/** Σᵢ g[i, :]. A product with a row of ones takes a fraction of the time of a sum over the first axis. */
function sumOfRows(g: Tensor): Tensor {
  const [rows] = g.shape;
  if (typeof rows !== "number" || rows === 0 || g.dtype !== "float32") return sum(g, 0);
  return reshape(matmul(full([1, rows], 1), g), g.shape.slice(1));
}

const linearOperation: Operation = {
  name: "linear",
  infer: (inputs) => {
    const [x, weight, bias] = inputs;
    if (x === undefined || weight === undefined) throw new RangeError("linear takes two or three inputs");
    if (inputs.some((input) => input.dtype !== x.dtype)) throw shapeError("linear", inputs, "dtypes differ");
    if (weight.rank !== 2) throw shapeError("linear", inputs, "the weight must be [out, in]");
    if (x.shape[1] !== weight.shape[1]) {
      throw shapeError(
        "linear",
        inputs,
        `the last axis is ${x.shape[1]}, the weight takes ${weight.shape[1]}`,
      );
    }
    if (bias !== undefined && (bias.rank !== 1 || bias.shape[0] !== weight.shape[0])) {
      throw shapeError("linear", inputs, `the bias must be [${weight.shape[0]}]`);
    }
    return [{ shape: [dimAt(x, 0), dimAt(weight, 0)], dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients, needed }) => {
    const [x, weight, g] = [inputAt(inputs, 0), inputAt(inputs, 1), onlyGradient(gradients)];
    return [
      needed[0] ? matmul(g, weight) : undefined,
      needed[1] ? matmul(g, x, { transposeA: true }) : undefined,
      needed[2] ? sumOfRows(g) : undefined,
    ];
  },
  lower: (context, node) => {
    const [x, weight] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1)];
    const [first = "", ...others] = node.inputs.map((input) => context.value(input));
    const steady =
      x.dtype === "float32" ? steadyOperand(context, first, 2, sizes(x, weight, true)) : undefined;
    return [
      context.emit1({
        op: "Gemm",
        inputs: [steady ?? first, ...others],
        attributes: { transB: { int: 1 }, ...(steady !== undefined && { transA: { int: 1 } }) },
      }),
    ];
  },
};

/**
 * x · weightᵀ + bias over the last axis: [..., in] → [..., out], with PyTorch's layout weight [out, in], bias [out].
 * @throws ShapeError
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const inputs = bias === undefined ? [weight] : [weight, bias];
  if (x.rank === 2) return apply(linearOperation, [x, ...inputs], {});
  const rows = leadingSize(x.shape);
  if (x.rank === 0 || rows === undefined) {
    throw shapeError("linear", [x, ...inputs], "the leading axes cannot be joined into one");
  }
  const product = apply(linearOperation, [reshape(x, [rows, dimAt(x, -1)]), ...inputs], {});
  return reshape(product, [...x.shape.slice(0, -1), dimAt(product, 1)]);
}

export interface AttentionOptions {
  /** Broadcastable to [..., L, S]: booleans (true: may be attended to) or floats that are added to the scores. */
  readonly mask?: Tensor;
  /** Position i attends to positions 0…i only. */
  readonly causal?: boolean;
  /** Factor of the scores. Default: 1 / √d. */
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
