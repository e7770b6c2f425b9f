import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import {
  addNoise,
  adjustBrightness,
  adjustContrast,
  adjustHue,
  adjustSaturation,
  columnMask,
  cropAndResize,
  cutoutMask,
  gaussianBlur,
  patchMask,
  quarterTurns,
  randomCrop,
  randomGray,
  swapColumns,
  toGray,
  Views,
  viewOptions,
} from "../../../src/representation/augment/index.ts";
import { constant, float32, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";

interface Fixture {
  readonly image: readonly number[];
  readonly crops: readonly (readonly [number, number, number, number])[];
  readonly factors: readonly number[];
  readonly shifts: readonly number[];
  readonly deviations: readonly number[];
  readonly [result: string]: readonly unknown[];
}

let runtime: Runtime;
let fixture: Fixture;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  const file = new URL("../../fixtures/representation/pretext.json", import.meta.url);
  fixture = (JSON.parse(await readFile(file, "utf8")) as { views: Fixture }).views;
});

/** What a function makes of an array, with random numbers of a seed. */
async function computed<K extends string>(
  x: NdArray<"float32">,
  body: (x: Tensor) => Record<K, Tensor>,
  seed = 1,
): Promise<Record<K, number[]>> {
  const program = compile(["x"], ({ x }) => body(x), { runtime, weights: new Map() });
  try {
    const outputs = await program.run({ x }, { random: new Random(seed) });
    return Object.fromEntries(
      Object.entries<NdArray>(outputs).map(([name, value]) => [name, numbers(value)]),
    ) as Record<K, number[]>;
  } finally {
    await program.release();
  }
}

const vector = (values: readonly number[]): Tensor => constant(float32([...values], [values.length]));
const images = (): NdArray<"float32"> => float32([...fixture.image], [2, 3, 7, 9]);
const noise = (shape: readonly number[], seed = 5): NdArray<"float32"> => {
  const x = new Float32Array(shape.reduce((a, b) => a * b, 1));
  new Random(seed).fillUniform(x);
  return float32(x, [...shape]);
};

const COLOR: DataInfo = { kind: "image", sampleShape: [3, 12, 10] };
const GRAY: DataInfo = { kind: "image", sampleShape: [1, 12, 10] };
const TABLE: DataInfo = {
  kind: "table",
  sampleShape: [4],
  columns: [
    { name: "a", size: 1, mean: 0, deviation: 1 },
    { name: "b", size: 3 },
  ],
};

describe("images as torchvision makes them", () => {
  test("parts, enlarged and mirrored", async () => {
    const side = (index: 0 | 1 | 2 | 3): Tensor => vector(fixture.crops.map((crop) => crop[index]));
    const part = { top: side(0), left: side(1), height: side(2), width: side(3) };
    const { cropped, mirrored } = await computed(images(), (x) => ({
      cropped: cropAndResize(x, part),
      mirrored: cropAndResize(x, { ...part, mirrored: vector([1, 1]) }),
    }));
    expect(largestDifference(cropped, fixture.cropped as number[])).toBeLessThan(1e-5);
    expect(largestDifference(mirrored, fixture.mirrored as number[])).toBeLessThan(1e-5);
  });

  test("brightness, contrast, saturation, hue and gray", async () => {
    const factor = vector(fixture.factors);
    const results = await computed(images(), (x) => ({
      brightness: adjustBrightness(x, factor),
      contrast: adjustContrast(x, factor),
      saturation: adjustSaturation(x, factor),
      hue: adjustHue(x, vector(fixture.shifts)),
      gray: toGray(x),
    }));
    for (const [name, values] of Object.entries(results)) {
      // torchvision's gray weights have four digits, its blends five.
      expect(largestDifference(values, fixture[name] as number[]), name).toBeLessThan(2e-5);
    }
  });

  test("blur", async () => {
    const { blurred, kept } = await computed(images(), (x) => ({
      blurred: gaussianBlur(x, vector(fixture.deviations), 2),
      kept: gaussianBlur(x, vector(fixture.deviations), 2, vector([0, 0])),
    }));
    expect(largestDifference(blurred, fixture.blurred as number[])).toBeLessThan(1e-5);
    expect(largestDifference(kept, fixture.image)).toBeLessThan(1e-6);
  });
});

