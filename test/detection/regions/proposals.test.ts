import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorGrid, anchorShapes, cellCenters } from "../../../src/detection/boxes/anchors.ts";
import { boxesOfDeltas } from "../../../src/detection/boxes/decoding.ts";
import { deltasOf } from "../../../src/detection/models/retina-net.ts";
import { matchBoxes } from "../../../src/detection/regions/matching.ts";
import { proposalsOf } from "../../../src/detection/regions/proposals.ts";
import { sampleRows } from "../../../src/detection/regions/sampling.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, input, int64, type NdArray, slice } from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";
import { runAll, testRuntime } from "../../tensor/support.ts";
import { SEEDED } from "../arbitrary.ts";
import { noise, regionCases } from "./support.ts";

const cases = await regionCases();

const boxes = (values: readonly number[]) => constant(float32(values, [values.length / 4, 4]));

/** Objects of one image, with two rows that are none in between. */
function objectRows(values: readonly number[]) {
  const padded = [...values.slice(0, 4), 5, 5, 60, 60, ...values.slice(4), 0, 0, 90, 70];
  const labels = Array.from({ length: padded.length / 4 }, (_, i) =>
    i === 1 || i === padded.length / 4 - 1 ? -1 : 0,
  );
  return {
    rows: {
      boxes: constant(float32(padded, [1, labels.length, 4])),
      labels: constant(int64(labels, [1, labels.length])),
    },
    /** The number of an object from its row. */
    numberOf: (row: number) => (row > 1 ? row - 1 : row),
  };
}

describe("matching", () => {
  const { objects, candidates, thresholds } = cases.matching;

  it.each(thresholds)("is torchvision's: from %d, below %d, low quality %s", async (...parts) => {
    const [foreground, background, lowQuality, matches] = parts;
    const { rows, numberOf } = objectRows(objects);
    const found = matchBoxes(boxes(candidates), rows, { foreground, background, lowQuality });
    const [result] = await runAll({ ...found }, [{}]);
    const own = (i: number): number => {
      if (result?.positive?.data[i]) return numberOf(result.owner?.data[i] ?? Number.NaN);
      return result?.negative?.data[i] ? -1 : -2;
    };
    expect(matches.map((_, i) => own(i))).toEqual(matches);
    expect(new Set(matches.map((match) => Math.min(match, 0))).size).toBeGreaterThan(1);
  });

  it("makes all candidates of an image without objects background, but those in ignored regions or of no area", async () => {
    const candidates = boxes([0, 0, 10, 10, 20, 20, 40, 40, 7, 7, 7, 9, 90, 90, 95, 99]);
    const none = { boxes: boxes([0, 0, 0, 0]).unsqueeze(0), labels: constant(int64([-1], [1, 1])) };
    const ignored = constant(float32([25, 25, 100, 35, 0, 0, 0, 0], [1, 2, 4]));
    const options = { foreground: 0.5, background: 0.5, lowQuality: true };
    const [result] = await runAll(
      {
        plain: matchBoxes(candidates, none, options).negative,
        marked: matchBoxes(candidates, { ...none, ignored }, options).negative,
        positive: matchBoxes(candidates, none, options).positive,
      },
      [{}],
    );
    expect(result?.plain?.data).toEqual([1, 1, 0, 1]);
    expect(result?.marked?.data).toEqual([1, 0, 0, 1]);
    expect(result?.positive?.data).toEqual([0, 0, 0, 0]);
  });

  it("matches no candidate with an object that none overlaps with", async () => {
    const rows = { boxes: boxes([50, 50, 60, 60]).unsqueeze(0), labels: constant(int64([0], [1, 1])) };
    const options = { foreground: 0.7, background: 0.3, lowQuality: true };
    const found = matchBoxes(boxes([0, 0, 10, 10, 20, 20, 40, 40]), rows, options);
    const [result] = await runAll({ positive: found.positive, negative: found.negative }, [{}]);
    expect(result?.positive?.data).toEqual([0, 0]);
    expect(result?.negative?.data).toEqual([1, 1]);
  });
});

