import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readPairs, writePairs } from "../../../src/data/files/arrays.node.ts";
import { openData } from "../../../src/data/open.node.ts";
import type { DataSet } from "../../../src/data/sources/data-set.ts";
import { openDigits } from "../../../src/data/sources/digits.node.ts";
import { planePoints } from "../../../src/data/sources/toy.ts";
import { onlyClasses, withPairs, withSource } from "../../../src/data/sources/views.ts";
import { DataError } from "../../../src/errors.ts";
import { writeSafetensors } from "../../../src/nn/safetensors.ts";
import { float32, int64 } from "../../../src/tensor/array.ts";
import { batchSourceOf, validationOf } from "../../../src/train/batches.ts";
import { fitOptions, resolveFitOptions } from "../../../src/train/options.ts";

const moons = planePoints("two-moons", { count: 200 });
const rings = planePoints("rings", { count: 120 });

describe("onlyClasses", () => {
  it("keeps the samples of some classes, with labels that count these", async () => {
    const digits = await openDigits();
    const kept = onlyClasses(digits, ["7", "1"]);
    expect(kept.classes).toEqual(["1", "7"]);
    for (const name of ["train", "validation", "test"] as const) {
      const all = digits.splits[name].batch(Array.from({ length: digits.splits[name].count }, (_, i) => i));
      const wanted = Array.from(all.label?.data ?? [], Number).flatMap((label, i) =>
        label === 1 || label === 7 ? [{ at: i, label: label === 1 ? 0 : 1 }] : [],
      );
      const split = kept.splits[name];
      expect(split.count).toBe(wanted.length);
      const { x, label } = split.batch([0, wanted.length - 1]);
      [0, wanted.length - 1].forEach((place, i) => {
        const { at, label: own } = wanted[place] ?? { at: -1, label: -1 };
        expect(Number(label?.data[i])).toBe(own);
        expect(x.data.subarray(i * 784, (i + 1) * 784)).toEqual(
          all.x.data.subarray(at * 784, (at + 1) * 784),
        );
      });
    }
    const one = onlyClasses(digits, ["7"]);
    expect(one.classes).toBeUndefined();
    expect(one.splits.train.batch([0]).label).toBeUndefined();
    expect(new Set([digits.fingerprint, kept.fingerprint, one.fingerprint]).size).toBe(3);
    expect(() => onlyClasses(digits, ["11"])).toThrow(/no class "11"/);
    expect(() => onlyClasses(moons, ["1"])).toThrow(/has no classes/);
  });
});

describe("withSource", () => {
  it("joins each sample with one of the other data set, the same for the same batch and new for another", () => {
    const joined = withSource(moons, rings);
    const own = new Set(Array.from({ length: 120 }, (_, i) => String(rings.splits.train.batch([i]).x.data)));
    fc.assert(
      fc.property(fc.array(fc.nat(199), { minLength: 8, maxLength: 20 }), (indices) => {
        const { x, source } = joined.splits.train.batch(indices);
        expect(x).toEqual(moons.splits.train.batch(indices).x);
        expect(source?.shape).toEqual([indices.length, 2]);
        for (let i = 0; i < indices.length; i++) {
          expect(own.has(String(source?.data.slice(2 * i, 2 * i + 2)))).toBe(true);
        }
        expect(joined.splits.train.batch(indices).source).toEqual(source);
        const others = [...indices.slice(1), (indices[0] ?? 0) === 0 ? 1 : 0];
        expect(joined.splits.train.batch(others).source).not.toEqual(source);
      }),
      { numRuns: 30 },
    );
    expect(joined.source).toBe(rings);
    expect(joined.fingerprint).not.toBe(moons.fingerprint);
  });

  it("takes training samples where a split of the source is empty, and refuses other shapes", async () => {
    const empty: DataSet = {
      ...rings,
      splits: { ...rings.splits, test: { count: 0, batch: () => ({ x: float32([], [0, 2]) }) } },
    };
    expect(withSource(moons, empty).splits.test.batch([0]).source?.shape).toEqual([1, 2]);
    expect(() => withSource(moons, { ...rings, sampleShape: [3] })).toThrow(/of one kind and shape/);
    const opened = await openData("two-moons", { count: 100, source: "rings" });
    expect(opened.splits.train.batch([0, 1]).source?.shape).toEqual([2, 2]);
    const within = await openData("digits", { classes: ["7"], sourceClasses: ["1"] });
    expect(within.source?.splits.train.count).not.toBe(within.splits.train.count);
    await expect(openData("two-moons", { source: "digits" })).rejects.toThrow(/source digits is image data/);
  });
});

