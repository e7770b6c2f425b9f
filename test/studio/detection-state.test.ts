import { iou } from "eidos/detection/boxes";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { atScales, onMaps } from "../../studio/detection/pyramids.ts";
import { completeSettings, RULE_ENTRIES, RULES, type RuleControl } from "../../studio/detection/rules.ts";
import { LOOKS } from "../../studio/detection/scales.ts";
import {
  centeredAt,
  type Edges,
  FIRST_SCENE,
  gripAt,
  heldBox,
  IMAGE_SIDE,
  KINDS,
  MOST_OBJECTS,
  moved,
  newObject,
  resized,
  SHORTEST,
  withCorner,
  withSides,
} from "../../studio/detection/scene.ts";
import {
  type DetectionState,
  decodeState,
  encodeState,
  heldNumber,
  INITIAL,
  NUMBERS,
  type NumberName,
  SHOWN,
  SUPPRESSIONS,
  settingsOf,
} from "../../studio/detection/state.ts";
import { type Found, madeUp, withoutDuplicates } from "../../studio/detection/suppression.ts";

const pixel = fc.integer({ min: -50, max: IMAGE_SIDE + 50 });
const box = fc.tuple(pixel, pixel, pixel, pixel).map((edges): Edges => heldBox(edges));
const objects = fc.array(fc.record({ kind: fc.constantFrom(...KINDS), box }), {
  minLength: 1,
  maxLength: MOST_OBJECTS,
});

const someValue = ({ values }: RuleControl): fc.Arbitrary<number> =>
  values.kind === "choice"
    ? fc.constantFrom(...values.of)
    : fc
        .integer({ min: 0, max: Math.round((values.max - values.min) / values.step) })
        .map((k) => Number((values.min + k * values.step).toFixed(2)));

const settings = fc.record(
  Object.fromEntries(
    RULES.map((rule) => [
      rule,
      fc.record(
        Object.fromEntries(
          RULE_ENTRIES[rule].controls.map((control) => [control.option, someValue(control)]),
        ),
        { requiredKeys: [] },
      ),
    ]),
  ),
  { requiredKeys: [] },
);

const names = Object.keys(NUMBERS) as NumberName[];
const numbers = fc.record(
  Object.fromEntries(
    names.map((name) => [
      name,
      fc
        .double({ min: NUMBERS[name].min, max: NUMBERS[name].max, noNaN: true })
        .map((value) => heldNumber(name, value)),
    ]),
  ) as Record<NumberName, fc.Arbitrary<number>>,
);

const state: fc.Arbitrary<DetectionState> = fc
  .record({
    objects,
    chosen: fc.nat(MOST_OBJECTS - 1),
    rule: fc.constantFrom(...RULES),
    settings,
    shown: fc.constantFrom(...SHOWN),
    suppression: fc.constantFrom(...SUPPRESSIONS),
    byClass: fc.boolean(),
    numbers,
  })
  .map((one) => ({ ...one, chosen: one.chosen % one.objects.length }));

describe("the address of the room", () => {
  it("holds the whole state", () => {
    fc.assert(
      fc.property(state, (given) => {
        const text = encodeState(given);
        const { state: found, dropped } = decodeState(text);
        expect(dropped).toEqual([]);
        expect({ ...found, settings: {} }).toEqual({ ...given, settings: {} });
        for (const rule of RULES) expect(settingsOf(found, rule)).toEqual(settingsOf(given, rule));
        expect(encodeState(found)).toBe(text);
        expect(text).toMatch(/^[\w=&.,-]*$/);
      }),
    );
  });

  it("leaves out and names what it does not understand, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const { state: found } = decodeState(text);
        expect(decodeState(encodeState(found))).toEqual({ state: found, dropped: [] });
      }),
    );
  });

  it.each([
    "scene=",
    "scene=cat.0.0.20.20",
    "scene=ball.0.0.2.20",
    "scene=ball.0.0.20.400",
    "scene=ball.30.0.20.20",
    "object=0",
    "rule=constructor",
    "show=all",
    "suppression=magic",
    "iou=2",
    "iou=1e-1",
    "each=0",
    "atss.nearest=99",
    "yolo-v1.stride=24",
    "atss.radius=1",
    "__proto__.x=1",
  ])("does not take %s", (part) => {
    expect(decodeState(`rule=fcos&${part}`)).toEqual({
      state: { ...INITIAL, rule: "fcos" },
      dropped: [part],
    });
  });

  it("keeps the threshold of background at or below that of foreground", () => {
    expect(completeSettings("retina-net", { foreground: 0.3 })).toEqual({ foreground: 0.3, background: 0.3 });
  });
});

