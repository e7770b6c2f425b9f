import { type Box, boxArray, iou, iouMatrix } from "eidos/detection/boxes";
import { nodeRuntime } from "eidos/program/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Assigned, AssignmentEngine, type Mark } from "../../studio/detection/engine.ts";
import { completeSettings, RULES, type Rule, type RuleSettings } from "../../studio/detection/rules.ts";
import { FIRST_SCENE, IMAGE_SIDE, MOST_OBJECTS, type SceneObject } from "../../studio/detection/scene.ts";

// The assignments that the room shows, against what the papers' rules say cell by cell, written anew in plain numbers.

let engine: AssignmentEngine;

beforeAll(async () => {
  engine = new AssignmentEngine(await nodeRuntime());
});
afterAll(() => engine.release());

const assign = (
  rule: Rule,
  settings: RuleSettings = {},
  objects: readonly SceneObject[] = FIRST_SCENE,
): Promise<Assigned> =>
  engine.assign({ rule, settings: completeSettings(rule, settings), objects, chosen: 0 });

const place = ({ level, row, column }: Pick<Mark, "level" | "row" | "column">): string =>
  [level, row, column].join();

/** What objects have, as text: place, and object. */
const positives = ({ marks }: Assigned): readonly string[] =>
  marks
    .filter(({ role }) => role === "positive")
    .map((mark) => `${place(mark)}:${mark.object}`)
    .sort();

const boxes = FIRST_SCENE.map(({ box }) => box);

/** All anchors of squares and rectangles around the centers of cells. */
function anchorsOf(
  strides: readonly number[],
  shapes: readonly (readonly [number, number])[],
): readonly Box[] {
  return strides.flatMap((stride) => {
    const cells = Math.ceil(IMAGE_SIDE / stride);
    return Array.from({ length: cells * cells }, (_, cell) => {
      const [x, y] = [((cell % cells) + 0.5) * stride, (Math.floor(cell / cells) + 0.5) * stride];
      return shapes.map(
        ([w, h]): Box => [
          x - (w * stride) / 2,
          y - (h * stride) / 2,
          x + (w * stride) / 2,
          y + (h * stride) / 2,
        ],
      );
    }).flat();
  });
}

/** Sides in strides of rectangles of given sizes and ratios. */
const shapes = (
  sizes: readonly number[],
  ratios: readonly number[],
): readonly (readonly [number, number])[] =>
  ratios.flatMap((ratio) => sizes.map((size) => [size / Math.sqrt(ratio), size * Math.sqrt(ratio)] as const));

/** Roles of anchors by two thresholds, and the best ones of each object. */
function byThresholds(anchors: readonly Box[], foreground: number, background: number): readonly number[] {
  const overlaps = iouMatrix(boxArray(anchors), boxArray(boxes));
  const m = boxes.length;
  const best = boxes.map((_, object) =>
    anchors.reduce((most, __, i) => Math.max(most, overlaps[i * m + object] ?? 0), 0),
  );
  return anchors.map((_, i) => {
    const own = Array.from(overlaps.subarray(i * m, (i + 1) * m));
    const highest = Math.max(...own);
    if (highest >= foreground || own.some((value, object) => value > (best[object] ?? 0) - 1e-6)) return 1;
    return highest < background ? 0 : -1;
  });
}

const countOf = (roles: readonly number[], role: number): number =>
  roles.filter((one) => one === role).length;

