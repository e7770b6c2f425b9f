import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, it } from "vitest";
import { OptionError, WeightsError } from "../../../src/errors.ts";
import { readOnnx } from "../../../src/nn/onnx.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { importDetector, openRun } from "../../../src/tasks/index.node.ts";
import { pixelsOf } from "../../shipping.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";

const fixtures = new URL("../../fixtures/faces/", import.meta.url);

let root = "";
/** The small face detectors, which have the form of the published ones. */
const file = (name: string): string => join(root, `${name}.onnx`);
beforeAll(async () => {
  root = await temporaryFolder();
  for (const name of ["yunet", "ultra-light-rfb"]) {
    await writeFile(file(name), gunzipSync(readFileSync(new URL(`${name}.onnx.gz`, fixtures))));
  }
});

const portrait = new URL("astronaut.png", fixtures).pathname;

describe("importDetector of face detectors", () => {
  it("makes a run that finds faces with landmarks, and exports them", async () => {
    const made = await importDetector({
      file: file("yunet"),
      as: "yunet",
      size: 64,
      out: join(root, "yunet"),
    });
    expect(made.classes).toEqual(["face"]);
    expect(made.tensors).toBe(118);
    expect(made.notes).toEqual([
      "5 landmarks (left eye, right eye, nose, left mouth corner, right mouth corner); a fit that begins from here takes --landmarks 0",
    ]);
    await using run = await openRun(made.folder);
    expect(run.config.modelOptions).toMatchObject({ channels: [4, 4, 8, 8, 8, 8], landmarks: 5 });
    const { objects } = await run.detect(portrait, { confidence: 0.4 });
    expect(objects.length).toBeGreaterThan(2);

    const out = join(root, "yunet-run.onnx");
    const { description } = await exportRun(made.folder, out, { rawTensor: true });
    expect(description).toContain("landmarks: [batch, 84, 10], x and y of left eye, right eye");
    expect(readOnnx(readFileSync(out), out).outputs).toEqual(["boxes", "scores", "landmarks"]);

    const shipped = join(root, "yunet-shipped");
    await exportRun(made.folder, shipped);
    const session = await InferenceSession.create(join(shipped, "detect.onnx"));
    const { width, height, pixels } = await pixelsOf(portrait);
    const found = await session.run({
      image: new Tensor("uint8", pixels, [height, width, 3]),
      confidence: new Tensor("float32", [0.4], [1]),
      iou: new Tensor("float32", [], [0]),
      maximum: new Tensor("int64", [], [0]),
    });
    expect(found.landmarks?.dims).toEqual([objects.length, 5, 2]);
    const [best] = objects;
    const points = Array.from((present(found.landmarks).data as Float32Array).subarray(0, 10));
    expect(largestDifference(points, best?.landmarks?.flat() ?? [])).toBeLessThan(width / 64);
    await session.release();
  });

  it("knows the model by the file where none is named, and says which", async () => {
    for (const as of ["yunet", "ultra-light-rfb"] as const) {
      const made = await importDetector({ file: file(as), size: 64, out: join(root, `inferred-${as}`) });
      expect(made.model).toBe(as);
      expect(made.notes[0]).toBe(`read as ${as}, by what the file holds; --as names another`);
    }
    const out = join(root, "unknown");
    await importDetector({ file: file("yunet"), as: "yunet", size: 64, out: join(root, "exported") });
    const other = join(root, "other.onnx");
    // A graph of ours, whose outputs are no published ones.
    await exportRun(join(root, "exported"), other, { suppression: {}, rawTensor: true });
    await expect(importDetector({ file: other, out })).rejects.toThrow(
      /^option as: is missing, and .*other\.onnx does not show which model it is of; give --as faster-rcnn, .*mtcnn/,
    );
  });

  it("takes the size that the authors have, and a name for the class", async () => {
    const out = join(root, "named");
    const made = await importDetector({
      file: file("ultra-light-rfb"),
      as: "ultra-light-rfb",
      classes: ["head"],
      out,
    });
    expect(made.classes).toEqual(["head"]);
    await using run = await openRun(out);
    expect(run.config.dataInfo.sampleShape).toEqual([3, 320, 320]);
    expect(run.config.modelOptions).toMatchObject({ channels: 4 });
    const { objects } = await run.detect(portrait, { confidence: 0.4 });
    expect(objects.length).toBeGreaterThan(2);
  });

  it("names what is wrong, and leaves nothing behind", async () => {
    const out = join(root, "none");
    const trial = (request: Partial<Parameters<typeof importDetector>[0]>) =>
      importDetector({ file: file("yunet"), as: "yunet", out, ...request });
    await expect(trial({ as: "ultra-light-rfb" })).rejects.toThrow(OptionError);
    await expect(trial({ as: "ultra-light-rfb" })).rejects.toThrow("give --as yunet");
    await expect(trial({ epsilon: 0 })).rejects.toThrow(/^option epsilon: .* parts? of the convolutions/);
    await expect(trial({ classes: ["a", "b"] })).rejects.toThrow("2 names, where");
    await expect(trial({ as: "fcos" })).rejects.toThrow("it is an ONNX model");
    await expect(trial({ file: portrait })).rejects.toThrow(WeightsError);
    await expect(trial({ file: portrait })).rejects.toThrow("it is no ONNX model");
    await expect(openRun(out)).rejects.toThrow();
  });

  it("does not make a run of a file whose shapes do not fit", async () => {
    const bytes = readFileSync(file("yunet"));
    // The second convolution gets one more output: [4, 4, 1, 1] becomes [16, 1, 1, 1].
    const dims = Buffer.from([0x08, 4, 0x08, 4, 0x08, 1, 0x08, 1, 0x10, 1]);
    const at = bytes.indexOf(dims);
    expect(at).toBeGreaterThan(0);
    Buffer.from([0x08, 16, 0x08, 1]).copy(bytes, at);
    const damaged = file("damaged");
    await writeFile(damaged, bytes);
    const trial = importDetector({ file: damaged, as: "yunet", out: join(root, "none") });
    await expect(trial).rejects.toThrow(/damaged.onnx: does not fit this model; of another shape/);
  });
});
