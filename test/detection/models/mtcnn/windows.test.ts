import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawArea, drawAreas, drawPart } from "../../../../src/detection/models/mtcnn/area.ts";
import { ceilMaxPool, PReLU } from "../../../../src/detection/models/mtcnn/networks.ts";
import { pixelsOf, squared, suppressedWithin } from "../../../../src/detection/models/mtcnn/windows.ts";
import { nameParameters } from "../../../../src/nn/module.ts";
import { Program } from "../../../../src/program/program.ts";
import { float32, grad, input } from "../../../../src/tensor/index.ts";
import { present } from "../../../support.ts";
import { testRuntime } from "../../../tensor/support.ts";

/** An image whose pixels are numbers by place. */
function imageOf(width: number, height: number) {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 37 + (i >> 3)) % 256);
  return { width, height, data };
}

describe("drawArea", () => {
  it("is the mean of the pixels that a pixel covers, along both axes", () => {
    const side = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(side, side, side, side, fc.nat(3), fc.nat(3), (width, height, columns, rows, left, top) => {
        const image = imageOf(width + left, height + top);
        const [size, canvas] = [{ width: columns, height: rows }, 10];
        const data = new Float32Array(3 * canvas * canvas + 5).fill(-1);
        drawArea(image, { left, top, width, height }, size, { data, offset: 5, side: canvas });
        for (let channel = 0; channel < 3; channel++) {
          for (let y = 0; y < canvas; y++) {
            for (let x = 0; x < canvas; x++) {
              const actual = data[5 + (channel * canvas + y) * canvas + x];
              if (x >= columns || y >= rows) {
                expect(actual).toBe(-1);
                continue;
              }
              const values: number[] = [];
              for (let v = Math.floor((y * height) / rows); v * rows < (y + 1) * height; v++) {
                for (let u = Math.floor((x * width) / columns); u * columns < (x + 1) * width; u++) {
                  values.push(
                    image.data[(channel * image.height + top + v) * image.width + left + u] ?? Number.NaN,
                  );
                }
              }
              expect(actual).toBeCloseTo(values.reduce((a, b) => a + b, 0) / values.length, 3);
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("draws a part of the result as it is in the whole", () => {
    const image = imageOf(23, 17);
    const part = { left: 0, top: 0, width: 23, height: 17 };
    const size = { width: 14, height: 11 };
    const whole = new Float32Array(3 * 14 * 14);
    drawArea(image, part, size, { data: whole, offset: 0, side: 14 });
    const tile = new Float32Array(3 * 6 * 6);
    drawArea(image, part, size, { data: tile, offset: 0, side: 6 }, { left: 9, top: 7 });
    for (let channel = 0; channel < 3; channel++) {
      for (let y = 0; y < 4; y++) {
        for (let x = 0; x < 5; x++) {
          expect(tile[(channel * 6 + y) * 6 + x]).toBe(whole[(channel * 14 + y + 7) * 14 + x + 9]);
        }
        expect(tile[(channel * 6 + y) * 6 + 5]).toBe(0);
      }
    }
  });
});

describe("drawAreas", () => {
  it("draws each size, and parts of it, to the bit as drawArea does", () => {
    const side = fc.integer({ min: 1, max: 30 });
    const sizes = fc.array(fc.record({ width: side, height: side }), { maxLength: 3 });
    fc.assert(
      fc.property(side, side, sizes, fc.nat(5), fc.nat(5), (width, height, sizes, left, top) => {
        const image = imageOf(width, height);
        const whole = { left: 0, top: 0, width, height };
        for (const [i, data] of drawAreas(image, sizes).entries()) {
          const size = present(sizes[i]);
          const [expected, actual] = [new Float32Array(3 * 81 + 2), new Float32Array(3 * 81 + 2)];
          drawArea(image, whole, size, { data: expected, offset: 2, side: 9 }, { left, top });
          drawPart(data, size, { data: actual, offset: 2, side: 9 }, { left, top });
          expect(actual).toEqual(expected);
        }
      }),
    );
  });
});

describe("windows", () => {
  it("are cut off at the image, and have no pixels beyond it", () => {
    const boxes = Float32Array.from([-5, 3.7, 8.9, 12, 90, 0, 130, 40, 101, 1, 120, 20, 5, 5, 4, 30]);
    const image = { width: 100, height: 10 };
    expect(pixelsOf(boxes, 0, image)).toEqual({ left: 0, top: 2, width: 8, height: 8 });
    expect(pixelsOf(boxes, 1, image)).toEqual({ left: 89, top: 0, width: 11, height: 10 });
    expect(pixelsOf(boxes, 2, image)).toBeUndefined();
    expect(pixelsOf(boxes, 3, image)).toBeUndefined();
    expect(pixelsOf(Float32Array.of(Number.NaN, 1, 5, 5), 0, image)).toBeUndefined();
  });

  it("become squares about their centers", () => {
    expect(Array.from(squared(Float32Array.of(10, 20, 30, 60)))).toEqual([0, 20, 40, 60]);
    expect(Array.from(squared(Float32Array.of(10, 20, 50, 30)))).toEqual([10, 5, 50, 45]);
  });

  it("are suppressed by the area of the smaller one: of a face in a face the better stays", () => {
    const boxes = Float32Array.of(0, 0, 99, 99, 40, 40, 49, 49, 200, 200, 209, 209, 205, 200, 214, 209);
    expect(suppressedWithin(boxes, Float32Array.of(0.5, 0.9, 0.3, 0.8), 0.7)).toEqual([1, 3, 2]);
    expect(suppressedWithin(boxes, Float32Array.of(0.5, 0.9, 0.3, 0.8), 0.4)).toEqual([1, 3]);
    expect(suppressedWithin(boxes, Float32Array.of(Number.NaN, 0.9, 0.3, 0.8), 0.7)).toEqual([1, 3, 2]);
    expect(suppressedWithin(new Float32Array(), new Float32Array(), 0.7)).toEqual([]);
  });
});

describe("layers", () => {
  it("pool as far as the last row, and lead gradients back to the largest", async () => {
    const values = Array.from({ length: 25 }, (_, i) => (i * 7) % 25);
    const x = input("x", [1, 1, 5, 5]);
    const pooled = ceilMaxPool(x, 2);
    const [gradient] = grad(pooled.square().sum(), [x]);
    if (gradient === undefined) throw new Error("no gradient");
    const program = await Program.build({ pooled, gradient }, await testRuntime());
    const outputs = await program.run({ x: float32(values, [1, 1, 5, 5]) });
    await program.release();
    const expected = new Array<number>(25).fill(0);
    const maxima: number[] = [];
    for (let row = 0; row < 5; row += 2) {
      for (let column = 0; column < 5; column += 2) {
        let best = -1;
        for (const [v, u] of [
          [0, 0],
          [0, 1],
          [1, 0],
          [1, 1],
        ] as const) {
          const at = (row + v) * 5 + column + u;
          if (row + v < 5 && column + u < 5 && (best < 0 || (values[at] ?? 0) > (values[best] ?? 0)))
            best = at;
        }
        maxima.push(values[best] ?? 0);
        expected[best] = (expected[best] ?? 0) + 2 * (values[best] ?? 0);
      }
    }
    expect(outputs.pooled?.shape).toEqual([1, 1, 3, 3]);
    expect(Array.from(outputs.pooled?.data ?? [], Number)).toEqual(maxima);
    expect(Array.from(outputs.gradient?.data ?? [], Number)).toEqual(expected);
  });

  it("PReLU has the slope of each channel below 0, in maps and in rows", async () => {
    const layer = nameParameters({ prelu: new PReLU(2) });
    const outputs = {
      maps: layer.prelu.forward(input("maps", [1, 2, 1, 2])),
      rows: layer.prelu.forward(input("rows", [2, 2])),
    };
    const program = await Program.build(
      outputs,
      await testRuntime(),
      new Map([["prelu.weight", float32([0.5, 3], [2])]]),
    );
    const { maps, rows } = await program.run({
      maps: float32([-2, 2, -1, 4], [1, 2, 1, 2]),
      rows: float32([-2, -1, 2, 4], [2, 2]),
    });
    await program.release();
    expect(Array.from(maps?.data ?? [], Number)).toEqual([-1, 2, -3, 4]);
    expect(Array.from(rows?.data ?? [], Number)).toEqual([-1, -3, 2, 4]);
  });
});
