import onnxProto from "onnx-proto";
import { RuntimeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { BLOCKED_DOMAIN } from "../tensor/blocked.ts";
import { emitKernelOrder, emitPlainOrder } from "../tensor/convolution/kernel-order.ts";
import { int64Vector, ONNX_DTYPE } from "../tensor/core.ts";
import {
  type LowerContext,
  type Lowered,
  type OnnxAttribute,
  type OnnxNode,
  outputAt,
  reachableNodes,
  type Subgraph,
  type Target,
  type Tensor,
} from "../tensor/graph.ts";
import { batchFactor, inGroups, isConcrete, type Shape } from "../tensor/shape.ts";
import { steadyLog } from "../tensor/steady.ts";
import { attributeProto, tensorProto, valueInfo } from "./proto.ts";
import { simplify } from "./simplify.ts";

const { onnx } = onnxProto;

/** Operator set of the default domain that emitted models import. */
export const OPSET = 20;
export const IR_VERSION = 9;

export { BLOCKED_DOMAIN };

/** A graph to be written: leaves that are fed from outside and outputs, each with a name. */
export interface Graph {
  readonly inputs: ReadonlyMap<Tensor, string>;
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Leaves whose values become part of the model. */
  readonly weights: ReadonlyMap<Tensor, { readonly name: string; readonly value: NdArray }>;
  /** Names of inputs and outputs that are weights, or gradients of weights, in the order of the blocked kernels. */
  readonly ordered?: ReadonlySet<string>;
}

interface Layouts {
  plain?: string;
  blocked?: string;
  kernel?: string;
}

/** Names nodes and gathers them while operations lower themselves. */
class Emitter implements LowerContext {
  readonly target: Target;
  readonly nodes: InstanceType<typeof onnx.NodeProto>[] = [];
  private readonly sources = new Map<string, OnnxNode>();
  private readonly read = new Set<string>();
  /** Graphs within this one, whose nodes read names of this one. */
  private readonly subgraphs: InstanceType<typeof onnx.GraphProto>[] = [];
  readonly initializers: InstanceType<typeof onnx.TensorProto>[] = [];
  readonly domains = new Set<string>();
  private readonly graph: Graph;
  private readonly values = new Map<string, Layouts>();
  private readonly constants = new Map<string, string>();
  private readonly useCounts = new Map<string, number>();
  private count = 0;
  private batch: string | undefined;
  /** Stands before all names: a graph within a graph must not repeat those around it. */
  private readonly prefix: string;
  private readonly outside: ReadonlyMap<Tensor, string>;

  constructor(graph: Graph, target: Target, prefix = "", outside: ReadonlyMap<Tensor, string> = new Map()) {
    this.graph = graph;
    this.target = target;
    this.prefix = prefix;
    this.outside = outside;
  }

  emit(node: OnnxNode): readonly string[] {
    if (this.target.deterministic && node.op === "Log") return [steadyLog(this, node.inputs[0] ?? "")];
    const { mostJoined = Number.POSITIVE_INFINITY } = this.target;
    if (node.op === "Concat" && node.inputs.length > mostJoined) {
      const parts = inGroups(node.inputs, mostJoined).map((inputs) => this.emit1({ ...node, inputs }));
      return this.emit({ ...node, inputs: parts });
    }
    const id = this.count++;
    const outputs = Array.from(
      { length: node.outputs ?? 1 },
      (_, i) => `${this.prefix}${node.op}_${id}${i === 0 ? "" : `_${i}`}`,
    );
    if (node.domain !== undefined) this.domains.add(node.domain);
    for (const name of node.inputs) this.read.add(name);
    for (const name of outputs) this.sources.set(name, node);
    this.nodes.push(
      onnx.NodeProto.create({
        opType: node.op,
        name: `${this.prefix}${node.op}_${id}`,
        input: [...node.inputs],
        output: outputs,
        domain: node.domain ?? "",
        attribute: Object.entries(node.attributes ?? {}).map(([name, value]) => attributeProto(name, value)),
      }),
    );
    return outputs;
  }

  emit1(node: OnnxNode): string {
    return outputAt(this.emit(node), 0);
  }

  unreadNode(name: string): OnnxNode | undefined {
    return this.read.has(name) ? undefined : this.sources.get(name);
  }

  replaceUnread(name: string, node: OnnxNode): string {
    const index = this.nodes.findLastIndex(({ output }) => output?.includes(name));
    if (index >= 0 && !this.read.has(name)) this.nodes.splice(index, 1);
    return this.emit1(node);
  }

  value(tensor: Tensor): string {
    const layouts = this.layoutsOf(tensor);
    layouts.plain ??=
      layouts.kernel === undefined
        ? this.reorder("ReorderOutput", layouts.blocked ?? "", tensor)
        : emitPlainOrder(this, layouts.kernel, tensor.shape);
    return layouts.plain;
  }

  kernelValue(tensor: Tensor): string {
    const layouts = this.layoutsOf(tensor);
    layouts.kernel ??= emitKernelOrder(this, this.value(tensor), tensor.shape);
    return layouts.kernel;
  }

  blockedValue(tensor: Tensor): string {
    const layouts = this.layoutsOf(tensor);
    layouts.blocked ??= this.reorder("ReorderInput", this.value(tensor), tensor);
    return layouts.blocked;
  }

  /** Carries a map into the other layout. The kernels know floats only. */
  private reorder(op: "ReorderInput" | "ReorderOutput", source: string, tensor: Tensor): string {
    const cast = (name: string, to: number): string =>
      this.emit1({ op: "Cast", inputs: [name], attributes: { to: { int: to } } });
    const reordered = this.emit1({
      op,
      inputs: [tensor.dtype === "bool" ? cast(source, ONNX_DTYPE.float32) : source],
      ...(op === "ReorderOutput" && { attributes: { channels: { int: Number(tensor.shape[1]) } } }),
      domain: BLOCKED_DOMAIN,
    });
    return tensor.dtype === "bool" ? cast(reordered, ONNX_DTYPE.bool) : reordered;
  }

  onlyBlocked(tensor: Tensor): boolean {
    const layouts = this.layoutsOf(tensor);
    return layouts.plain === undefined && layouts.blocked !== undefined;
  }

  onlyKernel(tensor: Tensor): boolean {
    const layouts = this.layoutsOf(tensor);
    return layouts.plain === undefined && layouts.kernel !== undefined;
  }

  hasBlocked(tensor: Tensor): boolean {
    return this.layoutsOf(tensor).blocked !== undefined;
  }

  uses(tensor: Tensor): number {
    return this.useCounts.get(valueKey(tensor)) ?? 0;
  }

  constant(value: NdArray): string {
    const bytes = new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
    const key = bytes.length <= 1024 ? `${value.dtype} ${value.shape} ${bytes.join()}` : undefined;
    const known = key === undefined ? undefined : this.constants.get(key);
    if (known !== undefined) return known;
    const name = `${this.prefix}constant_${this.initializers.length}`;
    this.initializers.push(tensorProto(name, value));
    if (key !== undefined) this.constants.set(key, name);
    return name;
  }

  shapeValue(shape: Shape): string {
    if (isConcrete(shape)) return this.constant(int64Vector(shape));
    const pieces = shape.map((dim) => {
      const factor = batchFactor(dim);
      if (factor === undefined) return this.constant(int64Vector([Number(dim)]));
      const batch = this.batchSize();
      if (factor === 1) return batch;
      return this.emit1({ op: "Mul", inputs: [batch, this.constant(int64Vector([factor]))] });
    });
    return this.emit1({ op: "Concat", inputs: pieces, attributes: { axis: { int: 0 } } });
  }

  /** The batch size as an int64 vector of one element, read off the first input that has it. */
  private batchSize(): string {
    if (this.batch !== undefined) return this.batch;
    for (const [tensor, name] of this.graph.inputs) {
      const axis = tensor.shape.indexOf("batch");
      if (axis < 0) continue;
      this.batch = this.emit1({
        op: "Shape",
        inputs: [name],
        attributes: { start: { int: axis }, end: { int: axis + 1 } },
      });
      return this.batch;
    }
    throw new RuntimeError(
      "a shape depends on the batch size, but no input has an axis of exactly that size",
    );
  }

  subgraph(body: Subgraph): OnnxAttribute {
    const prefix = `${this.prefix}body_${this.count++}_`;
    const outputs = new Map(simplify(body.outputs).map((tensor, i) => [`${prefix}output_${i}`, tensor]));
    const inputs = new Map(body.inputs.map((tensor, i) => [tensor, `${prefix}input_${i}`]));
    for (const name of body.outside.values()) this.read.add(name);
    const inner = new Emitter({ inputs, outputs, weights: new Map() }, this.target, prefix, body.outside);
    inner.lowerAll();
    for (const domain of inner.domains) this.domains.add(domain);
    const graph = inner.graphProto(prefix);
    this.subgraphs.push(graph);
    return { graph };
  }

  /** What has been emitted, as a graph. */
  graphProto(name: string): InstanceType<typeof onnx.GraphProto> {
    return onnx.GraphProto.create({
      name,
      node: this.nodes,
      initializer: this.initializers,
      input: [...this.graph.inputs].map(([tensor, input]) => valueInfo(input, tensor)),
      output: [...this.graph.outputs].map(([output, tensor]) =>
        valueInfo(output, tensor, !this.graph.ordered?.has(output)),
      ),
    });
  }

  private layoutsOf(tensor: Tensor): Layouts {
    const layouts = this.values.get(valueKey(tensor));
    if (layouts === undefined) {
      throw new RuntimeError(
        `${tensor} is used by the program but is neither computed in it nor one of its inputs`,
      );
    }
    return layouts;
  }

  lowerAll(): void {
    for (const [tensor, name] of this.graph.inputs) {
      this.values.set(valueKey(tensor), this.graph.ordered?.has(name) ? { kernel: name } : { plain: name });
    }
    for (const [tensor, name] of this.outside) this.values.set(valueKey(tensor), { plain: name });
    for (const [tensor, { name, value }] of this.graph.weights) {
      this.initializers.push(tensorProto(name, value));
      this.values.set(valueKey(tensor), { plain: name });
    }
    const nodes = reachableNodes([...this.graph.outputs.values()]);
    const counted = [...nodes.flatMap((node) => node.inputs), ...this.graph.outputs.values()];
    for (const tensor of counted) this.useCounts.set(valueKey(tensor), this.uses(tensor) + 1);
    for (const node of nodes) {
      if (node.outputs.every((output) => this.values.has(valueKey(output)))) continue;
      const lowered: readonly Lowered[] = node.operation.lower(this, node);
      node.outputs.forEach((output, i) => {
        const name = lowered[i];
        if (name === undefined) return;
        this.values.set(valueKey(output), typeof name === "string" ? { plain: name } : { ...name });
      });
    }
    this.nameOutputs();
  }

  /** Follows a renaming of this graph's values in the graphs within it. */
  private renameOutside(renamed: (name: string) => string): void {
    const open = [...this.subgraphs];
    for (let graph = open.pop(); graph !== undefined; graph = open.pop()) {
      for (const node of graph.node ?? []) {
        node.input = (node.input ?? []).map(renamed);
        for (const { g } of node.attribute ?? []) if (g) open.push(g as InstanceType<typeof onnx.GraphProto>);
      }
    }
  }

  /** Gives the values of the graph's outputs their names. */
  private nameOutputs(): void {
    // Reordering first, which makes nodes.
    const sources = [...this.graph.outputs].map(([name, tensor]) => {
      const source = this.graph.ordered?.has(name) ? this.kernelValue(tensor) : this.value(tensor);
      return [name, source] as const;
    });
    const made = new Set(this.nodes.flatMap(({ output }) => output ?? []));
    const names = new Map<string, string>();
    for (const [name, source] of sources) {
      if (made.has(source) && !names.has(source)) {
        names.set(source, name);
        continue;
      }
      // An input, a constant, or an output already under another name.
      this.nodes.push(
        onnx.NodeProto.create({
          opType: "Identity",
          name: `${this.prefix}output_${name}`,
          input: [source],
          output: [name],
        }),
      );
    }
    const renamed = (name: string): string => names.get(name) ?? name;
    for (const node of this.nodes) {
      node.input = (node.input ?? []).map(renamed);
      node.output = (node.output ?? []).map(renamed);
    }
    this.renameOutside(renamed);
  }
}

const valueKey = (tensor: Tensor): string => `${tensor.node.id}:${tensor.index}`;

/** Writes a graph as the bytes of an ONNX model, with metadata as key and value texts. */
export function lowerToOnnx(
  graph: Graph,
  target: Target,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const emitter = new Emitter(graph, target);
  emitter.lowerAll();
  const model = onnx.ModelProto.create({
    irVersion: IR_VERSION,
    producerName: "eidos",
    opsetImport: [
      { domain: "", version: OPSET },
      ...[...emitter.domains].map((domain) => ({ domain, version: 1 })),
    ],
    graph: emitter.graphProto("eidos"),
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  });
  return onnx.ModelProto.encode(model).finish();
}
