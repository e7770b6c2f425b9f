import { elementCount, int64 } from "./array.ts";
import type { LowerContext, OnnxAttribute, Tensor } from "./graph.ts";
import { filled } from "./leaves.ts";
import { isConcrete } from "./shape.ts";

// Lowerings whose numbers do not depend on the number of threads, for targets that are `deterministic`.
//
// Some kernels of ONNX Runtime's CPU provider do other sums, or use other instructions, where their work is divided: see
// docs/engine/tensors-and-programs.md. Here each is replaced by kernels that compute every element in one way only.

type Emit = (
  op: string,
  inputs: readonly string[],
  attributes?: Readonly<Record<string, OnnxAttribute>>,
) => string;

function emitter(context: LowerContext): { readonly emit: Emit; vector(values: readonly number[]): string } {
  return {
    emit: (op, inputs, attributes) => context.emit1({ op, inputs, ...(attributes && { attributes }) }),
    vector: (values) => context.constant(int64(values, [values.length])),
  };
}

/** Neighboring axes that are all kept or all reduced, as one. */
interface Run {
  readonly reduced: boolean;
  readonly size: number;
}

/** The axes of a reduction joined as far as possible, those of size 1 left out. */
function joined(shape: readonly number[], axes: readonly number[]): readonly Run[] {
  const runs: Run[] = [];
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const reduced = axes.includes(axis);
    const last = runs.at(-1);
    if (last?.reduced === reduced) runs[runs.length - 1] = { reduced, size: last.size * size };
    else runs.push({ reduced, size });
  });
  return runs;
}

/**
 * A sum or mean. The kernels of ReduceSum choose by the number of threads how they add where kept and reduced axes take turns; over the
 * first or the last axis alone they do not. What stands between kept axes is a product with a row of ones.
 *
 * @returns undefined where the plain node will do: other types, symbolic shapes, and what is no sum
 */
export function steadyReduction(
  context: LowerContext,
  op: string,
  x: Pick<Tensor, "shape" | "dtype">,
  name: string,
  axes: readonly number[],
  keepDims: boolean,
): string | undefined {
  const { shape, dtype } = x;
  const sums = op === "ReduceSum" || op === "ReduceMean";
  if (!context.target.deterministic || !sums || dtype !== "float32" || !isConcrete(shape)) return undefined;
  if (elementCount(shape) === 0) return undefined;
  const { emit, vector } = emitter(context);
  const reshape = (value: string, to: readonly number[]): string => emit("Reshape", [value, vector(to)]);
  let value = name;
  let runs = joined(shape, axes);
  for (let at = lastReduced(runs); at >= 0; at = lastReduced(runs)) {
    const size = runs[at]?.size ?? 1;
    const before = product(runs.slice(0, at));
    const after = product(runs.slice(at + 1));
    if (before > 1 && after > 1) {
      const ones = context.constant(filled("float32", [1, size], 1));
      value = emit("MatMul", [ones, reshape(value, [before, size, after])]);
    } else {
      const [matrix, axis] = after === 1 ? [[before, size], 1] : [[size, after], 0];
      value = emit("ReduceSum", [reshape(value, matrix), vector([axis])], { keepdims: { int: 0 } });
    }
    runs = runs.filter((_, i) => i !== at);
  }
  const result = shape.flatMap((size, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [size]));
  const total = reshape(value, result);
  if (op === "ReduceSum") return total;
  const count = axes.reduce((all, axis) => all * (shape[axis] ?? 1), 1);
  return emit("Div", [total, context.constant(filled("float32", [], count))]);
}

const lastReduced = (runs: readonly Run[]): number => runs.findLastIndex(({ reduced }) => reduced);

const product = (runs: readonly Run[]): number => runs.reduce((all, { size }) => all * size, 1);

/** Inner sizes up to this are summed in one piece whatever the number of threads. */
const ONE_PIECE = 128;

/** From this many rows on, no thread is left with a single row, which has a kernel of its own. */
const MANY_ROWS = 32;

/** Rows, columns and inner size of a matrix product; undefined where a size is known only when running. */
export interface ProductSizes {
  readonly m: number | undefined;
  readonly n: number | undefined;
  readonly k: number | undefined;
}

/**
 * The first operand of a matrix product, transposed by a node of its own where the kernel for operands as they lie would add in an order
 * that depends on how many columns, or whether a single row, fall to a thread. The kernel for transposed ones does not.
 * @param rank of the operand
 * @returns the name of the transposed operand, to be flagged as such; undefined where the operand may stay as it is
 */
export function steadyOperand(
  context: LowerContext,
  name: string,
  rank: number,
  { m = 2, n = Number.POSITIVE_INFINITY, k = Number.POSITIVE_INFINITY }: ProductSizes,
): string | undefined {
  if (!context.target.deterministic || k <= ONE_PIECE || m === 1 || (n <= m && m >= MANY_ROWS))
    return undefined;
  const perm = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  return emitter(context).emit("Transpose", [name], { perm: { ints: perm } });
}

/** A matrix product of float32 values of any rank, for lowerings that name values and not tensors. */
export function emitProduct(
  context: LowerContext,
  [a, b]: readonly [string, string],
  rank: number,
  sizes: ProductSizes,
  transposeB = false,
): string {
  const transposed = steadyOperand(context, a, rank, sizes);
  if (transposed === undefined && !transposeB) return context.emit1({ op: "MatMul", inputs: [a, b] });
  return context.emit1({
    op: "FusedMatMul",
    domain: "com.microsoft",
    inputs: [transposed ?? a, b],
    attributes: {
      ...(transposed !== undefined && { transA: { int: 1 } }),
      ...(transposeB && { transB: { int: 1 } }),
    },
  });
}

/**
 * A plain convolution of a single map divides the map among threads, as a product does its columns; of several maps, each is computed by one
 * thread. So a single one is convolved twice, side by side.
 * @param inner numbers that each output sums
 * @returns undefined where the plain node will do
 */
export function steadyConvolution(
  context: LowerContext,
  x: Tensor,
  inner: number,
  convolve: (name: string) => string,
): string | undefined {
  const single = x.shape[0] === 1 && x.rank === 4;
  if (!context.target.deterministic || !single || inner <= ONE_PIECE) return undefined;
  const { emit, vector } = emitter(context);
  const name = context.value(x);
  const both = convolve(emit("Concat", [name, name], { axis: { int: 0 } }));
  return emit("Slice", [both, vector([0]), vector([1]), vector([0])]);
}

/** A logarithm whose kernel computes one number at a time; that of Log computes the ends of a thread's share otherwise than the rest. */
export function steadyLog(context: Pick<LowerContext, "emit1" | "constant">, name: string): string {
  const vector = (values: readonly number[]): string => context.constant(int64(values, [values.length]));
  const column = context.emit1({ op: "Reshape", inputs: [name, vector([-1, 1])] });
  const logs = context.emit1({
    op: "ReduceLogSum",
    inputs: [column, vector([1])],
    attributes: { keepdims: { int: 0 } },
  });
  const shape = context.emit1({ op: "Shape", inputs: [name] });
  return context.emit1({ op: "Reshape", inputs: [logs, shape] });
}
