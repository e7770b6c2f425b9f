import onnxProto from "onnx-proto";
import { RuntimeError } from "../errors.ts";
import { IR_VERSION, OPSET } from "./lower.ts";
import { attributeProto } from "./proto.ts";

// ONNX graphs written node by node: for what stands around a lowered model in an export, whose sizes are known only as it runs (images of
// any size, rows of any number) and whose values are of types that tensors of eidos do not have (texts, bytes).

const { onnx } = onnxProto;

type NodeProto = InstanceType<typeof onnx.NodeProto>;
type TensorProto = InstanceType<typeof onnx.TensorProto>;
type ValueInfoProto = InstanceType<typeof onnx.ValueInfoProto>;
type GraphProto = InstanceType<typeof onnx.GraphProto>;

/** Types of values of an exported graph, by their numbers in ONNX. */
export const ONNX_TYPES = { float32: 1, uint8: 2, int64: 7, string: 8, bool: 9, float64: 11 } as const;

export type OnnxType = keyof typeof ONNX_TYPES;

/** An axis: a number, or a name for one that is known only as the graph runs. */
export type OnnxShape = readonly (number | string)[];

type Attribute = Parameters<typeof attributeProto>[1];

/** What a value is combined with: another of its type, or a number that becomes a constant of it. */
export type Operand = GraphValue | number;

/** A value of a graph that is being written: the name of what a node makes, with its type. Methods write nodes. */
export class GraphValue {
  readonly graph: GraphWriter;
  readonly name: string;
  readonly type: OnnxType;

  constructor(graph: GraphWriter, name: string, type: OnnxType) {
    this.graph = graph;
    this.name = name;
    this.type = type;
  }

  private with(op: string, other: Operand, type: OnnxType = this.type): GraphValue {
    return this.graph.op(op, [this, this.graph.operand(other, this.type)], type);
  }

  add(other: Operand): GraphValue {
    return this.with("Add", other);
  }
  sub(other: Operand): GraphValue {
    return this.with("Sub", other);
  }
  mul(other: Operand): GraphValue {
    return this.with("Mul", other);
  }
  /** Of integers the quotient without its fraction. */
  div(other: Operand): GraphValue {
    return this.with("Div", other);
  }
  pow(other: Operand): GraphValue {
    return this.with("Pow", other);
  }
  /** Matrix product. */
  matmul(other: GraphValue): GraphValue {
    return this.with("MatMul", other);
  }
  maximum(other: Operand): GraphValue {
    return this.with("Max", other);
  }
  minimum(other: Operand): GraphValue {
    return this.with("Min", other);
  }
  /** Bit by bit, of integers. */
  xor(other: Operand): GraphValue {
    return this.with("BitwiseXor", other);
  }
  /** Bit by bit, of integers. */
  mask(other: Operand): GraphValue {
    return this.with("BitwiseAnd", other);
  }
  equal(other: Operand): GraphValue {
    return this.with("Equal", other, "bool");
  }
  less(other: Operand): GraphValue {
    return this.with("Less", other, "bool");
  }
  greater(other: Operand): GraphValue {
    return this.with("Greater", other, "bool");
  }
  greaterEqual(other: Operand): GraphValue {
    return this.with("GreaterOrEqual", other, "bool");
  }
  and(other: GraphValue): GraphValue {
    return this.with("And", other);
  }
  or(other: GraphValue): GraphValue {
    return this.with("Or", other);
  }
  not(): GraphValue {
    return this.graph.op("Not", [this], "bool");
  }
  neg(): GraphValue {
    return this.graph.op("Neg", [this]);
  }
  abs(): GraphValue {
    return this.graph.op("Abs", [this]);
  }
  exp(): GraphValue {
    return this.graph.op("Exp", [this]);
  }
  log(): GraphValue {
    return this.graph.op("Log", [this]);
  }
  sqrt(): GraphValue {
    return this.graph.op("Sqrt", [this]);
  }
  sin(): GraphValue {
    return this.graph.op("Sin", [this]);
  }
  cos(): GraphValue {
    return this.graph.op("Cos", [this]);
  }
  floor(): GraphValue {
    return this.graph.op("Floor", [this]);
  }
  /** To the nearest whole number, halves up, as `Math.round`. */
  rounded(): GraphValue {
    return this.add(0.5).floor();
  }
  isNaN(): GraphValue {
    return this.graph.op("IsNaN", [this], "bool");
  }
  cast(type: OnnxType): GraphValue {
    if (type === this.type) return this;
    return this.graph.op("Cast", [this], type, { to: { int: ONNX_TYPES[type] } });
  }
  /** This where the condition holds, the other elsewhere. */
  where(condition: GraphValue, other: Operand): GraphValue {
    return this.graph.op("Where", [condition, this, this.graph.operand(other, this.type)], this.type);
  }
  reshape(shape: readonly number[]): GraphValue {
    return this.graph.op("Reshape", [this, this.graph.ints(shape)]);
  }
  unsqueeze(...axes: readonly number[]): GraphValue {
    return this.graph.op("Unsqueeze", [this, this.graph.ints(axes)]);
  }
  squeeze(...axes: readonly number[]): GraphValue {
    return this.graph.op("Squeeze", [this, this.graph.ints(axes)]);
  }
  transpose(...order: readonly number[]): GraphValue {
    return this.graph.op("Transpose", [this], this.type, { perm: { ints: order } });
  }
  gather(indices: GraphValue, axis = 0): GraphValue {
    return this.graph.op("Gather", [this, indices], this.type, { axis: { int: axis } });
  }
  /** Elements from `start` to before `end` along an axis. */
  slice(start: number, end: number, axis: number): GraphValue {
    const { graph } = this;
    return graph.op("Slice", [this, graph.ints([start]), graph.ints([end]), graph.ints([axis])]);
  }
  sum(axis: number, keep = false): GraphValue {
    return this.graph.op("ReduceSum", [this, this.graph.ints([axis])], this.type, {
      keepdims: { int: keep ? 1 : 0 },
    });
  }
  argMax(axis: number): GraphValue {
    return this.graph.op("ArgMax", [this], "int64", { axis: { int: axis }, keepdims: { int: 0 } });
  }
  /** The size of an axis, int64 of one element. */
  size(axis: number): GraphValue {
    return this.graph.op("Shape", [this], "int64", { start: { int: axis }, end: { int: axis + 1 } });
  }
}

