import { DataError } from "../errors.ts";

// An ONNX file may name other files as the place of its weights. Those of eidos do not, and a stranger's must not have one's own files read.
// This goes through the messages of onnx.proto as far as tensors can stand in them, and knows nothing else of ONNX.

/** Messages, and the fields of each in which further messages stand. */
const MESSAGES = {
  model: { 7: "graph", 20: "training", 25: "function" },
  training: { 1: "graph", 2: "graph" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  function: { 7: "node", 11: "attribute" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
} as const satisfies Record<string, Readonly<Record<number, string>>>;

type Message = keyof typeof MESSAGES;

/** Of a tensor: where its data lies, as names and values, and whether it lies elsewhere. */
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;

/** Graphs within graphs; more are not made by any exporter. */
const DEEPEST = 64;

/** Numbers of 64 bits in Protocol Buffers take up to so many bytes. */
const LONGEST_NUMBER = 10;

const broken = (): DataError => new DataError("it is no ONNX file, or a damaged one; export the model again");

/** Reads a file from front to back. */
class Reader {
  private readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** A number of variable length. @throws DataError where there is none */
  number(): number {
    let value = 0;
    for (let i = 0; i < LONGEST_NUMBER; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw broken();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw broken();
  }

  /** Passes over a field. @throws DataError */
  skip(wire: number): void {
    if (wire === 0) this.number();
    else if (wire === 1) this.at += 8;
    else if (wire === 5) this.at += 4;
    else if (wire === 2) {
      // The length is read before it is passed over.
      const length = this.number();
      this.at += length;
    } else throw broken();
  }

  /** Goes through a message that ends at `end`. @throws DataError */
  message(kind: Message, end: number, depth: number): void {
    if (depth > DEEPEST || end > this.bytes.length) throw broken();
    const inner: Readonly<Record<number, Message>> = MESSAGES[kind];
    while (this.at < end) {
      const tag = this.number();
      const [field, wire] = [Math.floor(tag / 8), tag % 8];
      if (kind === "tensor" && (field === EXTERNAL_DATA || field === DATA_LOCATION)) {
        if (field === DATA_LOCATION && wire === 0 && this.number() === 0) continue;
        throw new DataError(
          "its weights lie in other files, which are not read; export the model as one file",
        );
      }
      const next = wire === 2 ? inner[field] : undefined;
      if (next === undefined) this.skip(wire);
      else {
        const length = this.number();
        this.message(next, this.at + length, depth + 1);
      }
    }
    if (this.at !== end) throw broken();
  }
}

/**
 * Refuses an ONNX file that names other files, and what is no ONNX file.
 * @throws DataError without a name in front
 */
export function refuseOtherFiles(bytes: Uint8Array): void {
  if (bytes.length === 0) throw broken();
  new Reader(bytes).message("model", bytes.length, 0);
}
