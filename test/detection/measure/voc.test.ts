import { describe, expect, it } from "vitest";
import { evaluated, orMinusOne, readFixture, type Scene } from "../fixture.ts";

type ClassResult = readonly [eleven: number, all: number] | null;
type Case = readonly [
  classes: number,
  scenes: readonly Scene[],
  results: readonly (readonly ClassResult[])[],
];

const fixture = await readFixture<{
  readonly thresholds: readonly number[];
  readonly cases: readonly Case[];
}>("voc");

describe("VOC's average precision", () => {
  it("is that of the development kit's rules, at eleven points and at all", () => {
    for (const [number, [classes, scenes, results]] of fixture.cases.entries()) {
      // VOC counts pixels from 1 and includes the last.
      const evaluator = evaluated(classes, scenes, ([x1, y1, x2, y2]) => [x1 - 1, y1 - 1, x2, y2]);
      for (const [t, threshold] of fixture.thresholds.entries()) {
        for (const [p, points] of ([11, "all"] as const).entries()) {
          const { ap, classes: byClass } = evaluator.voc({ threshold, points });
          const expected = (results[t] ?? []).map((result) => result?.[p] ?? Number.NaN);
          const known = expected.filter((value) => !Number.isNaN(value));
          const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
          const pairs = [
            ...expected.map((value, k) => [byClass[k] ?? 0, value] as const),
            [ap, mean] as const,
          ];
          for (const [value, right] of pairs) {
            const what = `case ${number}, IoU ${threshold}, points ${points}`;
            expect(orMinusOne(value), what).toBeCloseTo(orMinusOne(right), 7);
          }
        }
      }
    }
  });
});
