import { canBlock, prefersBlocked } from "../blocked.ts";
import { add, int64Vector, reshape, resolveAxes, sum } from "../core.ts";
import {
  type Attributes,
  apply,
  dimAt,
  inputAt,
  type Operation,
  onlyGradient,
  outputAt,
  resolveAxis,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { constant } from "../leaves.ts";
import { materialize, pickElements } from "../rules.ts";
import { addDims, type Dim } from "../shape.ts";

// Slicing and padding: the gradient of each is the other.

/** ONNX's "as far as it goes" for the end of a slice that runs backwards. */
const BEFORE_FIRST = -(2 ** 31);

/** Elements `start`, `start + step`, … of an axis: `count` of them. A symbolic count is the whole axis, reversed. */
interface AxisRange {
  readonly axis: number;
  readonly start: number;
  readonly count: Dim;
  readonly step: number;
}

interface SliceAttributes extends Attributes {
  readonly ranges: readonly AxisRange[];
}

const sliceOperation: Operation<SliceAttributes> = {
  name: "slice",
  broadcastGradient: true,
  infer: (inputs, { ranges }) => {
    const x = inputAt(inputs, 0);
    const shape = x.shape.map((dim, axis) => ranges.find((range) => range.axis === axis)?.count ?? dim);
    return [{ shape, dtype: x.dtype }];
  },
  gradient: ({ inputs, outputs, attributes: { ranges }, gradients }) => {
    const x = inputAt(inputs, 0);
    const axes = ranges.map(({ axis }) => axis);
    let gradient = materialize(onlyGradient(gradients), outputAt(outputs, 0).shape, axes);
    const backwards = ranges.filter(({ step }) => step < 0).map(({ axis }) => axis);
    if (backwards.length > 0) gradient = flip(gradient, backwards);
    const padding = gradient.shape.map((): readonly [number, number] => [0, 0]);
    for (const { axis, start, count, step } of ranges) {
      if (typeof count !== "number") continue;
      const stride = Math.abs(step);
      gradient = spread(gradient, axis, stride);
      const first = step > 0 || count === 0 ? start : start + (count - 1) * step;
      const length = count === 0 ? 0 : (count - 1) * stride + 1;
      padding[axis] = [first, sizeAt("slice", x, axis) - first - length];
    }
    return [pad(gradient, padding)];
  },
  lower: (context, node) => {
    const { ranges } = node.attributes;
    const x = inputAt(node.inputs, 0);
    // Samples and whole blocks of channels are cut out of blocked layout just as out of plain layout.
    const { block } = context.target;
    const blocked =
      ranges.every(
        ({ axis, start, step }) => step === 1 && (axis === 0 || (axis === 1 && start % block === 0)),
      ) &&
      canBlock(context, outputAt(node.outputs, 0)) &&
      prefersBlocked(context, [x]);
    const list = (pickNumber: (range: AxisRange) => number): string =>
      context.constant(int64Vector(ranges.map(pickNumber)));
    const cut = context.emit1({
      op: "Slice",
      inputs: [
        blocked ? context.blockedValue(x) : context.value(x),
        list(({ start }) => start),
        list(({ start, count, step }) => {
          const end = typeof count === "number" ? start + count * step : BEFORE_FIRST;
          return end < 0 ? BEFORE_FIRST : end;
        }),
        list(({ axis }) => axis),
        list(({ step }) => step),
      ],
    });
    return [blocked ? { blocked: cut } : cut];
  },
  evaluate: ([x], { ranges }, type) =>
    pickElements(x, type, (position, from) =>
      position.reduce((offset, at, axis) => {
        const range = ranges.find((item) => item.axis === axis);
        return offset + (range === undefined ? at : range.start + at * range.step) * outputAt(from, axis);
      }, 0),
    ),
};

/** Puts `stride − 1` zeros between neighbors along an axis. */
function spread(x: Tensor, axis: number, stride: number): Tensor {
  const size = sizeAt("slice", x, axis);
  if (stride === 1 || size < 2) return x;
  const apart = reshape(x, [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)]);
  const padded = pad(
    apart,
    apart.shape.map((_, at) => [0, at === axis + 1 ? stride - 1 : 0]),
  );
  const joined = reshape(
    padded,
    x.shape.map((dim, at) => (at === axis ? size * stride : dim)),
  );
  return slice(joined, axis, 0, (size - 1) * stride + 1);
}

