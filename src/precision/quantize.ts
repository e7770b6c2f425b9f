import { elementCount } from "../tensor/array.ts";
import type { Watched } from "./calibrate.ts";
import { intAttribute, ModelEdit, type NodeProto, type Reader, type Scope, type Values } from "./edit.ts";
import { LAYERS, outputAxis } from "./fold.ts";
import {
  activationScale,
  type QuantizedWeights,
  quantizedBias,
  quantizedWeights,
  type Range,
  WEIGHT_LEVELS,
} from "./quantization.ts";

// A network whose layers compute with whole numbers of 8 bits, written as ONNX Runtime's tools write it: floats become whole numbers by
// QuantizeLinear and floats again by DequantizeLinear around each layer (QDQ), and runtimes put kernels of whole numbers in place of the three.

/** Weights of fewer numbers stay floats: nodes that make floats of them would take more room. */
const LEAST_ELEMENTS = 128;

/**
 * What becomes whole numbers: `all` layers, `inner` ones but not the first and last of the network, or `weights` alone, of which floats are made
 * as the network runs.
 */
export type QuantizedPart = "all" | "inner" | "weights";

/** A layer whose weights are constants. */
interface Layer {
  readonly node: NodeProto;
  readonly scope: Scope;
  readonly weight: Values;
  /** Along which the outputs lie. */
  readonly axis: number;
}

/** Layers of a model with weights that are worth it. */
function layersOf(edit: ModelEdit, weights: ReadonlySet<string>): readonly Layer[] {
  return edit.nodes().flatMap(({ node, scope }) => {
    const name = node.input?.[1] ?? "";
    if (!LAYERS.has(node.opType ?? "") || !weights.has(name)) return [];
    const weight = edit.floats(name);
    const axis = weight && outputAxis(node, weight.shape.length);
    if (weight === undefined || axis === undefined || elementCount(weight.shape) < LEAST_ELEMENTS) return [];
    return [{ node, scope, weight, axis }];
  });
}

/** Whether a layer has kernels of whole numbers. */
function computes({ node, weight }: Layer, edit: ModelEdit): boolean {
  const bias = node.input?.[2] ?? "";
  const isPlain = bias === "" || edit.floats(bias)?.shape.length === 1;
  if (node.opType === "ConvTranspose" || !isPlain) return false;
  const plainProduct = node.opType !== "Gemm" || intAttribute(node, "transA", 0) === 0;
  const scaled = (node.attribute ?? []).some(({ name }) => name === "alpha" || name === "beta");
  return plainProduct && !scaled && weight.data.every(Number.isFinite);
}

/** Layers that read no other layer's outputs, even by way of other nodes, and layers whose outputs no other layer reads. */
function outermost(edit: ModelEdit, layers: readonly Layer[]): ReadonlySet<NodeProto> {
  const own = new Set(layers.map(({ node }) => node));
  const after = new Set<string>();
  const ends = new Set<NodeProto>();
  // What lies inside of a loop comes with the loop.
  const parts = (node: NodeProto): readonly NodeProto[] => [
    node,
    ...(node.attribute ?? []).flatMap(({ g }) => ((g?.node ?? []) as NodeProto[]).flatMap(parts)),
  ];
  const forward = ((edit.graph.node ?? []) as NodeProto[]).flatMap(parts);
  for (const node of forward) {
    const reads = (node.input ?? []).some((name) => after.has(name));
    if (own.has(node) && !reads) ends.add(node);
    if (own.has(node) || reads) for (const name of node.output ?? []) after.add(name);
  }
  const before = new Set<string>();
  for (const node of forward.toReversed()) {
    const isRead = (node.output ?? []).some((name) => before.has(name));
    if (own.has(node) && !isRead) ends.add(node);
    if (own.has(node) || isRead) for (const name of node.input ?? []) before.add(name);
  }
  return ends;
}

/** Layers that compute with whole numbers. */
function computing(edit: ModelEdit, weights: ReadonlySet<string>, part: QuantizedPart): readonly Layer[] {
  if (part === "weights") return [];
  const layers = layersOf(edit, weights);
  const left = part === "inner" ? outermost(edit, layers) : undefined;
  return layers.filter((layer) => computes(layer, edit) && left?.has(layer.node) !== true);
}

