import fc from "fast-check";
import { expect, test } from "vitest";
import type { SplitName } from "../../../src/data/sources/data-set.ts";
import { familiesOf, keepTogether } from "../../../src/data/sources/twins.ts";

const NAMES: readonly SplitName[] = ["train", "validation", "test"];

test("twins stay together, no picture is lost, and no part of a drawn split is left empty where there are families for all", () => {
  const picture = fc.record({ part: fc.constantFrom(...NAMES), of: fc.nat({ max: 12 }) });
  fc.assert(
    fc.property(fc.array(picture, { minLength: 1, maxLength: 30 }), (pictures) => {
      // A twin comes after what it is a twin of; each third is one.
      const twins = pictures.flatMap(({ of }, twin) =>
        twin % 3 === 2 && of < twin ? [{ of, twin, equal: true }] : [],
      );
      const families = familiesOf(pictures.length, twins);
      const drawn = Object.fromEntries(
        NAMES.map((name) => [name, pictures.flatMap(({ part }, i) => (part === name ? [i] : []))]),
      ) as Record<SplitName, number[]>;
      const kept = keepTogether(drawn, families);
      const all = NAMES.flatMap((name) => [...kept[name]]);
      expect(all.toSorted((a, b) => a - b)).toEqual(pictures.map((_, i) => i));
      const wanted = NAMES.filter((name) => drawn[name].length > 0);
      if (new Set(families).size < wanted.length) return;
      for (const name of wanted) expect(kept[name].length).toBeGreaterThan(0);
      for (const name of NAMES)
        for (const position of kept[name]) expect(kept[name]).toContain(families[position]);
    }),
    { numRuns: 500 },
  );
});
