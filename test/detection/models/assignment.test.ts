import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CellGrid } from "../../../src/detection/boxes/anchors.ts";
import { type Box, iou } from "../../../src/detection/boxes/boxes.ts";
import { assignByOverlap } from "../../../src/detection/loss/anchor-assignment.ts";
import { centersOf, firstAtPlace, liesIn, outsideRegions } from "../../../src/detection/loss/assignment.ts";
import { heatRadius, heatTargets } from "../../../src/detection/models/center-net.ts";
import { assignBySize, sizeRanges } from "../../../src/detection/models/fcos.ts";
import { alignTasks } from "../../../src/detection/models/yolo.ts";
import { assignCells, responsible } from "../../../src/detection/models/yolo-v1.ts";
import { anchorShapesOf, assignAnchors } from "../../../src/detection/models/yolo-v3.ts";
import { featurePoints, levelGrids } from "../../../src/detection/network/feature-network.ts";
import { constant, float32, input, int64, type Tensor } from "../../../src/tensor/index.ts";
import { runAll, type Values } from "../../tensor/support.ts";
import { box, SEEDED } from "../arbitrary.ts";

// Which cell, which level, which anchor: examples worked by hand.

type Rows = readonly (readonly [box: Box, label: number])[];

/** One image with these objects, and a row that is none and has a box nevertheless. */
function objects(rows: Rows): readonly [boxes: Tensor, labels: Tensor] {
  const all: Rows = [...rows, [[0, 0, 60, 60], -1]];
  return [
    constant(
      float32(
        all.flatMap(([edges]) => edges),
        [1, all.length, 4],
      ),
    ),
    constant(
      int64(
        all.map(([, label]) => label),
        [1, all.length],
      ),
    ),
  ];
}

/** Values of outputs that are made of constants alone. */
async function valuesOf<N extends string>(
  outputs: Readonly<Record<N, Tensor>>,
): Promise<Readonly<Record<N, Values>>> {
  const [result] = await runAll(outputs, [{}]);
  return result as Readonly<Record<N, Values>>;
}

function grids(side: number, ...strides: readonly number[]): readonly CellGrid[] {
  return levelGrids(
    { width: side, height: side },
    strides.map((stride) => ({ channels: 1, stride })),
  );
}

/** The places that answer for each row of objects, as stride@x,y. */
function answering(
  levels: readonly CellGrid[],
  { positive, owner }: Readonly<Record<"positive" | "owner", Values>>,
): readonly (readonly string[])[] {
  const names = levels.flatMap(({ rows, columns, stride }) =>
    Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return `${stride}@${(column + 0.5) * stride},${(row + 0.5) * stride}`;
    }),
  );
  const rows: string[][] = [];
  for (const [k, name] of names.entries()) {
    if (positive.data[k] !== 1) continue;
    const row = owner.data[k] ?? -1;
    rows[row] = [...(rows[row] ?? []), name];
  }
  return Array.from(rows, (row) => row ?? []);
}

function crossing(stride: number, xs: readonly number[], ys: readonly number[]): readonly string[] {
  return ys.flatMap((y) => xs.map((x) => `${stride}@${x},${y}`));
}

describe("ignored regions", () => {
  const row = (...values: readonly number[]) => constant(float32(values, [1, values.length]));

  it("hold the places whose centers lie in them; those without an area hold none", async () => {
    const { centers } = featurePoints(grids(16, 8));
    const regions = constant(float32([0, 0, 9, 5, 4, 4, 4, 4, 11, 3, 16, 16], [1, 3, 4]));
    const { inside } = await valuesOf({ inside: liesIn(centers, regions).cast("float32") });
    // Centers: (4, 4), (12, 4), (4, 12), (12, 12).
    expect(inside.data).toEqual([1, 1, 0, 1]);
  });

  it("spare places in them that answer for no object", async () => {
    const anchors = constant(float32([0, 0, 8, 8, 10, 10, 14, 16, 2, 2, 4, 4], [3, 4]));
    const ignored = constant(float32([1, 1, 6, 6], [1, 1, 4]));
    const positive = row(0, 0, 1).greater(0);
    const { flat, deep, untouched } = await valuesOf({
      flat: outsideRegions(row(5, 6, 7), positive, centersOf(anchors), ignored),
      deep: outsideRegions(row(5, 6, 7).unsqueeze(2), positive, centersOf(anchors), ignored),
      untouched: outsideRegions(row(5, 6, 7), positive, centersOf(anchors), undefined),
    });
    expect(flat.data).toEqual([0, 6, 7]);
    expect(deep.data).toEqual([0, 6, 7]);
    expect(untouched.data).toEqual([5, 6, 7]);
  });
});