/** The value that a convolution hands on: that of a ReLU after it, ending at 6 or not, where nothing else reads it, which kernels take in. */
function handedOn(
  { node, scope }: Layer,
  readers: ReadonlyMap<string, readonly Reader[]>,
  outputs: ReadonlySet<string>,
): NodeProto {
  const name = node.output?.[0] ?? "";
  const [next, ...others] = readers.get(name) ?? [];
  const isOnly = others.length === 0 && !outputs.has(name) && next?.scope.graph === scope.graph;
  return isOnly && (next?.node.opType === "Relu" || next?.node.opType === "Clip") ? next.node : node;
}

/** The values whose ranges the layers of a model need: what they take, and what convolutions give. */
export function watchedValues(weights: ReadonlySet<string>): (edit: ModelEdit) => readonly Watched[] {
  return (edit) => {
    const readers = edit.readers();
    const outputs = edit.outputs();
    const found = new Map<string, Watched>();
    const watch = (name: string, scope: Scope): void => {
      if (!found.has(name)) found.set(name, { name, scope });
    };
    for (const layer of computing(edit, weights, "all")) {
      watch(layer.node.input?.[0] ?? "", layer.scope);
      if (layer.node.opType !== "Conv") continue;
      watch(handedOn(layer, readers, outputs).output?.[0] ?? "", layer.scope);
    }
    return [...found.values()];
  };
}

/** Writes the nodes of whole numbers. */
class Quantizer {
  private readonly edit: ModelEdit;
  private readonly ranges: ReadonlyMap<string, Range>;
  /** Nodes that are to stand before a node, and after it. */
  private readonly before = new Map<NodeProto, NodeProto[]>();
  private readonly after = new Map<NodeProto, NodeProto[]>();
  /** Floats made of whole numbers, by the value that they stand for and the graph they are made in. */
  private readonly made = new Map<object, Map<string, string>>();
  private readonly held = new Map<string, QuantizedWeights & { readonly name: string }>();
  private readonly scales = new Map<string, readonly [string, string]>();
  /** DequantizeLinear of weights, which stand before all else. */
  private readonly first: NodeProto[] = [];

  constructor(edit: ModelEdit, ranges: ReadonlyMap<string, Range>) {
    this.edit = edit;
    this.ranges = ranges;
  }

  /** Names of the scale and the zero point of a value. */
  private scaleOf(name: string, range: Range): readonly [scale: string, zeroPoint: string] {
    const known = this.scales.get(name);
    if (known !== undefined) return known;
    const { scale, zeroPoint } = activationScale(range);
    const { edit } = this;
    const names = [
      edit.add(`${name}.scale`, "float32", Float32Array.of(scale), []),
      edit.add(`${name}.zero`, "uint8", Uint8Array.of(zeroPoint), []),
    ] as const;
    this.scales.set(name, names);
    return names;
  }

  /** Weights as whole numbers, and the floats that they stand for. */
  private weightsOf(
    { node, weight, axis }: Layer,
    levels: number,
  ): QuantizedWeights & { readonly name: string } {
    const source = node.input?.[1] ?? "";
    const key = `${source} ${axis} ${levels}`;
    const known = this.held.get(key);
    if (known !== undefined) return known;
    const { edit } = this;
    const own = quantizedWeights(weight, axis, levels);
    const values = edit.add(`${source}.int8`, "int8", own.values, weight.shape);
    const scales = edit.add(`${source}.scales`, "float32", own.scales, [own.scales.length]);
    const zeros = edit.add(`${source}.zeros`, "int8", new Int8Array(own.scales.length), [own.scales.length]);
    const name = edit.fresh(`${source}.float`);
    this.first.push(edit.node("DequantizeLinear", [values, scales, zeros], name, { axis }));
    const made = { ...own, name };
    this.held.set(key, made);
    return made;
  }

  /** A layer's input by way of whole numbers. */
  private input({ node, scope }: Layer, range: Range): string {
    const source = node.input?.[0] ?? "";
    const known = this.made.get(scope.graph) ?? new Map<string, string>();
    this.made.set(scope.graph, known);
    const made = known.get(source);
    if (made !== undefined) return made;
    const { edit } = this;
    const [scale, zero] = this.scaleOf(source, range);
    const whole = edit.fresh(`${source}.uint8`);
    const float = edit.fresh(`${source}.float`);
    this.before.set(node, [
      edit.node("QuantizeLinear", [source, scale, zero], whole),
      edit.node("DequantizeLinear", [whole, scale, zero], float),
    ]);
    known.set(source, float);
    return float;
  }

