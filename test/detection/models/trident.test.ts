import { describe, expect, it } from "vitest";
import { type Detector, detections } from "../../../src/detection/models/detector.ts";
import { Fcos, fcosOptions } from "../../../src/detection/models/fcos.ts";
import { OptionError } from "../../../src/errors.ts";
import type { Losses } from "../../../src/model/capabilities.ts";
import { initialState, namedTensors, nameParameters } from "../../../src/nn/module.ts";
import { checkState } from "../../../src/nn/state.ts";
import { Program, Session } from "../../../src/program/program.ts";
import { input, type Tensor } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { type Batch, detectorNamed, overfitted, rectangles, symbolic } from "./support.ts";

const SIDE = 64;
const SHAPE = [3, SIDE, SIDE];
const TINY = { width: 0.25, depth: 0.5 };

/** Each detector in a form with one map. */
const forms = [
  ["yolo", { levels: 1, neck: "none" }],
  ["fcos", { levels: 1, neck: "none", backbone: "resnet" }],
  ["center-net", { neck: "none", stride: 8, peaks: 20 }],
  ["retina-net", { levels: 1, neck: "none" }],
  ["yolo-v1", {}],
  ["yolo-v3", { levels: 1, neck: "none", anchorsPerLevel: 2 }],
  ["faster-rcnn", { levels: 1, neck: "none", finestStride: 16, hidden: 32 }],
] as const;

/** What a detector sees, with the weights of another. */
async function seen(detector: Detector, weights: Detector, { x }: Batch) {
  const { boxes, scores } = detector.decoded(input("x", x.shape));
  const program = await Program.build({ boxes, scores }, await testRuntime(), initialState(weights, 2));
  const values = await program.run({ x });
  await program.release();
  return [values.boxes, values.scores].map((value) => ({
    rows: present(value?.shape[1]),
    row: Array.from(present(value).data, Number),
  }));
}

describe.each(forms)("%s in branches", (name, options) => {
  const make = (trident: string) => detectorNamed(name, { ...TINY, ...options, trident }, SHAPE);
  const [plain, full, fast] = [make("off"), make("full"), make("fast")];
  const batch = rectangles(1, SIDE, 4, 2);

  it("has the parameters and statistics of the plain detector, whose weights it takes, and the other way round", () => {
    const shapes = (detector: Detector) =>
      [...namedTensors(detector)].map(([key, { shape }]) => [key, ...shape.map(Number)]);
    expect(shapes(full)).toEqual(shapes(plain));
    expect(shapes(fast)).toEqual(shapes(plain));
    const state = initialState(plain, 1);
    expect(initialState(full, 1)).toEqual(state);
    expect([...checkState(state, full, "plain").keys()]).toEqual([...state.keys()]);
    expect([...checkState(initialState(fast, 1), plain, "fast").keys()]).toEqual([...state.keys()]);
  });

  it("sees what three detectors see, the middle one as Trident Fast does and the first as the plain one", async () => {
    const [all, middle, first] = [
      await seen(full, plain, batch),
      await seen(fast, plain, batch),
      await seen(plain, plain, batch),
    ];
    for (const [i, { row, rows }] of all.entries()) {
      const each = row.length / 3;
      expect(rows).toBe(3 * present(middle[i]).rows);
      expect(row.slice(0, each)).toEqual(present(first[i]).row);
      expect(row.slice(each, 2 * each)).toEqual(present(middle[i]).row);
      expect(row.slice(2 * each)).not.toEqual(row.slice(0, each));
    }
  });

  it("is merged by suppression where several branches look", () => {
    expect(full.needsSuppression).toBe(true);
    expect(fast.needsSuppression).toBe(plain.needsSuppression);
  });
});

/** FCOS whose branches can be asked one by one. */
class AskedFcos extends Fcos {
  /** The losses of one plain forward pass with that dilation. */
  branchLosses({ x, ...objects }: ReturnType<typeof symbolic>, dilation: number): Losses {
    const outputs = this.head.forward(this.features.forward(x, [dilation]));
    return this.lossesOf(outputs, objects, this.geometryOf(this.grids, this.imageSize));
  }
}

/** Losses with first weights. */
async function valuesOf(detector: Detector, losses: Losses, batch: Batch): Promise<Record<string, number>> {
  const program = await Program.build(
    new Map<string, Tensor>(Object.entries(losses)),
    await testRuntime(),
    initialState(detector, 1),
  );
  const values = await program.run(batch);
  await program.release();
  return Object.fromEntries(Object.entries(values).map(([part, { data }]) => [part, Number(data[0])]));
}