describe("FCOS", () => {
  async function assign(side: number, strides: readonly number[], radius: number, rows: Rows) {
    const levels = grids(side, ...strides);
    const points = featurePoints(levels);
    const { positive, owner, centerness, classes } = assignBySize(
      points,
      sizeRanges(levels),
      radius,
      ...objects(rows),
      3,
    );
    const found = await valuesOf({ positive, owner, centerness, classes });
    return { ...found, rows: answering(levels, found) };
  }

  it("lets the places around the center answer, on the level of the object's size", async () => {
    const small: Box = [16, 16, 48, 48];
    const large: Box = [56, 56, 200, 200];
    const { rows } = await assign(256, [8, 16, 32], 1.5, [
      [small, 0],
      [large, 1],
    ]);
    // Distances up to 64 belong to stride 8, up to 128 to stride 16.
    expect(rows).toEqual([
      crossing(8, [20, 28, 36, 44], [20, 28, 36, 44]),
      crossing(16, [104, 120, 136, 152], [104, 120, 136, 152]),
    ]);
  });

  it("without sampling takes all places of a box, and of two boxes the smaller", async () => {
    const { rows, classes } = await assign(32, [8], 0, [
      [[0, 0, 32, 32], 2],
      [[16, 8, 31, 23], 1],
    ]);
    expect(rows[1]).toEqual(crossing(8, [20, 28], [12, 20]));
    expect(rows[0]?.length).toBe(12);
    expect(classes.data.slice(0, 3)).toEqual([0, 0, 1]);
    expect(classes.data.slice(18, 21)).toEqual([0, 1, 0]);
  });

  it("says how central a place is", async () => {
    const { centerness } = await assign(64, [8], 1.5, [[[16, 16, 48, 48], 0]]);
    // At (28, 28): 12 to the nearer and 20 to the farther edges.
    expect(centerness.data[3 * 8 + 3]).toBeCloseTo(0.6, 6);
    // At (20, 28): 4 and 28, 12 and 20.
    expect(centerness.data[3 * 8 + 2]).toBeCloseTo(Math.sqrt((4 / 28) * 0.6), 6);
  });

  it("gives an object between the places the nearest one", async () => {
    const { rows, centerness } = await assign(64, [8, 16], 1.5, [[[14, 21, 17, 24], 0]]);
    expect(rows).toEqual([["8@12,20"]]);
    // As in a box of 8 × 8: 3.5 from the middle along x, 2.5 along y.
    expect(centerness.data[2 * 8 + 1]).toBeCloseTo(Math.sqrt((0.5 / 7.5) * (1.5 / 6.5)), 6);
  });
});

