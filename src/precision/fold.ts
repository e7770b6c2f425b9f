import { RuntimeError } from "../errors.ts";
import type { Runtime } from "../program/runtime.ts";
import { ModelEdit, type NodeProto, type Reader, type Scope, type Values } from "./edit.ts";

// What of a model does not depend on its inputs is computed ahead: weights that are made of others (masks, norms of weights), and the scale and
// shift of batch normalization, which go into the weights and bias of the layer before. Layers of whole numbers need both.

/** Operations with weights. */
export const LAYERS: ReadonlySet<string> = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul"]);

/** Values that depend on no input, and the nodes that make them, in order. */
function constants(edit: ModelEdit): {
  readonly names: ReadonlySet<string>;
  readonly nodes: readonly NodeProto[];
} {
  const names = new Set(edit.initializers().map(({ name }) => name ?? ""));
  const nodes = ((edit.graph.node ?? []) as NodeProto[]).filter(({ input, output, attribute, opType }) => {
    const isConstant =
      (input ?? []).every((name) => name === "" || names.has(name)) &&
      !(attribute ?? []).some(({ g }) => g) &&
      !/^Random|^Bernoulli|^Multinomial/.test(opType ?? "");
    if (isConstant) for (const name of output ?? []) names.add(name);
    return isConstant;
  });
  return { names, nodes };
}

/** Which of some values are made of weights. */
function madeOfWeights(nodes: readonly NodeProto[], weights: ReadonlySet<string>): ReadonlySet<string> {
  const made = new Set(weights);
  for (const { input, output } of nodes) {
    if ((input ?? []).some((name) => made.has(name))) for (const name of output ?? []) made.add(name);
  }
  return made;
}

/** Factors by which a layer's outputs are multiplied, or what is added to them, channel by channel; undefined where it is no such thing. */
function perChannel({ data, shape }: Values, channels: number, fromEnd: number): Float32Array | undefined {
  // More axes than the outputs have would give them more.
  if (shape.length > (fromEnd === 1 ? 2 : 4)) return undefined;
  if (data.length === 1) return new Float32Array(channels).fill(data[0] ?? 0);
  const axis = shape.length - fromEnd;
  if (data.length !== channels || shape[axis] !== channels) return undefined;
  return data;
}

/** A layer with what is to be multiplied and added after it. */
interface Affine {
  readonly factor: Float64Array;
  readonly shift: Float64Array;
  /** The last node that is taken in. */
  readonly last: NodeProto;
  /** All that are taken in. */
  readonly taken: readonly NodeProto[];
}

/** Multiplications and additions of constants that follow a layer, each read by the next alone. */
function affineAfter(
  node: NodeProto,
  scope: Scope,
  channels: number,
  readers: ReadonlyMap<string, readonly Reader[]>,
  outputs: ReadonlySet<string>,
  constant: (name: string) => Values | undefined,
): Affine | undefined {
  const fromEnd = node.opType === "Gemm" || node.opType === "MatMul" ? 1 : 3;
  const factor = new Float64Array(channels).fill(1);
  const shift = new Float64Array(channels);
  const taken: NodeProto[] = [];
  let last = node;
  for (;;) {
    const name = last.output?.[0] ?? "";
    const [next, ...others] = readers.get(name) ?? [];
    if (next === undefined || others.length > 0 || outputs.has(name) || next.scope.graph !== scope.graph)
      break;
    const { opType = "" } = next.node;
    if (!["Mul", "Add", "Sub"].includes(opType) || (opType === "Sub" && next.at !== 0)) break;
    const held = constant(next.node.input?.[1 - next.at] ?? "");
    const values = held && perChannel(held, channels, fromEnd);
    if (values === undefined) break;
    for (const [i, value] of values.entries()) {
      if (opType === "Mul") {
        factor[i] = (factor[i] ?? 0) * value;
        shift[i] = (shift[i] ?? 0) * value;
      } else shift[i] = (shift[i] ?? 0) + (opType === "Add" ? value : -value);
    }
    taken.push(next.node);
    last = next.node;
  }
  return taken.length === 0 ? undefined : { factor, shift, last, taken };
}

/** The axis of a layer's weights along which its outputs lie; undefined where weights are grouped so that there is none. */
export function outputAxis(node: NodeProto, rank: number): number | undefined {
  const flag = (name: string): number =>
    Number((node.attribute ?? []).find((own) => own.name === name)?.i ?? (name === "group" ? 1 : 0));
  if (node.opType === "Conv") return 0;
  if (node.opType === "ConvTranspose") return flag("group") === 1 ? 1 : undefined;
  if (node.opType === "Gemm") return flag("transB") === 1 ? 0 : 1;
  return rank === 2 ? 1 : undefined;
}

/** The index along an axis of each element. */
export function axisIndex(shape: readonly number[], axis: number): (element: number) => number {
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const size = shape[axis] ?? 1;
  return (element) => Math.floor(element / inner) % size;
}