/** A part of one axis: `start` up to, not including, `end`, every `step`-th. As in Python: see `slice`. */
export interface SliceRange {
  readonly axis: number;
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly step?: number | undefined;
}

function resolveRange(x: Tensor, { axis: named, start, end, step = 1 }: SliceRange): AxisRange | undefined {
  const axis = resolveAxis("slice", x, named);
  if (!Number.isInteger(step) || step === 0) {
    throw shapeError("slice", [x], `step ${step} must be an integer other than 0`);
  }
  const whole = start === undefined && end === undefined;
  if (whole && step === 1) return undefined;
  if (whole && step === -1 && typeof dimAt(x, axis) !== "number") {
    return { axis, start: -1, count: dimAt(x, axis), step };
  }
  const size = sizeAt("slice", x, axis);
  for (const bound of [start, end]) {
    if (bound !== undefined && !Number.isInteger(bound)) {
      throw shapeError("slice", [x], `${bound} is no whole position on axis ${axis}`);
    }
  }
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const place = (bound: number): number => Math.min(Math.max(bound < 0 ? bound + size : bound, low), high);
  const from = start === undefined ? (step > 0 ? low : high) : place(start);
  const to = end === undefined ? (step > 0 ? high : low) : place(end);
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (count === size && step === 1) return undefined;
  return count === 0 ? { axis, start: 0, count, step: 1 } : { axis, start: from, count, step };
}

/** Parts of several axes at once; axes not named are kept whole. @throws ShapeError */
export function sliceRanges(x: Tensor, ranges: readonly SliceRange[]): Tensor {
  resolveAxes(
    "slice",
    x,
    ranges.map(({ axis }) => axis),
  );
  const resolved = ranges.flatMap((range) => resolveRange(x, range) ?? []);
  return resolved.length === 0 ? x : apply(sliceOperation, [x], { ranges: resolved });
}

/**
 * Part of an axis, as `x[start:end:step]` of Python: negative positions count from the end, positions beyond the ends
 * are brought back to them, and with a negative step the elements come in reverse.
 * @throws ShapeError where there is no such axis or its size is not known while tracing.
 */
export function slice(x: Tensor, axis: number, start?: number, end?: number, step = 1): Tensor {
  return sliceRanges(x, [{ axis, start, end, step }]);
}

/** Reverses the order of the elements along axes (default: all). @throws ShapeError */
export function flip(x: Tensor, axes?: number | readonly number[]): Tensor {
  return sliceRanges(
    x,
    resolveAxes("flip", x, axes)
      .filter((axis) => x.shape[axis] !== 1)
      .map((axis) => ({ axis, step: -1 })),
  );
}

/** What stands in the padding: a constant, the nearest element, or the mirror image without the border element. */
export type PadMode = "constant" | "edge" | "reflect";

interface PadAttributes extends Attributes {
  /** Elements before and after, for every axis. */
  readonly padding: readonly (readonly [number, number])[];
  readonly mode: PadMode;
}

/** The most that an axis can be padded by on one side. */
function paddingRoom(dim: Dim, mode: PadMode): number {
  if (mode === "reflect") return typeof dim === "number" ? dim - 1 : 0;
  return mode === "edge" && dim === 0 ? 0 : Number.POSITIVE_INFINITY;
}