describe("the scene", () => {
  const isInside = ([x1, y1, x2, y2]: Edges): boolean =>
    [x1, y1, x2, y2].every(Number.isInteger) &&
    x1 >= 0 &&
    y1 >= 0 &&
    x2 <= IMAGE_SIDE &&
    y2 <= IMAGE_SIDE &&
    x2 - x1 >= SHORTEST &&
    y2 - y1 >= SHORTEST;

  it("keeps boxes inside of the image, whatever is done to them", () => {
    const distance = fc.double({ min: -1000, max: 1000, noNaN: true });
    fc.assert(
      fc.property(box, distance, distance, (own, dx, dy) => {
        expect(isInside(own)).toBe(true);
        const elsewhere = moved(own, dx, dy);
        expect(isInside(elsewhere)).toBe(true);
        expect([elsewhere[2] - elsewhere[0], elsewhere[3] - elsewhere[1]]).toEqual([
          own[2] - own[0],
          own[3] - own[1],
        ]);
        expect(isInside(resized(own, dx, dy))).toBe(true);
        expect(isInside(withCorner(own, [2, 3], dx, dy))).toBe(true);
        expect(isInside(centeredAt(own, dx, dy))).toBe(true);
        expect(isInside(withSides(own, dx, dy))).toBe(true);
      }),
    );
    expect(centeredAt([10, 10, 30, 50], 100, 100)).toEqual([90, 80, 110, 120]);
    expect(withSides([300, 10, 310, 20], 40, 12)).toEqual([280, 10, 320, 22]);
    for (const kind of KINDS) expect(isInside(newObject(kind, 3).box)).toBe(true);
    expect(FIRST_SCENE.every((object) => isInside(object.box))).toBe(true);
  });

  it("is taken hold of at corners of the chosen object first, then of the smallest object that is there", () => {
    expect(gripAt(FIRST_SCENE, 0, 291, 221, 8)).toEqual({ kind: "corner", object: 0, corner: [2, 3] });
    expect(gripAt(FIRST_SCENE, 1, 200, 150, 8)).toEqual({ kind: "inside", object: 0 });
    // Where both balls are, the one that is chosen.
    expect(gripAt(FIRST_SCENE, 3, 150, 260, 8)).toEqual({ kind: "inside", object: 3 });
    expect(gripAt(FIRST_SCENE, 0, 5, 5, 8)).toBeUndefined();
  });
});

