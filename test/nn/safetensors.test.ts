import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readSafetensors, writeSafetensors } from "../../src/nn/safetensors.ts";
import { elementCount, type NdArray } from "../../src/tensor/array.ts";
import { fixtureBytes, fixtureTensors, numbers, tensorOf } from "./support.ts";
import { writtenByEidos } from "./written.ts";

/** A file of a header and data given apart. */
function fileOf(header: unknown, dataLength: number, headerLength?: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength ?? text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (dtype: string, shape: readonly number[], begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
const arrays: fc.Arbitrary<NdArray> = shapes.chain((shape) => {
  const length = elementCount(shape);
  const list = <T>(items: fc.Arbitrary<T>) => fc.array(items, { minLength: length, maxLength: length });
  return fc.oneof(
    list(fc.float()).map((data): NdArray => ({ dtype: "float32", shape, data: Float32Array.from(data) })),
    list(fc.double()).map((data): NdArray => ({ dtype: "float64", shape, data: Float64Array.from(data) })),
    list(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(
      (data): NdArray => ({ dtype: "int64", shape, data: BigInt64Array.from(data) }),
    ),
    list(fc.integer({ min: 0, max: 1 })).map(
      (data): NdArray => ({ dtype: "bool", shape, data: Uint8Array.from(data) }),
    ),
  );
});
const names = fc.oneof(fc.string(), fc.constantFrom("0", "__proto__", "constructor", "a.b.0.weight"));
const states = fc
  .array(
    fc.tuple(
      names.filter((name) => name !== "__metadata__"),
      arrays,
    ),
    { maxLength: 6 },
  )
  .map((entries) => new Map(entries));

describe("safetensors", () => {
  it("round trip: every dtype, shape and name", () => {
    fc.assert(
      fc.property(states, fc.dictionary(names, fc.string()), (state, metadata) => {
        const read = readSafetensors(writeSafetensors(state, metadata), "round trip");
        expect(Object.entries(read.metadata)).toEqual(Object.entries(metadata));
        expect([...read.tensors.keys()].sort()).toEqual([...state.keys()].sort());
        for (const [name, array] of state) expect(read.tensors.get(name)).toEqual(array);
      }),
      { numRuns: 300 },
    );
  });

  it("reads all that Python writes", () => {
    const { tensors, metadata } = fixtureTensors("formats.safetensors");
    const values = (name: string): number[] => numbers(tensorOf(tensors, name));
    expect(metadata).toEqual({ "made by": "Python" });
    expect(values("float64")).toEqual([0.1, -2, 1e300]);
    expect(values("float32")).toEqual([Math.fround(0.1), -2, Number.POSITIVE_INFINITY]);
    expect(values("float16")).toEqual([
      0.0999755859375,
      -2,
      2 ** -24,
      65504,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      -0,
    ]);
    expect(values("bfloat16")[0]).toBe(0.10009765625);
    expect(values("bfloat16")[1]).toBe(-2);
    expect((values("bfloat16")[2] ?? 0) / 1e38).toBeCloseTo(1, 2);
    expect(tensorOf(tensors, "int64").data).toEqual(BigInt64Array.of(2n ** 62n, -1n));
    expect(tensorOf(tensors, "bool")).toEqual({ dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) });
    expect(tensorOf(tensors, "scalar").shape).toEqual([]);
    expect(tensorOf(tensors, "empty").shape).toEqual([0, 3]);
    expect(values('names may hold anything: é " \\ ')).toEqual([1]);
  });

  it("writes the very bytes that Python's reader was shown", () => {
    expect(writtenByEidos()).toEqual(fixtureBytes("written-by-eidos.safetensors"));
  });

  it("copies: arrays share nothing with the file, wherever its bytes begin", () => {
    const held = writeSafetensors(
      new Map([["a", { dtype: "float32", shape: [1], data: Float32Array.of(5) }]]),
    );
    const shifted = new Uint8Array(held.length + 3);
    shifted.set(held, 3);
    const { tensors } = readSafetensors(shifted.subarray(3), "shifted");
    shifted.fill(255);
    expect(numbers(tensorOf(tensors, "a"))).toEqual([5]);
  });

  const good = writtenByEidos();

  it("a truncated file is a WeightsError at every length", () => {
    for (let length = 0; length < good.length; length++) {
      expect(() => readSafetensors(good.subarray(0, length), "short.safetensors")).toThrow(WeightsError);
    }
  });

  it("a header of more than ten million bytes, a shape of many numbers, and names of any length are told in a few words", () => {
    const read = (file: Uint8Array) => () => readSafetensors(file, "large.safetensors");
    expect(read(fileOf(" ".repeat(10_000_001), 0))).toThrow(
      /has 10000001 bytes, where 10000000 are read at most/,
    );
    expect(read(fileOf({ a: entry("F32", Array(65).fill(1), 0, 4) }, 4))).toThrow(/tensor a: shape/);
    expect(read(fileOf({ ["x".repeat(1e6)]: entry("F31", [1], 0, 4) }, 4))).toThrow(/^.{500,600}…$/);
  });

  it("appended bytes are refused", () => {
    expect(() => readSafetensors(Uint8Array.of(...good, 0), "long.safetensors")).toThrow("belong to none");
  });

  it("any corruption is read or is a WeightsError that names the file", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 8,
        }),
        (changes) => {
          const bytes = good.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            readSafetensors(bytes, "bad.safetensors");
          } catch (error) {
            expect(error).toBeInstanceOf(WeightsError);
            expect(String(error)).toContain("bad.safetensors");
          }
        },
      ),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => readSafetensors(bytes, "noise")).toThrow(WeightsError);
      }),
    );
  });

  it.each([
    ["a header longer than the file", fileOf({}, 0, 1e15), "truncated"],
    ["no JSON", fileOf("{x", 0), "not JSON"],
    ["an array", fileOf([], 0), "not a JSON object"],
    ["an unknown dtype", fileOf({ a: entry("F8_E4M3", [1], 0, 1) }, 1), "dtype F8_E4M3"],
    ["a dtype that every object has", fileOf({ a: entry("constructor", [1], 0, 1) }, 1), "dtype constructor"],
    ["a size that is no safe integer", fileOf({ a: entry("F32", [2 ** 40, 2 ** 40], 0, 8) }, 8), "tensor a"],
    ["a huge tensor in a small file", fileOf({ a: entry("F32", [2 ** 40], 0, 2 ** 42) }, 8), "truncated"],
    ["a negative size", fileOf({ a: entry("F32", [-1], 0, 4) }, 4), "tensor a: shape.0"],
    ["a broken size", fileOf({ a: entry("F32", [0.5], 0, 2) }, 2), "tensor a: shape.0"],
    ["offsets that do not match the shape", fileOf({ a: entry("F32", [2], 0, 4) }, 4), "needs 8 bytes"],
    ["offsets backwards", fileOf({ a: entry("F32", [1], 4, 0) }, 4), "needs 4 bytes"],
    [
      "an overlap",
      fileOf({ a: entry("F32", [2], 0, 8), b: entry("F32", [1], 4, 8) }, 8),
      "tensor b: begins at byte 4 of the data, inside another",
    ],
    ["a gap", fileOf({ a: entry("F32", [1], 4, 8) }, 8), "after a gap"],
    ["metadata of other types", fileOf({ __metadata__: { a: 1 } }, 0), "__metadata__"],
    ["an entry that is no object", fileOf({ a: null }, 0), "tensor a"],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => readSafetensors(bytes, "f.safetensors")).toThrow(WeightsError);
    expect(() => readSafetensors(bytes, "f.safetensors")).toThrow(message);
  });
});
