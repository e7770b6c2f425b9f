import { WeightsError } from "../errors.ts";
import { shortened } from "../printable.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { ARRAY_BYTES, decodeElements, ELEMENT_BYTES, type StoredType } from "./elements.ts";

// The graph of an ONNX file as its exporter wrote it: nodes in their order, and the values that are part of the model. Nothing is run.
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the messages and the numbers of their fields.

/** An attribute of a node; those that hold graphs, and others that no reader here asks for, are left out. */
export type OnnxAttributeValue = number | string | readonly number[];

/** An operation of a graph. */
export interface OnnxOperation {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttributeValue>;
}

/** A graph, read. */
export interface OnnxGraph {
  /** In an order in which they can be computed. */
  readonly nodes: readonly OnnxOperation[];
  /** Weights and other constants, by name. */
  readonly values: ReadonlyMap<string, NdArray>;
  /** What is fed, without values that merely have a default. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

type Fail = (why: string) => never;

/** Most fields of all messages together, which is some 50,000 nodes: a stranger's file could have one of two bytes after another. */
const MOST_FIELDS = 1_000_000;
const MOST_AXES = 64;

/** Memory that the values may take, in sizes of the file: small integers become int64. */
const MOST_TIMES = 8;

/** TensorProto.DataType by number: what it is called, and how it is read, if it is. */
const TYPES: readonly (readonly [name: string, stored?: StoredType])[] = [
  ["UNDEFINED"],
  ["FLOAT", "F32"],
  ["UINT8", "U8"],
  ["INT8", "I8"],
  ["UINT16"],
  ["INT16", "I16"],
  ["INT32", "I32"],
  ["INT64", "I64"],
  ["STRING"],
  ["BOOL", "BOOL"],
  ["FLOAT16", "F16"],
  ["DOUBLE", "F64"],
  ["UINT32"],
  ["UINT64"],
  ["COMPLEX64"],
  ["COMPLEX128"],
  ["BFLOAT16", "BF16"],
  ["FLOAT8E4M3FN"],
  ["FLOAT8E4M3FNUZ"],
  ["FLOAT8E5M2"],
  ["FLOAT8E5M2FNUZ"],
  ["UINT4"],
  ["INT4"],
  ["FLOAT4E2M1"],
];

/** A field of a message: a whole number, or bytes (4 or 8 of a fixed width). */
interface Field {
  readonly number: number;
  readonly kind: "whole" | "fixed" | "bytes";
  /** 0 where there are bytes. */
  readonly whole: bigint;
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** A negative number is written as its 64 bits. */
const signed = (whole: bigint): bigint => BigInt.asIntN(64, whole);

/** Reads messages of Protocol Buffers, all from one allowance of fields. */
class Messages {
  private left = MOST_FIELDS;
  private readonly fail: Fail;

  constructor(fail: Fail) {
    this.fail = fail;
  }

  /** The fields of a message, in the order of the file. */
  *fields(bytes: Uint8Array): Generator<Field> {
    let at = 0;
    while (at < bytes.length) {
      this.spend();
      const [tag, begin] = this.varint(bytes, at);
      const number = Number(tag >> 3n);
      const wire = Number(tag & 7n);
      if (number < 1 || number >= 2 ** 29) this.fail(`a field has the number ${number}; the file is damaged`);
      if (wire === 0) {
        const [whole, next] = this.varint(bytes, begin);
        at = next;
        yield { number, kind: "whole", whole, bytes: NOTHING };
        continue;
      }
      const [length, from] =
        wire === 2 ? this.varint(bytes, begin) : [BigInt(wire === 1 ? 8 : wire === 5 ? 4 : -1), begin];
      if (length < 0n)
        this.fail(`a field is of wire type ${wire}, which ONNX does not use; the file is damaged`);
      if (length > BigInt(bytes.length - from)) {
        this.fail("a part reaches beyond what it is a part of; the file is truncated or damaged");
      }
      at = from + Number(length);
      yield { number, kind: wire === 2 ? "bytes" : "fixed", whole: 0n, bytes: bytes.subarray(from, at) };
    }
  }

  /** The whole numbers of a repeated field, which may come one by one or packed. */
  wholes({ kind, whole, bytes }: Field): readonly bigint[] {
    if (kind === "whole") return [signed(whole)];
    const values: bigint[] = [];
    for (let at = 0; at < bytes.length; ) {
      this.spend();
      const [value, next] = this.varint(bytes, at);
      values.push(signed(value));
      at = next;
    }
    return values;
  }

