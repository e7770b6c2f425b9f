import onnxProto from "onnx-proto";
import { append } from "../append.ts";
import { RuntimeError } from "../errors.ts";
import { elementCount } from "../tensor/array.ts";

// An ONNX model that is being rewritten: its nodes, also those of graphs within it, and its initializers.

const { onnx } = onnxProto;

export type NodeProto = InstanceType<typeof onnx.NodeProto>;
export type TensorProto = InstanceType<typeof onnx.TensorProto>;
export type GraphProto = InstanceType<typeof onnx.GraphProto>;
type ModelProto = InstanceType<typeof onnx.ModelProto>;

/** Numbers of element types in ONNX. */
export const ELEMENTS = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10 } as const;

export type ElementType = keyof typeof ELEMENTS;

/** Numbers with a shape. */
export interface Values {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** A graph of the model: the outermost one, or the body of a loop. */
export interface Scope {
  readonly graph: GraphProto;
  /** The node whose body it is, and the graph that this stands in. */
  readonly owner?: { readonly node: NodeProto; readonly scope: Scope };
}

/** The whole number that an attribute holds. */
export function intAttribute({ attribute }: NodeProto, name: string, usual: number): number {
  const found = (attribute ?? []).find((own) => own.name === name);
  return found === undefined ? usual : Number(found.i ?? 0);
}

/** The shape of an initializer. */
export const shapeOf = ({ dims }: TensorProto): readonly number[] => (dims ?? []).map(Number);

/** Where a value is read: by a node, at a place among its inputs. */
export interface Reader {
  readonly node: NodeProto;
  readonly scope: Scope;
  readonly at: number;
}

/** An ONNX model that can be changed. */
export class ModelEdit {
  readonly graph: GraphProto;
  private readonly model: ModelProto;
  private readonly held: Map<string, TensorProto>;
  private readonly names: Set<string>;

  /** @param bytes of a model, whose weights are inside */
  constructor(bytes: Uint8Array) {
    this.model = onnx.ModelProto.decode(bytes) as ModelProto;
    if (!this.model.graph) throw new RuntimeError("an ONNX model has no graph");
    this.graph = this.model.graph as GraphProto;
    this.held = new Map((this.graph.initializer ?? []).map((own) => [own.name ?? "", own as TensorProto]));
    this.names = new Set(this.held.keys());
    for (const { graph } of this.scopes()) {
      for (const { name } of [...(graph.input ?? []), ...(graph.initializer ?? [])])
        this.names.add(name ?? "");
      for (const { output } of graph.node ?? []) for (const name of output ?? []) this.names.add(name);
    }
  }

  /** The outermost graph and all graphs within it, each after the one around it. */
  scopes(): readonly Scope[] {
    const scopes: Scope[] = [{ graph: this.graph }];
    for (const scope of scopes) {
      for (const node of (scope.graph.node ?? []) as NodeProto[]) {
        for (const { g } of node.attribute ?? []) {
          if (g) scopes.push({ graph: g as GraphProto, owner: { node, scope } });
        }
      }
    }
    return scopes;
  }

  /** Nodes of all graphs, in an order in which they can run. */
  nodes(): readonly { readonly node: NodeProto; readonly scope: Scope }[] {
    return this.scopes().flatMap((scope) =>
      ((scope.graph.node ?? []) as NodeProto[]).map((node) => ({ node, scope })),
    );
  }

  /** A name that nothing has yet. */
  fresh(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.names.has(name); i++) name = `${wanted}_${i}`;
    this.names.add(name);
    return name;
  }

  /** The initializer of this name, in the outermost graph. */
  initializer(name: string): TensorProto | undefined {
    return this.held.get(name);
  }

  initializers(): readonly TensorProto[] {
    return [...this.held.values()];
  }

