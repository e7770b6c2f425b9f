import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { anchorGrid, anchorLevels } from "../../../src/detection/boxes/anchors.ts";
import { type Box, boxAt, iou, type Size } from "../../../src/detection/boxes/boxes.ts";
import {
  assignAdaptively,
  assignByOverlap,
  assignCompensated,
  type PlacedAnchors,
  type RetinaNetTargets,
  scaledAnchors,
} from "../../../src/detection/loss/anchor-assignment.ts";
import { levelGrids } from "../../../src/detection/network/feature-network.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, int64, type Tensor } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { runAll } from "../../tensor/support.ts";

// Assignments in the graph against plain loops over images, objects and anchors, in float64.

const [SIDE, ROWS, CLASSES] = [96, 6, 2];

/** An object of a scene. */
interface Thing {
  readonly box: Box;
  readonly label: number;
}

/** Sides in strides. */
const SHAPES: readonly Size[] = [
  { width: 2, height: 2 },
  { width: 3, height: 3 },
  { width: 2, height: 4 },
  { width: 4, height: 1.5 },
];

/** Anchors on three levels, as they are placed and as boxes. Their edges are whole, so that float32 holds all areas. */
function placed(shapes = SHAPES): PlacedAnchors & { readonly boxes: readonly Box[] } {
  const grids = levelGrids(
    { width: SIDE, height: SIDE },
    [8, 16, 32].map((stride) => ({ channels: 1, stride })),
  );
  const { boxes, levels } = anchorLevels(
    grids.map((grid) => ({
      ...grid,
      shapes: shapes.map(({ width, height }) => ({
        width: width * grid.stride,
        height: height * grid.stride,
      })),
    })),
  );
  const count = boxes.length / 4;
  return {
    anchors: constant(float32(boxes, [count, 4])),
    levels,
    boxes: Array.from({ length: count }, (_, k) => boxAt(boxes, k)),
  };
}

/** Scenes of none to five objects of 3 to 80 pixels, with edges in quarters of pixels. */
function scenes(count: number, seed: number): readonly (readonly Thing[])[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, scene) =>
    Array.from({ length: scene % ROWS }, () => {
      const [width, height] = [0, 0].map(() => 3 * 2 ** (4.7 * random.uniform()));
      const [x, y] = [0, 0].map(() => SIDE * random.uniform());
      const edges = [x, y, present(x) + present(width), present(y) + present(height)];
      const [x1, y1, x2, y2] = edges.map((edge) => Math.round(4 * present(edge)) / 4);
      return {
        box: [present(x1), present(y1), present(x2), present(y2)] as const,
        label: random.integer(CLASSES),
      };
    }),
  );
}

/** Scenes as tensors; rows that are no object have boxes nevertheless. */
function tensors(all: readonly (readonly Thing[])[]): readonly [boxes: Tensor, labels: Tensor] {
  const rows = all.flatMap((things) =>
    Array.from({ length: ROWS }, (_, i): Thing => things[i] ?? { box: [10, 10, 40, 40], label: -1 }),
  );
  return [
    constant(
      float32(
        rows.flatMap(({ box }) => box),
        [all.length, ROWS, 4],
      ),
    ),
    constant(
      int64(
        rows.map(({ label }) => label),
        [all.length, ROWS],
      ),
    ),
  ];
}

/** The row that each anchor of each scene is assigned to, −1 for none, after a check of what goes with it. */
async function owners(
  { positive, owner, boxes, classes, counted }: RetinaNetTargets,
  all: readonly (readonly Thing[])[],
  allCount = true,
): Promise<readonly (readonly number[])[]> {
  const [result] = await runAll({ positive, owner, boxes, classes, counted }, [{}]);
  const values = (name: string) => present(result?.[name]).data;
  const k = values("positive").length / all.length;
  if (allCount) expect(values("counted").every((value) => value === 1)).toBe(true);
  // An expectation for each anchor would take seconds.
  const wrong: number[] = [];
  const found = all.map((things, image) =>
    Array.from({ length: k }, (_, anchor) => {
      const at = image * k + anchor;
      const isPositive = values("positive")[at] !== 0;
      const row = isPositive ? present(values("owner")[at]) : -1;
      const own = isPositive ? present(things[row]) : undefined;
      const right =
        [0, 1].every((label) => values("classes")[CLASSES * at + label] === Number(label === own?.label)) &&
        (own?.box ?? []).every((edge, i) => values("boxes")[4 * at + i] === edge);
      if (!right) wrong.push(at);
      return row;
    }),
  );
  expect(wrong).toEqual([]);
  return found;
}

const largest = (values: readonly number[]): number => Math.max(0, ...values);