/** Arrays that constants are made of. */
type ConstantData = readonly number[] | Float32Array | Float64Array;

/** Values of a type as the bytes of an initializer. */
function bytesOf(type: Exclude<OnnxType, "string">, data: ConstantData): Uint8Array {
  const numbers = Array.from(data);
  const array =
    type === "float32"
      ? Float32Array.from(numbers)
      : type === "float64"
        ? Float64Array.from(numbers)
        : type === "int64"
          ? BigInt64Array.from(numbers, (value) => BigInt(value))
          : Uint8Array.from(numbers);
  return new Uint8Array(array.buffer);
}

/** Results of a loop: its state at the end, and what each run of it gave, [runs, …]. */
export interface LoopResults {
  readonly state: readonly GraphValue[];
  readonly gathered: readonly GraphValue[];
}

/** Writes an ONNX model node by node, and lowered models into it. */
export class GraphWriter {
  private readonly nodes: NodeProto[] = [];
  private readonly initializers: TensorProto[];
  private readonly inputs: ValueInfoProto[] = [];
  private readonly outputs: ValueInfoProto[] = [];
  private readonly constants: Map<string, GraphValue>;
  private readonly names: { count: number };

  /** @param outer the graph around this one, which is then the body of a loop in it */
  constructor(outer?: GraphWriter) {
    this.names = outer?.names ?? { count: 0 };
    // Constants of a loop's body stand outside of it.
    this.constants = outer?.constants ?? new Map();
    this.initializers = outer?.initializers ?? [];
  }

  private fresh(what: string): string {
    return `${what}_${this.names.count++}`;
  }

  /** Declares an input. Inputs come in this order. */
  input(name: string, type: OnnxType, shape: OnnxShape): GraphValue {
    this.inputs.push(valueInfo(name, type, shape));
    return new GraphValue(this, name, type);
  }

  /** Declares an output. */
  output(name: string, value: GraphValue, shape: OnnxShape): void {
    this.node("Identity", [value.name], [name]);
    this.outputs.push(valueInfo(name, value.type, shape));
  }

