import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildModel, models } from "../../src/catalog.ts";
import { MemoryError } from "../../src/errors.ts";
import type { DataInfo, FitKind } from "../../src/model/data-info.ts";
import { checkFitMemory, fitMemory } from "../../src/train/memory.ts";
import { fitOptions, resolveFitOptions } from "../../src/train/options.ts";
import { present } from "../support.ts";

/** Data of each kind of a usual size. */
const USUAL: Readonly<Record<FitKind, DataInfo>> = {
  points: { kind: "points", sampleShape: [2] },
  table: {
    kind: "table",
    sampleShape: [12],
    columns: Array.from({ length: 12 }, (_, i) => ({ name: `${i}`, size: 1, mean: 0, deviation: 1 })),
  },
  image: { kind: "image", sampleShape: [3, 32, 32], classes: 10 },
  binary: { kind: "binary", sampleShape: [1, 28, 28] },
  detection: {
    kind: "image",
    sampleShape: [3, 640, 640],
    classes: 80,
    boxShapes: Array.from({ length: 30 }, (_, i) => ({ width: 8 + 9 * i, height: 240 - 7 * i })),
  },
};

const cases = [...models.values()].flatMap((definition) =>
  definition.dataKinds.map((kind) => [definition.name, kind, definition] as const),
);

describe("a fit with default options", () => {
  it.each(cases)("needs far less than a small machine has: %s of %s", (_name, kind, definition) => {
    // MTCNN finds objects of one class.
    const data = definition.name === "mtcnn" ? { ...USUAL[kind], classes: 1 } : USUAL[kind];
    const parsed = definition.options.parse({});
    const model = buildModel(definition, definition.settled?.(parsed, data) ?? parsed, data);
    const options = resolveFitOptions(fitOptions.parse({}), definition.preferences?.(data) ?? {}, 50_000);
    expect(fitMemory(model, options, data.sampleShape).bytes).toBeLessThan(1.5e9);
  });
});

describe("the memory of a fit", () => {
  const nice = present(models.get("nice"));
  const model = buildModel(nice, { couplings: 2, width: 8 }, USUAL.points);
  const options = {
    batchSize: 64,
    optimizer: "adam",
    momentum: 0.9,
    averageDecay: 0.99,
    replicas: 1,
  } as const;

  it("holds each vector twice, the gradient and a batch", () => {
    const { bytes } = fitMemory(model, options, [2]);
    const sgd = { ...options, optimizer: "sgd", momentum: 0, averageDecay: 0 } as const;
    const parameters = (fitMemory(model, sgd, [2]).bytes - 4 * 64 * 2) / (4 * 3);
    expect(Number.isInteger(parameters)).toBe(true);
    expect(bytes).toBe(4 * (2 * 4 + 1) * parameters + 4 * 64 * 2);
  });

  it("grows with the batch and with replicas", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e8 }),
        fc.integer({ min: 1, max: 64 }),
        (batchSize, replicas) => {
          const { bytes } = fitMemory(model, { ...options, batchSize, replicas }, [2]);
          expect(fitMemory(model, { ...options, batchSize: batchSize + 1, replicas }, [2]).bytes).toBe(
            bytes + 8,
          );
          expect(
            fitMemory(model, { ...options, batchSize, replicas: replicas + 1 }, [2]).bytes,
          ).toBeGreaterThan(bytes);
        },
      ),
    );
  });

  it("counts batches of validation where those are larger", () => {
    const plain = fitMemory(model, options, [2]);
    expect(fitMemory(model, options, [2], 64 * 2)).toEqual(plain);
    const { bytes, what } = fitMemory(model, options, [2], 1000);
    expect(bytes).toBe(plain.bytes + 4 * (1000 - 64 * 2));
    expect(what).toMatch(/ and batches of validation \(/);
  });

  it("is refused beyond the limit, with what is largest", () => {
    const check = (batchSize: number, shape: readonly number[]) => () =>
      checkFitMemory(model, { ...options, batchSize }, shape, { bytes: 1e9, source: "the test has" });
    expect(check(1000, [2])).not.toThrow();
    expect(check(1e8, [2])).not.toThrow();
    expect(check(1e8, [3, 640, 640])).toThrow(MemoryError);
    expect(check(1e8, [3, 640, 640])).toThrow(/batches of 100,000,000 samples .* take a smaller batchSize/);
  });
});
