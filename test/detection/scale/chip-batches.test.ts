import { describe, expect, test } from "vitest";
import type { Annotations, ByteImage, DetectionBatch, DetectionSplit } from "../../../src/data/boxes/set.ts";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import {
  backgroundCount,
  type ChipBatchOptions,
  chipBatches,
  type ImageChip,
  learntSizes,
  pixelShare,
  planChips,
  scaledImage,
} from "../../../src/detection/scale/chip-batches.ts";
import { holds } from "../../../src/detection/scale/chips.ts";
import { inRange, objectSize, parseRanges } from "../../../src/detection/scale/ranges.ts";
import { OptionError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { annotationsOf, painted, setInMemory } from "../../data/boxes/support.ts";

const COLORS = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
] as const;

type Item = Annotations & { readonly image: ByteImage };
type Painted = {
  readonly box: Box;
  readonly label: number;
  readonly difficult?: boolean;
  readonly crowd?: boolean;
};

function item(name: string, size: { width: number; height: number }, objects: readonly Painted[]): Item {
  const patches = objects.map(({ box, label }) => ({ box, color: COLORS[label] ?? COLORS[0] }));
  const image = painted(size.width, size.height, [114, 114, 114], patches);
  return { ...annotationsOf(name, size, objects), image };
}

/** Images of two shapes with small, middle and large squares of three colors that do not touch. */
function items(count: number): readonly Item[] {
  const random = new Random(8);
  return Array.from({ length: count }, (_, i) => {
    const size = i % 2 === 0 ? { width: 200, height: 140 } : { width: 120, height: 180 };
    const objects: Painted[] = [];
    for (const side of [64, 30, 12, 10, 7]) {
      for (let attempt = 0; attempt < 30; attempt++) {
        const [x, y] = [random.integer(size.width - side), random.integer(size.height - side)];
        const box: Box = [x, y, x + side, y + side];
        const apart = ({ box: [a, b, c, d] }: Painted) =>
          c + 2 < x || x + side + 2 < a || d + 2 < y || y + side + 2 < b;
        if (!objects.every(apart)) continue;
        objects.push({ box, label: objects.length % 3 });
        break;
      }
    }
    return item(`${i}.png`, size, objects);
  });
}

const splitOf = (all: readonly Item[]): DetectionSplit =>
  setInMemory(["red", "green", "blue"], { train: all, validation: [], test: [] }).splits.train;

const OPTIONS: ChipBatchOptions = {
  size: 200,
  scales: [1, 0.5],
  ranges: parseRanges(["0-20", "8-inf"], 2),
  side: 64,
  batchSize: 5,
  seed: 3,
  background: 0.25,
};
const plainColors = { brightness: 0, contrast: 0, saturation: 0, hue: 0 };

/** The rows of image `row` that are something. */
const rowsOf = (rows: DetectionBatch["ignored"], row: number): readonly Box[] => {
  const places = rows?.shape[1] ?? 0;
  return Array.from({ length: places }, (_, i): Box => {
    const [a = 0, b = 0, c = 0, d = 0] =
      rows?.data.subarray(4 * (row * places + i), 4 * (row * places + i) + 4) ?? [];
    return [a, b, c, d];
  }).filter(([x1, , x2]) => x2 > x1);
};

describe("planned chips", () => {
  test("each object that is valid at a scale lies wholly in a chip there", () => {
    const split = splitOf(items(6));
    const { chips, objects, nowhere } = planChips(split, OPTIONS);
    expect([objects, nowhere]).toEqual([learntSizes(split, 200).length, 0]);
    for (let image = 0; image < split.count; image++) {
      const own = split.annotations(image);
      for (const [scale, factor] of OPTIONS.scales.entries()) {
        const { width, height, longest } = scaledImage(own, OPTIONS.size, factor);
        expect(Math.max(width, height)).toBe(longest);
        const there = chips.filter((chip) => chip.image === image && chip.scale === scale);
        const valid = Array.from(own.labels.keys(), (i): Box => {
          const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = own.boxes.subarray(4 * i, 4 * i + 4);
          const [sx, sy] = [width / own.width, height / own.height];
          return [sx * x1, sy * y1, sx * x2, sy * y2];
        }).filter((box) => inRange(objectSize(box), OPTIONS.ranges[scale] ?? { from: 0, to: 0 }));
        for (const box of valid) expect(there.some((chip) => holds(chip, OPTIONS.side, box))).toBe(true);
        expect(there.length > 0).toBe(valid.length > 0);
      }
    }
  });

  test("what fits into no chip of its scale is counted, and crowds and difficult objects are not learnt", () => {
    const split = splitOf([
      item("0.png", { width: 200, height: 100 }, [
        { box: [0, 0, 80, 8], label: 0 },
        { box: [10, 40, 20, 50], label: 1 },
        { box: [30, 40, 40, 50], label: 1, difficult: true },
        { box: [60, 40, 70, 50], label: 1, crowd: true },
      ]),
    ]);
    const options = { ...OPTIONS, scales: [1], ranges: parseRanges(["0-inf"], 1) };
    expect(planChips(split, options)).toMatchObject({
      objects: 2,
      nowhere: 1,
      chips: [{ image: 0, scale: 0 }],
    });
    expect(planChips(split, { ...options, difficult: true })).toMatchObject({ objects: 3, nowhere: 1 });
  });

  test("background is a share of all chips, and pixels are those of the squares that images are padded to", () => {
    expect([backgroundCount(30, 0.25), backgroundCount(9, 0), backgroundCount(10, 0.9)]).toEqual([10, 0, 90]);
    expect(pixelShare(25, splitOf(items(2)), { ...OPTIONS, side: 40 })).toBe(0.5);
  });
});

