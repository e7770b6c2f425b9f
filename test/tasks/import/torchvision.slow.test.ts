import { access, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { FileError, OptionError, WeightsError } from "../../../src/errors.ts";
import type { State } from "../../../src/program/program.ts";
import { importDetector, openRun, resumeFit } from "../../../src/tasks/index.node.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { present, temporaryFolder } from "../../support.ts";
import { expectTorchvisionsResults, importedCases, stateOf, writeState } from "./support.ts";

const cases = await importedCases("small.json");
const CLASSES = ["red", "blue"];

let root = "";
let file = "";
let state: State = new Map();
beforeAll(async () => {
  root = await temporaryFolder();
  state = stateOf(present(cases["retina-net"]));
  file = await writeState(root, "retina", state);
});

describe("importDetector", () => {
  // Three sizes, the second version of RetinaNet, and the whole networks are checked in the slow tests.
  it.each(["faster-rcnn", "retina-net", "fcos"])("gives %s as torchvision computes it", async (name) => {
    const { state, images } = present(cases[name]);
    // Its sides divide by 32 alone: torchvision's coarsest locations are not a stride apart.
    const expected = { state, images: images.filter(({ height }) => height === 96) };
    await expectTorchvisionsResults(await temporaryFolder(), `small ${name}`, expected);
  });

  it("makes a run with the names of classes that are given, from the list or a file", async () => {
    const list = join(root, "names.txt");
    await writeFile(list, "red\r\nblue\n\n");
    const made = await importDetector({
      file,
      as: "retina-net",
      classes: list,
      size: 64,
      out: join(root, "named"),
    });
    expect(made.classes).toEqual(["background", ...CLASSES]);
    expect(made.notes).toEqual([
      expect.stringContaining("ε = 0 is assumed"),
      expect.stringContaining("the first class is called background"),
    ]);
    await using run = await openRun(made.folder);
    expect(run.classes).toEqual(["background", ...CLASSES]);
    const image = { width: 40, height: 30, data: new Uint8ClampedArray(40 * 30 * 4).fill(90) };
    const { objects } = await run.detect(image, { confidence: 0 });
    expect(objects.length).toBeGreaterThan(0);
    const path = join(root, "model.onnx");
    expect((await run.export(path, { rawTensor: true })).bytes).toBeGreaterThan(40e6);
    // There is nothing that it was fitted on.
    await expect(run.evaluateBoxes()).rejects.toThrow(
      /was imported \(retina.safetensors\) and has no data of its own/,
    );
    await expect(resumeFit(made.folder)).rejects.toThrow(/has no data of its own/);
  });

  it("numbers classes without names, and says so", async () => {
    const made = await importDetector({ file, as: "retina-net", size: 64, out: join(root, "numbered") });
    expect(made.classes).toEqual(["class 1", "class 2", "class 3"]);
    expect(made.notes.join()).toContain("3 classes without names");
    await expect(importDetector({ file, as: "retina-net", out: made.folder })).rejects.toThrow(FileError);
  });

  it("calls 91 classes by the ids of COCO", async () => {
    const wide = new Map(state);
    wide.set(
      "head.classification_head.cls_logits.weight",
      float32(new Float32Array(9 * 91 * 64 * 9), [819, 64, 3, 3]),
    );
    wide.set("head.classification_head.cls_logits.bias", float32(new Float32Array(819), [819]));
    const made = await importDetector({
      file: await writeState(root, "coco", wide),
      as: "retina-net",
      size: 64,
      out: join(root, "coco-run"),
    });
    expect(made.classes).toHaveLength(91);
    expect([0, 1, 12, 13, 90].map((i) => made.classes[i])).toEqual([
      "background",
      "person",
      "N/A 12",
      "stop sign",
      "toothbrush",
    ]);
    expect(new Set(made.classes).size).toBe(91);
    expect(made.notes.join()).toContain("10 ids that COCO does not use");
  });

  it("takes the ε that is given, and none with which a variance has no root", async () => {
    const name = "backbone.body.bn1.running_var";
    const zero = new Map(state).set(name, float32(new Float32Array(64), [64]));
    const path = await writeState(root, "zero", zero);
    const out = join(root, "zero-run");
    await expect(importDetector({ file: path, as: "retina-net", out })).rejects.toThrow(
      /features.backbone.bn1.running_var is 0, .* give --epsilon 0.00001/,
    );
    await importDetector({ file: path, as: "retina-net", out, epsilon: 1e-5 });
    const weights = await new RunFolder(out).readWeights();
    expect(weights.get("features.backbone.bn1.weight")).toEqual(state.get("backbone.body.bn1.weight"));
  });

  const without = (...names: readonly string[]): State =>
    new Map([...state].filter(([name]) => !names.includes(name)));
  const renamed = (change: (name: string) => string): State =>
    new Map([...state].map(([name, value]) => [change(name), value]));
  const one = float32([0], [1]);
  it.each<[string, () => State, RegExp]>([
    [
      "a mask head",
      () => new Map(state).set("roi_heads.mask_head.0.0.weight", one),
      /looks like a Mask R-CNN/,
    ],
    [
      "a second version",
      () => new Map([["roi_heads.box_head.0.0.weight", one]]),
      /fasterrcnn_resnet50_fpn_v2/,
    ],
    [
      "a classifier",
      () =>
        new Map([
          ["conv1.weight", one],
          ["fc.weight", one],
        ]),
      /a classifier of images.*--backbone/,
    ],
    ["something else", () => new Map([["encoder.0", one]]), /no detector of torchvision .*\(encoder\.0\)/],
    [
      "half a file",
      () => without("head.regression_head.bbox_reg.weight"),
      /has no head.regression_head.bbox_reg.weight; it is not whole/,
    ],
    [
      "a tensor less",
      () => without("backbone.fpn.layer_blocks.0.bias"),
      /missing: features.neck.layer_blocks.0.0.bias/,
    ],
    [
      "a tensor more",
      () => new Map(state).set("backbone.body.more.weight", one),
      /unexpected: features.backbone.more.weight/,
    ],
    ["two names of one", () => new Map(state).set("backbone.fpn.layer_blocks.0.0.bias", one), /by two names/],
    [
      "more blocks",
      () => new Map(state).set("backbone.body.layer3.2.conv1.weight", one),
      /its backbone has 2, 2, 3, 2 basic blocks/,
    ],
    [
      "a number that is none",
      () =>
        new Map(state).set(
          "backbone.body.bn1.running_var",
          float32(new Float32Array(64).fill(Number.NaN), [64]),
        ),
      /wrong\.safetensors: backbone\.body\.bn1\.running_var has NaN in it; /,
    ],
    [
      "other anchors",
      () =>
        new Map(state).set(
          "head.regression_head.bbox_reg.weight",
          float32(new Float32Array(24), [24, 1, 1, 1]),
        ),
      /its anchors are not those of torchvision's builders/,
    ],
  ])("refuses %s, and leaves nothing behind", async (_what, change, message) => {
    const folder = await temporaryFolder();
    const path = await writeState(folder, "wrong", change());
    const out = join(folder, "runs", "wrong");
    const trial = importDetector({ file: path, as: "retina-net", out });
    await expect(trial).rejects.toThrow(WeightsError);
    await expect(trial).rejects.toThrow(message);
    expect(await readdir(folder)).toEqual(["wrong.safetensors"]);
  });

  it("names the model that a file is of, and the right number of classes", async () => {
    const out = join(root, "none");
    await expect(importDetector({ file, as: "fcos", out })).rejects.toThrow(
      /^option as: .* looks like retinanet_resnet50_fpn .*; give --as retina-net$/,
    );
    await expect(importDetector({ file, as: "retina-net", out, classes: ["a"] })).rejects.toThrow(/./);
    const five = importDetector({ file, as: "retina-net", out, classes: ["a", "b", "c", "d", "e"] });
    await expect(five).rejects.toThrow(/5 names, where .* has 3 classes/);
    await expect(five).rejects.toThrow(OptionError);
    await expect(access(out)).rejects.toThrow();
  });

  it("leaves out a prefix of all names", async () => {
    const path = await writeState(
      root,
      "parallel",
      renamed((name) => `module.${name}`),
    );
    const made = await importDetector({
      file: path,
      as: "retina-net",
      size: 64,
      out: join(root, "parallel"),
    });
    expect(made.notes[0]).toBe("prefix module. of all names left out");
  });
});
