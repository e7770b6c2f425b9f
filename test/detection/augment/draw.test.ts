import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  colorMap,
  drawImage,
  letterboxPlacement,
  type Placement,
  placeBox,
  placeBoxes,
} from "../../../src/detection/augment/draw.ts";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import { letterbox, toLetterbox } from "../../../src/detection/boxes/letterbox.ts";
import { painted } from "../../data/boxes/support.ts";

const SIDE = 48;
const image = { width: 40, height: 30 };

const placement: fc.Arbitrary<Placement> = fc
  .record({
    scale: fc.double({ min: 0.4, max: 3, noNaN: true }),
    ratio: fc.double({ min: 0.8, max: 1.25, noNaN: true }),
    x: fc.double({ min: 0, max: 1, noNaN: true }),
    y: fc.double({ min: 0, max: 1, noNaN: true }),
    mirrored: fc.boolean(),
    flipped: fc.boolean(),
    window: fc.constantFrom<Box>([0, 0, SIDE, SIDE], [0, 0, 20, 30], [17, 9, SIDE, SIDE], [20, 0, SIDE, 30]),
  })
  .map(({ scale, ratio, x, y, mirrored, flipped, window }) => {
    const [width, height] = [image.width * scale * ratio, (image.height * scale) / ratio];
    const left = window[0] + (window[2] - window[0] - width) * x;
    const top = window[1] + (window[3] - window[1] - height) * y;
    return { left, top, width, height, mirrored, flipped, window };
  });

/** A box of whole pixels with at least four on each side. */
const patch = fc
  .tuple(
    fc.integer({ min: 0, max: image.width - 4 }),
    fc.integer({ min: 0, max: image.height - 4 }),
    fc.integer({ min: 4, max: image.width }),
    fc.integer({ min: 4, max: image.height }),
  )
  .map(([x, y, w, h]) => [x, y, Math.min(image.width, x + w), Math.min(image.height, y + h)] as const);

const canvas = (side: number) => ({ side, data: new Float32Array(3 * side * side) });

/** The smallest box around pixels that are more than half as red as can be. */
function redExtent(data: Float32Array, side: number): Box | undefined {
  let [x1, y1, x2, y2] = [side, side, 0, 0];
  for (let i = 0; i < side * side; i++) {
    if ((data[i] ?? 0) <= 127.5) continue;
    const [x, y] = [i % side, Math.floor(i / side)];
    [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x + 1), Math.max(y2, y + 1)];
  }
  return x2 > x1 ? [x1, y1, x2, y2] : undefined;
}

