import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorGrid, cellCenters } from "../../../src/detection/boxes/anchors.ts";
import { type Box, boxArray } from "../../../src/detection/boxes/boxes.ts";
import {
  decodeDeltas,
  decodeDistances,
  decodeYolo,
  encodeDeltas,
  encodeDistances,
  encodeYolo,
} from "../../../src/detection/boxes/coding.ts";
import { boxesOfDeltas, boxesOfDistances, boxesOfYolo } from "../../../src/detection/boxes/decoding.ts";
import { ShapeError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, grad, input } from "../../../src/tensor/index.ts";
import { runAll } from "../../tensor/support.ts";
import { SEEDED } from "../arbitrary.ts";
import { readFixture } from "../fixture.ts";

const { by, coding } = await readFixture<{
  readonly by: string;
  readonly coding: Readonly<
    Record<"anchors" | "boxes" | "deltas" | "strange" | "strangeBoxes", readonly number[]>
  >;
}>("geometry");

const WEIGHTS = [10, 10, 5, 5] as const;

function expectAll(values: ArrayLike<number>, expected: ArrayLike<number>, digits: number): void {
  expect(values.length).toBe(expected.length);
  for (let i = 0; i < values.length; i++) expect(values[i]).toBeCloseTo(expected[i] ?? 0, digits);
}

/** Boxes with sides of 2 to 100 pixels, so that no ratio of sides is beyond what is decoded. */
const sized: fc.Arbitrary<Box> = fc
  .tuple(
    fc.double({ min: -200, max: 200, noNaN: true }),
    fc.double({ min: -200, max: 200, noNaN: true }),
    fc.double({ min: 2, max: 100, noNaN: true }),
    fc.double({ min: 2, max: 100, noNaN: true }),
  )
  .map(([x, y, width, height]) => [x, y, x + width, y + height] as const);

describe("deltas", () => {
  const anchors = Float64Array.from(coding.anchors);

  it(`are those of ${by}, both ways, up to the clip of wide ones`, () => {
    expectAll(encodeDeltas(Float64Array.from(coding.boxes), anchors, WEIGHTS), coding.deltas, 5);
    expectAll(decodeDeltas(Float64Array.from(coding.strange), anchors, WEIGHTS), coding.strangeBoxes, 5);
  });

  it("are worked by hand", () => {
    const anchor = boxArray([[10, 10, 20, 30]]);
    const deltas = encodeDeltas(boxArray([[15, 10, 35, 20]]), anchor);
    expectAll(deltas, [1, -0.25, Math.log(2), Math.log(0.5)], 12);
  });

  it("of any box and anchor decode to the box", () => {
    fc.assert(
      fc.property(sized, sized, (box, anchor) => {
        const [boxes, own] = [boxArray([box]), boxArray([anchor])];
        expectAll(decodeDeltas(encodeDeltas(boxes, own, WEIGHTS), own, WEIGHTS), boxes, 9);
      }),
      { ...SEEDED, numRuns: 200 },
    );
  });

  it("refuse empty boxes and unequal numbers", () => {
    const [one, empty] = [boxArray([[0, 0, 1, 1]]), boxArray([[0, 0, 1, 0]])];
    expect(() => encodeDeltas(empty, one)).toThrow(/encodeDeltas: box 0, \[0,0,1,0\], is empty/);
    expect(() => encodeDeltas(one, empty)).toThrow(/anchor 0/);
    expect(() => encodeDeltas(one, boxArray([]))).toThrow(/1 boxes and 0 anchors/);
  });
});

describe("YOLO's codes", () => {
  const shapes = [{ width: 20, height: 10 }];
  const grid = { rows: 2, columns: 3, stride: 16, shapes };

  it("are worked by hand", () => {
    // Cell (1, 0) lies at x 16 … 32, y 0 … 16.
    const anchor = anchorGrid(grid).subarray(4, 8);
    const box = boxArray([[8, -8, 48, 16]]);
    const codes = encodeYolo(box, anchor, { strides: [16] });
    expectAll(codes, [Math.log(0.75 / 0.25), Math.log(0.25 / 0.75), Math.log(2), Math.log(2.4)], 12);
    expectAll(decodeYolo(boxArray([[0, 0, 0, 0]]), anchor, { strides: [16] }), [14, 3, 34, 13], 12);
    // With a reach of two cells the center may lie half a cell outside: here at the corner of the cell.
    const corner = boxArray([[6, -5, 26, 5]]);
    expectAll(
      encodeYolo(corner, anchor, { strides: [16], reach: 2 }),
      [Math.log(1 / 3), Math.log(1 / 3), 0, 0],
      12,
    );
  });

  it("of any box whose center is in reach decode to the box", () => {
    const share = fc.double({ min: -0.5, max: 0.5, noNaN: true });
    const side = fc.double({ min: 2, max: 100, noNaN: true });
    fc.assert(
      fc.property(
        sized,
        share,
        share,
        side,
        side,
        fc.constantFrom(8, 16, 32),
        fc.constantFrom(1, 1.2, 2),
        (...drawn) => {
          const [anchor, dx, dy, width, height, stride, reach] = drawn;
          const [x, y] = [
            (anchor[0] + anchor[2]) / 2 + dx * stride * reach,
            (anchor[1] + anchor[3]) / 2 + dy * stride * reach,
          ];
          const boxes = boxArray([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]]);
          const options = { strides: [stride], reach };
          // At the very border a center moves by a millionth of its range.
          const decoded = decodeYolo(
            encodeYolo(boxes, boxArray([anchor]), options),
            boxArray([anchor]),
            options,
          );
          for (const [i, value] of decoded.entries()) {
            expect(Math.abs(value - (boxes[i] ?? 0))).toBeLessThan(2.01e-6 * stride * reach);
          }
        },
      ),
      { ...SEEDED, numRuns: 300 },
    );
  });

  it("refuse a center that is out of reach", () => {
    const anchor = anchorGrid(grid).subarray(0, 4);
    expect(() => encodeYolo(boxArray([[16, 0, 20, 4]]), anchor, { strides: [16] })).toThrow(
      /center \(18, 2\) of box 0 is out of reach of its cell around \(8, 8\)/,
    );
  });
});