describe("parts by a plain loop", () => {
  test("for sides that are not whole", async () => {
    const [top, left, height, width] = [0.3, 1.7, 4.4, 3.25];
    const x = noise([1, 1, 6, 5]);
    const at = (row: number, column: number): number => x.data[row * 5 + column] ?? 0;
    const lerp = (of: (i: number) => number, y: number): number =>
      of(Math.floor(y)) * (1 - (y - Math.floor(y))) + of(Math.floor(y) + 1) * (y - Math.floor(y));
    const place = (i: number, start: number, length: number, size: number): number =>
      start + Math.min(Math.max(((i + 0.5) * length) / size - 0.5, 0), length - 1);
    const expected = Array.from({ length: 30 }, (_, k) => {
      const [i, j] = [Math.floor(k / 5), k % 5];
      return lerp(
        (row) => lerp((column) => at(row, column), place(j, left, width, 5)),
        place(i, top, height, 6),
      );
    });
    const part = {
      top: vector([top]),
      left: vector([left]),
      height: vector([height]),
      width: vector([width]),
    };
    const { y } = await computed(x, (x) => ({ y: cropAndResize(x, part) }));
    expect(largestDifference(y, expected)).toBeLessThan(1e-5);
  });

  test("a part lies inside, has the area that was asked for, and the whole image is the image", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          height: fc.integer({ min: 1, max: 20 }),
          width: fc.integer({ min: 1, max: 20 }),
          area: fc.double({ min: 0.05, max: 1, noNaN: true }),
          ratio: fc.double({ min: 1, max: 4, noNaN: true }),
          seed: fc.integer({ min: 0, max: 1000 }),
        }),
        async ({ height, width, area, ratio, seed }) => {
          const drawn = await computed(
            noise([1]),
            () => {
              const {
                top,
                left,
                height: h,
                width: w,
              } = randomCrop(50, [height, width], { area, ratio, flip: 0 });
              return { top, left, h, w };
            },
            seed,
          );
          drawn.top.forEach((top, i) => {
            const [left, h, w] = [drawn.left[i] ?? -1, drawn.h[i] ?? -1, drawn.w[i] ?? -1];
            expect(top).toBeGreaterThanOrEqual(0);
            expect(left).toBeGreaterThanOrEqual(0);
            expect(top + h).toBeLessThanOrEqual(height + 1e-4);
            expect(left + w).toBeLessThanOrEqual(width + 1e-4);
            expect(Math.min(h, w)).toBeGreaterThanOrEqual(1);
            // Where no side is limited, the share is in the range and the ratio as well.
            if (h > 1 && w > 1 && h < height && w < width) {
              const share = (h * w) / (height * width);
              expect(share).toBeGreaterThan(area - 1e-4);
              expect(share).toBeLessThan(1 + 1e-4);
              expect(Math.abs(Math.log((w * height) / (h * width)))).toBeLessThan(Math.log(ratio) + 1e-3);
            }
          });
        },
      ),
      { numRuns: 12 },
    );
    const whole = randomCrop(3, [6, 5], { area: 1, ratio: 1, flip: 0 });
    const x = noise([3, 2, 6, 5]);
    const { y } = await computed(x, (x) => ({ y: cropAndResize(x, whole) }));
    expect(largestDifference(y, x.data)).toBeLessThan(1e-5);
  });
});

describe("what hides a part", () => {
  test("patches: exactly the share, whole patches, each as likely as the others", async () => {
    const { mask } = await computed(noise([400, 1, 7, 8]), (x) => ({ mask: patchMask(x, 0.5, 3) }));
    const hiddenOf = new Array<number>(9).fill(0);
    for (let n = 0; n < 400; n++) {
      const at = (row: number, column: number): number => mask[(n * 7 + row) * 8 + column] ?? -1;
      let hidden = 0;
      for (let patch = 0; patch < 9; patch++) {
        const [top, left] = [3 * Math.floor(patch / 3), 3 * (patch % 3)];
        const values = new Set<number>();
        for (let row = top; row < Math.min(7, top + 3); row++)
          for (let column = left; column < Math.min(8, left + 3); column++) values.add(at(row, column));
        expect(values.size).toBe(1);
        if (values.has(0)) {
          hidden++;
          hiddenOf[patch] = (hiddenOf[patch] ?? 0) + 1;
        }
      }
      expect(hidden).toBe(5); // round(0.5 · 9), halves up
    }
    // 400 · 5/9 = 222 with a deviation of 10.
    for (const count of hiddenOf) expect(Math.abs(count - 222)).toBeLessThan(45);
  });

  test("a square: never larger than its side, whole where it lies inside", async () => {
    const { mask } = await computed(noise([300, 1, 12, 10]), (x) => ({ mask: cutoutMask(x, 0.4) }));
    const sizes = Array.from(
      { length: 300 },
      (_, n) => mask.slice(n * 120, (n + 1) * 120).filter((v) => v === 0).length,
    );
    expect(Math.max(...sizes)).toBe(16);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(4);
  });

  test("columns of rows: those of one column together, from other rows of the same column", async () => {
    const rows = 200;
    const x = float32(
      Array.from({ length: rows * 4 }, (_, i) => i),
      [rows, 4],
    );
    const { y, mask } = await computed(x, (x) => ({
      y: swapColumns(x, 0.5, [1, 3]),
      mask: columnMask(x, 0.5, [1, 3]),
    }));
    const swapped = [0, 0];
    for (let row = 0; row < rows; row++) {
      const own = y.slice(row * 4, row * 4 + 4);
      // A value names its row and its number.
      expect(own.map((value) => value % 4)).toEqual([0, 1, 2, 3]);
      const from = own.map((value) => Math.floor(value / 4));
      expect(new Set(from.slice(1)).size).toBe(1);
      if (from[0] !== row) swapped[0] = (swapped[0] ?? 0) + 1;
      if (from[1] !== row) swapped[1] = (swapped[1] ?? 0) + 1;
      const kept = mask.slice(row * 4, row * 4 + 4);
      expect(kept.join()).toMatch(/^(0,1,1,1|1,0,0,0)$/);
    }
    // One of the two columns of each row, now and then its own value.
    expect((swapped[0] ?? 0) + (swapped[1] ?? 0)).toBeGreaterThan(rows * 0.9);
    expect(Math.min(...swapped)).toBeGreaterThan(60);
  });

  test("noise has its deviation; gray images have three equal channels", async () => {
    const { noisy, gray } = await computed(noise([20, 3, 8, 8]), (x) => ({
      noisy: addNoise(x, 0.3).sub(x),
      gray: randomGray(x, 1),
    }));
    const deviation = Math.sqrt(noisy.reduce((sum, v) => sum + v * v, 0) / noisy.length);
    expect(deviation).toBeCloseTo(0.3, 1);
    expect(largestDifference(gray.slice(0, 64), gray.slice(64, 128))).toBeLessThan(1e-6);
  });
});