describe("YOLO", () => {
  /** Predictions of a map of 4 × 4 places of stride 8: places that are not told predict an empty box. */
  async function align(
    told: Readonly<Record<string, readonly [box: Box, score: number]>>,
    candidates: number,
    rows: Rows,
  ) {
    const levels = grids(32, 8);
    const places = crossing(8, [4, 12, 20, 28], [4, 12, 20, 28]);
    const boxes = places.flatMap((name) => told[name]?.[0] ?? [0, 0, 0, 0]);
    const scores = places.map((name) => told[name]?.[1] ?? 0.01);
    const { positive, owner, weights } = alignTasks(
      { boxes: constant(float32(boxes, [1, 16, 4])), scores: constant(float32(scores, [1, 16, 1])) },
      featurePoints(levels),
      ...objects(rows),
      candidates,
    );
    const found = await valuesOf({ positive, owner, weights });
    const at = (name: string) => found.weights.data[places.indexOf(name)];
    return { rows: answering(levels, found), at };
  }

  const object: Box = [4, 4, 28, 28];
  // Half of the object: IoU ½.
  const half: Box = [4, 4, 16, 28];

  it("lets the best aligned places in an object answer, with weights up to their largest IoU", async () => {
    const { rows, at } = await align(
      {
        // √¼ · 1⁶ = ½
        "8@12,12": [object, 0.25],
        // √1 · 2⁻⁶
        "8@20,12": [half, 1],
        // √0.64 · 2⁻⁶
        "8@12,20": [half, 0.64],
      },
      2,
      [[object, 0]],
    );
    expect(rows).toEqual([["8@12,12", "8@20,12"]]);
    expect(at("8@12,12")).toBeCloseTo(1, 6);
    expect(at("8@20,12")).toBeCloseTo(2 ** -6 / 0.5, 6);
    expect(at("8@12,20")).toBe(0);
  });

  it("leaves out places whose centers are outside, however good their boxes are", async () => {
    const { rows } = await align({ "8@4,20": [[8, 8, 24, 24], 1], "8@12,12": [[8, 8, 16, 24], 0.5] }, 1, [
      [[8, 8, 24, 24], 0],
    ]);
    expect(rows).toEqual([["8@12,12"]]);
  });

  it("gives a place that two objects claim to the one it overlaps with more", async () => {
    const { rows } = await align({ "8@12,12": [[4, 4, 20, 20], 0.9] }, 1, [
      [object, 0],
      [[4, 4, 20, 22], 0],
    ]);
    expect(rows).toEqual([[], ["8@12,12"]]);
  });

  it("gives an object between the places the nearest one", async () => {
    const { rows, at } = await align({ "8@12,20": [[10, 18, 18, 26], 0.5] }, 10, [[[14, 21, 17, 24], 0]]);
    expect(rows).toEqual([["8@12,20"]]);
    expect(at("8@12,20")).toBeCloseTo(9 / 64, 6);
  });
});

describe("CenterNet", () => {
  it("puts a Gaussian around the center's cell, cut off at the radius", async () => {
    // 20 × 20 cells: the radius is that of the smaller box, (40 − √1120) / 4 = 1.63, so 1; the deviation is ½.
    const grid = { rows: 32, columns: 32, stride: 8 };
    const [boxes, labels] = objects([[[42, 33, 202, 193], 1]]);
    const { heat, places, offsets, sizes, valid } = await valuesOf({
      ...heatTargets(boxes, labels, grid, 2),
    });
    const at = (label: number, row: number, column: number) =>
      heat.data[label * 1024 + row * 32 + column] ?? Number.NaN;
    // The center (122, 113) is in cell (15, 14).
    expect(at(1, 14, 15)).toBe(1);
    expect(at(1, 14, 16)).toBeCloseTo(Math.exp(-2), 6);
    expect(at(1, 13, 14)).toBeCloseTo(Math.exp(-4), 6);
    expect(heat.data.filter((value) => value > 0).length).toBe(9);
    expect(places.data[0]).toBe(14 * 32 + 15);
    expect(offsets.data.slice(0, 2)).toEqual([0.25, 0.125]);
    expect(sizes.data.slice(0, 2)).toEqual([20, 20]);
    expect(valid.data).toEqual([1, 0]);
  });

  it("keeps the larger value where Gaussians of a class meet, and classes apart", async () => {
    const grid = { rows: 32, columns: 32, stride: 8 };
    const rows: Rows = [
      [[42, 33, 202, 193], 0],
      [[50, 33, 210, 193], 0],
      [[58, 33, 218, 193], 1],
    ];
    const { heat } = await valuesOf({ heat: heatTargets(...objects(rows), grid, 2).heat });
    expect(heat.data.slice(14 * 32 + 14, 14 * 32 + 18)).toEqual([
      expect.closeTo(Math.exp(-2), 6),
      1,
      1,
      expect.closeTo(Math.exp(-2), 6),
    ]);
    expect(heat.data[1024 + 14 * 32 + 17]).toBe(1);
  });

  it("has a radius by which corners may just be moved", async () => {
    const [w, h] = [input("w", [4]), input("h", [4])];
    const sizes = [
      [10, 10],
      [3, 40],
      [25, 7],
      [60, 59],
    ] as const;
    const [result] = await runAll({ r: heatRadius(w, h) }, [
      {
        w: float32(
          sizes.map(([x]) => x),
          [4],
        ),
        h: float32(
          sizes.map(([, y]) => y),
          [4],
        ),
      },
    ]);
    for (const [i, [x, y]] of sizes.entries()) {
      const r = result?.r?.data[i] ?? 0;
      const least = (by: number) =>
        Math.min(
          iou([0, 0, x, y], [by, by, x + by, y + by]),
          iou([0, 0, x, y], [by, by, x - by, y - by]),
          iou([0, 0, x, y], [-by, -by, x + by, y + by]),
        );
      expect(least(r)).toBeCloseTo(0.7, 4);
    }
  });
});

