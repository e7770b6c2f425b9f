import onnxProto from "onnx-proto";
import { calibrate } from "../../src/precision/calibrate.ts";
import { foldConstants } from "../../src/precision/fold.ts";
import {
  type QuantizedCounts,
  type QuantizedPart,
  quantized,
  watchedValues,
} from "../../src/precision/quantize.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import type { NdArray } from "../../src/tensor/array.ts";
import { present } from "../support.ts";

// Networks as numbers of 8 bits, and what their nodes come to by plain loops.

export type Feeds = Readonly<Record<string, NdArray>>;

/** The numbers of a network's outputs in ONNX Runtime. */
export async function outputsOf(
  model: Uint8Array,
  feeds: Feeds,
  runtime?: Runtime,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const session = await (runtime ?? (await nodeRuntime({ threads: 1 }))).load(model, true);
  const results = await session.run(feeds);
  const entries = Object.entries(results).map(
    async ([name, value]) => [name, Array.from((await value.read()).data, Number)] as const,
  );
  const found = Object.fromEntries(await Promise.all(entries));
  await session.release();
  return found;
}

/** A network in whole numbers, its ranges found on some samples. */
export async function inWholeNumbers(
  model: Uint8Array,
  weights: ReadonlySet<string>,
  samples: Feeds,
  part: QuantizedPart,
): Promise<{ readonly bytes: Uint8Array; readonly folded: Uint8Array; readonly counts: QuantizedCounts }> {
  const runtime = await nodeRuntime({ threads: 1 });
  const folded = await foldConstants(model, weights, runtime);
  async function* feeds() {
    yield samples;
  }
  const ranges = await calibrate(folded.bytes, watchedValues(folded.weights), feeds(), runtime);
  return { ...quantized(folded.bytes, folded.weights, ranges, part), folded: folded.bytes };
}

type Node = InstanceType<typeof onnxProto.onnx.NodeProto>;

/** Numbers with a shape; whole numbers as they are. */
interface Array64 {
  readonly data: readonly number[];
  readonly shape: readonly number[];
}

const READERS: Readonly<Record<number, (bytes: Uint8Array) => readonly number[]>> = {
  1: (bytes) => Array.from(new Float32Array(Uint8Array.from(bytes).buffer)),
  2: (bytes) => Array.from(bytes),
  3: (bytes) => Array.from(new Int8Array(Uint8Array.from(bytes).buffer)),
  6: (bytes) => Array.from(new Int32Array(Uint8Array.from(bytes).buffer)),
  9: (bytes) => Array.from(bytes),
  7: (bytes) => Array.from(new BigInt64Array(Uint8Array.from(bytes).buffer), Number),
};

/** Initializers of a model by name. */
export function initializersOf(model: Uint8Array): ReadonlyMap<string, Array64 & { readonly type: number }> {
  const { graph } = onnxProto.onnx.ModelProto.decode(model);
  return new Map(
    (graph?.initializer ?? []).map(({ name, dims, dataType, rawData }) => {
      const read = present(READERS[Number(dataType)], `a reader of type ${dataType}`);
      const data = read(rawData ?? new Uint8Array());
      return [name ?? "", { data, shape: (dims ?? []).map(Number), type: Number(dataType) }] as const;
    }),
  );
}

