import { describe, expect, it } from "vitest";
import type { StageWindows } from "../../../../src/detection/models/mtcnn/cascade.ts";
import { objectProbability, pyramidScales } from "../../../../src/detection/models/mtcnn/cascade.ts";
import { INPUT_SIZES, STAGES } from "../../../../src/detection/models/mtcnn/networks.ts";
import { Session } from "../../../../src/program/program.ts";
import type { NdArray } from "../../../../src/tensor/array.ts";
import { uniform } from "../../../backbones/published.ts";
import { testRuntime } from "../../../tensor/support.ts";
import {
  hashedWeights,
  type MtcnnCase,
  mtcnn,
  mtcnnFixture,
  pictureOf,
  publishedWeights,
} from "./support.ts";

const published = await publishedWeights();
if (published === undefined) {
  console.warn("MTCNN with its published weights is skipped: ../shared/weights/mtcnn is not there");
}

/** Windows of a stage as rows of the fixture. */
function rowsOf({ boxes, scores }: StageWindows): readonly (readonly number[])[] {
  return Array.from(scores, (score, i) => [...boxes.subarray(4 * i, 4 * i + 4), score]);
}

function expectRows(actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, row] of expected.entries()) {
    expect(actual[i]?.length).toBe(row.length);
    for (const [k, value] of row.entries()) {
      expect(Math.abs((actual[i]?.[k] ?? Number.NaN) - value), `row ${i}, number ${k}`).toBeLessThan(1e-3);
    }
  }
}

describe("networks", () => {
  it.each(STAGES)("%s predicts what facenet-pytorch's predicts", async (stage) => {
    const model = mtcnn();
    const session = new Session(await testRuntime(), hashedWeights(model));
    // 37 pixels: the last pooling windows reach beyond the map.
    const side = stage === "pnet" ? 37 : INPUT_SIZES[stage];
    const program = session.compiled(model, stage, ["x"], ({ x }) => {
      const { logits, offsets, landmarks } = model[stage].forward(x);
      return { scores: objectProbability(logits), offsets, ...(landmarks && { landmarks }) };
    });
    const outputs: Readonly<Record<string, NdArray>> = await program.run({
      x: uniform(`x${side}`, [1, 3, side, side]),
    });
    await session.release();
    // facenet-pytorch gives offsets, landmarks if there are any, and the probabilities of background and face.
    const expected = mtcnnFixture.outputs[stage] ?? [];
    const [offsets, both] = [expected[0] ?? [], expected.at(-1) ?? []];
    const like = (name: string, values: readonly number[]): void => {
      expect(outputs[name]?.data.length).toBe(values.length);
      for (const [i, value] of values.entries()) expect(Number(outputs[name]?.data[i])).toBeCloseTo(value, 4);
    };
    like("offsets", offsets);
    like("scores", both.slice(both.length / 2));
    if (stage === "onet") like("landmarks", expected[1] ?? []);
  });
});