describe("RetinaNet", () => {
  const thresholds = { foreground: 0.5, background: 0.4 };

  async function assign(anchors: readonly Box[], rows: Rows) {
    const { positive, owner, counted, classes } = assignByOverlap(
      constant(float32(anchors.flat(), [anchors.length, 4])),
      ...objects(rows),
      2,
      thresholds,
    );
    return valuesOf({ positive, owner, counted, classes });
  }

  it("divides anchors by IoU into objects, background and neither", async () => {
    // IoU with the object: 1, 0.6, 0.45, 0.3.
    const anchors: readonly Box[] = [
      [0, 0, 10, 10],
      [0, 0, 10, 6],
      [0, 0, 4.5, 10],
      [0, 0, 3, 10],
    ];
    const { positive, counted, classes } = await assign(anchors, [[[0, 0, 10, 10], 1]]);
    expect(positive.data).toEqual([1, 1, 0, 0]);
    expect(counted.data).toEqual([1, 1, 0, 1]);
    expect(classes.data).toEqual([0, 1, 0, 1, 0, 0, 0, 0]);
  });

  it("gives each object its best anchor, even if another object overlaps more with it", async () => {
    // The second object overlaps by 0.2 with the first anchor alone; the first by 0.8 with it and by 0.9 with the second.
    const anchors: readonly Box[] = [
      [0, 0, 10, 8],
      [0, 0, 10, 9],
    ];
    const { positive, owner } = await assign(anchors, [
      [[0, 0, 10, 10], 0],
      [[0, 0, 2, 8], 1],
    ]);
    expect(positive.data).toEqual([1, 1]);
    expect(owner.data).toEqual([1, 0]);
  });

  it("leaves anchors alone that touch nothing", async () => {
    const { positive, counted } = await assign([[100, 100, 120, 120]], [[[0, 0, 10, 10], 0]]);
    expect(positive.data).toEqual([0]);
    expect(counted.data).toEqual([1]);
  });
});

describe("YOLOv1", () => {
  const grid = { rows: 2, columns: 3, stride: 32 };

  it("lets the cell of the center answer, for the first object there", async () => {
    const rows: Rows = [
      [[30, 34, 50, 62], 0],
      [[38, 40, 40, 50], 1],
      [[0, 0, 96, 60], 2],
      [[90, 62, 96, 64], 1],
    ];
    const { places, weights, codes } = await valuesOf({ ...assignCells(...objects(rows), grid) });
    expect(places.data.slice(0, 4)).toEqual([4, 4, 1, 5]);
    expect(weights.data).toEqual([1, 0, 1, 1, 0]);
    // Center (40, 48): ¼ and ½ of a cell behind the corner (32, 32).
    expect(codes.data.slice(0, 4)).toEqual([
      0.25,
      0.5,
      expect.closeTo(Math.sqrt(20 / 96), 6),
      expect.closeTo(Math.sqrt(28 / 64), 6),
    ]);
  });

  it("makes the predictor with the larger IoU responsible, or the nearest where none touches", async () => {
    const boxes: readonly Box[] = [
      [0, 0, 10, 10],
      [0, 0, 10, 20],
      [40, 40, 50, 50],
      [30, 30, 35, 35],
    ];
    const truth: readonly Box[] = [
      [0, 0, 10, 18],
      [0, 0, 20, 20],
    ];
    const { mask, iou: overlaps } = await valuesOf(
      responsible(constant(float32(boxes.flat(), [1, 2, 2, 4])), constant(float32(truth.flat(), [1, 2, 4]))),
    );
    expect(mask.data).toEqual([0, 1, 0, 1]);
    expect(overlaps.data.slice(0, 2)).toEqual([expect.closeTo(10 / 18, 6), expect.closeTo(0.9, 6)]);
  });
});

