import { describe, expect, it } from "vitest";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { SlidingWindow, slidingWindowOptions } from "../../../src/detection/models/sliding-window.ts";
import { OptionError } from "../../../src/errors.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, input } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";

const SIDE = 64;
const data = { sampleShape: [3, SIDE, SIDE], classes: 2 };
const built = (options: Readonly<Record<string, unknown>>) =>
  nameParameters(new SlidingWindow(slidingWindowOptions.parse(options), data));

describe("the classifier of windows", () => {
  it("gives over a picture what it gives of every window cut out of it", async () => {
    const detector = built({ window: 24, depth: 1, width: 0.5 });
    const { classifier } = detector;
    const [window, height, width] = [24, 40, 36];
    const random = new Random(3);
    const picture = Float32Array.from({ length: 3 * height * width }, () => random.normal());
    const weights = Object.fromEntries(initialState(detector, 5));
    const logitsOf = async (data: Float32Array, shape: readonly number[]) => {
      const y = classifier.forward(input("x", shape));
      const program = await Program.build({ y }, await testRuntime());
      const values = await program.run({ ...weights, x: float32(data, shape) });
      await program.release();
      return present(values.y);
    };
    const dense = await logitsOf(picture, [1, 3, height, width]);
    expect(dense.shape).toEqual([1, 3, 5, 4]);
    const places = Array.from({ length: 20 }, (_, i) => [4 * Math.floor(i / 4), 4 * (i % 4)] as const);
    const cut = places.flatMap(([top, left]) =>
      Array.from({ length: 3 * window * window }, (_, i) => {
        const [channel, row, column] = [
          Math.floor(i / window ** 2),
          Math.floor(i / window) % window,
          i % window,
        ];
        return picture[(channel * height + top + row) * width + left + column] ?? Number.NaN;
      }),
    );
    const alone = await logitsOf(Float32Array.from(cut), [20, 3, window, window]);
    for (let place = 0; place < 20; place++) {
      for (let label = 0; label < 3; label++) {
        expect(Number(alone.data[3 * place + label])).toBeCloseTo(Number(dense.data[20 * label + place]), 4);
      }
    }
  });

  it("needs a window that its layers fit into", () => {
    expect(() => built({ window: 24, depth: 1 })).not.toThrow();
    expect(() => built({ window: 20, depth: 2 })).toThrow(
      /option window: 20 pixels are too few for 4 blocks; take 40 or more/,
    );
    expect(() => built({ foreground: 0.3, background: 0.4 })).toThrow(OptionError);
  });
});

describe("windows", () => {
  it("are as large as objects from the smallest to the image, of one aspect ratio, centered on the picture", async () => {
    const detector = built({ smallestHeight: 16, octave: 2, ratio: 0.5 });
    const { boxes, scores } = detector.decoded(input("x", [1, 3, SIDE, SIDE]));
    const program = await Program.build({ boxes, scores }, await testRuntime());
    const x = float32(new Float32Array(3 * SIDE * SIDE), [1, 3, SIDE, SIDE]);
    const values = await program.run({ ...Object.fromEntries(initialState(detector, 1)), x });
    await program.release();
    const seen = Array.from({ length: (values.boxes?.data.length ?? 0) / 4 }, (_, i) =>
      Array.from(present(values.boxes).data.slice(4 * i, 4 * i + 4), Number),
    );
    const heights = [...new Set(seen.map(([, y1 = 0, , y2 = 0]) => Math.round(y2 - y1)))];
    // 16 · 2^(i / 2), up to the image; sizes of the levels are whole pixels.
    expect(heights.length).toBe(5);
    for (const [i, height] of heights.entries()) {
      expect(Math.abs(height / (16 * 2 ** (i / 2)) - 1)).toBeLessThan(0.05);
    }
    for (const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] of seen) {
      expect(Math.abs((x2 - x1) / (y2 - y1) / 0.5 - 1)).toBeLessThan(0.05);
      for (const center of [(x1 + x2) / 2, (y1 + y2) / 2]) {
        expect(center).toBeGreaterThanOrEqual(0);
        expect(center).toBeLessThanOrEqual(SIDE + 1e-4);
      }
    }
    // The first level has 205 × 102 pixels: windows 4 pixels apart, from one border to the other.
    expect(seen.filter(([, y1 = 0, , y2 = 0]) => Math.round(y2 - y1) === 16)).toHaveLength(26 * 52);
  });

  it("are not more than can be held, whatever a configuration says of the smallest objects", () => {
    for (const smallestHeight of [1e-300, 1e-9, 0.02]) {
      expect(() => built({ smallestHeight })).toThrow(
        /^option smallestHeight: .* windows of images of 64 × 64/,
      );
    }
    expect(() => built({ smallestHeight: 10, ratio: 1e-300 })).toThrow(OptionError);
    const detector = built({ smallestHeight: 0.6 });
    expect(() => detector.decoded(input("x", [1, 3, 256, 256]))).toThrow(/256 × 256 pixels, more than/);
  });

  it("take what options leave open from the training boxes", () => {
    const definition = present(detectors.get("sliding-window"));
    const boxShapes = Array.from({ length: 40 }, (_, i) => ({ width: 20 + i, height: 40 + 2 * i }));
    const options = definition.options.parse({});
    expect(definition.settled?.(options, { ...data, boxShapes })).toMatchObject({
      ratio: 0.5,
      smallestHeight: 44,
    });
    expect(
      definition.settled?.({ ...options, ratio: 2, smallestHeight: 9 }, { ...data, boxShapes }),
    ).toMatchObject({
      ratio: 2,
      smallestHeight: 9,
    });
    expect(definition.settled?.(options, data)).not.toHaveProperty("normalize");
  });
});