  private spend(): void {
    this.left--;
    if (this.left < 0) this.fail(`it has more than ${MOST_FIELDS.toLocaleString("en")} fields`);
  }

  private varint(bytes: Uint8Array, begin: number): readonly [value: bigint, end: number] {
    let [value, at] = [0n, begin];
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return this.fail("it ends within a number; the file is truncated");
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return [value, at];
    }
    return this.fail("a number has more than 64 bits; the file is damaged");
  }
}

/** Reads the messages of one file. */
class GraphReader {
  private readonly messages: Messages;
  private readonly fail: Fail;
  private readonly text = new TextDecoder();
  private room: number;

  constructor(fileLength: number, fail: Fail) {
    this.messages = new Messages(fail);
    this.fail = fail;
    this.room = MOST_TIMES * fileLength;
  }

  /** ModelProto. */
  model(bytes: Uint8Array): OnnxGraph {
    let graph: Uint8Array | undefined;
    let version = 0n;
    for (const field of this.messages.fields(bytes)) {
      if (field.number === 1) version = field.whole;
      if (field.number !== 7) continue;
      if (graph !== undefined) this.fail("it has two graphs");
      graph = this.bytesOf(field);
    }
    if (version < 1n || graph === undefined)
      return this.fail("it is no ONNX model: it has no version or no graph");
    return this.graph(graph);
  }

  /** GraphProto. */
  private graph(bytes: Uint8Array): OnnxGraph {
    const nodes: OnnxOperation[] = [];
    const values = new Map<string, NdArray>();
    const inputs: string[] = [];
    const outputs: string[] = [];
    const keep = (name: string, value: NdArray): void => {
      if (values.has(name)) this.fail(`it has the value ${shortened(name)} twice`);
      values.set(name, value);
    };
    for (const field of this.messages.fields(bytes)) {
      if (field.number === 1) {
        const { constant, ...node } = this.node(this.bytesOf(field));
        const [output] = node.outputs;
        if (constant !== undefined && output !== undefined) keep(output, constant);
        else nodes.push(node);
      }
      if (field.number === 5) {
        const { name, value } = this.tensor(this.bytesOf(field));
        keep(name, value);
      }
      if (field.number === 11) inputs.push(this.nameOf(this.bytesOf(field)));
      if (field.number === 12) outputs.push(this.nameOf(this.bytesOf(field)));
      if (field.number === 15) this.fail("it has sparse values, which are not read; save it with dense ones");
    }
    return { nodes, values, inputs: inputs.filter((name) => !values.has(name)), outputs };
  }

  /** NodeProto, with the value of an operation that is merely a constant. */
  private node(bytes: Uint8Array): OnnxOperation & { readonly constant?: NdArray } {
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, OnnxAttributeValue>();
    let [op, name] = ["", ""];
    let constant: NdArray | undefined;
    for (const field of this.messages.fields(bytes)) {
      if (field.number === 1) inputs.push(this.textOf(field));
      if (field.number === 2) outputs.push(this.textOf(field));
      if (field.number === 3) name = this.textOf(field);
      if (field.number === 4) op = this.textOf(field);
      if (field.number !== 5) continue;
      const attribute = this.attribute(this.bytesOf(field));
      if (attribute.value !== undefined) attributes.set(attribute.name, attribute.value);
      if (attribute.tensor !== undefined && attribute.name === "value") {
        constant = this.tensor(attribute.tensor).value;
      }
    }
    return { op, name, inputs, outputs, attributes, ...(op === "Constant" && constant && { constant }) };
  }

  /** AttributeProto. */
  private attribute(bytes: Uint8Array): {
    readonly name: string;
    readonly value: OnnxAttributeValue | undefined;
    readonly tensor: Uint8Array | undefined;
  } {
    let name = "";
    let value: OnnxAttributeValue | undefined;
    let tensor: Uint8Array | undefined;
    const list: number[] = [];
    for (const field of this.messages.fields(bytes)) {
      if (field.number === 1) name = this.textOf(field);
      if (field.number === 2) [value] = this.floats(field);
      if (field.number === 3) value = Number(signed(field.whole));
      if (field.number === 4) value = this.textOf(field);
      if (field.number === 5) tensor = this.bytesOf(field);
      if (field.number !== 7 && field.number !== 8) continue;
      for (const each of field.number === 7 ? this.floats(field) : this.messages.wholes(field))
        list.push(Number(each));
      value = list;
    }
    return { name, value, tensor };
  }