describe("YOLOv3", () => {
  const levels = grids(64, 8, 32).map((level, i) => ({
    ...level,
    shapes:
      i === 0
        ? [
            { width: 8, height: 8 },
            { width: 8, height: 16 },
          ]
        : [
            { width: 32, height: 16 },
            { width: 40, height: 40 },
          ],
  }));

  it("lets the anchor of the nearest shape answer, in the cell of the center", async () => {
    const rows: Rows = [
      // 9 × 14 around (20.5, 13): the second anchor of stride 8, in column 2 of row 1.
      [[16, 6, 25, 20], 0],
      // 30 × 18 around (33, 40): the first anchor of stride 32, in column 1 of row 1.
      [[18, 31, 48, 49], 1],
      // The same shape in the same cell once more.
      [[20, 31, 50, 49], 2],
      // 50 × 60 around (31, 34): the second anchor of stride 32, in column 0 of row 1.
      [[6, 4, 56, 64], 0],
    ];
    const { places, weights, codes } = await valuesOf({ ...assignAnchors(...objects(rows), levels) });
    const coarse = 8 * 8 * 2;
    expect(places.data.slice(0, 4)).toEqual([
      2 * (8 + 2) + 1,
      coarse + 2 * 3,
      coarse + 2 * 3,
      coarse + 2 * 2 + 1,
    ]);
    expect(weights.data).toEqual([1, 1, 0, 1, 0]);
    expect(codes.data.slice(0, 4)).toEqual([
      expect.closeTo(20.5 / 8 - 2, 6),
      expect.closeTo(13 / 8 - 1, 6),
      expect.closeTo(Math.log(9 / 8), 6),
      expect.closeTo(Math.log(14 / 16), 6),
    ]);
  });
});

describe("YOLOv3's anchors", () => {
  const boxShapes = [
    { width: 10, height: 12 },
    { width: 12, height: 10 },
    { width: 60, height: 50 },
    { width: 50, height: 60 },
  ];

  it("are clusters of the training boxes, smallest first", () => {
    const [small, large] = anchorShapesOf({ anchorsPerLevel: 1 }, [8, 16], boxShapes);
    expect(boxShapes.slice(0, 2)).toContainEqual(small);
    expect(boxShapes.slice(2)).toContainEqual(large);
  });

  it("are those of the options where they are told, and squares where boxes are too few", () => {
    expect(anchorShapesOf({ anchors: [1, 2, 3, 4], anchorsPerLevel: 2 }, [8], boxShapes)).toEqual([
      { width: 1, height: 2 },
      { width: 3, height: 4 },
    ]);
    const shapes = anchorShapesOf({ anchorsPerLevel: 2 }, [8, 16, 32], boxShapes);
    expect(shapes.map(({ width }) => Math.round(width))).toEqual([32, 45, 64, 91, 128, 181]);
    expect(shapes.every(({ width, height }) => width === height)).toBe(true);
  });
});