describe("sampling", () => {
  const size = 30;
  const kinds = input("kinds", [2, size], "int64");

  it("takes as many positive rows as there are up to the most, and fills up with negative ones; each once", async () => {
    const [positive, negative] = [kinds.equal(constant(1, "int64")), kinds.equal(constant(-1, "int64"))];
    const keys = input("keys", [2, size]);
    const { indices, ...rows } = sampleRows({ positive, negative }, keys, { count: 12, positives: 5 });
    expect(rows.positives).toBe(5);
    const program = await Program.build(
      new Map(Object.entries({ indices, positive: rows.positive, taken: rows.taken })),
      await testRuntime(),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(1, 0, -1, -1), { minLength: 2 * size, maxLength: 2 * size }),
        fc.integer(),
        async (given, seed) => {
          const random = new Random(seed);
          const uniform = float32(
            Float32Array.from(given, () => random.uniform()),
            [2, size],
          );
          const result = await program.run({ kinds: int64(given, [2, size]), keys: uniform });
          for (const image of [0, 1]) {
            const own = given.slice(image * size, (image + 1) * size);
            const of = (name: string) => numbers(result[name]).slice(12 * image, 12 * image + 12);
            const [places, isPositive, taken] = [of("indices"), of("positive"), of("taken")];
            const wanted = Math.min(5, own.filter((kind) => kind === 1).length);
            const others = Math.min(12 - wanted, own.filter((kind) => kind === -1).length);
            const drawn = places.filter((_, i) => taken[i] === 1);
            expect(new Set(drawn).size).toBe(wanted + others);
            expect(isPositive).toEqual(Array.from({ length: 12 }, (_, i) => Number(i < wanted)));
            for (const [i, place] of places.entries()) {
              if (taken[i] === 1) expect(own[place]).toBe(isPositive[i] === 1 ? 1 : -1);
            }
          }
        },
      ),
      { ...SEEDED, numRuns: 40 },
    );
    await program.release();
  });

  it("draws each row equally often", async () => {
    const given = Array.from({ length: 2 * size }, (_, i) => (i % size < 10 ? 1 : -1));
    const keys = input("keys", [2, size]);
    const { indices } = sampleRows(
      { positive: kinds.equal(constant(1, "int64")), negative: kinds.equal(constant(-1, "int64")) },
      keys,
      { count: 10, positives: 4 },
    );
    const program = await Program.build(new Map([["indices", indices]]), await testRuntime());
    const counts = new Array<number>(size).fill(0);
    const random = new Random(3);
    const runs = 600;
    for (let run = 0; run < runs; run++) {
      const uniform = float32(
        Float32Array.from(given, () => random.uniform()),
        [2, size],
      );
      const result = await program.run({ kinds: int64(given, [2, size]), keys: uniform });
      for (const place of numbers(result.indices)) counts[place] = (counts[place] ?? 0) + 1;
    }
    await program.release();
    // 4 of 10 positive and 6 of 20 negative ones of each of two images: deviations of chance are below 25 here.
    for (const [place, count] of counts.entries()) {
      expect(Math.abs(count - 2 * runs * (place < 10 ? 0.4 : 0.3)), `row ${place}`).toBeLessThan(85);
    }
  });
});

describe("deltas", () => {
  const WEIGHTS = [10, 10, 5, 5] as const;

  it("are torchvision's, and sizes are clamped", async () => {
    const { candidates, objects } = cases.matching;
    const { encoded, deltas, decoded } = cases.coding;
    const [result] = await runAll(
      {
        encoded: deltasOf(boxes(objects), boxes(candidates.slice(0, 20))).mul(
          constant(float32(WEIGHTS, [4])),
        ),
        decoded: boxesOfDeltas(boxes(deltas), boxes(candidates), WEIGHTS),
      },
      [{}],
    );
    expect(largestDifference(present(result?.encoded).data, encoded)).toBeLessThan(2e-5);
    for (const [i, value] of decoded.entries()) {
      const got = result?.decoded?.data[i] ?? Number.NaN;
      expect(Math.abs(got - value), `number ${i}`).toBeLessThan(1e-3 + 1e-5 * Math.abs(value));
    }
    // Without the limit, e⁶⁰ anchors would be infinitely wide.
    expect(decoded.every(Number.isFinite)).toBe(true);
    const [x1 = 0, , x2 = 0] = candidates;
    expect((result?.decoded?.data[2] ?? 0) - (result?.decoded?.data[0] ?? 0)).toBeCloseTo(
      62.5 * (x2 - x1),
      0,
    );
  });
});