test("four quarter turns are none, and one is NumPy's rot90", async () => {
  const x = float32([1, 2, 3, 4], [1, 1, 2, 2]);
  const turns = await computed(x, (x) => ({
    one: quarterTurns(x, 1),
    two: quarterTurns(x, 2),
    three: quarterTurns(x, 3),
    all: quarterTurns(quarterTurns(x, 3), 1),
  }));
  expect(turns).toEqual({ one: [2, 4, 1, 3], two: [4, 3, 2, 1], three: [3, 1, 4, 2], all: [1, 2, 3, 4] });
});

describe("views", () => {
  const views = (options: object, data: DataInfo): Views => new Views(viewOptions.parse(options), data);

  test("are bytes again, differ from each other, and are the same for the same seed", async () => {
    for (const data of [COLOR, GRAY]) {
      const x = noise([4, ...data.sampleShape]);
      const bytes = float32(
        x.data.map((value) => 255 * value),
        x.shape,
      );
      const draw = (seed: number) =>
        computed(
          bytes,
          (x) => {
            const [a, b] = views({ blur: 0.5, cutout: 0.3, noise: 0.1 }, data).pair(x);
            return { a, b };
          },
          seed,
        );
      const { a, b } = await draw(1);
      expect(Math.min(...a, ...b)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...a, ...b)).toBeLessThanOrEqual(255.001);
      expect(largestDifference(a, b)).toBeGreaterThan(10);
      expect(await draw(1)).toEqual({ a, b });
      expect((await draw(2)).a).not.toEqual(a);
    }
  });

  test("without any change are the images themselves", async () => {
    const x = noise([3, ...COLOR.sampleShape]);
    const none = { cropArea: 1, cropRatio: 1, flip: 0, jitter: 0, grayscale: 0 };
    const { y } = await computed(x, (x) => ({ y: views(none, COLOR).view(x) }));
    expect(largestDifference(y, x.data)).toBeLessThan(1e-6);
  });

  test("of rows: the row itself and one with other values", async () => {
    const { a, b } = await computed(noise([16, 4]), (x) => {
      const [a, b] = views({}, TABLE).pair(x);
      return { a, b };
    });
    expect(a).toEqual(numbers(noise([16, 4])));
    expect(b).not.toEqual(a);
  });

  test("say what they are, and refuse what is of no use", () => {
    expect(views({}, COLOR).describe()).toContain("50 % mirrored");
    expect(views({}, GRAY).describe()).toContain("never mirrored");
    expect(views({}, TABLE).describe()).toContain("60 % of its columns");
    expect(() => views({ hue: 0.1 }, GRAY)).toThrow(
      "option hue: is for color images, and these have one channel",
    );
    expect(() => views({ flip: 0.5 }, TABLE)).toThrow("option flip: is for images");
    expect(() => views({ swap: 0.5 }, COLOR)).toThrow("option swap: is for tables");
    expect(() => viewOptions.parse({ hue: 0.6 })).toThrow();
    expect(present(views({ flip: 0 }, COLOR)).describe()).toContain("never mirrored");
  });
});
