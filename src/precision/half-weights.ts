import { elementCount } from "../tensor/array.ts";
import { ELEMENTS, ModelEdit, type NodeProto, shapeOf } from "./edit.ts";
import { toHalves } from "./half.ts";

// Weights as numbers of 16 bits. They become numbers of 32 bits again as the model is loaded: processors, in Node, in pages and in Python, have no
// kernels of 16 bits, and ONNX Runtime would put a conversion before and after every node instead.

/** Smaller weights stay as they are: they take no room, and scales and shifts of layers are among them. */
export const LEAST_ELEMENTS = 64;

/** Weights beyond the largest number of 16 bits, which stay in 32. */
export interface HalfOverflow {
  /** Numbers that are too large. */
  readonly count: number;
  /** The weights that hold them. */
  readonly weights: readonly string[];
  /** One of the numbers. */
  readonly example: number;
}

/**
 * Stores weights of a model as numbers of 16 bits, each with a Cast to 32 beside it, which runtimes compute once as they load the model. Weights of
 * which a number is beyond 65504 stay as they are.
 * @param weights names of weights; other constants, such as locations of anchors, have to stay exact
 */
export function halfWeights(
  model: Uint8Array,
  weights: Pick<ReadonlySet<string>, "has">,
): { readonly bytes: Uint8Array; readonly overflow: HalfOverflow | undefined } {
  const edit = new ModelEdit(model);
  const casts: NodeProto[] = [];
  const large: { readonly name: string; readonly count: number; readonly example: number }[] = [];
  for (const own of edit.initializers()) {
    const name = own.name ?? "";
    const shape = shapeOf(own);
    if (!weights.has(name) || shape.length < 2 || elementCount(shape) < LEAST_ELEMENTS) continue;
    const values = edit.floats(name);
    if (values === undefined) continue;
    const { halves, overflow } = toHalves(values.data);
    if (overflow !== undefined) {
      large.push({ name, ...overflow });
      continue;
    }
    edit.remove(name);
    const stored = edit.add(`${name}.half`, "float16", halves, shape);
    casts.push(edit.node("Cast", [stored], name, { to: ELEMENTS.float32 }));
  }
  edit.graph.node = [...casts, ...((edit.graph.node ?? []) as NodeProto[])];
  const [first] = large;
  return {
    bytes: edit.bytes(),
    overflow: first && {
      count: large.reduce((sum, { count }) => sum + count, 0),
      weights: large.map(({ name }) => name),
      example: first.example,
    },
  };
}