/** S³FD's section 3.2 by loops: the row of each anchor. */
function compensated(
  anchors: readonly Box[],
  things: readonly Thing[],
  foreground: number,
  least: number,
): readonly number[] {
  const overlap = things.map(({ box }) => anchors.map((anchor) => Math.fround(iou(box, anchor))));
  const best = overlap.map(largest);
  const result = anchors.map((_, k) => {
    let [row, rank] = [-1, 0];
    for (const [i, own] of overlap.entries()) {
      const value = present(own[k]);
      const ranked = value === best[i] && value > 0 ? 1 + value : value;
      if (ranked > rank && ranked >= foreground) [row, rank] = [i, ranked];
    }
    return row;
  });
  const counts = things.map((_, i) => result.filter((row) => row === i).length);
  const some = counts.filter((count) => count > 0);
  if (some.length === 0) return result;
  const average = Math.round(some.reduce((sum, count) => sum + count, 0) / some.length);
  const claims = new Map<number, { readonly row: number; readonly value: number }>();
  for (const [i, own] of overlap.entries()) {
    const free = [...own.keys()].filter((k) => result[k] === -1 && present(own[k]) > least);
    free.sort((a, b) => present(own[b]) - present(own[a]));
    const missing = Math.min(64, Math.max(0, average - present(counts[i])));
    const last = free[Math.min(missing, free.length) - 1];
    if (last === undefined) continue;
    for (const k of free) {
      const value = present(own[k]);
      if (value * (1 + 1e-4) < present(own[last])) break;
      if (value > (claims.get(k)?.value ?? 0)) claims.set(k, { row: i, value });
    }
  }
  return result.map((row, k) => (row === -1 ? (claims.get(k)?.row ?? -1) : row));
}

/** ATSS's algorithm 1 by loops, with objects at least one cell wide where it is asked what lies in them. */
function adaptive(
  { boxes, levels }: ReturnType<typeof placed>,
  things: readonly Thing[],
  nearest: number,
): readonly number[] {
  const ranks = boxes.map(() => ({ row: -1, value: 0 }));
  for (const [i, { box }] of things.entries()) {
    const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    const away = boxes.map((anchor) =>
      Math.hypot((anchor[0] + anchor[2]) / 2 - x, (anchor[1] + anchor[3]) / 2 - y),
    );
    const candidates: number[] = [];
    let start = 0;
    for (const { count, perCell } of levels) {
      const own = Array.from({ length: count }, (_, at) => start + at);
      const sorted = own.map((k) => present(away[k])).sort((a, b) => a - b);
      const last = present(sorted[Math.min(nearest * perCell, count) - 1]);
      candidates.push(...own.filter((k) => present(away[k]) <= last + 1e-3));
      start += count;
    }
    const values = candidates.map((k) => iou(box, present(boxes[k])));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const threshold = mean + Math.sqrt(squares / (values.length - 1));
    const [halfWidth, halfHeight] = [(box[2] - box[0]) / 2, (box[3] - box[1]) / 2].map((half) =>
      Math.max(half, 4),
    );
    for (const [at, k] of candidates.entries()) {
      const [anchor, value] = [present(boxes[k]), present(values[at])];
      const inside =
        Math.abs((anchor[0] + anchor[2]) / 2 - x) <= present(halfWidth) &&
        Math.abs((anchor[1] + anchor[3]) / 2 - y) <= present(halfHeight);
      if (inside && value >= threshold && value > present(ranks[k]).value) ranks[k] = { row: i, value };
    }
  }
  return ranks.map(({ row }) => row);
}

describe("scale-compensated matching", () => {
  it.each([
    [0.35, 0.1],
    [0.5, 0.2],
    [0.2, 0],
  ])("from IoU %d, then %d on is that of plain loops", async (foreground, least) => {
    const all = scenes(36, 1);
    const anchors = placed();
    const [boxes, labels] = tensors(all);
    const targets = assignCompensated(anchors.anchors, boxes, labels, CLASSES, { foreground, least });
    const found = await owners(targets, all);
    const expected = all.map((things) =>
      compensated(anchors.boxes, things, Math.fround(foreground), Math.fround(least)),
    );
    expect(found).toEqual(expected);
    // The second stage has something to do.
    const first = assignByOverlap(anchors.anchors, boxes, labels, CLASSES, { foreground, background: 0 });
    const one = await owners(first, all, false);
    const assigned = (rows: readonly (readonly number[])[]) => rows.flat().filter((row) => row >= 0).length;
    expect(assigned(found)).toBeGreaterThan(assigned(one) + 20);
    // What the first stage has assigned stays.
    for (const [image, rows] of one.entries()) {
      for (const [k, row] of rows.entries()) if (row >= 0) expect(found[image]?.[k]).toBe(row);
    }
  });

  it("gives a small object beside a large one as many anchors as the mean of both, and takes none from the other", async () => {
    // Squares of 8 pixels, 4 apart. An object of 9 pixels overlaps with one by ½ and more, one of 3 with few.
    const boxes = anchorGrid({
      rows: 12,
      columns: 12,
      stride: 4,
      shapes: [
        { width: 8, height: 8 },
        { width: 24, height: 24 },
      ],
    });
    const anchors = Array.from({ length: boxes.length / 4 }, (_, k) => boxAt(boxes, k));
    const all = [
      [
        { box: [1.5, 1.75, 5, 5] as const, label: 0 },
        { box: [18, 18, 42.5, 41.75] as const, label: 1 },
      ],
    ];
    const [rows] = await owners(
      assignCompensated(constant(float32(boxes, [anchors.length, 4])), ...tensors(all), CLASSES, {
        foreground: 0.35,
        least: 0.1,
      }),
      all,
    );
    const of = (row: number) => anchors.filter((_, k) => rows?.[k] === row);
    const large = of(1).length;
    expect(large).toBeGreaterThan(4);
    // One of its own, its best; the mean of 1 and that many, of the free ones that overlap by more than 0.1.
    const possible = anchors.filter((anchor) => iou(anchor, present(all[0]?.[0]).box) > 0.1).length;
    expect(of(0).length).toBe(Math.min(possible, Math.round((1 + large) / 2)));
    expect(of(0).length).toBeGreaterThan(1);
  });
});