describe("pairs", () => {
  const count = 60;
  const x = float32(
    Array.from({ length: 2 * count }, (_, i) => i),
    [count, 2],
  );
  const source = float32(
    Array.from({ length: 2 * count }, (_, i) => -i),
    [count, 2],
  );

  it("take the place of the splits in a fit, and leave these as they are", () => {
    const paired = withPairs(moons, { x, source });
    expect(paired.splits).toBe(moons.splits);
    const options = resolveFitOptions(fitOptions.parse({ steps: 3, batchSize: 8 }), {}, 57);
    const batches = batchSourceOf(paired, options);
    expect([batches.count, validationOf(paired).count]).toEqual([57, 3]);
    expect(batches.shape(8, 0).others).toEqual({ source: { shape: [8, 2], dtype: "float32" } });
    const feeds = batches.feeds(0) as { x: typeof x; source: typeof source };
    expect(Array.from(feeds.source.data)).toEqual(Array.from(feeds.x.data, (value) => 0 - value));
    expect(() => withPairs(moons, { x, source: float32([1], [1, 1]) })).toThrow(/source has shape \[1,1\]/);
    expect(() => withPairs(moons, { x, source, label: int64(new Array(60).fill(0), [60]) })).toThrow(
      /classes/,
    );
  });

  it("are kept in a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "eidos-pairs-"));
    const path = join(folder, "p.safetensors");
    const label = int64(new Array(count).fill(2), [count]);
    await writePairs(path, { x, source, label }, { run: "r" });
    expect(await readPairs(path)).toEqual({ pairs: { x, source, label }, origin: { run: "r" } });
    const other = join(folder, "o.safetensors");
    await writeFile(other, writeSafetensors(new Map([["x", x]])));
    await expect(readPairs(other)).rejects.toThrow(/o\.safetensors holds no pairs/);
    await expect(readPairs(join(folder, "none"))).rejects.toThrow(/no such file/);
    await expect(openData("two-moons", { pairs: path, source: "rings" })).rejects.toThrow(/option pairs/);
  });
});

describe("pairs that nothing can be fitted to", () => {
  it("are refused: none, labels of another number, and classes that the data do not have", async () => {
    const folder = await mkdtemp(join(tmpdir(), "eidos-pairs-"));
    const path = join(folder, "none.safetensors");
    await writePairs(path, { x: float32([], [0, 2]), source: float32([], [0, 2]) }, {});
    await expect(openData("two-moons", { pairs: path })).rejects.toThrow(DataError);
    await expect(openData("two-moons", { pairs: path })).rejects.toThrow(/pairs: there are none/);
    const digits = await openDigits();
    const images = float32(new Float32Array(2 * 784), [2, ...digits.sampleShape]);
    const labeled = (labels: readonly number[]) => () =>
      withPairs(digits, { x: images, source: images, label: int64([...labels], [labels.length]) });
    expect(labeled([1])).toThrow(/label has shape \[1\]; for 2 pairs/);
    expect(labeled([1, 10])).toThrow(/one has the class 10; .* classes 0 to 9/);
    expect(labeled([1, 9])).not.toThrow();
  });
});
