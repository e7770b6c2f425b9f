import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { photos } from "../../../src/data/sources/memory.ts";
import { guarded } from "../../../src/tasks/fit/hooks.node.ts";
import { runFit } from "../../../src/tasks/fit/run-fit.node.ts";
import { importDetector } from "../../../src/tasks/index.node.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";
import { expectTorchvisionsResults, importedCases, stateOf, writeState } from "./support.ts";

// The detectors of torchvision's builders as they are, with ResNet-50 and 91 classes: 30 to 40 million weights. And a fit from one.

const published = await importedCases("published.json");
const small = await importedCases("small.json");

describe("importDetector of whole networks", () => {
  it.each(Object.keys(published))(
    "gives %s as torchvision computes it, in images of three sizes",
    async (name) => {
      await expectTorchvisionsResults(await temporaryFolder(), `published ${name}`, present(published[name]));
    },
  );

  it.each(Object.keys(small))(
    "gives a small %s as torchvision computes it, in images of three sizes",
    async (name) => {
      await expectTorchvisionsResults(await temporaryFolder(), `small ${name}`, present(small[name]));
    },
  );
});

let root = "";
let file = "";
beforeAll(async () => {
  root = await temporaryFolder();
  file = await writeState(root, "retina", stateOf(present(small["retina-net"])));
});

describe("a fit from an imported run", () => {
  const photo = (i: number, label: string, split: "train" | "validation") => ({
    image: { width: 64, height: 64, data: new Uint8ClampedArray(64 * 64 * 4).fill(40 * i) },
    boxes: [{ label, x1: 8, y1: 8, x2: 40, y2: 40 }],
    split,
  });

  it("takes its options, size and weights; frozen norms stay, and heads of other classes begin afresh", async () => {
    const from = join(root, "begun");
    await importDetector({ file, as: "retina-net", size: 64, classes: ["a", "b", "c"], out: from });
    const source = photos([
      ...["red", "blue", "green", "red"].map((label, i) => photo(i, label, "train")),
      photo(5, "red", "validation"),
    ]);
    const out = join(root, "tuned");
    const lines: string[] = [];
    await runFit(
      {
        kind: "new",
        request: {
          model: "retina-net",
          data: await gatherSource(source),
          from,
          out,
          steps: 2,
          batchSize: 2,
          frozenStages: 2,
          augment: false,
          samplePictures: 0,
        },
      },
      guarded({ onBegin: ({ data }) => void lines.push(...data) }),
    );
    const config = await new RunFolder(out).readConfig();
    expect(config.modelOptions).toMatchObject({
      backbone: "resnet18",
      neck: "plain-fpn",
      headGroups: 0,
      frozenNorm: true,
      frozenStages: 2,
    });
    expect(config.dataOptions.size).toBe(64);
    const before = await new RunFolder(from).readWeights();
    const after = await new RunFolder(out).readWeights("last");
    const same = (name: string) => expect(after.get(name)?.data).toEqual(before.get(name)?.data);
    for (const kind of ["running_mean", "running_var", "weight", "bias"]) {
      same(`features.backbone.layer4.1.bn2.${kind}`);
    }
    same("features.backbone.layer1.0.conv1.weight");
    const moved = (name: string): number => {
      const [from, to] = [before, after].map((weights) =>
        Array.from(present(weights.get(name)).data, Number),
      );
      return largestDifference(present(from), present(to));
    };
    const tower = moved("head.classTower.blocks.0.conv.weight");
    expect(tower).toBeGreaterThan(0);
    expect(tower).toBeLessThan(0.02);
    // As many classes, but others.
    expect(moved("head.classes.weight")).toBeGreaterThan(0.02);
    expect(lines.join("\n")).toContain("2 tensors of classes begun afresh");
  });

  it("is refused for another model, and beside other weights", async () => {
    const from = join(root, "begun");
    const data = await gatherSource(photos([photo(0, "red", "train")]));
    const begin = (request: object) =>
      runFit({ kind: "new", request: { model: "fcos", data, from, ...request } }, guarded({}));
    await expect(begin({})).rejects.toThrow(/^option from: .* is a run of retina-net, not of fcos/);
    await expect(begin({ weights: file })).rejects.toThrow(/options from and weights/);
  });
});
