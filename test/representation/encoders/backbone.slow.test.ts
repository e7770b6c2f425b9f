import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, findModel } from "../../../src/catalog.ts";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { images } from "../../../src/data/sources/memory.ts";
import { WeightsError } from "../../../src/errors.ts";
import { initialState } from "../../../src/nn/module.ts";
import { matchState } from "../../../src/nn/state.ts";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { largestDifference, numbers, present, temporaryFolder } from "../../support.ts";
import { expectTakenWhole, photos } from "./backbone-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("the weights of an encoder that learnt without labels", () => {
  it.each(["resnet18", "efficientnet-lite0"] as const)(
    "fit a detector with the same backbone, %s, to the last tensor",
    (backbone) => expectTakenWhole(backbone),
  );

  it("are refused where the backbones differ", () => {
    const encoder = buildModel(findModel("deep-infomax"), { backbone: "resnet18", hidden: 8 }, photos);
    const detector = buildModel(findModel("fcos"), { backbone: "csp" }, { ...photos, classes: 2 });
    const match = () => matchState(initialState(encoder, 3), detector, "runs/dim", detector.foreignNames?.());
    expect(match).toThrow(WeightsError);
    expect(match).toThrow(
      "runs/dim: it is most likely resnet18, and the backbone here is csp; choose --backbone resnet18",
    );
  });

  it("of a run begin the fit of a detector, which trains on from there", async () => {
    const random = new Random(5);
    const pixels = Uint8Array.from({ length: 16 * 3 * 32 * 32 }, () => random.integer(256));
    const data = await gatherSource(images(pixels, { shape: [16, 3, 32, 32] }));
    const common = { batchSize: 4, threads: 1, warmupSteps: 0, averageDecay: 0, steps: 2, samplePictures: 0 };
    const small = { backbone: "csp", hidden: 8, codeSize: 4, scorerUnits: 4, priorUnits: 4 };
    const encoder = await prepareFit({
      kind: "new",
      request: { model: "deep-infomax", data, ...small, ...common, out: join(root, "encoder") },
    });
    const { finish: _f, draw: _d, ...ofEncoder } = encoder.fit;
    await fitHere(ofEncoder);
    const learnt = await encoder.fit.folder.readWeights();
    const scenes = { data: "digit-scenes", scenes: 8, canvas: 32, size: 32 };
    const detector = await prepareFit({
      kind: "new",
      request: {
        ...{
          model: "fcos",
          ...scenes,
          ...common,
          backbone: "csp",
          headBlocks: 1,
          weights: join(root, "encoder"),
        },
        ...{ learningRate: 1e-9, out: join(root, "detector") },
      },
    });
    expect(detector.notes.join("\n")).toMatch(/tensors taken, by the names of a backbone by itself/);
    const { finish: _g, draw: _e, ...ofDetector } = detector.fit;
    await fitHere(ofDetector);
    const found = await detector.fit.folder.readWeights("last");
    const name = "backbone.stages.1.reduce.conv.weight";
    // Steps this small leave them where they began.
    expect(
      largestDifference(
        numbers(found.get(`features.${name}`)),
        numbers(present(learnt.get(`encoder.${name}`))),
      ),
    ).toBeLessThan(1e-6);
  });
});
