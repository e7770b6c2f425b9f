import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { photos } from "../../../src/data/sources/memory.ts";
import { OptionError, WeightsError } from "../../../src/errors.ts";
import { writeSafetensors } from "../../../src/nn/safetensors.ts";
import type { State } from "../../../src/program/program.ts";
import { importDetector, openRun } from "../../../src/tasks/index.node.ts";
import { detectorRun } from "../../../src/tasks/run/load.node.ts";
import { DetectionWriter, detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { hashedWeights, mtcnn, mtcnnFixture, picturePath } from "../../detection/models/mtcnn/support.ts";
import { present, temporaryFolder } from "../../support.ts";

const STAGES = ["pnet", "rnet", "onet"] as const;
const expected = present(
  mtcnnFixture.cases.find(({ weights, picture }) => weights === "hashed" && picture === "crowd"),
);

let root = "";
let weights: State = new Map();
let folder = "";
/** A run of the weights of the fixture, which looks as its case does. */
let run = "";

/** The tensors of a network, by its own names. */
function networkOf(stage: string): State {
  const prefix = `${stage}.`;
  return new Map(
    [...weights].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
}

async function written(path: string, state: State): Promise<string> {
  await writeFile(path, writeSafetensors(state, {}));
  return path;
}

beforeAll(async () => {
  root = await temporaryFolder();
  weights = hashedWeights(mtcnn());
  folder = join(root, "networks");
  await mkdir(folder);
  for (const stage of STAGES) await written(join(folder, `${stage}.safetensors`), networkOf(stage));
  await writeFile(join(folder, "LICENSE"), "of no matter");
  run = (await importDetector({ file: folder, as: "mtcnn", out: join(root, "run") })).folder;
});

describe("an import of MTCNN", () => {
  it("refuses files that are named after another network than they hold", async () => {
    const swapped = join(root, "swapped");
    await mkdir(swapped);
    await written(join(swapped, "pnet.safetensors"), networkOf("rnet"));
    await written(join(swapped, "rnet.safetensors"), networkOf("pnet"));
    await written(join(swapped, "onet.safetensors"), networkOf("onet"));
    const importing = importDetector({ file: swapped, as: "mtcnn", out: join(root, "swapped-run") });
    await expect(importing).rejects.toThrow(
      /pnet\.safetensors: is called pnet and holds the layers of rnet: .*swapped/,
    );
  });

  it("is a run that finds what facenet-pytorch finds, with landmarks", async () => {
    await using opened = await openRun(run, { cascade: expected.options, threads: 1 });
    expect(opened.classes).toEqual(["face"]);
    expect(opened.isCascade).toBe(true);
    const { objects, width, height } = await opened.detect(picturePath("crowd"));
    expect(objects.length).toBe(expected.found.length);
    for (const [i, { box, score, label, landmarks }] of objects.entries()) {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0, sure] = expected.found[i] ?? [];
      const cut = (edge: number, side: number) => Math.min(side, Math.max(0, edge));
      const edges = [cut(x1, width), cut(y1, height), cut(x2, width), cut(y2, height)];
      for (const [k, edge] of edges.entries()) expect(Math.abs((box[k] ?? 0) - edge)).toBeLessThan(1e-3);
      expect(score).toBeCloseTo(sure ?? Number.NaN, 4);
      expect(label).toBe("face");
      const points = expected.landmarks[i] ?? [];
      expect(landmarks?.length).toBe(5);
      for (const [k, value] of (landmarks ?? []).flat().entries()) {
        expect(Math.abs(value - (points[k] ?? Number.NaN))).toBeLessThan(1e-3);
      }
    }
    const sure = await opened.detect(picturePath("crowd"), { confidence: 0.35, maximum: 2 });
    expect(sure.objects).toEqual(objects.filter(({ score }) => score > 0.35).slice(0, 2));
  });

  it("is made of files in any order, or of one with all of them, to the same weights", async () => {
    const files = await importDetector({
      file: ["onet", "pnet", "rnet"].map((stage) => join(folder, `${stage}.safetensors`)),
      as: "mtcnn",
      classes: "head",
      out: join(root, "files"),
    });
    const one = await written(join(root, "all.safetensors"), weights);
    const all = await importDetector({ file: one, as: "mtcnn", out: join(root, "all") });
    const wrapped = new Map([...weights].map(([name, value]) => [`module.${name}`, value]));
    const module = await importDetector({
      file: await written(join(root, "module.safetensors"), wrapped),
      as: "mtcnn",
      out: join(root, "module"),
    });
    expect(files.classes).toEqual(["head"]);
    expect(all.tensors).toBe(weights.size);
    const best = (path: string) => readFile(join(path, "weights", "best.safetensors"));
    const own = await best(run);
    for (const made of [files, all, module]) expect((await best(made.folder)).equals(own)).toBe(true);
  });

  it("without landmarks, and with landmarks of all networks, is what its tensors are", async () => {
    const plain = new Map([...weights].filter(([name]) => !name.startsWith("onet.dense6_3")));
    const early = new Map(weights)
      .set("pnet.conv4_3.weight", float32(new Float32Array(320), [10, 32, 1, 1]))
      .set("pnet.conv4_3.bias", float32(new Float32Array(10), [10]))
      .set("rnet.dense5_3.weight", float32(new Float32Array(1280), [10, 128]))
      .set("rnet.dense5_3.bias", float32(new Float32Array(10), [10]));
    const optionsOf = async (name: string, state: State) => {
      const file = await written(join(root, `${name}.safetensors`), state);
      const made = await importDetector({ file, as: "mtcnn", out: join(root, name) });
      await using opened = await openRun(made.folder, { cascade: expected.options, threads: 1 });
      const { objects } = await opened.detect(picturePath("crowd"));
      expect(objects.length).toBe(expected.found.length);
      return [opened.config.modelOptions, objects[0]?.landmarks] as const;
    };
    const [options, none] = await optionsOf("plain", plain);
    expect(options).toMatchObject({ landmarks: 0, earlyLandmarks: false });
    expect(none).toBeUndefined();
    const [both, points] = await optionsOf("early", early);
    expect(both).toMatchObject({ landmarks: 5, earlyLandmarks: true });
    expect(points?.length).toBe(5);
  });

  const without = (name: string): State => new Map([...weights].filter(([own]) => own !== name));
  it.each<[string, () => State, RegExp]>([
    ["a network less", () => new Map([...networkOf("pnet"), ["dense6_1.weight", float32([0], [1])]]), /./],
    [
      "two networks",
      () => new Map([...weights].filter(([name]) => !name.startsWith("rnet."))),
      /rnet is missing/,
    ],
    ["one network", () => networkOf("onet"), /pnet and rnet are missing/],
    [
      "something else",
      () => new Map([["encoder.0", float32([0], [1])]]),
      /none of MTCNN's networks .*encoder\.0/,
    ],
    ["a tensor less", () => without("rnet.dense4.bias"), /missing: rnet.dense4.bias/],
    [
      "a tensor more",
      () => new Map(weights).set("onet.more.weight", float32([0], [1])),
      /unexpected: onet.more.weight/,
    ],
    [
      "another shape",
      () => new Map(weights).set("pnet.conv1.bias", float32([0], [1])),
      /of another shape: pnet.conv1.bias/,
    ],
    [
      "a stranger",
      () => new Map(weights).set("classifier.weight", float32([0], [1])),
      /classifier.weight is of none of its networks/,
    ],
  ])("refuses %s, and leaves nothing behind", async (_what, change, message) => {
    const place = await temporaryFolder();
    const file = await written(join(place, "wrong.safetensors"), change());
    const trial = importDetector({ file, as: "mtcnn", out: join(place, "runs", "wrong") });
    await expect(trial).rejects.toThrow(WeightsError);
    await expect(trial).rejects.toThrow(message);
    expect(await readdir(place)).toEqual(["wrong.safetensors"]);
  });

  it("names what is wrong with files and options in one line", async () => {
    const out = join(root, "never");
    const refused = async (request: Parameters<typeof importDetector>[0]): Promise<string> => {
      const error = await importDetector({ out, ...request }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(Error);
      const { message } = error as Error;
      expect(message).not.toContain("\n");
      return message;
    };
    const empty = join(root, "empty");
    await mkdir(empty);
    expect(await refused({ file: empty, as: "mtcnn" })).toMatch(/has neither pnet, rnet and onet/);
    expect(await refused({ file: join(root, "gone.pt"), as: "mtcnn" })).toMatch(/gone\.pt/);
    const p = join(folder, "pnet.safetensors");
    expect(await refused({ file: [p, p], as: "mtcnn" })).toMatch(/holds pnet, which .* holds, too/);
    expect(await refused({ file: folder, as: "mtcnn", size: 64 })).toMatch(/option size: mtcnn/);
    expect(await refused({ file: folder, as: "mtcnn", epsilon: 0 })).toMatch(/option epsilon: mtcnn/);
    expect(await refused({ file: folder, as: "mtcnn", classes: ["a", "b"] })).toMatch(/2 names, where mtcnn/);
    expect(await refused({ file: [p, p], as: "fcos" })).toMatch(/fcos is one file/);
    expect(await refused({ file: [], as: "mtcnn" })).toMatch(/name a file/);
    const text = join(root, "text.pt");
    await writeFile(text, "no weights at all");
    expect(await refused({ file: text, as: "mtcnn" })).toMatch(/text\.pt: it is a text/);
    await expect(readdir(out)).rejects.toThrow();
  });
});

describe("a run of MTCNN", () => {
  it("writes landmarks as JSON, as COCO's keypoints, and on pictures", async () => {
    await using opened = await openRun(run, { cascade: expected.options, threads: 1 });
    const detector = detectorRun(opened.loaded);
    const out = join(root, "found");
    const writer = new DetectionWriter(out, detector);
    const images = ["crowd", "portrait"].map((name) => ({ image: picturePath(name), name: `${name}.png` }));
    for await (const image of detectFiles(detector, images)) await writer.add(image, true);
    await writer.finish({});
    const own = JSON.parse(await readFile(join(out, "detections.json"), "utf8"));
    const coco = JSON.parse(await readFile(join(out, "coco.json"), "utf8"));
    const [crowd, portrait] = own.images;
    expect(crowd.objects.length).toBe(expected.found.length);
    expect(portrait.objects).toEqual([]);
    expect(coco.categories[0].keypoints[0]).toBe("left eye");
    expect(coco.annotations.length).toBe(crowd.objects.length);
    for (const [i, { landmarks }] of crowd.objects.entries()) {
      expect(landmarks.length).toBe(5);
      expect(coco.annotations[i].num_keypoints).toBe(5);
      const points = landmarks.flatMap(([x, y]: readonly [number, number]) => [x, y, 2]);
      expect(coco.annotations[i].keypoints).toEqual(points);
    }
    // Drawn: pixels of the color of the class where a landmark is, in a picture that is enlarged.
    const { data, info } = await sharp(join(out, "crowd.jpg")).raw().toBuffer({ resolveWithObject: true });
    const enlarged = info.width / crowd.width;
    const inside = crowd.objects[0].landmarks.filter(
      ([x, y]: readonly [number, number]) => x > 2 && y > 2 && x < crowd.width - 2 && y < crowd.height - 2,
    );
    for (const [x, y] of inside) {
      const at = 3 * (Math.floor(y * enlarged) * info.width + Math.floor(x * enlarged));
      expect(data[at]).toBeGreaterThan(170);
      expect(data[at + 1]).toBeLessThan(140);
    }
  });

  it("is measured as other detectors, on images at their own size", async () => {
    await using opened = await openRun(run, { cascade: expected.options, threads: 1 });
    const image = await readFile(picturePath("crowd"));
    // What it finds is marked: all of it is found again.
    const boxes = expected.found
      .slice(0, 6)
      .map(([x1 = 0, y1 = 0, x2 = 0, y2 = 0]) => ({ label: "face", x1, y1, x2, y2 }));
    const evaluation = await opened.evaluateBoxes(
      photos([{ image, boxes, name: "crowd.png", split: "test" }]),
      {
        confidence: 0.25,
      },
    );
    expect(evaluation.detect).toEqual({ confidence: 0.25, iou: 0.7, maximum: 100 });
    expect(evaluation.coco.ap50).toBeGreaterThan(0.9);
    await expect(
      opened.evaluateBoxes(photos([{ image, boxes, split: "test" }]), { testScales: [1, 2] }),
    ).rejects.toThrow(/option testScales: a cascade looks at an image pyramid of its own/);
  });

  it("finds nothing in images without faces and in images smaller than a face, without a word", async () => {
    await using opened = await openRun(run, { cascade: { minimumSize: 20, thresholds: [0.99, 0.99, 0.99] } });
    for (const [width, height] of [
      [1, 1],
      [11, 40],
      [200, 90],
    ] as const) {
      const data = new Uint8ClampedArray(4 * width * height).fill(255);
      expect(await opened.detect({ width, height, data })).toEqual({ width, height, objects: [] });
    }
    await expect(opened.detect(picturePath("crowd"), { mirror: true })).rejects.toThrow(
      /option mirror: a cascade/,
    );
  });

  it("becomes a folder of three graphs that need nothing of this library", async () => {
    await using opened = await openRun(run, { cascade: expected.options, threads: 1 });
    const out = join(root, "exported");
    const { files, description, bytes } = await opened.export(out);
    expect(files).toEqual(["pnet.onnx", "rnet.onnx", "onet.onnx", "cascade.json", "README.md", "model.json"]);
    expect((await readdir(out)).sort()).toEqual([...(files ?? [])].sort());
    expect(bytes).toBeGreaterThan(4 * 490_000);
    expect(description).toContain("pnet.onnx: Proposal network of MTCNN");
    const record = JSON.parse(await readFile(join(out, "cascade.json"), "utf8"));
    expect(record.pyramid.firstScale).toBeCloseTo(12 / 30, 9);
    expect(record.thresholds).toEqual(expected.options.thresholds);
    const guide = await readFile(join(out, "README.md"), "utf8");
    expect(guide).toContain("Scales s = 12 / 30");
    expect(guide).not.toMatch(/undefined|NaN/);
    // The last network, from outside, on two windows.
    const session = await ort.InferenceSession.create(join(out, "onet.onnx"));
    const x = new Float32Array(2 * 3 * 48 * 48).map((_, i) => (i * 31) % 256);
    const outside = await session.run({ x: new ort.Tensor("float32", x, [2, 3, 48, 48]) });
    expect(outside.scores?.dims).toEqual([2]);
    expect(outside.offsets?.dims).toEqual([2, 4]);
    expect(outside.landmarks?.dims).toEqual([2, 10]);
    await session.release();
    const tiles = await ort.InferenceSession.create(join(out, "pnet.onnx"));
    const { side, cells } = record.tile;
    const maps = await tiles.run({
      x: new ort.Tensor("float32", new Float32Array(3 * side * side), [1, 3, side, side]),
      height: new ort.Tensor("float32", [side], [1]),
      width: new ort.Tensor("float32", [side], [1]),
    });
    expect(maps.scores?.dims).toEqual([1, cells, cells]);
    await tiles.release();
    await expect(opened.export(join(root, "model.onnx"))).rejects.toThrow(
      /exported into a folder, with model.json beside its files/,
    );
    await expect(opened.export(out, { suppression: {}, rawTensor: true })).rejects.toThrow(
      /option suppression: mtcnn is a cascade/,
    );
  });

  it("refuses options that it has not", async () => {
    await expect(openRun(run, { cascade: { factor: 1 } })).rejects.toThrow(OptionError);
    await expect(openRun(run, { trident: "fast" })).rejects.toThrow(/fitted without branches/);
  });
});