describe("the cascade", () => {
  const cases = mtcnnFixture.cases.filter(({ weights }) => weights === "hashed" || published !== undefined);
  const named = cases.map((each): readonly [string, MtcnnCase] => [
    `${each.picture}, ${each.weights} weights, from ${each.options.minimumSize} pixels on`,
    each,
  ]);
  it.each(named)("finds what facenet-pytorch finds, network by network: %s", async (_name, expected) => {
    const model = mtcnn(expected.options);
    const weights = expected.weights === "hashed" ? hashedWeights(model) : published;
    const session = new Session(await testRuntime(), weights ?? new Map());
    const { proposals, refined, found } = await model.stages(session, await pictureOf(expected.picture));
    await session.release();
    expectRows(rowsOf(proposals), expected.proposals);
    expectRows(rowsOf(refined), expected.refined);
    expectRows(rowsOf(found), expected.found);
    const points = found.landmarks ?? new Float32Array();
    expectRows(
      expected.found.map((_, i) => Array.from(points.subarray(10 * i, 10 * i + 10))),
      expected.landmarks,
    );
  });

  it("finds nothing in images that are smaller than the smallest object", async () => {
    const model = mtcnn();
    const session = new Session(await testRuntime(), hashedWeights(model));
    for (const [width, height] of [
      [1, 1],
      [11, 300],
      [19, 19],
    ] as const) {
      const image = { width, height, data: new Uint8Array(3 * width * height).fill(128) };
      const found = await model.find(session, image);
      expect(found.scores.length).toBe(0);
      expect(found.boxes.length).toBe(0);
    }
    await session.release();
  });

  it("cuts boxes off at the borders, and keeps the best ones", async () => {
    const model = mtcnn({ minimumSize: 30, thresholds: [0.45, 0.8, 0.25] });
    const session = new Session(await testRuntime(), hashedWeights(model));
    const image = await pictureOf("crowd");
    const all = await model.find(session, image);
    const best = await model.find(session, image, { maximum: 3 });
    const sure = await model.find(session, image, { confidence: 0.35 });
    await session.release();
    expect(all.scores.length).toBeGreaterThan(5);
    for (const [i, edge] of Array.from(all.boxes).entries()) {
      expect(edge).toBeGreaterThanOrEqual(0);
      expect(edge).toBeLessThanOrEqual(i % 2 === 0 ? image.width : image.height);
    }
    expect(Array.from(best.scores)).toEqual(Array.from(all.scores).slice(0, 3));
    expect(best.landmarks).toEqual(all.landmarks?.slice(0, 30));
    expect(sure.scores.length).toBeGreaterThan(0);
    expect(Array.from(sure.scores).every((score) => score > 0.35)).toBe(true);
    expect(sure.scores.length).toBeLessThan(all.scores.length);
  });

  it("looks at large images by tiles as at small ones", async () => {
    // An image with the crowd twice, so far apart that no window sees both: what is found in the one is found in the other. Its levels have
    // several tiles; the copies lie on whole windows of the first level, of which windows of less than 40 pixels are.
    const crowd = await pictureOf("crowd");
    const [width, height] = [2 * 320, 208];
    const data = new Uint8Array(3 * width * height).fill(104);
    for (let channel = 0; channel < 3; channel++) {
      for (let row = 0; row < crowd.height; row++) {
        const line = crowd.data.subarray(
          (channel * crowd.height + row) * crowd.width,
          (channel * crowd.height + row + 1) * crowd.width,
        );
        data.set(line, (channel * height + row) * width);
        data.set(line, (channel * height + row) * width + 320);
      }
    }
    const options = { minimumSize: 12, factor: 0.1, thresholds: [0.5, 0, 0] };
    const model = mtcnn(options);
    const session = new Session(await testRuntime(), hashedWeights(model));
    const { proposals } = await model.stages(session, { width, height, data });
    await session.release();
    const of = (from: number): readonly (readonly number[])[] =>
      rowsOf(proposals)
        .filter(([x1 = 0, , x2 = 0]) => x1 >= from && x2 <= from + 300 && x2 - x1 < 40)
        .map(([x1 = 0, y1 = 0, x2 = 0, y2 = 0]) => [x1 - from, y1, x2 - from, y2]);
    const [left, right] = [of(0), of(320)];
    expect(left.length).toBeGreaterThan(50);
    expect(right.length).toBe(left.length);
    for (const row of left) {
      const same = right.some((other) => row.every((edge, i) => Math.abs(edge - (other[i] ?? 0)) < 1e-2));
      expect(same, `${row}`).toBe(true);
    }
  });
});

describe("the pyramid", () => {
  it("begins at 12 pixels for the smallest object and ends where the image has no more", () => {
    const scales = pyramidScales({ width: 100, height: 50 }, { minimumSize: 20, factor: 0.5 });
    expect(scales).toEqual([0.6, 0.3]);
    expect(pyramidScales({ width: 100, height: 19 }, { minimumSize: 20, factor: 0.5 })).toEqual([]);
    expect(pyramidScales({ width: 12, height: 12 }, { minimumSize: 4, factor: 0.709 })[0]).toBe(3);
  });
});