  /** Numbers that are known as the graph is written; equal ones are shared. */
  constant(type: Exclude<OnnxType, "string">, data: ConstantData, shape: readonly number[]): GraphValue {
    const rawData = bytesOf(type, data);
    const key = rawData.length <= 1024 ? `${type} ${shape} ${rawData}` : undefined;
    const known = key === undefined ? undefined : this.constants.get(key);
    if (known !== undefined) return new GraphValue(this, known.name, type);
    const name = this.fresh("constant");
    this.initializers.push(
      onnx.TensorProto.create({ name, dims: [...shape], dataType: ONNX_TYPES[type], rawData }),
    );
    const value = new GraphValue(this, name, type);
    if (key !== undefined) this.constants.set(key, value);
    return value;
  }

  /** Texts that are known as the graph is written, [n]. */
  texts(texts: readonly string[]): GraphValue {
    const name = this.fresh("texts");
    const stringData = texts.map((text) => new TextEncoder().encode(text));
    this.initializers.push(
      onnx.TensorProto.create({ name, dims: [texts.length], dataType: ONNX_TYPES.string, stringData }),
    );
    return new GraphValue(this, name, "string");
  }

  /** A list of whole numbers. */
  ints(values: readonly number[]): GraphValue {
    return this.constant("int64", values, [values.length]);
  }

  /** A value, or a number as a scalar of that type. */
  operand(value: Operand, type: OnnxType): GraphValue {
    if (typeof value !== "number") return value;
    if (type === "string") throw new RuntimeError("a text and a number have no operation in common");
    return this.constant(type, [value], []);
  }

  private node(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): void {
    this.nodes.push(
      onnx.NodeProto.create({
        opType: op,
        name: this.fresh(op),
        input: [...inputs],
        output: [...outputs],
        attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
      }),
    );
  }

  /** Writes a node. @param type of its output; default: that of its first input */
  op(
    op: string,
    inputs: readonly (GraphValue | undefined)[],
    type?: OnnxType,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): GraphValue {
    const own = type ?? inputs[0]?.type;
    if (own === undefined)
      throw new RuntimeError(`${op}: a node without inputs needs the type of its output`);
    const [value] = this.ops(op, inputs, [own], attributes);
    return value;
  }

  /** Writes a node of several outputs, of these types. */
  ops<const T extends readonly OnnxType[]>(
    op: string,
    inputs: readonly (GraphValue | undefined)[],
    types: T,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): { readonly [I in keyof T]: GraphValue } {
    const names = types.map(() => this.fresh(op));
    this.node(
      op,
      inputs.map((input) => input?.name ?? ""),
      names,
      attributes,
    );
    return names.map((name, i) => new GraphValue(this, name, types[i] ?? "float32")) as unknown as {
      readonly [I in keyof T]: GraphValue;
    };
  }

  concat(values: readonly GraphValue[], axis: number): GraphValue {
    const [first] = values;
    if (first !== undefined && values.length === 1) return first;
    return this.op("Concat", values, undefined, { axis: { int: axis } });
  }

  /** Whole numbers from `from` to before `to`, scalars of int64. */
  range(from: Operand, to: GraphValue): GraphValue {
    return this.op("Range", [this.operand(from, "int64"), to, this.operand(1, "int64")], "int64");
  }

  /**
   * Runs a body so often, each time with the state that the time before has left.
   * @param body writes the body's nodes; they may read values of this graph. `step` is the number of times before, a scalar of int64
   */
  loop(
    count: number,
    state: readonly GraphValue[],
    body: (graph: GraphWriter, state: readonly GraphValue[], step: GraphValue) => LoopResults,
  ): LoopResults {
    const inner = new GraphWriter(this);
    const step = inner.input(this.fresh("step"), "int64", []);
    const going = inner.input(this.fresh("going"), "bool", []);
    const held = state.map(({ type }) => {
      const name = this.fresh("state");
      inner.inputs.push(
        onnx.ValueInfoProto.create({ name, type: { tensorType: { elemType: ONNX_TYPES[type] } } }),
      );
      return new GraphValue(inner, name, type);
    });
    const results = body(inner, held, step);
    for (const value of [going, ...results.state, ...results.gathered]) {
      const name = this.fresh("result");
      inner.node("Identity", [value.name], [name]);
      inner.outputs.push(
        onnx.ValueInfoProto.create({ name, type: { tensorType: { elemType: ONNX_TYPES[value.type] } } }),
      );
    }
    const values = this.ops(
      "Loop",
      [this.constant("int64", [count], []), this.constant("bool", [1], []), ...state],
      [...results.state, ...results.gathered].map(({ type }) => type),
      { body: { graph: inner.graphProto("body", false) } },
    );
    return { state: values.slice(0, state.length), gathered: values.slice(state.length) };
  }

