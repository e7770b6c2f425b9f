/**
 * One axis of a shape: a number, or a multiple of the one symbol `batch`, whose value is known only when a program
 * runs. Training programs are traced with numbers; exported models keep the symbol.
 */
export type Dim = number | "batch" | `${number}*batch`;

/** The size of every axis, outermost first. */
export type Shape = readonly Dim[];

/** Splits a dimension into a factor and whether it is multiplied by the batch size. */
function parts(dim: Dim): { readonly factor: number; readonly symbolic: boolean } {
  if (typeof dim === "number") return { factor: dim, symbolic: false };
  if (dim === "batch") return { factor: 1, symbolic: true };
  return { factor: Number.parseInt(dim, 10), symbolic: true };
}

function fromParts(factor: number, symbolic: boolean): Dim {
  if (!symbolic) return factor;
  return factor === 1 ? "batch" : `${factor}*batch`;
}

/** How many times the batch size a symbolic dimension is; undefined for a plain number. */
export function batchFactor(dim: Dim): number | undefined {
  const { factor, symbolic } = parts(dim);
  return symbolic ? factor : undefined;
}

/** Product of two dimensions; undefined where both are symbolic, since batch² has no name. */
export function multiplyDims(a: Dim, b: Dim): Dim | undefined {
  const left = parts(a);
  const right = parts(b);
  if (left.symbolic && right.symbolic) return undefined;
  return fromParts(left.factor * right.factor, left.symbolic || right.symbolic);
}

/** Quotient of two dimensions; undefined where it is not a whole dimension. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
  const left = parts(a);
  const right = parts(b);
  if (right.factor === 0 || left.factor % right.factor !== 0) return undefined;
  if (right.symbolic && !left.symbolic) return undefined;
  return fromParts(left.factor / right.factor, left.symbolic && !right.symbolic);
}

/** Sum of two dimensions; undefined where one is symbolic and the other a number other than 0. */
export function addDims(a: Dim, b: Dim): Dim | undefined {
  const left = parts(a);
  const right = parts(b);
  if (left.symbolic === right.symbolic) return fromParts(left.factor + right.factor, left.symbolic);
  if (left.factor === 0) return b;
  return right.factor === 0 ? a : undefined;
}

/** Number of elements; undefined where two axes are symbolic. */
export function sizeOf(shape: Shape): Dim | undefined {
  return shape.reduce<Dim | undefined>(
    (size, dim) => (size === undefined ? undefined : multiplyDims(size, dim)),
    1,
  );
}

/** True where every axis is a number. */
export function isConcrete(shape: Shape): shape is readonly number[] {
  return shape.every((dim) => typeof dim === "number");
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** Written as in an error message: `[64, batch, 3]`. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The common shape of NumPy broadcasting; undefined where there is none. */
export function broadcastShapes(...shapes: readonly Shape[]): Shape | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result: Dim[] = new Array<Dim>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const axis = rank - shape.length + i;
      const dim = shape[i] ?? 1;
      const other = result[axis] ?? 1;
      if (other === 1) result[axis] = dim;
      else if (dim !== 1 && dim !== other) return undefined;
    }
  }
  return result;
}

/** Row-major strides of a concrete shape. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    result[axis] = (result[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  }
  return result;
}

/** A list in groups of so many, the last of which may be shorter. */
export function inGroups<T>(list: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  );
}