/** Weights and bias of a layer with what follows it taken in. */
function taken(
  edit: ModelEdit,
  node: NodeProto,
  { factor, shift }: Affine,
  axis: number,
  shared: Map<string, readonly [string, string]>,
): readonly [weight: string, bias: string] {
  const [, weight = "", bias = ""] = node.input ?? [];
  // Layers of several sizes of images share weights and norms: what is equal is stored once.
  const key = [weight, bias, axis, factor.join(), shift.join()].join(" ");
  const known = shared.get(key);
  if (known !== undefined) return known;
  const own = edit.floats(weight);
  const added = bias === "" ? undefined : edit.floats(bias);
  if (own === undefined) throw new RuntimeError(`weight ${weight} of a layer is not among the constants`);
  const channel = axisIndex(own.shape, axis);
  const data = own.data.map((value, i) => value * (factor[channel(i)] ?? 1));
  const moved = Float32Array.from(
    shift,
    (value, i) => value + (factor[i] ?? 1) * (added?.data[added.data.length === 1 ? 0 : i] ?? 0),
  );
  const names = [
    edit.add(`${weight}.folded`, "float32", data, own.shape),
    edit.add(`${weight}.shift`, "float32", moved, [moved.length]),
  ] as const;
  shared.set(key, names);
  return names;
}

/**
 * Computes what is constant about the layers of a model ahead, so that every layer's weights are initializers, and takes multiplications and
 * additions of constants after a layer, as batch normalization is in use, into its weights and bias.
 * @param weights names of the model's weights
 * @returns the model, and the names of initializers that are weights or are made of some
 */
export async function foldConstants(
  model: Uint8Array,
  weights: ReadonlySet<string>,
  runtime: Runtime,
): Promise<{ readonly bytes: Uint8Array; readonly weights: ReadonlySet<string> }> {
  const edit = new ModelEdit(model);
  const { names, nodes } = constants(edit);
  const made = madeOfWeights(nodes, weights);
  const wanted = new Set<string>();
  const layers = edit
    .nodes()
    .filter(({ node }) => LAYERS.has(node.opType ?? "") && made.has(node.input?.[1] ?? ""));
  const isFloat = new Set(["Mul", "Add", "Sub"]);
  for (const { node } of layers) {
    for (const name of (node.input ?? []).slice(1)) if (names.has(name)) wanted.add(name);
  }
  // Operands that may come after a layer; those that do not are left alone.
  const afterLayers = new Set(layers.flatMap(({ node }) => node.output ?? []));
  for (const { node } of edit.nodes()) {
    const inputs = node.input ?? [];
    if (!isFloat.has(node.opType ?? "") || !inputs.some((name) => afterLayers.has(name))) continue;
    for (const name of node.output ?? []) afterLayers.add(name);
    for (const name of inputs) if (names.has(name)) wanted.add(name);
  }
  const computed = [...wanted].filter((name) => edit.initializer(name) === undefined);
  const values = new Map<string, Values>();
  if (computed.length > 0) {
    const session = await runtime.load(edit.part(nodes, computed), true);
    try {
      const results = await session.run({});
      for (const [name, value] of Object.entries(results)) {
        const { data, shape } = await value.read();
        if (data instanceof Float32Array) values.set(name, { data: data.slice(), shape });
      }
    } finally {
      await session.release();
    }
  }
  const known = new Set(weights);
  const stored = new Map<string, string>();
  for (const { node } of layers) {
    node.input = (node.input ?? []).map((name, at) => {
      const value = at === 0 ? undefined : values.get(name);
      if (value === undefined) return name;
      const own = stored.get(name) ?? edit.add(`${name}.value`, "float32", value.data, value.shape);
      stored.set(name, own);
      if (made.has(name)) known.add(own);
      return own;
    });
  }
  foldAfter(edit, layers, known, (name) => edit.floats(name) ?? values.get(name));
  edit.prune();
  return { bytes: edit.bytes(), weights: known };
}

/** Takes what follows layers into their weights. */
function foldAfter(
  edit: ModelEdit,
  layers: readonly { readonly node: NodeProto; readonly scope: Scope }[],
  known: Set<string>,
  constant: (name: string) => Values | undefined,
): void {
  const readers = edit.readers();
  const outputs = edit.outputs();
  const shared = new Map<string, readonly [string, string]>();
  for (const { node, scope } of layers) {
    const [x = "", weight = "", bias = ""] = node.input ?? [];
    const own = edit.floats(weight);
    const axis = own && outputAxis(node, own.shape.length);
    // A product has no bias. A bias that is computed as the model runs stays outside.
    if (own === undefined || axis === undefined || node.opType === "MatMul") continue;
    if (bias !== "" && edit.floats(bias) === undefined) continue;
    const channels = own.shape[axis] ?? 1;
    const affine = affineAfter(node, scope, channels, readers, outputs, constant);
    if (affine === undefined) continue;
    const [folded, shift] = taken(edit, node, affine, axis, shared);
    known.add(folded);
    node.input = [x, folded, shift];
    node.output = [...(affine.last.output ?? [])];
    const gone = new Set(affine.taken);
    scope.graph.node = ((scope.graph.node ?? []) as NodeProto[]).filter((other) => !gone.has(other));
  }
}