describe("boxes and pixels move together", () => {
  test("a painted box is found where its box is placed, to the pixel", () => {
    fc.assert(
      fc.property(patch, placement, (box, placed) => {
        const target = canvas(SIDE);
        drawImage(
          target,
          painted(image.width, image.height, [0, 0, 0], [{ box, color: [255, 0, 0] }]),
          placed,
        );
        const whole = placeBox(box, image, placed);
        const { boxes } = placeBoxes(box, image, placed, { visible: 0, leastSide: 0 });
        const found = redExtent(target.data, SIDE);
        const [expected] = boxes;
        // A box that is narrower than a pixel and a half may be blurred away, and so may such a rest at a border.
        const wide = ([x1, y1, x2, y2]: Box) => x2 - x1 > 1.5 && y2 - y1 > 1.5;
        if (!wide(whole)) return;
        if (expected === undefined) expect(found).toBeUndefined();
        else if (wide(expected)) {
          for (const [side, edge] of expected.entries()) {
            // Half of the color is reached at the edge, and pixels are whole.
            expect(Math.abs((found?.[side] ?? Number.NaN) - edge)).toBeLessThan(0.75);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("nothing is drawn outside of the window and the image", () => {
    fc.assert(
      fc.property(placement, (placed) => {
        const target = canvas(SIDE);
        target.data.fill(-1);
        drawImage(target, painted(image.width, image.height, [7, 8, 9]), placed);
        const { left, top, width, height, window } = placed;
        for (let y = 0; y < SIDE; y++) {
          for (let x = 0; x < SIDE; x++) {
            const [u, v] = [x + 0.5, y + 0.5];
            const inWindow = x >= window[0] && x < window[2] && y >= window[1] && y < window[3];
            const inImage = u >= left && u < left + width && v >= top && v < top + height;
            const edge = [u - left, u - left - width, v - top, v - top - height];
            if (edge.some((distance) => Math.abs(distance) < 1e-9)) continue;
            const values = [0, 1, 2].map((channel) => target.data[(channel * SIDE + y) * SIDE + x] ?? 0);
            const drawn = inWindow && inImage ? [7, 8, 9] : [-1, -1, -1];
            // An assertion for each of so many pixels would take longer than all of the drawing.
            if (drawn.some((value, channel) => !(Math.abs(value - (values[channel] ?? Number.NaN)) < 5e-5))) {
              expect(values, `pixel ${x}, ${y}`).toEqual(drawn);
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a ramp stays a ramp: pixels come from where the placement says, enlarged and made smaller", () => {
    const data = new Uint8Array(3 * 40 * 30);
    for (let y = 0; y < 30; y++) {
      for (let x = 0; x < 40; x++) {
        data[y * 40 + x] = 6 * x;
        data[1200 + y * 40 + x] = 8 * y;
      }
    }
    fc.assert(
      fc.property(placement, (placed) => {
        const target = canvas(SIDE);
        drawImage(target, { ...image, data }, placed);
        const { left, top, width, height, mirrored, flipped, window } = placed;
        const [sx, sy] = [image.width / width, image.height / height];
        const margin = Math.max(1, sx, sy) + 1;
        for (let y = window[1]; y < window[3]; y++) {
          for (let x = window[0]; x < window[2]; x++) {
            let [u, v] = [(x + 0.5 - left) * sx, (y + 0.5 - top) * sy];
            if (u < margin || v < margin || u > 40 - margin || v > 30 - margin) continue;
            if (mirrored) u = 40 - u;
            if (flipped) v = 30 - v;
            // A triangle over few samples is centered to within a small part of a sample.
            const columns = Math.abs((target.data[y * SIDE + x] ?? 0) / 6 - (u - 0.5));
            const rows = Math.abs((target.data[(SIDE + y) * SIDE + x] ?? 0) / 8 - (v - 0.5));
            if (!(columns < 0.15 && rows < 0.15))
              expect.fail(`pixel ${x}, ${y} is off by ${columns}, ${rows}`);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("objects that are cut off", () => {
  const half: Placement = {
    left: -20,
    top: 0,
    width: 40,
    height: 30,
    mirrored: false,
    flipped: false,
    window: [0, 0, 48, 48],
  };
  const boxes = Float32Array.from([
    10, 5, 30, 25, 0, 5, 19, 25, 15, 5, 35, 25, 19, 5, 20.5, 25, 20, 5, 21, 6,
  ]);

  test("are kept where enough of them is seen", () => {
    const at = (visible: number, leastSide: number) =>
      placeBoxes(boxes, image, half, { visible, leastSide }).indices;
    // Shares that are seen: ½, 0, ¾, ⅓ (half a pixel wide), 1 (one pixel, as a whole).
    expect(at(0, 0)).toEqual([0, 2, 3, 4]);
    expect(at(0, 2)).toEqual([0, 2, 4]);
    expect(at(0.6, 0)).toEqual([2, 4]);
    expect(at(0.5, 0)).toEqual([0, 2, 4]);
    expect(at(1, 0)).toEqual([4]);
  });

  test("end at the window", () => {
    const { boxes: kept } = placeBoxes(boxes, image, half, { visible: 0.5, leastSide: 2 });
    expect(kept).toEqual([
      [0, 5, 10, 25],
      [0, 5, 15, 25],
      [0, 5, 1, 6],
    ]);
    const mirrored = placeBoxes(boxes, image, { ...half, mirrored: true }, { visible: 0.5, leastSide: 2 });
    // 10 … 30 of 40 is mirrored on itself.
    expect(mirrored.boxes[0]).toEqual([0, 5, 10, 25]);
    expect(mirrored.indices).toEqual([0, 1]);
  });
});

test("a letterbox places boxes as `toLetterbox` does", () => {
  const side = fc.integer({ min: 1, max: 300 });
  fc.assert(
    fc.property(side, side, fc.integer({ min: 8, max: 96 }), (width, height, canvasSide) => {
      const size = { width, height };
      const box: Box = [0.25 * width, 0.1 * height, 0.7 * width, height];
      const placed = placeBox(box, size, letterboxPlacement(size, canvasSide));
      const expected = toLetterbox(
        Float64Array.from(box),
        letterbox(size, { width: canvasSide, height: canvasSide }),
      );
      for (const [i, edge] of placed.entries()) expect(edge).toBeCloseTo(expected[i] ?? Number.NaN, 9);
    }),
  );
});

describe("changes of color", () => {
  const none = { brightness: 1, contrast: 1, saturation: 1, hue: 0 };
  const apply = ({ matrix, shift }: ReturnType<typeof colorMap>, color: readonly number[]) =>
    [0, 1, 2].map((row) => color.reduce((sum, value, k) => sum + value * (matrix[3 * row + k] ?? 0), shift));
  const luma = ([red = 0, green = 0, blue = 0]: readonly number[]) =>
    0.299 * red + 0.587 * green + 0.114 * blue;
  const close = (a: readonly number[], b: readonly number[], tolerance: number) => {
    for (const [i, value] of a.entries())
      expect(Math.abs(value - (b[i] ?? Number.NaN))).toBeLessThan(tolerance);
  };

  test("by nothing leaves colors as they are", () => {
    close(apply(colorMap(none), [10, 200, 90]), [10, 200, 90], 1e-9);
  });

  test("each do what they are called", () => {
    close(apply(colorMap({ ...none, brightness: 1.5 }), [10, 100, 90]), [15, 150, 135], 1e-9);
    close(apply(colorMap({ ...none, contrast: 0.5 }), [27.5, 127.5, 227.5]), [77.5, 127.5, 177.5], 1e-9);
    const grey = luma([10, 200, 90]);
    close(apply(colorMap({ ...none, saturation: 0 }), [10, 200, 90]), [grey, grey, grey], 1e-9);
    close(
      apply(colorMap({ ...none, saturation: 2 }), [10, 200, 90]),
      [20 - grey, 400 - grey, 180 - grey],
      1e-9,
    );
    // A third of a turn: from red towards green, and not back.
    const [red = 0, green = 0, blue = 0] = apply(colorMap({ ...none, hue: 1 / 3 }), [200, 0, 0]);
    expect(green > red || blue > red).toBe(true);
  });

  test("hue and saturation keep luma and grey; a whole turn comes back; turns add", () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const byte = fc.double({ min: 0, max: 255, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte), share, share, (color, hue, saturation) => {
        const changed = apply(colorMap({ ...none, hue, saturation }), color);
        // The numbers of the standard have three or four digits.
        expect(Math.abs(luma(changed) - luma(color))).toBeLessThan(0.6);
        close(apply(colorMap({ ...none, hue, saturation }), [80, 80, 80]), [80, 80, 80], 0.1);
        close(apply(colorMap({ ...none, hue: 1 }), color), color, 1e-6);
        const twice = apply(colorMap({ ...none, hue }), apply(colorMap({ ...none, hue }), color));
        close(twice, apply(colorMap({ ...none, hue: 2 * hue }), color), 1.5);
      }),
    );
  });

  test("are those of the picture that is drawn, cut off at black and white", () => {
    const target = canvas(4);
    const colors = colorMap({ brightness: 1.5, contrast: 1.2, saturation: 0.7, hue: 0.1 });
    drawImage(target, painted(4, 4, [250, 20, 0]), letterboxPlacement({ width: 4, height: 4 }, 4), colors);
    const expected = apply(colors, [250, 20, 0]).map((value) => Math.min(255, Math.max(0, value)));
    close(
      [0, 16, 32].map((at) => target.data[at] ?? 0),
      expected,
      1e-3,
    );
    expect(expected[0]).toBe(255);
  });
});
