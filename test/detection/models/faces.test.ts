import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openPhoto } from "../../../src/data/boxes/image.node.ts";
import type { ByteImage } from "../../../src/data/boxes/set.ts";
import { type Detector, detections } from "../../../src/detection/models/detector.ts";
import { type FaceModel, readFaceDetector } from "../../../src/detection/models/faces/published.ts";
import { UltraLightRfb, ultraLightAnchors } from "../../../src/detection/models/faces/ultra-light-rfb.ts";
import { YuNet } from "../../../src/detection/models/faces/yunet.ts";
import { OptionError, ShapeError, WeightsError } from "../../../src/errors.ts";
import { checkState } from "../../../src/nn/state.ts";
import { evaluate } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { constant, float32, input, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { numbers, present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { describeForms } from "./forms.ts";
import { detectorNamed } from "./support.ts";

// Face detectors of published files, against what the files compute, what OpenCV finds (YuNet), and the decoding of their project (Ultra-Light).

const fixtures = new URL("../../fixtures/faces/", import.meta.url);
const found = z.object({
  boxes: z.array(z.array(z.number())),
  scores: z.array(z.number()),
  landmarks: z.array(z.array(z.number())).optional(),
});
const expected = z
  .record(z.string(), found)
  .parse(JSON.parse(readFileSync(new URL("expected.json", fixtures), "utf8")));

/** A part of an image, in pixels. */
type Part = readonly [left: number, top: number, width: number, height: number];

interface Case {
  readonly as: FaceModel;
  readonly file: URL;
  /** Sides of the images that the file takes. */
  readonly height: number;
  readonly width: number;
  /** Pixels of the portrait that a pixel of the image stands for are 1 / enlarged; then the part that is looked at. */
  readonly enlarged: number;
  readonly part: Part;
  readonly confidence: number;
  readonly iou: number;
}

const published = new URL("../../../../shared/weights/", import.meta.url);

const CASES: Readonly<Record<string, Case>> = {
  "small yunet": {
    as: "yunet",
    file: new URL("yunet.onnx.gz", fixtures),
    height: 64,
    width: 64,
    enlarged: 1,
    part: [36, 8, 64, 64],
    confidence: 0.4,
    iou: 1,
  },
  "small ultra-light-rfb": {
    as: "ultra-light-rfb",
    file: new URL("ultra-light-rfb.onnx.gz", fixtures),
    height: 48,
    width: 64,
    enlarged: 1,
    part: [36, 8, 64, 48],
    confidence: 0.7,
    iou: 0.3,
  },
  "published yunet": {
    as: "yunet",
    file: new URL("yunet_n_320.onnx", published),
    height: 320,
    width: 320,
    enlarged: 1,
    part: [0, 0, 160, 160],
    confidence: 0.6,
    iou: 0.3,
  },
  "published ultra-light-rfb": {
    as: "ultra-light-rfb",
    file: new URL("ultra-light-rfb-320.onnx", published),
    height: 240,
    width: 320,
    enlarged: 2,
    part: [0, 0, 320, 240],
    confidence: 0.6,
    iou: 0.5,
  },
};

const available = Object.keys(CASES).filter((name) => existsSync(present(CASES[name]).file));
if (available.length < Object.keys(CASES).length) {
  console.log("skipped: published face detectors; there is no ../shared/weights");
}

function bytesOf({ file }: Case): Uint8Array {
  const bytes = readFileSync(file);
  return file.pathname.endsWith(".gz") ? gunzipSync(bytes) : bytes;
}

/** The detector of a file, with its weights. */
async function opened(name: string, shape: readonly [height: number, width: number]) {
  const given = present(CASES[name]);
  const read = readFaceDetector(bytesOf(given), given.as, name);
  const model = detectorNamed(given.as, read.modelOptions, [3, ...shape], read.classes);
  return {
    given,
    model,
    session: new Session(await testRuntime(), checkState(read.state, model, name)),
  };
}

let portrait: ByteImage;
beforeAll(async () => {
  const bytes = readFileSync(new URL("astronaut.png", fixtures));
  portrait = await (await openPhoto(bytes, "astronaut.png", { pixelLimit: 1e6 })).decode();
});

/** A part of the portrait, every pixel so many times along each axis. */
function look({ enlarged, part: [left, top, width, height] }: Case): NdArray<"float32"> {
  const x = new Float32Array(3 * height * width);
  for (let i = 0; i < x.length; i++) {
    const [channel, row, column] = [
      Math.floor(i / (height * width)),
      Math.floor(i / width) % height,
      i % width,
    ];
    const [y, z] = [Math.floor((row + top) / enlarged), Math.floor((column + left) / enlarged)];
    x[i] = portrait.data[(channel * portrait.height + y) * portrait.width + z] ?? Number.NaN;
  }
  return float32(x, [1, 3, height, width]);
}

/** What a model predicts, by the names that its file has for it, in the order of `parts`. */
function raw(model: Detector, x: Tensor): Readonly<Record<string, Tensor>> {
  if (model instanceof YuNet) {
    const { classes, objectness, boxes, landmarks } = model.outputs(x);
    return { cls: classes.sigmoid(), obj: objectness.sigmoid(), bbox: boxes, kps: present(landmarks) };
  }
  if (!(model instanceof UltraLightRfb)) throw new Error("no face detector");
  const { classes, boxes } = model.outputs(x);
  return { scores: classes.softmax(2), boxes };
}

describe.each(available)("%s", (name) => {
  it("predicts what the runtime computes of the file", async () => {
    const { given, model, session } = await opened(name, [
      present(CASES[name]).height,
      present(CASES[name]).width,
    ]);
    const { height, width, as } = given;
    const bytes = Float32Array.from({ length: 3 * height * width }, (_, i) =>
      Math.round(127 + 120 * Math.sin(0.37 * i + 0.11 * (i % 977))),
    );
    const own = await session
      .compiled(model, "raw", ["x"], ({ x }) => raw(model, x))
      .run({ x: float32(bytes, [1, 3, height, width]) });
    await session.release();

    const area = height * width;
    const theirs =
      as === "yunet"
        ? // Blue, green, red.
          bytes.map((_, i) => bytes[(2 - Math.floor(i / area)) * area + (i % area)] ?? Number.NaN)
        : bytes.map((value) => (value - 127) / 128);
    const file = await InferenceSession.create(bytesOf(given), { logSeverityLevel: 3 });
    const results = await file.run({ input: new OrtTensor("float32", theirs, [1, 3, height, width]) });
    await file.release();
    for (const [output, value] of Object.entries(own)) {
      const parts = as === "yunet" ? [8, 16, 32].map((stride) => `${output}_${stride}`) : [output];
      const all = parts.flatMap((part) => Array.from(present(results[part]).data as Float32Array));
      expect(value.data.length).toBe(all.length);
      for (const [i, number] of numbers(value).entries()) expect(number).toBeCloseTo(present(all[i]), 4);
    }
  });

  it("finds what the other program finds", async () => {
    const given = present(CASES[name]);
    const [, , width, height] = given.part;
    const { model, session } = await opened(name, [height, width]);
    const [seen] = await detections(model, session, look(given), { ...given, maximum: 200 });
    await session.release();
    const { boxes, scores, landmarks } = present(seen);
    const other = present(expected[name]);
    expect(scores.length).toBe(other.scores.length);
    expect(landmarks !== undefined).toBe(other.landmarks !== undefined);
    // Here boxes are cut off at the borders of the image.
    const clipped = other.boxes.map((box) =>
      box.map((edge, i) => Math.min(Math.max(edge, 0), i % 2 === 0 ? width : height)),
    );
    // Of scores that are alike either may come first.
    const left = new Set(clipped.keys());
    for (const [i, score] of scores.entries()) {
      const own = Array.from(boxes.slice(4 * i, 4 * i + 4));
      const near = [...left].find(
        (j) =>
          Math.abs(present(other.scores[j]) - score) < 1e-3 &&
          own.every((edge, k) => Math.abs(edge - present(clipped[j]?.[k])) < 1e-2),
      );
      expect(near, `${i}: [${own}] ${score}`).not.toBe(undefined);
      if (near === undefined) continue;
      left.delete(near);
      for (const [k, at] of present(other.landmarks?.[near] ?? []).entries()) {
        expect(Math.abs(present(landmarks?.[10 * i + k]) - at)).toBeLessThan(1e-2);
      }
    }
  });
});

describe("files that are no face detector", () => {
  const yunet = () => bytesOf(present(CASES["small yunet"]));
  const ultraLight = () => bytesOf(present(CASES["small ultra-light-rfb"]));
  /** The bytes with every text `from` changed to one as long. */
  const renamed = (bytes: Uint8Array, from: string, to: string): Uint8Array =>
    Buffer.from(Buffer.from(bytes).toString("latin1").replaceAll(from, to), "latin1");

  it("of the other model are named with what to give", () => {
    expect(() => readFaceDetector(ultraLight(), "yunet", "f.onnx")).toThrow(OptionError);
    expect(() => readFaceDetector(ultraLight(), "yunet", "f.onnx")).toThrow("give --as ultra-light-rfb");
    expect(() => readFaceDetector(yunet(), "ultra-light-rfb", "f.onnx")).toThrow("give --as yunet");
  });

  it.each<readonly [string, () => Uint8Array, FaceModel, string]>([
    [
      "outputs",
      () => renamed(yunet(), "cls_8", "cls_9"),
      "yunet",
      "no face detector that is read, by its outputs",
    ],
    ["an activation", () => renamed(yunet(), "Relu", "Tanh"), "yunet", "has an operation Tanh"],
    ["a count", () => renamed(yunet(), "MaxPool", "MinPool"), "yunet", "has 0 operations MaxPool"],
    [
      "other convolutions",
      () => renamed(yunet(), "\x22\x04Conv", "\x22\x04Corr"),
      "yunet",
      "has 0 convolutions",
    ],
    [
      "a stride",
      () => renamed(ultraLight(), "strides", "strydes"),
      "ultra-light-rfb",
      "in the place of stem has another stride",
    ],
    [
      "a dilation",
      () => renamed(ultraLight(), "dilations", "dilutions"),
      "ultra-light-rfb",
      "has another stride, padding or dilation",
    ],
  ])("%s: a WeightsError", (_, bytes, as, why) => {
    expect(() => readFaceDetector(bytes(), as, "f.onnx")).toThrow(WeightsError);
    expect(() => readFaceDetector(bytes(), as, "f.onnx")).toThrow(why);
  });
});

describe("anchors of Ultra-Light", () => {
  it("share images that the stride does not divide, and are no longer than the image", async () => {
    const values = numbers(present((await evaluate([ultraLightAnchors({ width: 320, height: 240 })]))[0]));
    expect(values.length).toBe(4 * 4420);
    expect(values.slice(0, 4)).toEqual([-1, -1, 9, 9]);
    // Eight rows of stride 32 in 240 pixels: the first is 30 high.
    const coarse = 4 * (40 * 30 * 3 + 20 * 15 * 2);
    expect(values.slice(coarse, coarse + 4)).toEqual([-16, -17, 48, 47]);
    // The last one, of side 256: as high as the image.
    expect(values.slice(-4)).toEqual([160, 90, 416, 330]);
  });
});

describe("options", () => {
  it.each([
    ["yunet", { channels: [4, 4, 8, 8, 8, 16] }, [3, 64, 64], /the last three must be alike/],
    ["yunet", {}, [3, 48, 64], /do not divide by 32/],
    ["ultra-light-rfb", { channels: 6 }, [3, 64, 64], /6 is no multiple of 4/],
    ["ultra-light-rfb", {}, [3, 40, 64], /do not divide by 16/],
  ])("%s refuses %j for images %j", (name, options, shape, message) => {
    expect(() => detectorNamed(name, options, shape)).toThrow(OptionError);
    expect(() => detectorNamed(name, options, shape)).toThrow(message);
  });

  it("landmarks cannot be fitted, and say so", () => {
    const model = detectorNamed("yunet", { landmarks: 5, channels: [4, 4, 4, 4, 4, 4] }, [3, 64, 64]);
    const batch = {
      x: input("x", [1, 3, 64, 64]),
      boxes: input("boxes", [1, 2, 4]),
      labels: input("labels", [1, 2], "int64"),
    };
    expect(() => model.loss(batch)).toThrow(/the 5 landmarks of yunet are not learnt .* --landmarks 0/);
    expect(model.decoded(input("x", ["batch", 3, 64, 96])).landmarks?.shape).toEqual(["batch", 126, 10]);
    expect(() => model.decoded(constant(float32(new Float32Array(3 * 64 * 48), [1, 3, 64, 48])))).toThrow(
      ShapeError,
    );
  });
});

describeForms(
  [
    ["yunet", { channels: [4, 4, 8, 8, 8, 8] }],
    // So many positives and negatives that each map has some of them.
    ["ultra-light-rfb", { channels: 4, foreground: 0.05, negatives: 64 }],
  ],
  {},
);