  /** TensorProto. */
  private tensor(bytes: Uint8Array): { readonly name: string; readonly value: NdArray } {
    const shape: number[] = [];
    const parts: Uint8Array[] = [];
    const wholes: bigint[] = [];
    let [name, type, external, held] = ["", 0, false, ""];
    for (const field of this.messages.fields(bytes)) {
      const { number } = field;
      if (number === 1) for (const size of this.messages.wholes(field)) shape.push(Number(size));
      if (number === 2) type = Number(signed(field.whole));
      if (number === 8) name = this.textOf(field);
      if (number === 13 || (number === 14 && field.whole === 1n)) external = true;
      const holds = HOLDS[number];
      if (holds === undefined) continue;
      held = holds;
      if (number === 5 || number === 7) for (const value of this.messages.wholes(field)) wholes.push(value);
      else parts.push(field.bytes);
    }
    const fail: Fail = (why) => this.fail(`value ${shortened(name)}: ${why}`);
    if (external) fail("its numbers stand in another file, which is not read; save the model as one file");
    const [called, stored] = TYPES[type] ?? [`type ${type}`];
    if (stored === undefined) return fail(`it is of ${called}, which is not read`);
    if (shape.length > MOST_AXES || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      fail(`its shape [${shape.slice(0, 8)}] cannot be`);
    }
    const count = elementCount(shape);
    if (!Number.isSafeInteger(count)) fail(`its shape [${shape}] cannot be`);
    this.room -= count * ARRAY_BYTES[stored];
    if (this.room < 0)
      fail(`with [${shape}], the values take more than ${MOST_TIMES} times the size of the file`);
    if (held !== "" && held !== "raw" && held !== stored) {
      fail(`it is of ${called}, and its numbers are written as ${held}; save it with raw bytes`);
    }
    if (wholes.length > 0) {
      if (wholes.length !== count) fail(`[${shape}] needs ${count} numbers, and it has ${wholes.length}`);
      return { name, value: { dtype: "int64", shape, data: BigInt64Array.from(wholes) } };
    }
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length !== count * ELEMENT_BYTES[stored]) {
      fail(`${called} [${shape}] needs ${count * ELEMENT_BYTES[stored]} bytes, and it has ${length}`);
    }
    const data = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return { name, value: decodeElements(stored, shape, data) };
  }

  /** The name of a ValueInfoProto. */
  private nameOf(bytes: Uint8Array): string {
    let name = "";
    for (const field of this.messages.fields(bytes)) if (field.number === 1) name = this.textOf(field);
    return name;
  }

  private floats({ bytes }: Field): readonly number[] {
    if (bytes.length % 4 !== 0) this.fail("a list of numbers ends within one; the file is damaged");
    return [...new Float32Array(Uint8Array.prototype.slice.call(bytes).buffer)];
  }

  private textOf(field: Field): string {
    return this.text.decode(this.bytesOf(field));
  }

  private bytesOf({ kind, number, bytes }: Field): Uint8Array {
    return kind === "bytes"
      ? bytes
      : this.fail(`field ${number} is a number, where a part is expected; the file is damaged`);
  }
}

/** The fields of a TensorProto that hold its numbers, by number, and of which type they are. */
const HOLDS: Readonly<Record<number, StoredType | "raw">> = {
  4: "F32",
  5: "I32",
  7: "I64",
  9: "raw",
  10: "F64",
};

/**
 * Reads the graph of an ONNX file: its nodes, and its values as arrays, float16 and bfloat16 as float32, integers as int64. Every length is
 * checked before memory is taken, and the arrays are copies. Nothing is run, and no other file is opened.
 * @param fileName named in errors
 * @throws WeightsError where it is no ONNX model, is truncated or damaged, has its values in other files, or values of a type that is not
 * read, which is named
 */
export function readOnnx(bytes: Uint8Array, fileName: string): OnnxGraph {
  const fail: Fail = (why) => {
    throw new WeightsError(`${fileName}: ${why}`);
  };
  // The version comes first: a field of number 1 with a whole number.
  if (bytes[0] !== 0x08) fail("it is no ONNX model, or damaged where it begins");
  return new GraphReader(bytes.length, fail).model(bytes);
}