/** Rounds half to even. */
function even(value: number): number {
  const near = Math.round(value);
  return Math.abs(value - Math.trunc(value)) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

function attribute(node: Node, name: string): number | undefined {
  const own = (node.attribute ?? []).find((other) => other.name === name);
  return own === undefined ? undefined : Number(own.i ?? 0);
}

const listed = (node: Node, name: string): readonly number[] =>
  ((node.attribute ?? []).find((other) => other.name === name)?.ints ?? []).map(Number);

/** A convolution of NCHW by loops. */
function convolution(node: Node, x: Array64, w: Array64, bias: Array64 | undefined): Array64 {
  const [n = 1, , height = 1, width = 1] = x.shape;
  const [o = 1, inner = 1, kh = 1, kw = 1] = w.shape;
  const group = attribute(node, "group") ?? 1;
  const [sy = 1, sx = 1] = listed(node, "strides");
  const [top = 0, left = 0, bottom = 0, right = 0] = listed(node, "pads");
  const rows = Math.floor((height + top + bottom - kh) / sy) + 1;
  const columns = Math.floor((width + left + right - kw) / sx) + 1;
  const data: number[] = [];
  for (let image = 0; image < n; image++) {
    for (let out = 0; out < o; out++) {
      const first = Math.floor(out / (o / group)) * inner;
      for (let y = 0; y < rows; y++) {
        for (let z = 0; z < columns; z++) {
          let sum = bias?.data[out] ?? 0;
          for (let c = 0; c < inner; c++) {
            for (let i = 0; i < kh; i++) {
              for (let j = 0; j < kw; j++) {
                const [v, u] = [y * sy + i - top, z * sx + j - left];
                if (v < 0 || u < 0 || v >= height || u >= width) continue;
                const at = ((image * (x.shape[1] ?? 1) + first + c) * height + v) * width + u;
                sum += (x.data[at] ?? 0) * (w.data[((out * inner + c) * kh + i) * kw + j] ?? 0);
              }
            }
          }
          data.push(sum);
        }
      }
    }
  }
  return { data, shape: [n, o, rows, columns] };
}

/** x · wᵀ + bias, or x · w + bias. */
function product(node: Node, x: Array64, w: Array64, bias: Array64 | undefined): Array64 {
  const [n = 1, k = 1] = x.shape;
  const isTransposed = attribute(node, "transB") === 1;
  const m = w.shape[isTransposed ? 0 : 1] ?? 1;
  const data = Array.from({ length: n * m }, (_, at) => {
    const [row, column] = [Math.floor(at / m), at % m];
    let sum = bias?.data[column] ?? 0;
    for (let i = 0; i < k; i++) {
      const weight = isTransposed ? w.data[column * k + i] : w.data[i * m + column];
      sum += (x.data[row * k + i] ?? 0) * (weight ?? 0);
    }
    return sum;
  });
  return { data, shape: [n, m] };
}

/** The scale of each element: one for all, or by its index along an axis. */
function scaled(node: Node, { shape }: Array64, scale: Array64): (at: number) => number {
  if (scale.data.length === 1) return () => scale.data[0] ?? 1;
  const axis = attribute(node, "axis") ?? 1;
  const inner = shape.slice(axis + 1).reduce((all, size) => all * size, 1);
  return (at) => scale.data[Math.floor(at / inner) % (shape[axis] ?? 1)] ?? 1;
}

/**
 * What a network of convolutions, products, ReLUs (of 6 as well), means and nodes of whole numbers comes to, by plain loops in float64 over the definitions of ONNX.
 * @returns all values by name
 */
export function emulated(model: Uint8Array, feeds: Feeds): ReadonlyMap<string, Array64> {
  const { graph } = onnxProto.onnx.ModelProto.decode(model);
  const values = new Map<string, Array64>(initializersOf(model));
  for (const [name, { data, shape }] of Object.entries(feeds)) {
    values.set(name, { data: Array.from(data, Number), shape });
  }
  for (const node of (graph?.node ?? []) as Node[]) {
    const input = (at: number): Array64 => present(values.get(node.input?.[at] ?? ""), `${node.input?.[at]}`);
    const bias = node.input?.[2] === undefined ? undefined : () => input(2);
    const x = input(0);
    const made = (): Array64 => {
      switch (node.opType) {
        case "QuantizeLinear": {
          const [scale = 1, zero = 0] = [input(1).data[0], input(2).data[0]];
          // In 32 bits, as the definition has it.
          const whole = (value: number) => even(Math.fround(Math.fround(value) / scale)) + zero;
          return { shape: x.shape, data: x.data.map((value) => Math.max(0, Math.min(255, whole(value)))) };
        }
        case "DequantizeLinear": {
          const [scaleAt, zeroAt] = [scaled(node, x, input(1)), scaled(node, x, input(2))];
          return { shape: x.shape, data: x.data.map((value, at) => (value - zeroAt(at)) * scaleAt(at)) };
        }
        case "Conv":
          return convolution(node, x, input(1), bias?.());
        case "Gemm":
        case "MatMul":
          return product(node, x, input(1), bias?.());
        case "Relu":
          return { shape: x.shape, data: x.data.map((value) => Math.max(0, value)) };
        case "Clip": {
          const [low = 0, high = 0] = [input(1).data[0], input(2).data[0]];
          return { shape: x.shape, data: x.data.map((value) => Math.min(high, Math.max(low, value))) };
        }
        default:
          throw new Error(`no emulation of ${node.opType}`);
      }
    };
    values.set(node.output?.[0] ?? "", made());
  }
  return values;
}
