import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteImage } from "../../../src/data/boxes/set.ts";
import {
  copyable,
  drawCopies,
  fadingOut,
  MOST_COPIES,
  type Pasted,
} from "../../../src/detection/augment/copies.ts";
import { letterboxPlacement, type Placement, placeBox } from "../../../src/detection/augment/draw.ts";
import { drawRecipeImage, type RecipePart } from "../../../src/detection/augment/recipe.ts";
import { area, type Box, boxAt, iou } from "../../../src/detection/boxes/boxes.ts";
import { Random } from "../../../src/random.ts";
import { boxWithin } from "../../data/boxes/support.ts";
import { SEEDED } from "../arbitrary.ts";

const SIZE = { width: 90, height: 60 };
const PLAIN = { copies: 3, scale: 0.2, feather: 0.2, flip: 0.5, flipVertical: 0.25 };

const annotated = (boxes: readonly (readonly number[])[], size = SIZE) => ({
  ...size,
  boxes: Float32Array.from(boxes.flat()),
});

/** Small boxes within the image. */
const smallBox = boxWithin({ width: 16, height: 12 }).chain(([x1, y1, x2, y2]) =>
  fc
    .tuple(fc.integer({ min: 0, max: SIZE.width - 16 }), fc.integer({ min: 0, max: SIZE.height - 12 }))
    .map(([x, y]): Box => [x + x1, y + y1, x + x2, y + y2]),
);

const rimOf = (box: Box, feather: number) => feather * Math.sqrt(area(box));

const grown = (box: Box, rim: number): Box => [box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim];