  /** Has a node give its value by way of whole numbers, to all that read it. */
  private output(node: NodeProto, scope: Scope, range: Range): void {
    const { edit } = this;
    const name = node.output?.[0] ?? "";
    const [scale, zero] = this.scaleOf(name, range);
    const exact = edit.fresh(`${name}.exact`);
    const whole = edit.fresh(`${name}.uint8`);
    node.output = [exact];
    this.after.set(node, [
      edit.node("QuantizeLinear", [exact, scale, zero], whole),
      edit.node("DequantizeLinear", [whole, scale, zero], name),
    ]);
    const known = this.made.get(scope.graph) ?? new Map<string, string>();
    known.set(name, name);
    this.made.set(scope.graph, known);
  }

  /** Has a layer compute with whole numbers. @returns whether it does */
  compute(layer: Layer, last: NodeProto): boolean {
    const { edit } = this;
    const { node, scope } = layer;
    const [source = "", , bias = ""] = node.input ?? [];
    const range = this.ranges.get(source);
    const given = this.ranges.get(last.output?.[0] ?? "");
    if (range === undefined || (node.opType === "Conv" && given === undefined)) return false;
    const { scale } = activationScale(range);
    const weights = this.weightsOf(layer, WEIGHT_LEVELS.multiplied);
    const added = bias === "" ? undefined : edit.floats(bias);
    const whole = added && quantizedBias(added.data, scale, weights.scales);
    if (added !== undefined && whole === undefined) return false;
    const inputs = [this.input(layer, range), weights.name];
    if (whole !== undefined) {
      const size = [whole.values.length];
      const values = edit.add(`${node.output?.[0]}.bias`, "int32", whole.values, size);
      const scales = edit.add(`${node.output?.[0]}.biasScales`, "float32", whole.scales, size);
      const zeros = edit.add(
        `${node.output?.[0]}.biasZeros`,
        "int32",
        new Int32Array(whole.values.length),
        size,
      );
      const name = edit.fresh(`${node.output?.[0]}.bias.float`);
      this.first.push(edit.node("DequantizeLinear", [values, scales, zeros], name, { axis: 0 }));
      inputs.push(name);
    }
    node.input = inputs;
    if (node.opType === "Conv" && given !== undefined) this.output(last, scope, given);
    return true;
  }

  /** Stores a layer's weights as whole numbers, and lets it compute with floats. */
  store(layer: Layer): void {
    const { node } = layer;
    const [source = "", , ...others] = node.input ?? [];
    node.input = [source, this.weightsOf(layer, WEIGHT_LEVELS.stored).name, ...others];
  }

  /** Puts all nodes in their places. */
  finish(): void {
    const { edit, before, after } = this;
    for (const { graph } of edit.scopes()) {
      graph.node = ((graph.node ?? []) as NodeProto[]).flatMap((node) => [
        ...(before.get(node) ?? []),
        node,
        ...(after.get(node) ?? []),
      ]);
    }
    edit.graph.node = [...this.first, ...((edit.graph.node ?? []) as NodeProto[])];
    edit.prune();
  }
}

/** How many layers became what. */
export interface QuantizedCounts {
  /** Layers that compute with whole numbers. */
  readonly computing: number;
  /** Layers whose weights alone are whole numbers. */
  readonly stored: number;
  /** Layers that were left as they were. */
  readonly floats: number;
}

/**
 * Rewrites a model so that layers compute with whole numbers of 8 bits: activations of uint8 with a zero point, weights of int8 with a scale for
 * each output, biases of int32.
 * @param model as `foldConstants` leaves it
 * @param weights names of initializers that are weights
 * @param ranges of `watchedValues`, by name
 */
export function quantized(
  model: Uint8Array,
  weights: ReadonlySet<string>,
  ranges: ReadonlyMap<string, Range>,
  part: QuantizedPart,
): { readonly bytes: Uint8Array; readonly counts: QuantizedCounts } {
  const edit = new ModelEdit(model);
  const readers = edit.readers();
  const outputs = edit.outputs();
  const all = layersOf(edit, weights);
  const chosen = computing(edit, weights, part);
  const left = part === "inner" ? outermost(edit, all) : new Set<NodeProto>();
  const writer = new Quantizer(edit, ranges);
  const done = new Set<NodeProto>();
  for (const layer of chosen) {
    if (writer.compute(layer, handedOn(layer, readers, outputs))) done.add(layer.node);
  }
  const stored = all.filter(({ node }) => !done.has(node) && !left.has(node));
  for (const layer of stored) writer.store(layer);
  writer.finish();
  return {
    bytes: edit.bytes(),
    counts: { computing: done.size, stored: stored.length, floats: all.length - done.size - stored.length },
  };
}
