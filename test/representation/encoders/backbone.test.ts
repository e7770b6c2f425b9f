import { describe, expect, it } from "vitest";
import { BACKBONES } from "../../../src/backbones/by-name.ts";
import { buildModel, findModel } from "../../../src/catalog.ts";
import { OptionError, WeightsError } from "../../../src/errors.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { matchState } from "../../../src/nn/state.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { encoderFor, encoderOptions } from "../../../src/representation/encoders/index.ts";
import { float32, input } from "../../../src/tensor/index.ts";
import { largestDifference, numbers } from "../../support.ts";
import { expectTakenWhole, photos } from "./backbone-support.ts";

// Backbones of detectors as encoders: what they learn without labels begins a detector.

const options = encoderOptions.parse({ hidden: 8, codeSize: 5 });

describe("a backbone as encoder", () => {
  it.each(BACKBONES)(
    "%s has its maps, local features on a map of 6 locations a side or more, and a code",
    (backbone) => {
      const encoder = encoderFor({ ...options, backbone }, photos);
      const { local, code, fc, ...maps } = encoder.layers(input("x", ["batch", 3, 64, 64]));
      expect(Object.entries(maps).map(([name, { shape }]) => [name, ...shape.slice(2)])).toEqual([
        ["stride4", 16, 16],
        ["stride8", 8, 8],
        ["stride16", 4, 4],
        ["stride32", 2, 2],
      ]);
      expect(local.shape).toEqual(["batch", ...encoder.localShape]);
      expect(encoder.localShape.slice(1)).toEqual([8, 8]);
      expect([fc?.shape, code.shape]).toEqual([
        ["batch", 8],
        ["batch", 5],
      ]);
    },
  );

  it("sees gray images as three equal channels", async () => {
    const runtime = await nodeRuntime({ threads: 1 });
    const gray = { kind: "image", sampleShape: [1, 32, 32] } as const;
    const encoder = nameParameters(encoderFor({ ...options, backbone: "csp" }, gray));
    const random = new Random(1);
    const x = float32(
      Float32Array.from({ length: 2048 }, () => random.integer(256)),
      [2, 1, 32, 32],
    );
    const tripled = float32(
      [0, 1].flatMap((i) => [0, 1, 2].flatMap(() => [...x.data.subarray(1024 * i, 1024 * (i + 1))])),
      [2, 3, 32, 32],
    );
    const program = compile(["x"], ({ x }) => ({ code: encoder.layers(x).code }), {
      runtime,
      weights: initialState(encoder, 0),
    });
    const [one, three] = [await program.run({ x }), await program.run({ x: tripled })];
    await program.release();
    expect(largestDifference(numbers(one.code), numbers(three.code))).toBe(0);
  });

  it.each([
    [
      { kind: "image", sampleShape: [1, 28, 28] },
      {},
      /multiples of 32, and these have 28×28 pixels; of a folder of images give --size 32/,
    ],
    [{ kind: "image", sampleShape: [2, 32, 32] }, {}, /one or three channels, not image data \[2,32,32\]/],
    [
      { kind: "table", sampleShape: [5] },
      {},
      /csp takes images in bytes .*, not table data \[5\]; leave it out/,
    ],
    [photos, { channels: 8 }, /option channels: csp has the layers it has; leave one of the two out/],
  ] satisfies [DataInfo, object, RegExp][])("refuses %j with %j", (data, more, message) => {
    const build = () => encoderFor({ ...options, ...more, backbone: "csp" }, data);
    expect(build).toThrow(OptionError);
    expect(build).toThrow(message);
  });
});

describe("the weights of an encoder that learnt without labels", () => {
  it("fit a detector with the same backbone to the last tensor", () => {
    expectTakenWhole("csp");
  });

  it("are refused where the backbones differ", () => {
    const encoder = buildModel(findModel("deep-infomax"), { backbone: "resnet", hidden: 8 }, photos);
    const detector = buildModel(findModel("fcos"), { backbone: "csp" }, { ...photos, classes: 2 });
    const match = () => matchState(initialState(encoder, 3), detector, "runs/dim", detector.foreignNames?.());
    expect(match).toThrow(WeightsError);
    expect(match).toThrow(
      "runs/dim: it is most likely resnet, and the backbone here is csp; choose --backbone resnet",
    );
  });
});
