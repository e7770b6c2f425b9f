import { multiply, reshape, sum } from "../core.ts";
import { dimAt, outputAt, shapeError, type Tensor } from "../graph.ts";
import { constant, filled } from "../leaves.ts";
import { type Dim, multiplyDims } from "../shape.ts";
import { matmul } from "./matmul.ts";
import { transpose } from "./shaping.ts";

/** A tensor whose axes carry the letters of an einsum expression. */
interface Labeled {
  readonly tensor: Tensor;
  readonly labels: readonly string[];
}

const intersect = (a: readonly string[], b: readonly string[]): string[] =>
  a.filter((label) => b.includes(label));
const without = (a: readonly string[], b: readonly string[]): string[] =>
  a.filter((label) => !b.includes(label));

function parse(expression: string, operands: readonly Tensor[]): { inputs: string[][]; output: string[] } {
  const [left = "", right, ...rest] = expression.replaceAll(" ", "").split("->");
  const inputs = left.split(",").map((labels) => [...labels]);
  if (rest.length > 0 || ![...inputs.flat(), ...(right ?? "")].every((label) => /[A-Za-z]/.test(label))) {
    throw shapeError("einsum", operands, `"${expression}" is not of the form "ij,jk->ik"`);
  }
  const all = inputs.flat();
  // Without an arrow: the letters that occur once, in alphabetical order.
  const output =
    right === undefined
      ? all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort()
      : [...right];
  if (inputs.length !== operands.length) {
    throw shapeError("einsum", operands, `"${expression}" names ${inputs.length} operands`);
  }
  inputs.forEach((labels, i) => {
    if (labels.length !== outputAt(operands, i).rank) {
      throw shapeError("einsum", operands, `operand ${i + 1} does not have the axes "${labels.join("")}"`);
    }
  });
  if (new Set(output).size !== output.length || output.some((label) => !all.includes(label))) {
    throw shapeError("einsum", operands, `the output "${output.join("")}" repeats or invents a letter`);
  }
  return { inputs, output };
}

/** The size of every letter. @throws ShapeError where operands disagree */
function letterSizes(operands: readonly Tensor[], inputs: readonly (readonly string[])[]): Map<string, Dim> {
  const sizes = new Map<string, Dim>();
  operands.forEach((operand, i) => {
    inputs[i]?.forEach((label, axis) => {
      const size = dimAt(operand, axis);
      const known = sizes.get(label);
      if (known !== undefined && known !== size) {
        throw shapeError("einsum", operands, `"${label}" is ${known} at one operand and ${size} at another`);
      }
      sizes.set(label, size);
    });
  });
  return sizes;
}

/** Replaces an axis pair of the same letter by its diagonal. */
function takeDiagonals({ tensor, labels }: Labeled): Labeled {
  const first = labels.findIndex((label, axis) => labels.indexOf(label) !== axis);
  if (first < 0) return { tensor, labels };
  const earlier = labels.indexOf(outputAt(labels, first));
  const size = dimAt(tensor, first);
  if (typeof size !== "number") throw shapeError("einsum", [tensor], "no diagonal of a symbolic axis");
  const identity = filled(tensor.dtype, [size, size], 0);
  for (let i = 0; i < size; i++) identity.data[i * size + i] = identity.dtype === "int64" ? 1n : 1;
  const mask = reshape(
    constant(identity),
    tensor.shape.map((_, axis) => (axis === earlier || axis === first ? size : 1)),
  );
  return takeDiagonals({
    tensor: sum(multiply(tensor, mask), first),
    labels: labels.filter((_, axis) => axis !== first),
  });
}

function sumAway({ tensor, labels }: Labeled, dropped: readonly string[]): Labeled {
  if (dropped.length === 0) return { tensor, labels };
  return {
    tensor: sum(
      tensor,
      dropped.map((label) => labels.indexOf(label)),
    ),
    labels: without(labels, dropped),
  };
}

function ordered({ tensor, labels }: Labeled, order: readonly string[]): Tensor {
  return order.length < 2
    ? tensor
    : transpose(
        tensor,
        order.map((label) => labels.indexOf(label)),
      );
}

/** Contracts two operands into one that keeps the letters still wanted: one batched matrix product. */
function contract(
  a: Labeled,
  b: Labeled,
  wanted: readonly string[],
  sizes: ReadonlyMap<string, Dim>,
): Labeled {
  const common = intersect(a.labels, b.labels);
  const left = sumAway(a, without(without(a.labels, common), wanted));
  const right = sumAway(b, without(without(b.labels, common), wanted));
  const batch = intersect(common, wanted);
  const inner = without(common, wanted);
  const rows = without(left.labels, common);
  const columns = without(right.labels, common);
  const dims = (labels: readonly string[]): Dim[] => labels.map((label) => sizes.get(label) ?? 1);
  const joined = (labels: readonly string[]): Dim => {
    const size = dims(labels).reduce<Dim | undefined>(
      (product, dim) => (product === undefined ? undefined : multiplyDims(product, dim)),
      1,
    );
    if (size === undefined)
      throw shapeError("einsum", [a.tensor, b.tensor], "two symbolic axes fall together");
    return size;
  };
  const product = matmul(
    reshape(ordered(left, [...batch, ...rows, ...inner]), [...dims(batch), joined(rows), joined(inner)]),
    reshape(ordered(right, [...batch, ...inner, ...columns]), [
      ...dims(batch),
      joined(inner),
      joined(columns),
    ]),
  );
  const labels = [...batch, ...rows, ...columns];
  return { tensor: reshape(product, dims(labels)), labels };
}

/**
 * Einstein summation: `einsum("bij,bjk->bik", a, b)`. One letter an axis; letters absent from the output are summed,
 * a letter twice in one operand takes the diagonal. Operands are contracted from left to right by batched matrix
 * products.
 * @throws ShapeError where the expression is malformed or sizes disagree.
 */
export function einsum(expression: string, ...operands: readonly Tensor[]): Tensor {
  const { inputs, output } = parse(expression, operands);
  const sizes = letterSizes(operands, inputs);
  const labeled = operands.map((tensor, i) => takeDiagonals({ tensor, labels: outputAt(inputs, i) }));
  const result = labeled.slice(1).reduce(
    (left, right, i) => {
      const later = labeled.slice(i + 2).flatMap(({ labels }) => labels);
      return contract(left, right, [...output, ...later], sizes);
    },
    outputAt(labeled, 0),
  );
  const kept = sumAway(result, without(result.labels, output));
  return ordered(kept, output);
}
