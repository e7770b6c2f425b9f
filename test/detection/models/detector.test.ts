import { describe, expect, it } from "vitest";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { type Detector, detections, pickedDetections } from "../../../src/detection/models/detector.ts";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { exportedDetections } from "../../../src/detection/models/exported.ts";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { initialState, parametersOf } from "../../../src/nn/module.ts";
import { exportOnnx, Program, Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { type Batch, detectorNamed, overfitted, rectangles, symbolic } from "./support.ts";

const SMALL = { width: 0.5, depth: 0.5 };

/** The smallest networks, where nothing has to be learnt. */
const TINY = { width: 0.25, depth: 0.5 };

/** Each detector in a small form, and forms of it that take other ways. */
const forms = [
  ["yolo", {}],
  ["yolo", { neck: "fpn", backbone: "resnet", levels: 2, finestStride: 4 }],
  ["fcos", {}],
  ["fcos", { radius: 0, levels: 4, neck: "none" }],
  ["center-net", { peaks: 20 }],
  ["center-net", { peaks: 20, neck: "pan", stride: 8 }],
  ["retina-net", {}],
  ["retina-net", { anchorSizes: 1, anchorRatios: [1], neck: "pan", focalGamma: 1.5 }],
  ["yolo-v1", {}],
  ["yolo-v1", { head: "connected", hidden: 32, stride: 16, predictors: 3 }],
  ["yolo-v3", {}],
  ["yolo-v3", { levels: 1, finestStride: 32, anchorsPerLevel: 5, objectness: "iou", classLoss: "softmax" }],
  ["sliding-window", {}],
  ["sliding-window", { window: 24, depth: 0.25, smallestHeight: 12, octave: 1, ratio: 1.5, negatives: 1 }],
  ["faster-rcnn", { hidden: 32 }],
  [
    "faster-rcnn",
    { hidden: 32, neck: "none", levels: 1, finestStride: 16, cascade: [0.5, 0.6, 0.7], bins: 5 },
  ],
  ["yolo", { trident: "full", levels: 1, finestStride: 16, neck: "none" }],
  ["fcos", { trident: "full", backbone: "resnet", levels: 1, finestStride: 16, neck: "none" }],
  ["center-net", { trident: "full", neck: "none", stride: 8, peaks: 20 }],
  ["center-net", { trident: "fast", neck: "none", stride: 8, peaks: 20 }],
  ["retina-net", { trident: "fast", backbone: "resnet", levels: 1, neck: "none" }],
  ["yolo-v1", { trident: "full" }],
  ["yolo-v3", { trident: "full", tridentRanges: [0, 24, 12, 48, 24, 1e6], levels: 1, neck: "none" }],
  ["faster-rcnn", { trident: "full", hidden: 32, neck: "none", levels: 1, finestStride: 16, bins: 5 }],
] as const;

const SIDE = 64;

/** What a detector sees in an image of that side, with weights that depend on their names alone. */
async function seenAt(detector: Detector, side: number): Promise<readonly (readonly number[])[]> {
  const { x } = rectangles(1, side, 1, 1);
  const { boxes, scores } = detector.decoded(input("x", x.shape));
  const program = await Program.build(new Map(Object.entries({ boxes, scores })), await testRuntime());
  const values = await program.run({ ...Object.fromEntries(initialState(detector, 1)), x });
  await program.release();
  return [present(values.boxes), present(values.scores)].map(({ data }) => Array.from(data, Number));
}

/** Losses while training, and the gradient of each parameter where asked, of several batches of the same shape. */
async function lossesOf(
  detector: Detector,
  batches: readonly Batch[],
  { gradients }: { readonly gradients: boolean },
): Promise<readonly ReadonlyMap<string, readonly number[]>[]> {
  const [first] = batches;
  if (first === undefined) return [];
  const { result: losses } = traceTraining(() => detector.loss(symbolic(first)));
  const outputs = new Map<string, Tensor>(Object.entries(losses));
  const parameters = gradients ? parametersOf(detector) : [];
  for (const [i, gradient] of (gradients ? grad(losses.total, [...parameters]) : []).entries()) {
    outputs.set(`gradient ${parameters[i]?.name}`, gradient);
  }
  // Weights that are no constants of the program are quicker to load.
  const weights = Object.fromEntries(initialState(detector, 1));
  const program = await Program.build(outputs, await testRuntime());
  const results: ReadonlyMap<string, readonly number[]>[] = [];
  for (const batch of batches) {
    const values = await program.run({ ...weights, ...batch }, { random: new Random(4) });
    results.push(new Map(Object.entries(values).map(([name, { data }]) => [name, Array.from(data, Number)])));
  }
  await program.release();
  return results;
}

/** The same objects in another order, and other numbers where there is none. */
function rearranged({ x, boxes, labels }: Batch): Batch {
  const rows = [5, 2, 0, 4, 1, 3];
  const order = [...rows, ...rows.map((row) => row + 6)];
  const given = order.map((row) => Number(labels.data[row]));
  const edges = order.flatMap((row, i) =>
    given[i] === -1 ? [10, 20, 30, 40] : [...boxes.data.subarray(4 * row, 4 * row + 4)],
  );
  return { x, boxes: float32(edges, boxes.shape), labels: int64(given, labels.shape) };
}

describe.each(forms)("%s %j", (name, options) => {
  const detector = detectorNamed(name, { ...TINY, ...options }, [3, SIDE, SIDE]);
  const batch = rectangles(2, SIDE, 6, 3);
  const { x, boxes, labels } = batch;
  const none = int64(new Array<number>(labels.data.length).fill(-1), labels.shape);
  let known: ReturnType<typeof lossesOf> | undefined;
  /** Losses of the objects, of the same ones in another order, and of none, from one program. */
  const usualLosses = () => {
    known ??= lossesOf(detector, [batch, rearranged(batch), { x, boxes, labels: none }], { gradients: true });
    return known;
  };

  it("has losses that add up, of objects in any order or none, with gradients to all parameters", async () => {
    const results = await usualLosses();
    for (const values of results) {
      const parts = [...values].filter(([part]) => part !== "total" && !part.startsWith("gradient "));
      const sum = parts.reduce((total, [, [value = Number.NaN]]) => total + value, 0);
      expect(parts.length).toBeGreaterThan(1);
      expect(values.get("total")).toEqual([expect.closeTo(sum, 3)]);
      for (const [part, numbers] of values) expect(numbers.every(Number.isFinite), part).toBe(true);
    }
    const [usual, again, empty] = results;
    expect(again?.get("total")?.[0]).toBeCloseTo(usual?.get("total")?.[0] ?? Number.NaN, 4);
    expect(empty?.get("total")?.[0]).toBeGreaterThan(0);
    expect(empty?.get("total")?.[0]).not.toBeCloseTo(usual?.get("total")?.[0] ?? Number.NaN, 2);
    for (const { name: parameter } of parametersOf(detector)) {
      // No object here is as large as the coarser levels of FCOS want.
      if (/^head\.scales\.[1-9]/.test(parameter)) continue;
      const gradient = usual?.get(`gradient ${parameter}`) ?? [];
      expect(
        gradient.some((value) => value !== 0),
        parameter,
      ).toBe(true);
    }
  });

  it("looks at images of another size as the same detector made for that size does", async () => {
    const other = SIDE + 32;
    if (name === "yolo-v1" && "head" in options && options.head === "connected") {
      // Its layer has a weight for each cell.
      await expect(seenAt(detector, other)).rejects.toThrow(ShapeError);
      return;
    }
    const made = detectorNamed(name, { ...TINY, ...options }, [3, other, other]);
    expect(await seenAt(detector, other)).toEqual(await seenAt(made, other));
  });

  it("takes nothing in an ignored region for background, and learns of the objects in it all the same", async () => {
    const regions = (...edges: readonly number[]): Batch => ({
      ...batch,
      ignored: float32([...edges, 0, 0, 0, 0, ...edges, 0, 0, 0, 0], [2, 2, 4]),
    });
    const whole = regions(-1, -1, SIDE + 1, SIDE + 1);
    const results = await lossesOf(
      detector,
      [regions(0, 0, 0, 0), regions(0, 0, SIDE / 2, SIDE), whole, { ...whole, labels: none }],
      { gradients: false },
    );
    const [unmarked, half, all, empty] = results.map((values) => present(values.get("total")?.[0]));
    const [usual] = await usualLosses();
    expect(unmarked).toBeCloseTo(present(usual?.get("total")?.[0]), 4);
    expect(half).toBeLessThan(unmarked ?? 0);
    expect(all).toBeLessThan(half ?? 0);
    expect(all).toBeGreaterThan(0);
    expect(empty).toBe(0);
  });

  it("sees the same in each image as in both, and exports what it sees", async () => {
    const weights = initialState(detector, 2);
    const runtime = await testRuntime();
    const { boxes, scores } = detector.decoded(input("x", [2, 3, SIDE, SIDE]));
    const together = await Program.build({ boxes, scores }, runtime, weights);
    const seen = await together.run({ x: batch.x });
    await together.release();
    const [n, k = 0, four] = seen.boxes?.shape ?? [];
    expect([n, four]).toEqual([2, 4]);
    expect(seen.scores?.shape).toEqual([2, k, 2]);
    const values = Array.from(seen.scores?.data ?? [], Number);
    expect(values.every((score) => score >= 0 && score <= 1)).toBe(true);

    const { outputs, description } = detector.exported();
    expect(description).toContain(`[batch, ${k}, 4]`);
    const session = await runtime.load(exportOnnx(outputs, weights));
    for (const image of [0, 1]) {
      const size = 3 * SIDE * SIDE;
      const x = float32(batch.x.data.slice(image * size, (image + 1) * size), [1, 3, SIDE, SIDE]);
      const results = await session.run({ x });
      for (const output of ["boxes", "scores"] as const) {
        const alone = Array.from((await results[output]?.read())?.data ?? [], Number);
        const expected = Array.from(seen[output]?.data ?? [], Number);
        expect(alone.length * 2).toBe(expected.length);
        for (const [i, value] of alone.entries()) {
          expect(value).toBeCloseTo(expected[image * alone.length + i] ?? Number.NaN, 3);
        }
      }
    }
    await session.release();
  });

  it("exports what is found as it finds it, duplicates taken away inside", async () => {
    // With the weights of seed 2 two detections of the smallest YOLO have the very same score, and either order is right.
    const weights = initialState(detector, 3);
    const runtime = await testRuntime();
    const valuesOf = async (outputs: Readonly<Record<string, Tensor>>) => {
      const session = await runtime.load(exportOnnx(outputs, weights));
      const results = await session.run({ x: batch.x });
      const read = await Promise.all(
        Object.entries(results).map(async ([name, value]) => [name, await value.read()] as const),
      );
      await session.release();
      return Object.fromEntries(read);
    };
    const seen = await valuesOf(detector.exported().outputs);
    const scores = Array.from(seen.scores?.data ?? [], Number).sort((a, b) => b - a);
    // As many as are needed for some to overlap, and few enough for some rows to stay empty.
    const confidence = Math.max(1e-6, ((scores[59] ?? 0) + (scores[60] ?? 0)) / 2);
    const options = { confidence, iou: 0.5, maximum: 30 };
    const picked = pickedDetections(
      detector,
      { boxes: seen.boxes as NdArray<"float32">, scores: seen.scores as NdArray<"float32"> },
      options,
    );
    const { outputs, description } = exportedDetections(detector, options);
    expect(description).toContain("[batch, 30, 4]");
    const found = await valuesOf(outputs);
    expect(found.boxes?.shape).toEqual([2, 30, 4]);
    for (const [image, expected] of picked.entries()) {
      const row = (name: string, width: number) =>
        Array.from(found[name]?.data ?? [], Number).slice(30 * width * image, 30 * width * (image + 1));
      const count = expected.scores.length;
      expect(row("classes", 1)).toEqual([...Array.from(expected.classes), ...Array(30 - count).fill(-1)]);
      expect(row("scores", 1)).toEqual([...expected.scores, ...Array(30 - count).fill(0)]);
      for (const [i, value] of Array.from(expected.boxes).entries()) {
        expect(row("boxes", 4)[i]).toBeCloseTo(value, 3);
      }
    }
    expect(picked.reduce((sum, { scores }) => sum + scores.length, 0)).toBeGreaterThan(2);
  });
});

describe("training", () => {
  it.each([
    ["yolo", {}, 0.7],
    // Its boxes are learnt from a few regions of each image, and take longer.
    ["faster-rcnn", { hidden: 64 }, 0.4],
  ])("of a %s on two images ends with their objects found", async (name, options, least) => {
    const detector = detectorNamed(name, { ...SMALL, ...options }, [3, SIDE, SIDE]);
    const batch = rectangles(2, SIDE, 4, 4);
    const weights = await overfitted(detector, batch, { steps: 60, learningRate: 5e-3 });
    const session = new Session(await testRuntime(), weights);
    const found = await detections(detector, session, batch.x);
    await session.release();
    const evaluator = new DetectionEvaluator(["bright", "dark"]);
    for (const [i, image] of found.entries()) {
      evaluator.add(image, {
        boxes: batch.boxes.data.slice(16 * i, 16 * (i + 1)),
        classes: Array.from(batch.labels.data.slice(4 * i, 4 * (i + 1)), Number),
      });
    }
    const { ap50, ap75 } = evaluator.coco();
    expect(ap50).toBeGreaterThan(0.95);
    expect(ap75).toBeGreaterThan(least);
  });
});

describe("moving an image moves the boxes", () => {
  it.each([
    ["yolo", { neck: "none", levels: 1, finestStride: 8 }, 8],
    ["yolo-v3", { neck: "none", levels: 1, finestStride: 8, anchorsPerLevel: 1 }, 8],
    ["center-net", { neck: "none", peaks: 1 }, 4],
  ])("%s", async (name, options, stride) => {
    // Something in the middle of a grey image, so far from the borders that nothing there is seen of them.
    const side = 256;
    const detector = detectorNamed(name, { ...SMALL, ...options }, [3, side, side]);
    const weights = initialState(detector, 3);
    const random = new Random(9);
    const patch = Float32Array.from({ length: 3 * 40 * 40 }, () => 255 * random.uniform());
    const image = (right: number, down: number): NdArray<"float32"> => {
      const x = new Float32Array(3 * side * side).fill(120);
      for (let i = 0; i < patch.length; i++) {
        const [channel, row, column] = [Math.floor(i / 1600), Math.floor(i / 40) % 40, i % 40];
        x[(channel * side + row + 108 + down) * side + column + 108 + right] = patch[i] ?? 0;
      }
      return float32(x, [1, 3, side, side]);
    };
    const session = new Session(await testRuntime(), weights);
    const see = session.compiled(detector, "see", ["x"], ({ x }) => detector.decoded(x));
    const [right, down] = [2 * stride, stride];
    const [here, there] = [await see.run({ x: image(0, 0) }), await see.run({ x: image(right, down) })];
    await session.release();
    const shift = [right, down, right, down];
    if (name === "center-net") {
      // The peak of an untrained network may lie anywhere; in this one it is in the middle.
      const [x1 = 0, , x2 = 0] = Array.from(here.boxes.data, Number);
      expect(Math.abs((x1 + x2) / 2 - 128)).toBeLessThan(60);
      for (const [i, value] of here.boxes.data.entries()) {
        expect(Number(there.boxes.data[i])).toBeCloseTo(Number(value) + (shift[i] ?? 0), 3);
      }
      return;
    }
    const columns = side / stride;
    let seen = 0;
    for (let row = 12; row < 20; row++) {
      for (let column = 12; column < 20; column++) {
        const [from, to] = [row * columns + column, (row + 1) * columns + column + 2];
        const of = ({ boxes, scores }: typeof here, place: number) => ({
          box: Array.from(boxes.data.subarray(4 * place, 4 * place + 4), Number),
          scores: Array.from(scores.data.subarray(2 * place, 2 * place + 2), Number),
        });
        const [a, b] = [of(here, from), of(there, to)];
        for (const [i, edge] of a.box.entries()) expect(b.box[i]).toBeCloseTo(edge + (shift[i] ?? 0), 3);
        for (const [i, score] of a.scores.entries()) expect(b.scores[i]).toBeCloseTo(score, 5);
        if (Math.abs((a.scores[0] ?? 0) - Number(here.scores.data[0])) > 1e-6) seen++;
      }
    }
    expect(seen).toBeGreaterThan(20);
  });
});

describe("detections", () => {
  const found = {
    boxes: [
      [10, 10, 30, 30],
      [12, 10, 32, 30],
      [40, 40, 70, 60],
      [0, 0, 5, 5],
    ],
    scores: [
      [0.9, 0.3],
      [0.8, 0.02],
      [0.1, 0.6],
      [0.04, 0.04],
    ],
  };

  function fake(needsSuppression: boolean): Detector {
    return {
      kind: "detector",
      imageSize: { width: 64, height: 64 },
      classes: 2,
      needsSuppression,
      loss: () => ({ total: constant(0) }),
      // The first pixel of an image moves its scores by nothing, but makes them depend on it.
      decoded: (x) => {
        const zero = x.reshape([2, -1]).mul(0).sum(1).reshape([2, 1, 1]);
        return {
          boxes: constant(float32(found.boxes.flat(), [1, 4, 4])).add(zero),
          scores: constant(float32(found.scores.flat(), [1, 4, 2])).add(zero),
        };
      },
      exported: () => ({ outputs: {}, description: "" }),
    };
  }

  const x = float32(new Float32Array(2 * 3 * 64 * 64), [2, 3, 64, 64]);

  it("are the best boxes of each class, cut off at the borders", async () => {
    const session = new Session(await testRuntime(), new Map());
    const results = await detections(fake(true), session, x);
    expect(results.length).toBe(2);
    for (const { boxes, scores, classes } of results) {
      expect(Array.from(scores, (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.6, 0.3, 0.1]);
      expect(Array.from(classes)).toEqual([0, 1, 1, 0]);
      expect(Array.from(boxes.slice(4, 8))).toEqual([40, 40, 64, 60]);
    }
    const [few] = await detections(fake(true), session, x, { maximum: 2, confidence: 0.2, iou: 0.9 });
    expect(Array.from(few?.scores ?? [], (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.8]);
    await session.release();
  });

  it("are not suppressed where the graph has picked them", async () => {
    const session = new Session(await testRuntime(), new Map());
    const [result] = await detections(fake(false), session, x, { confidence: 0.5 });
    expect(Array.from(result?.scores ?? [], (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.8, 0.6]);
    await session.release();
  });

  it("name options that are not acceptable", async () => {
    const session = new Session(await testRuntime(), new Map());
    await expect(detections(fake(true), session, x, { confidence: 2 })).rejects.toThrow(OptionError);
    await expect(detections(fake(true), session, x, { iou: -1 })).rejects.toThrow(/iou -1 must lie in 0 … 1/);
    await expect(detections(fake(true), session, x, { maximum: -1 })).rejects.toThrow(/maximum -1/);
  });
});

describe("options", () => {
  it.each([...detectors.keys()])("%s describes each and builds with its defaults", (name) => {
    const { options, preferences, build } = present(detectors.get(name));
    const detector = detectorNamed(name, {}, [3, 320, 320], 3);
    const { boxes, scores } = detector.decoded(input("x", ["batch", 3, 320, 320]));
    expect(boxes.shape).toEqual(["batch", scores.shape[1], 4]);
    expect(scores.shape[2]).toBe(3);
    expect(preferences({ sampleShape: [3, 320, 320], classes: 3 }).batchSize).toBe(8);
    expect(() => detector.decoded(input("x", [1, 3, 300, 320]))).toThrow(ShapeError);
    expect(() => build(options.parse({}), { sampleShape: [3, 320, 320] })).toThrow(/no classes/);
    expect(() => options.parse({ neckk: "fpn" })).toThrow();
  });

  it.each([
    ["retina-net", { foreground: 0.3 }, /option background: 0.4 must not be above foreground, 0.3/],
    ["yolo-v3", { anchors: [10, 12, 20, 30] }, /option anchors: 4 numbers; 9 anchors .* need 18/],
    ["center-net", { peaks: 1000 }, /option peaks: the heat maps have 512 cells, fewer than 1000/],
  ])("%s refuses %j", (name, options, message) => {
    expect(() => detectorNamed(name, options, [3, SIDE, SIDE])).toThrow(OptionError);
    expect(() => detectorNamed(name, options, [3, SIDE, SIDE])).toThrow(message);
  });
});
