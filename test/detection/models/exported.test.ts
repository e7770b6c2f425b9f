import fc from "fast-check";
import { expect, it } from "vitest";
import { nms } from "../../../src/detection/boxes/nms.ts";
import { suppressed } from "../../../src/detection/boxes/suppressed.ts";
import { ShapeError } from "../../../src/errors.ts";
import { exportOnnx } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, input } from "../../../src/tensor/index.ts";
import { testRuntime } from "../../tensor/support.ts";

const PLACES = 40;
const CLASSES = 3;
const [IOU, CONFIDENCE] = [0.45, 0.3];

it("suppression within the graph keeps what nms keeps, of any boxes", async () => {
  const boxes = input("boxes", ["batch", PLACES, 4]);
  const scores = input("scores", ["batch", CLASSES, PLACES]);
  const outputs = { kept: suppressed(boxes, scores, IOU, CONFIDENCE) };
  const session = await (await testRuntime()).load(exportOnnx(outputs, new Map()));
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 3 }), fc.boolean(), async (seed, n, any) => {
      const random = new Random(seed);
      const corners = Float32Array.from({ length: 4 * n * PLACES }, () => 100 * random.uniform());
      for (let i = 0; i < corners.length; i += 4) {
        for (const side of [0, 1]) {
          corners[i + 2 + side] = (corners[i + side] ?? 0) + 80 * random.uniform();
        }
      }
      // Where there are none to keep, everything is 0.
      const most = any ? 1 : CONFIDENCE;
      const values = Float32Array.from({ length: n * CLASSES * PLACES }, () => most * random.uniform());
      const { kept } = await session.run({
        boxes: float32(corners, [n, PLACES, 4]),
        scores: float32(values, [n, CLASSES, PLACES]),
      });
      const expected = new Float32Array(values.length);
      for (let row = 0; row < n * CLASSES; row++) {
        const image = Math.floor(row / CLASSES);
        const ofClass = values.subarray(row * PLACES, (row + 1) * PLACES);
        const ofImage = corners.subarray(4 * image * PLACES, 4 * (image + 1) * PLACES);
        for (const place of nms(ofImage, ofClass, { threshold: IOU, minimumScore: CONFIDENCE })) {
          expected[row * PLACES + place] = ofClass[place] ?? 0;
        }
      }
      expect(Array.from((await kept?.read())?.data ?? [], Number)).toEqual([...expected]);
    }),
    { numRuns: 30 },
  );
  await session.release();
});

it("suppression names what does not belong together", () => {
  expect(() => suppressed(input("boxes", [1, 8, 4]), input("scores", [1, 8, 3]), 0.5, 0)).toThrow(ShapeError);
});