// The constant is an input and no attribute: attributes are compared as JSON, which has no infinities.
const padOperation: Operation<PadAttributes> = {
  name: "pad",
  broadcastGradient: true,
  infer: (inputs, { padding, mode }) => {
    const x = inputAt(inputs, 0);
    const shape = x.shape.map((dim, axis) => {
      const [before, after] = outputAt(padding, axis);
      if (before === 0 && after === 0) return dim;
      const room = paddingRoom(dim, mode);
      const size = addDims(dim, before + after);
      if (!(before >= 0 && after >= 0 && before <= room && after <= room) || size === undefined) {
        throw shapeError("pad", [x], `axis ${axis} cannot be padded by [${before}, ${after}] (${mode})`);
      }
      return size;
    });
    return [{ shape, dtype: x.dtype }];
  },
  gradient: ({ inputs, outputs, attributes: { padding, mode }, gradients }) => {
    const padded = padding.flatMap(([before, after], axis) => (before + after > 0 ? [axis] : []));
    const full = materialize(onlyGradient(gradients), outputAt(outputs, 0).shape, padded);
    if (mode === "constant") {
      return [
        sliceRanges(
          full,
          padded.map((axis) => {
            const [start, after] = outputAt(padding, axis);
            return { axis, start, end: sizeAt("pad", full, axis) - after };
          }),
        ),
      ];
    }
    // Padding acts on one axis after the other, so its transpose does too.
    return [
      padded.reduce(
        (gradient, axis) =>
          foldPadding(gradient, axis, sizeAt("pad", inputAt(inputs, 0), axis), outputAt(padding, axis), mode),
        full,
      ),
    ];
  },
  lower: (context, node) => {
    const { padding, mode } = node.attributes;
    const amounts = int64Vector([...padding.map(([before]) => before), ...padding.map(([, after]) => after)]);
    const [x, ...value] = node.inputs.map((input) => context.value(input));
    return [
      context.emit1({
        op: "Pad",
        inputs: [x ?? "", context.constant(amounts), ...value],
        attributes: { mode: { string: mode } },
      }),
    ];
  },
};

/** Transpose of padding one axis: what was copied into the padding adds to the element it was copied from. */
function foldPadding(
  gradient: Tensor,
  axis: number,
  size: number,
  [before, after]: readonly [number, number],
  mode: "edge" | "reflect",
): Tensor {
  const part = (start: number, end: number): Tensor => slice(gradient, axis, start, end);
  const put = (piece: Tensor, start: number): Tensor => {
    const length = sizeAt("pad", piece, axis);
    return pad(
      piece,
      piece.shape.map((_, at) => (at === axis ? [start, size - start - length] : [0, 0])),
    );
  };
  let result = part(before, before + size);
  for (const [from, count] of [
    [0, before],
    [before + size, after],
  ] as const) {
    if (count === 0) continue;
    const piece = part(from, from + count);
    const front = from === 0;
    result = add(
      result,
      mode === "edge"
        ? put(sum(piece, axis, true), front ? 0 : size - 1)
        : put(flip(piece, axis), front ? 1 : size - 1 - count),
    );
  }
  return result;
}

/**
 * Adds elements before and after along axes. `padding` holds one pair [before, after] for each of the *last* axes;
 * axes before those are left as they are. The constant (default: 0) stands at the new locations, or with mode "edge" the
 * nearest element, or with "reflect" the mirror image without the border element (NumPy's names).
 * @throws ShapeError where an amount is negative or a mirror image would not be long enough.
 */
export function pad(
  x: Tensor,
  padding: readonly (readonly [number, number])[],
  options: { readonly mode?: PadMode; readonly value?: number } = {},
): Tensor {
  const missing = x.rank - padding.length;
  if (missing < 0) throw shapeError("pad", [x], `${padding.length} pairs of padding are more than its axes`);
  if (padding.every(([before, after]) => before === 0 && after === 0)) return x;
  const mode = options.mode ?? "constant";
  return apply(padOperation, mode === "constant" ? [x, constant(options.value ?? 0, x.dtype)] : [x], {
    padding: [...new Array<readonly [number, number]>(missing).fill([0, 0]), ...padding],
    mode,
  });
}
