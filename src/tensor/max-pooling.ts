import { elementCount } from "./array.ts";
import { int64Vector } from "./core.ts";
import { apply, inputAt, type LowerContext, type Operation, outputAt, sizeAt, type Tensor } from "./graph.ts";
import { BLOCKED_DOMAIN, prefersBlocked } from "./layout.ts";
import { filled } from "./leaves.ts";
import { onlyGradient } from "./rules.ts";
import type { Shape } from "./shape.ts";
import {
  type PoolingOptions,
  pooledShape,
  type WindowAttributes,
  windowAttributes,
  windowNode,
} from "./windows.ts";

// The place of every maximum is the operation's second output: its index in the flattened input. The gradient puts the
// incoming values there; being linear, its own gradient takes the values from there.

const maxPoolOperation: Operation<WindowAttributes> = {
  name: "maxPool2d",
  infer: (inputs, attributes) => {
    const x = inputAt(inputs, 0);
    const shape = pooledShape("maxPool2d", x, attributes);
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "int64" },
    ];
  },
  gradient: ({ inputs, outputs, attributes, gradients: [g] }) => {
    if (g === undefined) return [];
    const places = outputAt(outputs, 1);
    return [apply(placeMaxima, [g, places], { ...attributes, shape: inputAt(inputs, 0).shape })];
  },
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const attributes = windowNode(node.attributes);
    if (context.uses(outputAt(node.outputs, 1)) > 0) {
      if (!context.target.contrib) return emitMaximaAndPlaces(context, x, node.attributes);
      return context.emit({ op: "MaxPool", inputs: [context.value(x)], attributes, outputs: 2 });
    }
    if (prefersBlocked(context, [x])) {
      const inputs = [context.blockedValue(x)];
      return [{ blocked: context.emit1({ op: "MaxPool", domain: BLOCKED_DOMAIN, inputs, attributes }) }];
    }
    return [context.emit1({ op: "MaxPool", inputs: [context.value(x)], attributes })];
  },
};

/**
 * Maxima and their places where the runtime's pooling kernel does not tell places (WebGPU): the elements of each window
 * are gone through, one position of the window after another.
 */
function emitMaximaAndPlaces(
  context: LowerContext,
  x: Tensor,
  attributes: WindowAttributes,
): readonly [maxima: string, places: string] {
  const { kernel, stride, padding } = attributes;
  const name = "maxPool2d";
  const [n, c, h, w] = [0, 1, 2, 3].map((axis) => sizeAt(name, x, axis)) as [number, number, number, number];
  const [, , rows, columns] = pooledShape(name, x, attributes).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const vector = (values: readonly number[]): string => context.constant(int64Vector(values));
  const int64 = (shape: readonly number[], value: (i: number) => number): string =>
    context.constant({
      ...int64Vector(Array.from({ length: elementCount(shape) }, (_, i) => value(i))),
      shape,
    });
  const lowest = context.constant(filled(x.dtype, [], Number.NEGATIVE_INFINITY));
  const [top, left, bottom, right] = padding;
  const pads = vector([0, 0, top, left, 0, 0, bottom, right]);
  const padded = context.emit1({ op: "Pad", inputs: [context.value(x), pads, lowest] });
  let maxima: string | undefined;
  let places = "";
  for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
    const start = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
    const end = [start[0] + (rows - 1) * stride[0] + 1, start[1] + (columns - 1) * stride[1] + 1];
    const values = context.emit1({
      op: "Slice",
      inputs: [padded, vector(start), vector(end), vector([2, 3]), vector(stride)],
    });
    const here = int64([rows, columns], (i) => {
      const row = Math.floor(i / columns) * stride[0] + start[0] - top;
      return row * w + (i % columns) * stride[1] + start[1] - left;
    });
    if (maxima === undefined) {
      maxima = values;
      places = context.emit1({ op: "Expand", inputs: [here, vector([n, c, rows, columns])] });
      continue;
    }
    const larger = context.emit1({ op: "Greater", inputs: [values, maxima] });
    maxima = context.emit1({ op: "Where", inputs: [larger, values, maxima] });
    places = context.emit1({ op: "Where", inputs: [larger, here, places] });
  }
  const maps = int64([n, c, 1, 1], (i) => i * h * w);
  return [maxima ?? padded, context.emit1({ op: "Add", inputs: [places, maps] })];
}

interface PlaceAttributes extends WindowAttributes {
  /** The shape of the map that was pooled. */
  readonly shape: Shape;
}

const placeMaxima: Operation<PlaceAttributes> = {
  name: "maxPool2dGradient",
  infer: (inputs, { shape }) => [{ shape, dtype: inputAt(inputs, 0).dtype }],
  gradient: ({ inputs, attributes, gradients }) => [
    apply(takeMaxima, [onlyGradient(gradients), inputAt(inputs, 1)], attributes),
    undefined,
  ],
  lower: (context, node) => {
    const [g, places] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1)];
    const { kernel, stride, padding, shape } = node.attributes;
    const exact = ([0, 1] as const).every((axis) => {
      const reached = (sizeAt("maxPool2d", g, 2 + axis) - 1) * stride[axis] + kernel[axis];
      return (
        stride[axis] >= kernel[axis] && reached - padding[axis] - (padding[axis + 2] ?? 0) === shape[2 + axis]
      );
    });
    if (exact) {
      const inputs = [context.value(g), context.value(places)];
      return [context.emit1({ op: "MaxUnpool", inputs, attributes: windowNode(node.attributes) })];
    }
    const flat = (name: string): string =>
      context.emit1({ op: "Reshape", inputs: [name, context.constant(int64Vector([-1]))] });
    const full = context.shapeValue(shape);
    const size = context.emit1({
      op: "ReduceProd",
      inputs: [full],
      attributes: { keepdims: { int: 1 } },
    });
    const zeros = context.emit1({
      op: "Expand",
      inputs: [context.constant(filled(g.dtype, [1], 0)), size],
    });
    const scattered = context.emit1({
      op: "ScatterElements",
      inputs: [zeros, flat(context.value(places)), flat(context.value(g))],
      attributes: { axis: { int: 0 }, reduction: { string: "add" } },
    });
    return [context.emit1({ op: "Reshape", inputs: [scattered, full] })];
  },
};

const takeMaxima: Operation<PlaceAttributes> = {
  name: "maxPool2dTake",
  infer: (inputs) => [{ shape: inputAt(inputs, 1).shape, dtype: inputAt(inputs, 0).dtype }],
  gradient: ({ inputs, attributes, gradients }) => [
    apply(placeMaxima, [onlyGradient(gradients), inputAt(inputs, 1)], attributes),
    undefined,
  ],
  lower: (context, node) => {
    const flat = context.emit1({
      op: "Reshape",
      inputs: [context.value(inputAt(node.inputs, 0)), context.constant(int64Vector([-1]))],
    });
    return [context.emit1({ op: "Gather", inputs: [flat, context.value(inputAt(node.inputs, 1))] })];
  },
};

/**
 * Maximum over windows: [N, C, H, W] → [N, C, H', W'] with H' = ⌊(H + top + bottom − kernel) / stride⌋ + 1. Padding never
 * wins. Among equal elements the first takes the gradient.
 * @throws ShapeError
 * @throws OptionError where kernel, stride or padding is not acceptable
 */
export function maxPool2d(x: Tensor, options: PoolingOptions): Tensor {
  return apply(maxPoolOperation, [x], windowAttributes("maxPool2d", options));
}