describe("the assignment that the room shows", () => {
  it.each([
    ["faster-rcnn", shapes([2, 3], [0.5, 1, 2]), 0.7, 0.3],
    ["retina-net", shapes([2, 2 * 2 ** (1 / 3), 2 * 2 ** (2 / 3)], [0.5, 1, 2]), 0.5, 0.4],
  ] as const)("of %s is that of its thresholds", async (rule, own, foreground, background) => {
    const found = await assign(rule);
    const anchors = anchorsOf([8, 16, 32], own);
    const roles = byThresholds(anchors, foreground, background);
    expect(found.total).toBe(anchors.length);
    expect(found.marks.filter(({ role }) => role === "positive").length).toBe(countOf(roles, 1));
    expect(found.marks.filter(({ role }) => role === "ignored").length).toBe(countOf(roles, -1));
    const wrong = found.marks.filter(
      ({ box, object, iou: overlap = 0 }) =>
        Math.abs(iou(box ?? [0, 0, 0, 0], boxes[object] ?? [0, 0, 0, 0]) - overlap) > 1e-9,
    );
    expect(wrong).toEqual([]);
  });

  it("follows its sliders: lower thresholds give more, and the gap between them is ignored", async () => {
    const [usual, low, equal] = [
      await assign("retina-net"),
      await assign("retina-net", { foreground: 0.3 }),
      await assign("retina-net", { foreground: 0.4, background: 0.4 }),
    ];
    const total = ({ counts }: Assigned): number => counts.reduce((sum, count) => sum + count.total, 0);
    expect(total(low)).toBeGreaterThan(total(usual));
    expect(equal.marks.some(({ role }) => role === "ignored")).toBe(false);
    expect(usual.marks.some(({ role }) => role === "ignored")).toBe(true);
  });

  it("of S³FD gives those with few anchors as many as others have on average", async () => {
    const found = await assign("s3fd");
    const first = byThresholds(anchorsOf([4, 8, 16, 32], [[4, 4]]), 0.35, 0.35);
    expect(found.total).toBe(first.length);
    const all = found.counts.reduce((sum, { total }) => sum + total, 0);
    // The second stage has added to the first.
    expect(all).toBeGreaterThan(countOf(first, 1));
    const tiny = found.counts[4];
    expect(tiny?.total).toBeGreaterThan((await assign("retina-net")).counts[4]?.total ?? 0);
  });

  it("of ATSS is that of algorithm 1", async () => {
    const objects = FIRST_SCENE.slice(0, 2);
    const found = await assign("atss", {}, objects);
    const anchors = anchorsOf([4, 8, 16, 32], [[4, 4]]);
    const levels = [4, 8, 16, 32].map((stride) => (IMAGE_SIDE / stride) ** 2);
    const wanted = objects.map(({ box }) => {
      const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
      const distance = ([x1, y1, x2, y2]: Box): number => Math.hypot((x1 + x2) / 2 - x, (y1 + y2) / 2 - y);
      let from = 0;
      const candidates = levels.flatMap((count) => {
        const own = anchors.slice(from, from + count).sort((a, b) => distance(a) - distance(b));
        from += count;
        const last = distance(own[8] ?? box);
        return own.filter((anchor) => distance(anchor) <= last + 1e-3);
      });
      const overlaps = candidates.map((anchor) => iou(anchor, box));
      const mean = overlaps.reduce((sum, value) => sum + value, 0) / overlaps.length;
      const squares = overlaps.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      const threshold = mean + Math.sqrt(squares / (overlaps.length - 1));
      return candidates.filter(([x1, y1, x2, y2], i) => {
        const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
        const inside = cx >= box[0] && cx <= box[2] && cy >= box[1] && cy <= box[3];
        return inside && (overlaps[i] ?? 0) >= threshold - 1e-6;
      }).length;
    });
    expect(found.counts.map(({ total }) => total)).toEqual(wanted);
  });

  it("of FaceBoxes gives small objects more by densification", async () => {
    const [dense, sparse] = [await assign("faceboxes"), await assign("faceboxes", { density: 0 })];
    expect(dense.counts[4]?.total).toBeGreaterThan(sparse.counts[4]?.total ?? 0);
    // 16 small anchors, 4 medium ones and a large one stand in a cell of the finest map.
    expect(dense.levels.map(({ perCell }) => perCell)).toEqual([21, 1, 1]);
  });

  it.each([0, 1.5, 3])("of FCOS, with radius %d, is that of distances and center", async (radius) => {
    const wanted: string[] = [];
    for (const [level, stride] of [8, 16, 32].entries()) {
      const cells = IMAGE_SIDE / stride;
      for (let cell = 0; cell < cells ** 2; cell++) {
        const [row, column] = [Math.floor(cell / cells), cell % cells];
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        const fitting = boxes
          .map((box, object) => ({ box, object }))
          .filter(({ box: [x1, y1, x2, y2] }) => {
            const half = (low: number, high: number): number => {
              const reach = radius === 0 ? (high - low) / 2 : Math.min((high - low) / 2, radius * stride);
              return Math.max(reach, stride / 2);
            };
            if (Math.abs(x - (x1 + x2) / 2) > half(x1, x2) || Math.abs(y - (y1 + y2) / 2) > half(y1, y2))
              return false;
            const largest = Math.max(x - x1, x2 - x, y - y1, y2 - y);
            return (level === 0 || largest >= 4 * stride) && (level === 2 || largest <= 8 * stride);
          })
          .sort((a, b) => area(a.box) - area(b.box));
        const [own] = fitting;
        if (own !== undefined) wanted.push(`${level},${row},${column}:${own.object}`);
      }
    }
    expect(positives(await assign("fcos", { radius }))).toEqual(wanted.sort());
  });

  it("of the YOLOs is the cell of the center, and the anchor of the best shape", async () => {
    const objects = FIRST_SCENE.slice(0, 3);
    const v1 = await assign("yolo-v1", {}, objects);
    const cellOf = ([x1, y1, x2, y2]: Box, stride: number): string =>
      [Math.floor((y1 + y2) / 2 / stride), Math.floor((x1 + x2) / 2 / stride)].join();
    expect(positives(v1)).toEqual(objects.map(({ box }, i) => `0,${cellOf(box, 32)}:${i}`).sort());

    // House 140 × 144: of the paper's nine shapes 156 × 198 fits best (IoU 0.65); tree 80 × 170: 59 × 119 (0.52); ball 44 × 44: 62 × 45.
    const v3 = await assign("yolo-v3", {}, objects);
    expect(positives(v3)).toEqual(
      [[2, 32] as const, [1, 16] as const, [1, 16] as const]
        .map(([level, stride], i) => `${level},${cellOf(boxes[i] ?? [0, 0, 0, 0], stride)}:${i}`)
        .sort(),
    );
    const sides = v3.marks
      .filter(({ role }) => role === "positive")
      .sort((a, b) => a.object - b.object)
      .map(({ box: [x1, y1, x2, y2] = [0, 0, 0, 0] }) => [x2 - x1, y2 - y1]);
    expect(sides).toEqual([
      [156, 198],
      [59, 119],
      [62, 45],
    ]);
    // Those that cost nothing are those of an IoU above the threshold.
    const spared = v3.marks.filter(({ role }) => role === "ignored");
    expect(spared.length).toBeGreaterThan(0);
    expect(spared.filter(({ iou: overlap = 0 }) => overlap <= 0.5)).toEqual([]);
  });

  it("of the anchor-free YOLO is that of the first boxes, which overlap most inside of the object", async () => {
    const found = await assign("yolo", { candidates: 5 }, FIRST_SCENE.slice(0, 1));
    const house = boxes[0] ?? [0, 0, 0, 0];
    const first = anchorsOf([8, 16, 32], [[4, 4]]).filter(([x1, y1, x2, y2]) => {
      const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
      return x >= house[0] && x <= house[2] && y >= house[1] && y <= house[3];
    });
    const overlaps = first.map((box) => iou(box, house)).sort((a, b) => b - a);
    expect(found.counts[0]?.total).toBe(
      overlaps.filter((value) => value >= (overlaps[4] ?? 0) - 1e-6).length,
    );
    expect(found.counts[0]?.positives.slice(0, 2)).toEqual([0, 0]);
    // The largest target is the largest IoU.
    expect(Math.max(...found.marks.map(({ quality = 0 }) => quality))).toBeCloseTo(overlaps[0] ?? 0, 5);
  });

  it("of CenterNet has a peak at the center of each object and the Gaussian of its radius around it", async () => {
    const { heat, marks, levels } = await assign("center-net", {}, FIRST_SCENE.slice(2, 3));
    expect(levels).toEqual([{ rows: 80, columns: 80, stride: 4, perCell: 1 }]);
    expect(positives({ marks } as Assigned)).toEqual(["0,65,35:0"]);
    // A ball of 11 cells: of the three quadratic equations r = (22 − √(22² − 121 · 4 · 0.3 / 1.7)) / 2 is not the least: that is around.
    const [s, area11] = [22, 121];
    const radii = [
      (s - Math.sqrt(s ** 2 - (area11 * 4 * 0.3) / 1.7)) / 2,
      (s - Math.sqrt(s ** 2 - area11 * 4 * 0.3)) / 4,
      (-s + Math.sqrt(s ** 2 + area11 * 4 * (1 / 0.7 - 1))) / 4,
    ];
    const radius = Math.floor(Math.min(...radii));
    const deviation = (2 * radius + 1) / 6;
    const at = (dx: number): number => heat?.[65 * 80 + 35 + dx] ?? Number.NaN;
    expect(at(0)).toBe(1);
    for (let dx = 1; dx <= radius; dx++)
      expect(at(dx)).toBeCloseTo(Math.exp(-(dx ** 2) / (2 * deviation ** 2)), 5);
    expect(at(radius + 1)).toBe(0);
  });

  it("lists the anchors of the cells under the chosen object's center", async () => {
    const { cell, levels } = await assign("retina-net");
    expect(cell.length).toBe(levels.reduce((sum, { perCell }) => sum + perCell, 0));
    const [x1, y1, x2, y2] = boxes[0] ?? [0, 0, 0, 0];
    for (const { box, level, iou: overlap } of cell) {
      const stride = levels[level]?.stride ?? 0;
      expect(Math.floor((box[0] + box[2]) / 2 / stride)).toBe(Math.floor((x1 + x2) / 2 / stride));
      expect(Math.floor((box[1] + box[3]) / 2 / stride)).toBe(Math.floor((y1 + y2) / 2 / stride));
      expect(overlap).toBeCloseTo(iou(box, [x1, y1, x2, y2]), 9);
    }
  });

  it("takes as many objects as a scene may have, by every rule, and tells which have nothing", async () => {
    const same = Array.from({ length: MOST_OBJECTS }, () => FIRST_SCENE[2] as SceneObject);
    for (const rule of RULES) {
      const found = await assign(rule, {}, same);
      expect(found.counts.length, rule).toBe(MOST_OBJECTS);
      expect(found.counts[0]?.total, rule).toBeGreaterThan(0);
      // Equal objects want the same, and the first one has it; S³FD then gives the others of what is free.
      if (rule !== "s3fd")
        expect(
          found.counts.slice(1).map(({ total }) => total),
          rule,
        ).toEqual([0, 0, 0, 0, 0]);
    }
  });
});

function area([x1, y1, x2, y2]: Box): number {
  return (x2 - x1) * (y2 - y1);
}