describe("duplicates in the room", () => {
  // Two boxes of one class of IoU 60 / 140 = 3/7, and one of another class in the same place as the first.
  const found: readonly Found[] = [
    { box: [0, 0, 10, 10], score: 0.9, class: 0 },
    { box: [4, 0, 14, 10], score: 0.8, class: 0 },
    { box: [0, 0, 10, 10], score: 0.7, class: 1 },
  ];
  const options = { kind: "nms", iou: 0.5, sigma: 0.5, score: 0, byClass: true } as const;
  const scores = (others: Partial<Parameters<typeof withoutDuplicates>[1]>): readonly number[] =>
    withoutDuplicates(found, { ...options, ...others }).map(({ score }) => Number(score.toFixed(6)));

  it("are removed by the threshold, within classes or over all", () => {
    expect(scores({})).toEqual([0.9, 0.8, 0.7]);
    expect(scores({ iou: 0.4 })).toEqual([0.9, 0.7]);
    expect(scores({ byClass: false })).toEqual([0.9, 0.8]);
    // Centers 4 apart, in a box of 14 × 10: 3/7 − 16/296 lies below 0.4.
    expect(scores({ kind: "diou-nms", iou: 0.4 })).toEqual([0.9, 0.8, 0.7]);
    expect(scores({ score: 0.75 })).toEqual([0.9, 0.8]);
  });

  it("sink in score, by a line or a Gaussian", () => {
    const overlap = 3 / 7;
    expect(scores({ kind: "soft-linear", iou: 0.4 })).toEqual([
      0.9,
      0.7,
      Number((0.8 * (1 - overlap)).toFixed(6)),
    ]);
    const gaussian = Number((0.8 * Math.exp(-(overlap ** 2) / 0.5)).toFixed(6));
    expect(scores({ kind: "soft-gaussian" })).toEqual([0.9, 0.7, gaussian].sort((a, b) => b - a));
  });

  it("are fused to their mean by scores, which counts for less where sets lack it", () => {
    const fused = withoutDuplicates(found, { ...options, kind: "fusion", iou: 0.4 });
    // Of class 0: (0.9 · 0 + 0.8 · 4) / 1.7 from the left; the mean score of two of three sets.
    expect(fused[0]?.box[0]).toBeCloseTo(3.2 / 1.7, 9);
    expect(fused[0]?.score).toBeCloseTo((0.85 * 2) / 3, 9);
    expect(fused[1]?.score).toBeCloseTo(0.7 / 3, 9);
    const together = withoutDuplicates(found, { ...options, kind: "fusion", iou: 0.4, byClass: false });
    expect(together.length).toBe(1);
    expect(together[0]?.class).toBe(0);
  });

  it("are made up around objects, the same ones by the same seed, and move along", () => {
    const first = madeUp(FIRST_SCENE, 8, 1);
    expect(madeUp(FIRST_SCENE, 8, 1)).toEqual(first);
    expect(madeUp(FIRST_SCENE, 8, 2)).not.toEqual(first);
    expect(first.length).toBe(8 * FIRST_SCENE.length);
    const wrong = first.filter(({ box: own, score, class: kind }, i) => {
      const object = FIRST_SCENE[Math.floor(i / 8)];
      return object === undefined || kind !== KINDS.indexOf(object.kind) || score > iou(own, object.box);
    });
    expect(wrong).toEqual([]);
    // Far from the border, where made-up boxes would be cut off.
    const house = [{ kind: "ball", box: [130, 130, 180, 190] }] as const;
    const aside = house.map((object) => ({ ...object, box: moved(object.box, -20, 4) }));
    expect(madeUp(aside, 8, 1).map((one) => one.box)).toEqual(
      madeUp(house, 8, 1).map((one) => moved(one.box, -20, 4)),
    );
  });
});

describe("pyramids in the room", () => {
  it("are alike in cells: a picture of twice the size is a map of half the stride", () => {
    fc.assert(
      fc.property(box, (own) => {
        const [image, feature] = [atScales(own, { from: 0, to: 1000 }), onMaps(own, [8, 16, 32], [1, 0, 0])];
        expect(image.map(({ cells }) => cells)).toEqual(feature.map(({ cells }) => cells));
        expect(feature.map(({ counts }) => counts)).toEqual([true, false, false]);
      }),
    );
    expect(LOOKS).toBe(2 ** 2 + 1 + 0.5 ** 2);
  });

  it("count an object where its size as seen lies in the valid range, ends included", () => {
    const seen = atScales([0, 0, 64, 16], { from: 32, to: 64 });
    expect(seen.map(({ size, counts }) => [size, counts])).toEqual([
      [64, true],
      [32, true],
      [16, false],
    ]);
  });
});