interface Fixture {
  readonly width: number;
  readonly height: number;
  readonly nearest: number;
  readonly strides: readonly number[];
  readonly layouts: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  readonly scenes: readonly {
    readonly layout: string;
    readonly boxes: readonly Box[];
    readonly assigned: readonly (readonly [anchor: number, row: number])[];
  }[];
}

describe("adaptive training sample selection", () => {
  it("is that of torch's topk, mean and std (fixture)", async () => {
    const file = new URL("../../fixtures/detectors/atss.json", import.meta.url);
    const fixture = JSON.parse(await readFile(file, "utf8")) as Fixture;
    const { width, height, nearest, strides, layouts } = fixture;
    for (const [name, sides] of Object.entries(layouts)) {
      const { boxes, levels } = anchorLevels(
        levelGrids(
          { width, height },
          strides.map((stride) => ({ channels: 1, stride })),
        ).map((grid) => ({
          ...grid,
          shapes: sides.map(([w, h]) => ({ width: w * grid.stride, height: h * grid.stride })),
        })),
      );
      const count = boxes.length / 4;
      const own = fixture.scenes.filter(({ layout }) => layout === name);
      const all = own.map((scene) => scene.boxes.map((box) => ({ box, label: 1 })));
      const found = await owners(
        assignAdaptively(
          { anchors: constant(float32(boxes, [count, 4])), levels },
          ...tensors(all),
          CLASSES,
          nearest,
        ),
        all,
      );
      const pairs = found.map((rows) => rows.flatMap((row, k) => (row < 0 ? [] : [[k, row]])));
      expect(pairs).toEqual(own.map(({ assigned }) => assigned));
      expect(pairs.flat().length).toBeGreaterThan(100);
    }
  });

  it.each([
    [9, "several", undefined],
    [3, "several", undefined],
    [9, "one square", [{ width: 4, height: 4 }]],
  ])("of %d cells and %s anchors in each is that of plain loops", async (nearest, _name, shapes) => {
    const all = scenes(36, 2);
    const anchors = placed(shapes);
    const found = await owners(assignAdaptively(anchors, ...tensors(all), CLASSES, nearest), all);
    expect(found).toEqual(all.map((things) => adaptive(anchors, things, nearest)));
  });

  it("takes more than so many cells where the last are equally near, and all of a level that has no more", async () => {
    // The object's center is that of the image: four cells are nearest, and of 9 the tenth to twelfth are as near as the ninth.
    const all = [[{ box: [28, 28, 68, 68] as const, label: 0 }]];
    const anchors = placed([{ width: 3, height: 3 }]);
    const [rows] = await owners(assignAdaptively(anchors, ...tensors(all), CLASSES, 9), all);
    expect(rows).toEqual(adaptive(anchors, present(all[0]), 9));
    const mirrored = anchors.boxes.map(([x1, y1, x2, y2], k) => ({
      row: present(rows?.[k]),
      other: anchors.boxes.findIndex((box) =>
        [SIDE - x2, SIDE - y2, SIDE - x1, SIDE - y1].every((edge, at) => edge === box[at]),
      ),
    }));
    for (const { row, other } of mirrored) expect(rows?.[other]).toBe(row);
    expect(rows?.filter((row) => row === 0).length).toBeGreaterThan(1);
  });

  it("finds anchors for an object that no center lies in", async () => {
    const all = [[{ box: [8.5, 8.5, 10.5, 10.5] as const, label: 1 }]];
    const [rows] = await owners(assignAdaptively(placed(), ...tensors(all), CLASSES, 9), all);
    expect(rows?.some((row) => row === 0)).toBe(true);
  });
});

describe("context anchors", () => {
  it("have the centers of their anchors, and sides in proportion", async () => {
    const anchors = constant(float32([0, 10, 40, 20, 5, 5, 9, 13], [2, 4]));
    const [result] = await runAll({ half: scaledAnchors(anchors, 0.5) }, [{}]);
    expect(result?.half?.data).toEqual([10, 12.5, 30, 17.5, 6, 7, 8, 11]);
  });
});