  /**
   * Writes a lowered model into this graph.
   * @param model the bytes of a model of the same operator set
   * @param feeds values for its inputs
   * @returns its outputs by name
   * @throws RuntimeError where an input is not fed
   */
  include(
    model: Uint8Array,
    feeds: Readonly<Record<string, GraphValue>>,
  ): Readonly<Record<string, GraphValue>> {
    const { graph } = onnx.ModelProto.decode(model);
    const prefix = `${this.fresh("model")}.`;
    for (const { name } of graph?.input ?? []) {
      if (!Object.hasOwn(feeds, name ?? "")) throw new RuntimeError(`the model's input ${name} is not fed`);
    }
    const renamed = (name: string): string =>
      name === "" ? "" : Object.hasOwn(feeds, name) ? (feeds[name]?.name ?? name) : `${prefix}${name}`;
    for (const initializer of graph?.initializer ?? []) {
      initializer.name = renamed(initializer.name ?? "");
      this.initializers.push(initializer as TensorProto);
    }
    for (const node of graph?.node ?? []) {
      renameNode(node as NodeProto, renamed);
      this.nodes.push(node as NodeProto);
    }
    return Object.fromEntries(
      (graph?.output ?? []).map(({ name = "", type }) => {
        const found = Object.entries(ONNX_TYPES).find(([, number]) => number === type?.tensorType?.elemType);
        return [name, new GraphValue(this, renamed(name ?? ""), (found?.[0] ?? "float32") as OnnxType)];
      }),
    );
  }

  /** Names that nodes read, also in graphs within them. */
  private static read(nodes: readonly NodeProto[]): ReadonlySet<string> {
    const names = new Set<string>();
    const open = [...nodes];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      for (const name of node.input ?? []) names.add(name);
      for (const { g } of node.attribute ?? []) open.push(...((g?.node ?? []) as NodeProto[]));
    }
    return names;
  }

  private graphProto(name: string, holdsConstants: boolean): GraphProto {
    const read = holdsConstants ? GraphWriter.read(this.nodes) : undefined;
    return onnx.GraphProto.create({
      name,
      node: this.nodes,
      initializer: this.initializers.filter((held) => read?.has(held.name ?? "") ?? false),
      input: this.inputs,
      output: this.outputs,
    });
  }

  /** The model, with metadata as key and value texts. */
  bytes(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    const model = onnx.ModelProto.create({
      irVersion: IR_VERSION,
      producerName: "eidos",
      opsetImport: [{ domain: "", version: OPSET }],
      graph: this.graphProto("eidos", true),
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    });
    return onnx.ModelProto.encode(model).finish();
  }
}

/** Renames what a node reads and makes, also in graphs within it. */
function renameNode(node: NodeProto, renamed: (name: string) => string): void {
  node.name = renamed(node.name ?? "");
  node.input = (node.input ?? []).map(renamed);
  node.output = (node.output ?? []).map(renamed);
  for (const { g } of node.attribute ?? []) {
    if (!g) continue;
    for (const held of [...(g.initializer ?? []), ...(g.input ?? []), ...(g.output ?? [])]) {
      held.name = renamed(held.name ?? "");
    }
    for (const inner of g.node ?? []) renameNode(inner as NodeProto, renamed);
  }
}

function valueInfo(name: string, type: OnnxType, shape: OnnxShape): ValueInfoProto {
  return onnx.ValueInfoProto.create({
    name,
    type: {
      tensorType: {
        elemType: ONNX_TYPES[type],
        shape: {
          dim: shape.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size })),
        },
      },
    },
  });
}
