import { describe, expect, test } from "vitest";
import { decodeNpy, encodeNpy } from "../../../src/data/files/npy.ts";
import { DataError } from "../../../src/errors.ts";
import { float32 } from "../../../src/tensor/array.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

describe("npy", () => {
  test("the header that NumPy writes, byte for byte", () => {
    // numpy.save of np.array([[1, 2, 3]], dtype="float32")
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
    const bytes = encodeNpy(float32([1, 2, 3], [1, 3]));
    expect(text(bytes.subarray(0, 128))).toBe(`\x93NUMPY\x01\x00\x76\x00${header.padEnd(117)}\n`);
    expect([...new Float32Array(bytes.buffer.slice(128))]).toEqual([1, 2, 3]);
  });

  test("what is written comes back", () => {
    const arrays = [
      float32([1.5, -2, Number.POSITIVE_INFINITY, 0], [2, 2]),
      { dtype: "float64", shape: [1], data: Float64Array.of(Math.PI) },
      { dtype: "int64", shape: [3], data: BigInt64Array.of(1n, -(2n ** 40n), 3n) },
      { dtype: "bool", shape: [2, 1], data: Uint8Array.of(1, 0) },
      float32([7], []),
      float32([], [0, 4]),
    ] as const;
    for (const array of arrays) expect(decodeNpy(encodeNpy(array))).toEqual(array);
    // at an odd offset within a larger buffer
    const inner = encodeNpy(arrays[0]);
    const outer = new Uint8Array(inner.length + 1);
    outer.set(inner, 1);
    expect(decodeNpy(outer.subarray(1))).toEqual(arrays[0]);
  });

  test("damaged files are refused by name", () => {
    const whole = encodeNpy(float32([1, 2, 3], [3]));
    expect(() => decodeNpy(whole.subarray(0, whole.length - 2), "x.npy")).toThrow(
      new DataError("x.npy: not a readable .npy file: shape (3) takes 12 bytes, the file has 10"),
    );
    expect(() => decodeNpy(whole.subarray(0, 60), "x.npy")).toThrow(/ends within its header/);
    expect(() => decodeNpy(new TextEncoder().encode("a,b,c\n1,2,3\n"), "x.npy")).toThrow(/does not begin/);
    const huge = text(whole).replace("(3,)", "(3000000000, 99)");
    expect(() =>
      decodeNpy(
        Uint8Array.from(huge, (c) => c.charCodeAt(0)),
        "x.npy",
      ),
    ).toThrow(DataError);
    const complex = text(whole).replace("<f4", "<c8");
    expect(() =>
      decodeNpy(
        Uint8Array.from(complex, (c) => c.charCodeAt(0)),
        "x.npy",
      ),
    ).toThrow(/<c8/);
  });
});