describe("copies of objects", () => {
  test("touch no other object, lie within the image, are as large as is asked, and are all counted", () => {
    fc.assert(
      fc.property(
        fc.array(smallBox, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.nat(1000),
        (boxes, copies, scale, feather, seed) => {
          const annotations = annotated(boxes);
          const objects = [...boxes.keys()].filter((i) => i % 3 !== 1);
          const options = { ...PLAIN, copies, scale, feather };
          const drawn = drawCopies(new Random(seed), annotations, objects, options);
          expect(drawn.copies.length + drawn.unplaced).toBe(copies * objects.length);
          const placed = drawn.copies.map(({ box }) => box);
          for (const [k, { object, from, box }] of drawn.copies.entries()) {
            expect(objects).toContain(object);
            expect(from).toEqual(boxAt(annotations.boxes, object));
            expect(box[0] >= 0 && box[1] >= 0).toBe(true);
            expect(box[2]).toBeLessThanOrEqual(SIZE.width + 1e-9);
            expect(box[3]).toBeLessThanOrEqual(SIZE.height + 1e-9);
            const factor = Math.sqrt(area(box) / area(from));
            expect(factor).toBeGreaterThan(1 / (1 + scale) - 1e-6);
            expect(factor).toBeLessThan(1 + scale + 1e-6);
            expect((box[2] - box[0]) * (from[3] - from[1])).toBeCloseTo(
              (box[3] - box[1]) * (from[2] - from[0]),
              6,
            );
            // Its rim, too, touches no object of the image and no copy before it.
            const rim = grown(box, rimOf(box, feather));
            expect([...boxes, ...placed.slice(0, k)].filter((other) => iou(other, rim) !== 0)).toEqual([]);
          }
          for (const object of objects) {
            expect(drawn.copies.filter((copy) => copy.object === object).length).toBeLessThanOrEqual(copies);
          }
          expect(drawCopies(new Random(seed), annotations, objects, options)).toEqual(drawn);
        },
      ),
      { ...SEEDED, numRuns: 200 },
    );
  });

  test("find room where there is some, and none where other objects, or crowds, are everywhere", () => {
    const alone = drawCopies(new Random(1), annotated([[10, 10, 16, 16]]), [0], PLAIN);
    expect(alone.copies.length).toBe(3);
    expect(new Set(alone.copies.map(({ box }) => box[0])).size).toBe(3);
    // The second box is what stands for a crowd: whatever it is, nothing is pasted over it.
    const crowded = annotated([
      [10, 10, 16, 16],
      [0, 0, 90, 60],
    ]);
    expect(drawCopies(new Random(1), crowded, [0], PLAIN)).toEqual({ copies: [], unplaced: 3 });
    // A free column on the right.
    const narrow = annotated([
      [10, 10, 16, 16],
      [0, 0, 60, 60],
    ]);
    const { copies } = drawCopies(new Random(1), narrow, [0], PLAIN);
    expect(copies.length).toBe(3);
    for (const { box } of copies) expect(box[0]).toBeGreaterThan(60);
    const larger = annotated([[1, 1, 89, 59]]);
    expect(drawCopies(new Random(3), larger, [0], { ...PLAIN, scale: 0 })).toEqual({
      copies: [],
      unplaced: 3,
    });
  });

  test("are shared evenly, and at most a hundred", () => {
    const boxes = Array.from({ length: 60 }, (_, i) => [4 * i, 0, 4 * i + 1, 1]);
    const wide = annotated(boxes, { width: 2000, height: 2000 });
    const objects = [...boxes.keys()];
    const { copies, unplaced } = drawCopies(new Random(0), wide, objects, { ...PLAIN, copies: 3 });
    expect(copies.length).toBe(MOST_COPIES);
    expect(unplaced).toBe(180 - MOST_COPIES);
    const counts = objects.map((i) => copies.filter(({ object }) => object === i).length);
    expect([Math.min(...counts), Math.max(...counts)]).toEqual([1, 2]);
  });

  test("are mirrored as often as is asked", () => {
    const { copies } = drawCopies(
      new Random(2),
      annotated([[5, 5, 6, 6]], { width: 900, height: 900 }),
      [0],
      {
        ...PLAIN,
        copies: 100,
        flip: 1,
        flipVertical: 0,
      },
    );
    expect(copies.length).toBeGreaterThan(90);
    expect(copies.every(({ mirrored, flipped }) => mirrored && !flipped)).toBe(true);
  });

  test("are of objects that lie whole in their image, and of which others cover little", () => {
    const annotations = annotated([
      [0, 10, 10, 20], // at the border
      [1.9, 30, 11.9, 40], // its rim of 2 pixels reaches beyond it
      [2, 45, 12, 55],
      [30, 10, 40, 20], // a quarter is covered
      [37.5, 10, 60, 20],
      [70, 10, 80, 20], // more than a quarter is covered
      [77.4, 10, 88, 20],
    ]);
    expect(copyable(annotations, [0, 1, 2, 3, 5], 0.2)).toEqual([2, 3]);
    expect(copyable(annotations, [0, 1, 2, 3, 5], 0)).toEqual([0, 1, 2, 3]);
    expect(copyable(annotations, [3], 0.2)).toEqual([3]);
  });
});

/** An image whose bytes are all different from their neighbors'. */
function noise({ width, height }: { readonly width: number; readonly height: number }): ByteImage {
  const data = Uint8Array.from(
    { length: 3 * width * height },
    (_, i) => (i * 7919 + (i >> 3) * 104729) % 256,
  );
  return { width, height, data };
}

function drawn(part: RecipePart, image: ByteImage, side: number): Float32Array {
  const data = new Float32Array(3 * side * side);
  drawRecipeImage({ parts: [part] }, () => image, { side, data });
  return data;
}

describe("copies that are drawn", () => {
  test("fade out over their rim: linearly along each axis, the product of both at corners", () => {
    const fading = fadingOut(10, 20, 4);
    expect([10, 15, 20, 8, 21, 6, 24, 3].map(fading)).toEqual([1, 1, 1, 0.5, 0.75, 0, 0, 0]);
    expect([9.99, 10, 20, 20.01].map(fadingOut(10, 20, 0))).toEqual([0, 1, 1, 0]);

    // Copies at whole pixels of the same size: each pixel is a weighted mean of two of the image.
    const side = 48;
    const image = noise({ width: side, height: side });
    const [from, box]: readonly [Box, Box] = [
      [6, 8, 16, 18],
      [30, 25, 40, 35],
    ];
    for (const mirrored of [false, true]) {
      for (const flipped of [false, true]) {
        const pasted: Pasted = {
          image: { width: side, height: side },
          feather: 0.4,
          copies: [{ object: 0, from, box, mirrored, flipped }],
        };
        const placement = letterboxPlacement(image, side);
        const data = drawn({ index: 0, placement, pasted }, image, side);
        const share = (at: number, first: number) => {
          const outside = Math.max(first - at, at - first - 10, 0);
          return Math.max(0, 1 - outside / 4);
        };
        const wrong: string[] = [];
        for (let channel = 0; channel < 3; channel++) {
          for (let y = 0; y < side; y++) {
            for (let x = 0; x < side; x++) {
              const weight = share(x + 0.5, 30) * share(y + 0.5, 25);
              const [dx, dy] = [x - 30, y - 25];
              const [u, v] = [6 + (mirrored ? 9 - dx : dx), 8 + (flipped ? 9 - dy : dy)];
              const value = (column: number, row: number) =>
                image.data[(channel * side + row) * side + column] ?? Number.NaN;
              const expected = weight === 0 ? value(x, y) : weight * value(u, v) + (1 - weight) * value(x, y);
              const error = Math.abs((data[(channel * side + y) * side + x] ?? Number.NaN) - expected);
              // An assertion for each value would take longer than all of the drawing.
              if (!(error < 5e-4)) wrong.push(`${channel} ${x} ${y}: ${error}`);
            }
          }
        }
        expect(wrong).toEqual([]);
      }
    }
  });

  test("change no pixel outside of their box and rim, of their image, or of its window", () => {
    const image = noise(SIZE);
    const side = 64;
    const placements = fc
      .record({
        scale: fc.double({ min: 0.4, max: 1.5, noNaN: true }),
        ratio: fc.double({ min: 0.8, max: 1.25, noNaN: true }),
        left: fc.double({ min: -40, max: 40, noNaN: true }),
        top: fc.double({ min: -30, max: 30, noNaN: true }),
        mirrored: fc.boolean(),
        flipped: fc.boolean(),
        window: fc.constantFrom<Box>([0, 0, side, side], [0, 0, 30, 40], [25, 0, side, 30]),
      })
      .map(({ scale, ratio, ...rest }): Placement => {
        return { width: SIZE.width * scale * ratio, height: (SIZE.height * scale) / ratio, ...rest };
      });
    let changed = 0;
    fc.assert(
      fc.property(placements, fc.nat(1000), (placement, seed) => {
        const annotations = annotated([
          [20, 20, 30, 28],
          [60, 10, 66, 18],
        ]);
        const { copies } = drawCopies(new Random(seed), annotations, [0, 1], PLAIN);
        const pasted: Pasted = { image: SIZE, feather: 0.2, copies };
        const [plain, both] = [
          drawn({ index: 0, placement }, image, side),
          drawn({ index: 0, placement, pasted }, image, side),
        ];
        const patches = copies.map(({ box }) => placeBox(grown(box, rimOf(box, 0.2)), SIZE, placement));
        const [wx1, wy1, wx2, wy2] = placement.window;
        for (let y = 0; y < side; y++) {
          for (let x = 0; x < side; x++) {
            const differs = [0, 1, 2].some((channel) => {
              const at = (channel * side + y) * side + x;
              return plain[at] !== both[at];
            });
            if (!differs) continue;
            changed++;
            const [u, v] = [x + 0.5, y + 0.5];
            const within =
              patches.some(([x1, y1, x2, y2]) => u > x1 && u < x2 && v > y1 && v < y2) &&
              x >= wx1 &&
              x < wx2 &&
              y >= wy1 &&
              y < wy2 &&
              u >= placement.left &&
              u <= placement.left + placement.width &&
              v >= placement.top &&
              v <= placement.top + placement.height;
            if (!within) expect.fail(`pixel ${x}, ${y} has changed`);
          }
        }
      }),
      { ...SEEDED, numRuns: 60 },
    );
    expect(changed).toBeGreaterThan(5000);
  });

  test("have the colors of their image", () => {
    const side = 40;
    const image = noise({ width: side, height: side });
    const placement = letterboxPlacement(image, side);
    const copy = {
      object: 0,
      from: [4, 4, 12, 12],
      box: [20, 20, 28, 28],
      mirrored: false,
      flipped: false,
    } as const;
    const pasted: Pasted = { image: { width: side, height: side }, feather: 0, copies: [copy] };
    const colors = { matrix: [0.5, 0, 0, 0, 0, 1, 0, 0.25, 0], shift: 3 };
    const data = drawn({ index: 0, placement, pasted, colors }, image, side);
    for (let channel = 0; channel < 3; channel++) {
      for (let i = 0; i < 8; i++) {
        const at = (x: number, y: number) => (channel * side + y) * side + x;
        expect(data[at(20 + i, 27 - i)]).toBe(data[at(4 + i, 11 - i)]);
      }
    }
  });
});