describe("distances", () => {
  it("are worked by hand, and decode to the box", () => {
    const points = cellCenters({ rows: 1, columns: 2, stride: 8 });
    const boxes = boxArray([
      [0, 1, 10, 20],
      [14, 0, 20, 4],
    ]);
    expectAll(encodeDistances(boxes, points), [4, 3, 6, 16, -2, 4, 8, 0], 12);
    expectAll(encodeDistances(boxes, points, [8, 2]), [0.5, 0.375, 0.75, 2, -1, 2, 4, 0], 12);
    expect(() => encodeDistances(boxes, [1, 2])).toThrow(/2 boxes need as many points; there are 1/);
    fc.assert(
      fc.property(sized, fc.double({ min: 0.5, max: 64, noNaN: true }), (box, stride) => {
        const one = boxArray([box]);
        expectAll(decodeDistances(encodeDistances(one, [3, 4], [stride]), [3, 4], [stride]), one, 9);
      }),
      { ...SEEDED, numRuns: 100 },
    );
  });
});

describe("decoding while tracing", () => {
  const random = new Random(1);
  const codes = Float32Array.from({ length: 48 }, () => random.normal());
  const anchors = anchorGrid({ rows: 2, columns: 3, stride: 16, shapes: [{ width: 20, height: 11 }] });
  const points = cellCenters({ rows: 2, columns: 3, stride: 16 });
  codes.set([30, 0.5, 9, -40], 4);
  const strides = new Float32Array(6).fill(16);

  it("gives the boxes of numbers, for a batch, with gradients", async () => {
    const x = input("x", ["batch", 6, 4]);
    const a = constant(float32(anchors, [6, 4]));
    const s = constant(float32(strides, [6, 1]));
    const outputs = {
      deltas: boxesOfDeltas(x, a, WEIGHTS),
      yolo: boxesOfYolo(x, a, s, 2),
      distances: boxesOfDistances(x, constant(float32(points, [6, 2])), s),
    };
    const gradients = Object.entries(outputs).map(([name, boxes]) => {
      const [gradient = boxes] = grad(boxes.sum(), [x]);
      return [`${name} gradient`, gradient] as const;
    });
    const [result] = await runAll({ ...outputs, ...Object.fromEntries(gradients) }, [
      { x: float32(codes, [2, 6, 4]) },
    ]);
    const twice = (values: Float32Array) => Float32Array.from([...values, ...values]);
    const [own, unit] = [twice(anchors), twice(strides)];
    const data = (name: string) => result?.[name]?.data ?? [];
    const close = (values: ArrayLike<number>, expected: Float32Array) => {
      for (const [i, value] of expected.entries()) expect(values[i]).toBeCloseTo(value, 3);
    };
    close(data("deltas"), decodeDeltas(codes, own, WEIGHTS));
    close(data("yolo"), decodeYolo(codes, own, { strides: unit, reach: 2 }));
    close(data("distances"), decodeDistances(codes, twice(points), unit));
    // The sum of the edges of a box is twice its center, and the clipped log-ratio has no gradient.
    expect(data("deltas gradient")[0]).toBeCloseTo((2 * 20) / 10, 5);
    expect(data("yolo gradient")[6]).toBeCloseTo(0, 5);
    expect(data("distances gradient").slice(0, 4)).toEqual([-16, -16, 16, 16]);
  });

  it("names shapes that are none", () => {
    const [x, a] = [input("x", [6, 5]), input("a", [6, 4])];
    expect(() => boxesOfDeltas(x, a)).toThrow(/boxesOfDeltas: \[6, 5\].*size 4/);
    expect(() => boxesOfDistances(a, a, a)).toThrow(/points take a last axis of size 2/);
    expect(() => boxesOfYolo(a, input("b", [3, 4]), input("s", [3, 1]))).toThrow(ShapeError);
  });
});
