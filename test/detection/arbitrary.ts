import fc from "fast-check";
import type { Box } from "../../src/detection/boxes/boxes.ts";

/** Boxes with sides of 0.01 pixels or more. */
export const box: fc.Arbitrary<Box> = fc
  .tuple(
    fc.double({ min: -400, max: 400, noNaN: true }),
    fc.double({ min: -400, max: 400, noNaN: true }),
    fc.double({ min: 0.01, max: 300, noNaN: true }),
    fc.double({ min: 0.01, max: 300, noNaN: true }),
  )
  .map(([x, y, width, height]) => [x, y, x + width, y + height] as const);

/** Boxes on a grid of few points, where equal ones, touching ones and ones without an area are common. */
export const gridBox: fc.Arbitrary<Box> = fc
  .tuple(fc.nat(6), fc.nat(6), fc.nat(4), fc.nat(4))
  .map(([x, y, width, height]) => [x, y, x + width, y + height] as const);

/** Either. */
export const anyBox = fc.oneof(box, gridBox);

/** Random numbers of fast-check's generator are the same at every run: a red test stays red. */
export const SEEDED = { seed: 20240301, endOnFailure: false } as const;