describe("losses", () => {
  const asked = (options: Readonly<Record<string, unknown>>) =>
    nameParameters(
      new AskedFcos(
        fcosOptions.parse({ ...TINY, levels: 1, neck: "none", trident: "full", radius: 0, ...options }),
        { sampleShape: SHAPE, classes: 2 },
      ),
    );
  const batch = rectangles(2, SIDE, 6, 3);

  it("of all branches are the means of three plain passes, where statistics are given", async () => {
    const detector = asked({});
    const together = await valuesOf(detector, detector.loss(symbolic(batch)), batch);
    const apart = await Promise.all(
      [1, 2, 3].map((dilation) =>
        valuesOf(detector, detector.branchLosses(symbolic(batch), dilation), batch),
      ),
    );
    expect(Object.keys(together)).toEqual(["total", "class", "box", "centerness"]);
    for (const [part, value] of Object.entries(together)) {
      const mean = apart.reduce((sum, losses) => sum + present(losses[part]), 0) / 3;
      expect(value, part).toBeCloseTo(mean, 4);
    }
    expect(new Set(apart.map(({ total }) => present(total).toFixed(4))).size).toBe(3);
  });

  it("with ranges that fit all objects are those without, and with ranges that fit none teach nothing of them", async () => {
    const [usual, wide, none] = [
      asked({}),
      asked({ tridentRanges: [0, 99, 0, 99, 0, 99] }),
      asked({ tridentRanges: [0, 1, 0, 1, 0, 1] }),
    ];
    const of = (detector: AskedFcos) => valuesOf(detector, detector.loss(symbolic(batch)), batch);
    const expected = await of(usual);
    const values = await of(wide);
    for (const [part, value] of Object.entries(expected)) expect(values[part], part).toBeCloseTo(value, 5);
    const without = await of(none);
    expect(without).toMatchObject({ box: 0, centerness: 0 });
    // What lies in an object that a branch is not for is no background there.
    const covered = { ...batch, labels: { ...batch.labels, data: batch.labels.data.map(() => -1n) } };
    const marked = { ...covered, ignored: batch.boxes };
    const ignored = await valuesOf(usual, usual.loss(symbolic(marked)), marked);
    expect(without.class).toBeCloseTo(present(ignored.class), 4);
  });
});

it("an object that all branches find is found once, by CenterNet, too", async () => {
  const options = { width: 0.5, depth: 0.5, neck: "none", stride: 8, peaks: 10 };
  const detector = detectorNamed("center-net", { ...options, trident: "full" }, SHAPE);
  const batch = rectangles(2, SIDE, 4, 4);
  const weights = await overfitted(detector, batch, { steps: 80, learningRate: 5e-3 });
  const session = new Session(await testRuntime(), weights);
  const [found] = await detections(detector, session, batch.x, { confidence: 0.3, iou: 0.5 });
  const [twice] = await detections(detector, session, batch.x, { confidence: 0.3, iou: 1 });
  await session.release();
  expect(found?.scores.length).toBe(4);
  expect(twice?.scores.length).toBe(12);
  for (let i = 0; i < 4; i++) {
    const truth = batch.boxes.data.slice(4 * i, 4 * i + 4);
    const nearest = Array.from({ length: 4 }, (_, j) =>
      Math.max(...truth.map((edge, side) => Math.abs(edge - present(found?.boxes[4 * j + side])))),
    );
    expect(Math.min(...nearest)).toBeLessThan(6);
  }
});

describe("options", () => {
  it.each([
    ["yolo", {}, /option trident: .* not of 3 maps; choose levels 1 and neck none/],
    ["retina-net", { levels: 1 }, /option trident: .* not of neck fpn; choose neck none/],
    ["center-net", {}, /not of neck fpn; choose neck none/],
    ["yolo-v1", { trident: "off", tridentRanges: [0, 9, 3, 20, 9, 99] }, /add --trident full/],
  ] as const)("%s refuses %j in branches", (name, options, message) => {
    const make = () => detectorNamed(name, { ...TINY, trident: "full", ...options }, SHAPE);
    expect(make).toThrow(OptionError);
    expect(make).toThrow(message);
  });
});