  /** The numbers of an initializer of float32; undefined for other values. */
  floats(name: string): Values | undefined {
    const own = this.held.get(name);
    if (own?.dataType !== ELEMENTS.float32 || !own.rawData) return undefined;
    const shape = shapeOf(own);
    // A copy, since the bytes may begin anywhere.
    const data = new Float32Array(Uint8Array.from(own.rawData).buffer);
    return data.length === elementCount(shape) ? { data, shape } : undefined;
  }

  /** Adds an initializer. @returns its name, the wanted one where it is free */
  add(wanted: string, type: ElementType, data: ArrayBufferView, shape: readonly number[]): string {
    const name = this.fresh(wanted);
    this.held.set(
      name,
      onnx.TensorProto.create({
        name,
        dims: [...shape],
        dataType: ELEMENTS[type],
        rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      }) as TensorProto,
    );
    return name;
  }

  /** Takes an initializer away, so that a node can make a value of its name. */
  remove(name: string): void {
    this.held.delete(name);
  }

  /** A node of one output. It stands nowhere yet. */
  node(
    op: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, number>> = {},
  ): NodeProto {
    return onnx.NodeProto.create({
      opType: op,
      name: this.fresh(`${output}.${op}`),
      input: [...inputs],
      output: [output],
      attribute: Object.entries(attributes).map(([name, i]) =>
        onnx.AttributeProto.create({ name, type: onnx.AttributeProto.AttributeType.INT, i }),
      ),
    }) as NodeProto;
  }

  /** Who reads each value. Outputs of graphs are read by no node. */
  readers(): ReadonlyMap<string, readonly Reader[]> {
    const readers = new Map<string, Reader[]>();
    for (const { node, scope } of this.nodes()) {
      for (const [at, name] of (node.input ?? []).entries()) {
        if (name === "") continue;
        append(readers, name, { node, scope, at });
      }
    }
    return readers;
  }

  /** Names of outputs of all graphs. */
  outputs(): ReadonlySet<string> {
    return new Set(this.scopes().flatMap(({ graph }) => (graph.output ?? []).map(({ name }) => name ?? "")));
  }

  /** Takes away nodes of the outermost graph, and initializers, that nothing needs. */
  prune(): void {
    const needed = new Set<string>((this.graph.output ?? []).map(({ name }) => name ?? ""));
    const kept: NodeProto[] = [];
    for (const node of ((this.graph.node ?? []) as NodeProto[]).toReversed()) {
      if (!(node.output ?? []).some((name) => needed.has(name))) continue;
      kept.push(node);
      const open = [node];
      for (let own = open.pop(); own !== undefined; own = open.pop()) {
        for (const name of own.input ?? []) needed.add(name);
        for (const { g } of own.attribute ?? []) {
          for (const { name } of g?.output ?? []) needed.add(name ?? "");
          open.push(...((g?.node ?? []) as NodeProto[]));
        }
      }
    }
    this.graph.node = kept.toReversed();
    for (const name of [...this.held.keys()]) if (!needed.has(name)) this.held.delete(name);
  }

  /** The model as it is now. */
  bytes(): Uint8Array {
    this.graph.initializer = [...this.held.values()];
    return onnx.ModelProto.encode(this.model).finish();
  }

  /** A model of some of the outermost graph's nodes, without inputs, and all initializers. @param outputs names of values of float32 */
  part(nodes: readonly NodeProto[], outputs: readonly string[]): Uint8Array {
    const graph = onnx.GraphProto.create({
      name: "part",
      node: [...nodes],
      initializer: [...this.held.values()],
      output: outputs.map((name) => floatOutput(name)),
    });
    const { irVersion, opsetImport } = this.model;
    return onnx.ModelProto.encode(onnx.ModelProto.create({ irVersion, opsetImport, graph })).finish();
  }
}

/** An output of float32, of any shape. */
export function floatOutput(name: string): InstanceType<typeof onnx.ValueInfoProto> {
  return onnx.ValueInfoProto.create({ name, type: { tensorType: { elemType: ELEMENTS.float32 } } });
}
