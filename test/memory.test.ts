import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { buildModel, models } from "../src/catalog.ts";
import { MemoryError, OptionError } from "../src/errors.ts";
import { memoryLimit } from "../src/memory.node.ts";
import { building, checkMemory, countNumbers, showBytes, UNLIMITED } from "../src/memory.ts";
import { initialState, parameterCount, stateSize } from "../src/nn/module.ts";
import { Parameter } from "../src/tensor/leaves.ts";
import { present } from "./support.ts";

const nothing = (): void => undefined;

describe("bytes in words", () => {
  it("have three figures and the unit that suits", () => {
    expect([0, 999, 1000, 17_179_869_184, 4e12, 1.5e18].map(showBytes)).toEqual([
      "0 bytes",
      "999 bytes",
      "1 kB",
      "17.2 GB",
      "4 TB",
      "1.5 EB",
    ]);
    expect(showBytes(3e25)).toBe("3.0e+7 EB");
  });
});

describe("what would not fit into memory", () => {
  it("is refused with the estimate, the limit and what to make smaller", () => {
    const check = (bytes: number) => () =>
      checkMemory({ what: "this", bytes, instead: "take less" }, { bytes: 1e9, source: "the test has" });
    expect(check(1e9)).not.toThrow();
    expect(check(2e9)).toThrow(MemoryError);
    expect(check(2e9)).toThrow("this: needs at least 2 GB of memory, and the test has 1 GB; take less");
    expect(check(Number.NaN)).toThrow(MemoryError);
  });

  it("is refused while a model grows: too many parts, or too many numbers beside its weights", () => {
    const many = (count: number) => () =>
      building(() => Array.from({ length: count }, () => new Parameter([1], nothing)).length);
    expect(many(100_000)()).toBe(100_000);
    expect(many(100_001)).toThrow(/more than 100,000 parameters and buffers/);
    expect(() => building(() => countNumbers("masks", 2 ** 26 + 1))).toThrow(OptionError);
    // Outside of a model that is being built nothing is counted, and one does not count for the next.
    expect(() => countNumbers("masks", 1e12)).not.toThrow();
    expect(many(60_000)()).toBe(60_000);
    expect(many(60_000)()).toBe(60_000);
  });
});

describe("the limit", () => {
  afterEach(() => {
    delete process.env.EIDOS_MEMORY;
  });

  it("is what the machine has, or what EIDOS_MEMORY says", () => {
    expect(memoryLimit().bytes).toBeGreaterThan(1e8);
    for (const [text, bytes] of [
      ["8GB", 8e9],
      ["1.5 tb", 1.5e12],
      ["500MB", 5e8],
      ["64", 64],
      ["none", Number.POSITIVE_INFINITY],
    ] as const) {
      process.env.EIDOS_MEMORY = text;
      expect(memoryLimit()).toEqual({ bytes, source: "EIDOS_MEMORY allows" });
    }
    process.env.EIDOS_MEMORY = "plenty";
    expect(memoryLimit).toThrow(OptionError);
  });
});

describe("the weights of a model", () => {
  const points = { kind: "points", sampleShape: [2] } as const;
  const nice = present(models.get("nice"));

  it("are as many as are made, for any width and depth", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 24 }), (couplings, width) => {
        const model = buildModel(nice, { couplings, width }, points);
        const made = [...initialState(model, 0).values()].reduce((sum, { data }) => sum + data.length, 0);
        expect(stateSize(model)).toBe(made);
        expect(parameterCount(model)).toBeLessThanOrEqual(made);
        const bytes = 4 * made;
        const limit = (most: number) => ({ bytes: most, source: "the test has" });
        expect(() => buildModel(nice, { couplings, width }, points, limit(bytes))).not.toThrow();
        expect(() => buildModel(nice, { couplings, width }, points, limit(bytes - 1))).toThrow(MemoryError);
      }),
      { numRuns: 20 },
    );
  });

  it("are not made to be counted", () => {
    const huge = { couplings: 1000, width: 65_536 };
    expect(() => buildModel(nice, huge, points, { bytes: 1e12, source: "the test has" })).toThrow(
      /^nice: its 4,29\d,\d+,\d+,\d+ weights: needs at least 17\.2 TB of memory, and the test has 1 TB/,
    );
    expect(stateSize(buildModel(nice, huge, points, UNLIMITED))).toBeGreaterThan(4e12);
  });
});