describe("batches of chips", () => {
  test("show what is painted in boxes of its color, all of it, and boxes are painted", async () => {
    const split = splitOf(items(6));
    const side = OPTIONS.side;
    const augment = { ...plainColors, flip: 0.5, flipVertical: 0.5 };
    const batches = chipBatches(split, { ...OPTIONS, augment });
    let [objects, invalid, flawless] = [0, 0, 0];
    for (let step = 0; step < 12; step++) {
      const batch = await batches.batch(step);
      for (let row = 0; row < 5; row++) {
        const value = (channel: number, x: number, y: number) =>
          batch.x.data[((row * 3 + channel) * side + y) * side + x] ?? 0;
        const colorAt = (x: number, y: number) =>
          COLORS.findIndex((color) =>
            color.every((level, channel) => Math.abs(value(channel, x, y) - level) < 60),
          );
        const places = batch.labels.shape[1] ?? 0;
        const found = rowsOf(batch.boxes, row);
        objects += found.length;
        for (const [i, [x1, y1, x2, y2]] of found.entries()) {
          const label = Number(batch.labels.data[row * places + i]);
          expect(colorAt(Math.floor((x1 + x2) / 2), Math.floor((y1 + y2) / 2))).toBe(label);
        }
        const others = rowsOf(batch.invalid, row);
        invalid += others.length;
        for (let y = 0; y < side; y++) {
          for (let x = 0; x < side; x++) {
            if (colorAt(x, y) === -1) continue;
            const inside = ([x1, y1, x2, y2]: Box) => x + 1 > x1 && x < x2 && y + 1 > y1 && y < y2;
            if (!(found.some(inside) || others.some(inside))) expect.fail(`pixel ${x}, ${y} is in no box`);
            flawless++;
          }
        }
      }
    }
    expect(objects).toBeGreaterThan(60);
    expect(invalid).toBeGreaterThan(10);
    expect(flawless).toBeGreaterThan(1000);
  });

  test("are a function of seed and step, in whole or in parts; another seed gives others", async () => {
    const open = (seed: number) => chipBatches(splitOf(items(4)), { ...OPTIONS, seed });
    const whole = await open(1).batch(7);
    expect(await open(1).batch(7)).toEqual(whole);
    expect((await open(2).batch(7)).x.data).not.toEqual(whole.x.data);
    const [first, rest] = [await open(1).batch(7, [0, 2]), await open(1).batch(7, [2, 5])];
    for (const key of ["x", "boxes", "labels", "invalid"] as const) {
      const joined = [...(first[key]?.data ?? []), ...(rest[key]?.data ?? [])];
      expect(joined).toEqual([...(whole[key]?.data ?? [])]);
    }
  });

  test("an epoch shows every object that is valid somewhere, as one that is learnt", async () => {
    const split = splitOf(items(3));
    const batches = chipBatches(split, { ...OPTIONS, batchSize: 1, augment: false, background: 0 });
    expect(batches.count).toBe(batches.plan.chips.length);
    let sizes = 0;
    for (let step = 0; step < batches.count; step++) {
      const batch = await batches.batch(step);
      sizes += rowsOf(batch.boxes, 0).length;
    }
    const valid = OPTIONS.scales.reduce((sum, factor, scale) => {
      const range = OPTIONS.ranges[scale] ?? { from: 0, to: 0 };
      return sum + [...learntSizes(split, 200)].filter((size) => inRange(size * factor, range)).length;
    }, 0);
    // Some are seen in several chips.
    expect(sizes).toBeGreaterThanOrEqual(valid);
  });

  test("take background from what an earlier detector found first, and else from anywhere, others in each epoch", async () => {
    const split = splitOf([item("0.png", { width: 200, height: 200 }, [{ box: [5, 5, 15, 15], label: 0 }])]);
    const marked = splitOf([
      {
        ...item("0.png", { width: 200, height: 200 }, [{ box: [5, 5, 15, 15], label: 0 }]),
        image: ramp(200),
      },
    ]);
    const options = {
      ...OPTIONS,
      scales: [1],
      ranges: parseRanges(["0-inf"], 1),
      augment: false,
      background: 0.5,
      batchSize: 2,
    } as const;
    const negative: ImageChip = { image: 0, scale: 0, left: 100, top: 120, hull: undefined };
    const corner = ({ x }: DetectionBatch, row: number) => [
      x.data[row * 3 * 64 * 64],
      x.data[row * 3 * 64 * 64 + 2 * 64 * 64],
    ];
    const batches = chipBatches(marked, { ...options, negatives: [negative] });
    expect(batches.count).toBe(2);
    for (const epoch of [0, 1, 2]) {
      const batch = await batches.batch(epoch);
      expect([corner(batch, 0), corner(batch, 1)]).toContainEqual([100, 120]);
    }
    const anywhere = chipBatches(marked, options);
    const seen = new Set<string>();
    for (let epoch = 0; epoch < 6; epoch++) {
      const batch = await anywhere.batch(epoch);
      const labels = batch.labels.shape[1] ?? 0;
      const empty = [0, 1].find((row) => batch.labels.data[row * labels] === -1n);
      if (empty !== undefined) seen.add(String(corner(batch, empty)));
    }
    expect(seen.size).toBeGreaterThan(2);
    expect(split.count).toBe(1);
  });

  test("of large images decode the part that is shown alone, and show the same", async () => {
    const size = { width: 2400, height: 1800 };
    const large = item("0.png", size, [
      { box: [1000, 900, 1040, 930], label: 0 },
      { box: [2300, 1700, 2390, 1790], label: 1 },
      { box: [100, 40, 160, 95], label: 2 },
    ]);
    const whole = splitOf([large]);
    let asked = 0;
    const partly: DetectionSplit = {
      ...whole,
      sample: async () => {
        throw new Error("decoded as a whole");
      },
      async part(_index, { longest }, { left, top, width, height }) {
        asked++;
        expect(longest).toBe(2400);
        const data = new Uint8Array(3 * width * height);
        for (let channel = 0; channel < 3; channel++) {
          for (let y = 0; y < height; y++) {
            const from = (channel * size.height + top + y) * size.width + left;
            data.set(large.image.data.subarray(from, from + width), (channel * height + y) * width);
          }
        }
        return { width, height, data };
      },
    };
    const options = {
      ...OPTIONS,
      size: 2400,
      scales: [1],
      ranges: parseRanges(["0-inf"], 1),
      side: 128,
      augment: { ...plainColors, flip: 0.5, flipVertical: 0.5 },
    };
    for (const step of [0, 1]) {
      expect(await chipBatches(partly, options).batch(step)).toEqual(
        await chipBatches(whole, options).batch(step),
      );
    }
    expect(asked).toBeGreaterThan(0);
  });

  test("bad options are refused by name", () => {
    const split = splitOf(items(2));
    expect(() => chipBatches(splitOf([]), OPTIONS)).toThrow(/the split is empty/);
    expect(() => chipBatches(split, { ...OPTIONS, side: 0 })).toThrow(/option chip/);
    expect(() => chipBatches(split, { ...OPTIONS, background: 0.95 })).toThrow(/option background/);
    expect(() => chipBatches(split, { ...OPTIONS, ranges: parseRanges(["0-20"], 1) })).toThrow(
      /2 scales with 1 ranges/,
    );
    expect(() => chipBatches(split, { ...OPTIONS, ranges: parseRanges(["900-901", "900-901"], 2) })).toThrow(
      /none of \d+ objects is in the range of a scale/,
    );
    expect(() => chipBatches(split, { ...OPTIONS, augment: { flip: 2 } })).toThrow(OptionError);
  });
});

/** An image whose red is the column, and whose blue is the row. */
function ramp(side: number): ByteImage {
  const data = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      data[y * side + x] = x;
      data[2 * side * side + y * side + x] = y;
    }
  }
  return { width: side, height: side, data };
}
