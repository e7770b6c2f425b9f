import fc from "fast-check";
import { expect, test } from "vitest";
import { spreadOrder } from "../../../src/tasks/measure/crop-source.ts";

test("every beginning of the order in which images are looked through is evenly spread, and all of it has each once", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 300 }), fc.nat(), (count, some) => {
      const order = spreadOrder(count);
      expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      const taken = count === 0 ? 0 : some % count;
      // The first half of the images has half of what is taken, but for a few.
      const first = order.slice(0, taken).filter((at) => at < count / 2).length;
      expect(Math.abs(first - taken / 2)).toBeLessThanOrEqual(1 + taken / 6);
    }),
  );
});
