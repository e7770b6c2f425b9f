import { broadcastTo, int64Vector, reshape } from "./core.ts";
import {
  type Attributes,
  apply,
  applyAll,
  dimAt,
  inputAt,
  type Operation,
  outputAt,
  resolveAxis,
  shapeError,
  sizeAt,
  type Tensor,
} from "./graph.ts";
import { canBlock, prefersBlocked } from "./layout.ts";
import { constant } from "./leaves.ts";
import { materialise, onlyGradient } from "./rules.ts";
import { addDims, type Dim, type Shape, sameShape } from "./shape.ts";
import { slice } from "./slicing.ts";

// Joining and cutting: the gradient of each is the other.

interface AxisAttributes extends Attributes {
  readonly axis: number;
}

const concatOperation: Operation<AxisAttributes> = {
  name: "concat",
  broadcastGradient: true,
  infer: (inputs, { axis }) => {
    const first = inputAt(inputs, 0);
    if (inputs.some((x) => x.dtype !== first.dtype)) {
      throw shapeError("concat", inputs, "dtypes differ; cast one of them");
    }
    const others = (x: Tensor): Shape => x.shape.filter((_, at) => at !== axis);
    if (inputs.some((x) => x.rank !== first.rank || !sameShape(others(x), others(first)))) {
      throw shapeError("concat", inputs, `shapes differ in more than axis ${axis}`);
    }
    const size = inputs.reduce<Dim | undefined>(
      (sum, x) => (sum === undefined ? undefined : addDims(sum, dimAt(x, axis))),
      0,
    );
    if (size === undefined) {
      throw shapeError("concat", inputs, `axis ${axis} would mix symbolic and numeric sizes`);
    }
    return [{ shape: first.shape.map((dim, at) => (at === axis ? size : dim)), dtype: first.dtype }];
  },
  gradient: ({ inputs, outputs, attributes: { axis }, gradients, needed }) => {
    const gradient = materialise(onlyGradient(gradients), outputAt(outputs, 0).shape, [axis]);
    const sizes = inputs.map((x) => sizeAt("concat", x, axis));
    if (needed.filter((is) => is).length > 1) return split(gradient, axis, sizes);
    let start = 0;
    return sizes.map((size, i) => {
      start += size;
      return needed[i] ? slice(gradient, axis, start - size, start) : undefined;
    });
  },
  lower: (context, { inputs, attributes: { axis } }) => {
    // Whole blocks of channels are joined in blocked layout just as in plain layout.
    const blocked = axis === 1 && prefersBlocked(context, inputs);
    const names = inputs.map((x) => (blocked ? context.blockedValue(x) : context.value(x)));
    const joined = context.emit1({ op: "Concat", inputs: names, attributes: { axis: { int: axis } } });
    return [blocked ? { blocked: joined } : joined];
  },
};

/** Joins tensors along an axis, in which alone their shapes may differ. @throws ShapeError */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  if (first === undefined) throw shapeError("concat", [], "there is nothing to join");
  return tensors.length === 1
    ? first
    : apply(concatOperation, tensors, { axis: resolveAxis("concat", first, axis) });
}

/** Joins tensors of one shape along a new axis, placed before axis `axis` of theirs. @throws ShapeError */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (first === undefined) throw shapeError("stack", [], "there is nothing to stack");
  if (tensors.some((x) => !sameShape(x.shape, first.shape))) {
    throw shapeError("stack", tensors, "shapes differ");
  }
  const at = axis < 0 ? axis + first.rank + 1 : axis;
  if (!Number.isInteger(at) || at < 0 || at > first.rank) {
    throw shapeError("stack", tensors, `there is no place ${axis} for an axis`);
  }
  return concat(
    tensors.map((x) => reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])),
    at,
  );
}

interface SplitAttributes extends AxisAttributes {
  readonly sizes: readonly number[];
}

const splitOperation: Operation<SplitAttributes> = {
  name: "split",
  broadcastGradient: true,
  infer: (inputs, { axis, sizes }) => {
    const x = inputAt(inputs, 0);
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (sizes.some((size) => !Number.isInteger(size) || size < 0) || sum !== sizeAt("split", x, axis)) {
      throw shapeError("split", inputs, `axis ${axis} cannot be cut into pieces of [${sizes}]`);
    }
    return sizes.map((size) => ({
      shape: x.shape.map((dim, at) => (at === axis ? size : dim)),
      dtype: x.dtype,
    }));
  },
  gradient: ({ inputs, outputs, attributes: { axis }, gradients }) => {
    const x = inputAt(inputs, 0);
    const received = gradients.filter((g) => g !== undefined);
    // Pieces are joined at the common shape of what was received; one that nobody used counts as zeros.
    const common = x.shape.map((dim, at) => (received.every((g) => g.shape[at] === 1) ? 1 : dim));
    const pieces = outputs.map((output, i) =>
      broadcastTo(
        gradients[i] ?? constant(0, x.dtype),
        common.map((dim, at) => (at === axis ? dimAt(output, axis) : dim)),
      ),
    );
    return [concat(pieces, axis)];
  },
  lower: (context, { inputs, outputs, attributes: { axis, sizes } }) => {
    const x = inputAt(inputs, 0);
    const blocked =
      axis === 1 && prefersBlocked(context, [x]) && outputs.every((output) => canBlock(context, output));
    const pieces = context.emit({
      op: "Split",
      inputs: [blocked ? context.blockedValue(x) : context.value(x), context.constant(int64Vector(sizes))],
      attributes: { axis: { int: axis } },
      outputs: sizes.length,
    });
    return blocked ? pieces.map((piece) => ({ blocked: piece })) : pieces;
  },
};

/**
 * Cuts an axis into pieces: as many equal ones as a number says, or pieces of the sizes of a list.
 * @throws ShapeError where the pieces do not make up the axis.
 */
export function split(x: Tensor, axis: number, pieces: number | readonly number[]): readonly Tensor[] {
  const at = resolveAxis("split", x, axis);
  const size = sizeAt("split", x, at);
  if (typeof pieces === "number" && (!(pieces > 0) || size % pieces !== 0)) {
    throw shapeError("split", [x], `axis ${axis} cannot be cut into ${pieces} equal pieces`);
  }
  const sizes = typeof pieces === "number" ? new Array<number>(pieces).fill(size / pieces) : pieces;
  return sizes.length === 1 && sizes[0] === size ? [x] : applyAll(splitOperation, [x], { axis: at, sizes });
}