describe("proposals", () => {
  const GRIDS = [
    { rows: 8, columns: 12, stride: 8 },
    { rows: 4, columns: 6, stride: 16 },
  ];
  const anchors = GRIDS.map((grid) =>
    anchorGrid({ ...grid, shapes: anchorShapes([3 * grid.stride], [0.5, 1, 2]), origin: "corner" }),
  );
  const counts = anchors.map(({ length }) => length / 4);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const objectness = noise([2, total], 3, 0, 0.3);
  const deltas = noise([2, total, 4], 0.6, 0, 1.1);
  const size = { width: 96, height: 64 };

  function predictions(logits: NdArray<"float32"> = objectness, offsets: NdArray<"float32"> = deltas) {
    let at = 0;
    return counts.map((count) => {
      const from = at;
      at += count;
      return {
        objectness: slice(constant(logits), 1, from, at),
        deltas: slice(constant(offsets), 1, from, at),
      };
    });
  }

  const tensors = anchors.map((level) => boxes([...level]));

  it("stand on torchvision's anchors, around the corners of cells in whole pixels", () => {
    expect([...anchors.flatMap((level) => [...level])]).toEqual(cases.proposals.anchors);
    const centered = anchorGrid({ rows: 2, columns: 3, stride: 8, shapes: [{ width: 5, height: 7 }] });
    const centers = cellCenters({ rows: 2, columns: 3, stride: 8 });
    expect([...centered.slice(0, 4)]).toEqual([1.5, 0.5, 6.5, 7.5]);
    expect([...centers.slice(0, 2)]).toEqual([4, 4]);
  });

  it("are torchvision's", async () => {
    const found = proposalsOf(predictions(), tensors, size, { candidates: 40, proposals: 25, iou: 0.7 });
    const [result] = await runAll({ ...found }, [{}]);
    for (const image of [0, 1]) {
      const expected = present(cases.proposals.boxes[image]);
      const scores = present(cases.proposals.scores[image]);
      const own = present(result?.boxes).data.slice(100 * image, 100 * image + expected.length);
      expect(largestDifference(own, expected)).toBeLessThan(1e-3);
      expect(
        largestDifference(present(result?.scores).data.slice(25 * image, 25 * image + scores.length), scores),
      ).toBeLessThan(1e-6);
    }
  });

  it("are fewer where there are not enough: rows of no area and no score fill up", async () => {
    // All boxes of a level are the same one, so that one of each stays.
    const same = anchors.map((level) => boxes(Array.from(level, (_, i) => [10, 10, 50, 40][i % 4] ?? 0)));
    const still = float32(new Float32Array(2 * total * 4), [2, total, 4]);
    const found = proposalsOf(predictions(objectness, still), same, size, {
      candidates: 40,
      proposals: 6,
      iou: 0.7,
    });
    const [result] = await runAll({ ...found }, [{}]);
    expect(result?.boxes?.shape).toEqual([2, 6, 4]);
    expect(result?.boxes?.data.slice(0, 12)).toEqual([10, 10, 50, 40, 10, 10, 50, 40, 0, 0, 0, 0]);
    expect(result?.scores?.data.map((score) => score > 0)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  it("drop boxes that lie outside of the image", async () => {
    const far = anchors.map((level) => boxes(Array.from(level, (_, i) => [-80, 10, -20, 40][i % 4] ?? 0)));
    const still = float32(new Float32Array(2 * total * 4), [2, total, 4]);
    const found = proposalsOf(predictions(objectness, still), far, size, {
      candidates: 40,
      proposals: 6,
      iou: 0.7,
    });
    const [result] = await runAll({ ...found }, [{}]);
    expect(result?.scores?.data.every((score) => score === 0)).toBe(true);
  });
});