describe("all assignments", () => {
  it("move with the objects", async () => {
    // Boxes in the left half of an image of 128 pixels, moved by the coarsest stride.
    const levels = grids(128, 8, 16, 32);
    const points = featurePoints(levels);
    const [x, l] = [input("boxes", [1, 3, 4]), input("labels", [1, 3], "int64")];
    const fcos = assignBySize(points, sizeRanges(levels), 1.5, x, l, 1);
    const grid = { rows: 16, columns: 16, stride: 8 };
    const heat = heatTargets(x, l, grid, 1).heat;
    const shapes = [{ width: 20, height: 20 }];
    const anchors = assignAnchors(
      x,
      l,
      levels.slice(0, 1).map((level) => ({ ...level, shapes })),
    );
    const cells = assignCells(x, l, grid);
    const outputs = {
      positive: fcos.positive,
      centerness: fcos.centerness,
      heat,
      anchorPlaces: anchors.places,
      anchorCodes: anchors.codes,
      cellPlaces: cells.places,
      cellCodes: cells.codes,
    };
    const inside = fc
      .tuple(fc.integer({ min: 0, max: 160 }), fc.integer({ min: 0, max: 160 }), fc.nat(160), fc.nat(160))
      .map(([a, b, w, h]) => [a / 4, b / 4, Math.min(63.5, (a + w + 8) / 4), (b + h + 8) / 4] as const);
    const samples = fc.sample(fc.array(inside, { minLength: 3, maxLength: 3 }), { ...SEEDED, numRuns: 12 });
    const by = 32;
    const feeds = samples.flatMap((boxes) =>
      [0, by].map((shift) => ({
        boxes: float32(
          boxes.flatMap(([x1, y1, x2, y2]) => [x1 + shift, y1, x2 + shift, y2]),
          [1, 3, 4],
        ),
        labels: int64([0, 0, 0], [1, 3]),
      })),
    );
    const results = await runAll(outputs, feeds);
    for (let i = 0; i < samples.length; i++) {
      const [here, there] = [results[2 * i], results[2 * i + 1]];
      let before = 0;
      for (const { rows, columns, stride } of levels) {
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column + by / stride < columns; column++) {
            const at = before + row * columns + column;
            const moved = at + by / stride;
            expect(there?.positive?.data[moved]).toBe(here?.positive?.data[at]);
            if (here?.positive?.data[at] === 1)
              expect(there?.centerness?.data[moved]).toBeCloseTo(here.centerness?.data[at] ?? 0, 5);
          }
        }
        before += rows * columns;
      }
      for (let row = 0; row < 16; row++) {
        for (let column = 0; column < 12; column++) {
          const value = here?.heat?.data[row * 16 + column] ?? 0;
          expect(there?.heat?.data[row * 16 + column + 4]).toBeCloseTo(value, 6);
        }
      }
      const shifted = (values: Values | undefined) => values?.data.map((place) => place + 4);
      expect(there?.anchorPlaces?.data).toEqual(shifted(here?.anchorPlaces));
      expect(there?.cellPlaces?.data).toEqual(shifted(here?.cellPlaces));
      expect(there?.anchorCodes?.data).toEqual(here?.anchorCodes?.data);
      expect(there?.cellCodes?.data).toEqual(here?.cellCodes?.data);
    }
    expect(results.some((result) => result.positive?.data.includes(1))).toBe(true);
  });

  it("know the first object at a place", async () => {
    const places = constant(int64([3, 3, 5, 3, 5, 5], [2, 3]));
    const labels = constant(int64([-1, 2, 0, 1, 0, 2], [2, 3]));
    const { first } = await valuesOf({ first: firstAtPlace(places, labels) });
    expect(first.data).toEqual([0, 1, 1, 1, 1, 0]);
  });

  it("of any boxes give numbers", async () => {
    const levels = grids(64, 8, 16);
    const points = featurePoints(levels);
    const [x, l] = [input("boxes", [1, 2, 4]), input("labels", [1, 2], "int64")];
    const outputs = {
      centerness: assignBySize(points, sizeRanges(levels), 1.5, x, l, 1).centerness,
      ...heatTargets(x, l, { rows: 8, columns: 8, stride: 8 }, 1),
    };
    const samples = fc.sample(fc.array(box, { minLength: 2, maxLength: 2 }), { ...SEEDED, numRuns: 50 });
    const feeds = samples.map((boxes) => ({
      boxes: float32(boxes.flat(), [1, 2, 4]),
      labels: int64([0, 0], [1, 2]),
    }));
    for (const result of await runAll(outputs, feeds)) {
      for (const values of Object.values(result)) expect(values.data.every(Number.isFinite)).toBe(true);
    }
  });
});
