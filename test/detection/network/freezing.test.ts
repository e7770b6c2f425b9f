import { describe, expect, it } from "vitest";
import { BACKBONES } from "../../../src/backbones/by-name.ts";
import { normalizedImages } from "../../../src/backbones/image-normalization.ts";
import { isPublished } from "../../../src/backbones/published/index.ts";
import { detectors } from "../../../src/detection/models/detectors.ts";
import {
  FeatureNetwork,
  type FeatureNetworkOptions,
  settledFeatures,
} from "../../../src/detection/network/feature-network.ts";
import { OptionError } from "../../../src/errors.ts";
import { namedTensors, nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import { float32, input } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { runAll } from "../../tensor/support.ts";
import { detectorNamed, rectangles, symbolic } from "../models/support.ts";

const usual: FeatureNetworkOptions = {
  backbone: "csp",
  width: 0.25,
  depth: 1,
  neck: "fpn",
  finestStride: 8,
  levels: 3,
};

/** Rates by name from the backbone on. */
const ratesOf = (options: Partial<FeatureNetworkOptions>) => {
  const network = nameParameters(new FeatureNetwork({ ...usual, ...options }));
  return new Map(parametersOf(network).map(({ name }) => [name, network.rateOf(name)]));
};

/** The detectors that stand on a backbone. */
const onBackbones = [...detectors].flatMap(([name, { options }]) =>
  "backbone" in options.shape ? [name] : [],
);

describe.each(BACKBONES)("a detector on %s", (backbone) => {
  it.each(onBackbones)("%s trains on it", (name) => {
    const detector = detectorNamed(name, { backbone }, [3, 64, 64]);
    const batch = symbolic(rectangles(2, 64, 3, 2));
    const { total } = traceTraining(() => detector.loss(batch)).result;
    expect(total.shape).toEqual([]);
    expect([...namedTensors(detector).keys()].some((key) => key.startsWith("features.backbone."))).toBe(true);
  });

  it.each(["fpn", "pan", "none"] as const)("takes neck %s", (neck) => {
    const network = new FeatureNetwork({ ...usual, backbone, neck, finestStride: 4, levels: 2 });
    const maps = network.forward(input("x", [1, 3, 64, 96]));
    expect(maps.map(({ shape }) => shape)).toEqual([
      [1, 16, 16, 24],
      [1, 16, 8, 12],
    ]);
  });

  it("freezes its stages from the stem on, and their batch norms", () => {
    for (const frozenStages of [0, 1, 3, 5]) {
      const network = nameParameters(
        new FeatureNetwork({ ...usual, backbone, frozenStages, backboneRate: 0.1 }),
      );
      const frozen = (name: string) =>
        name.startsWith("backbone.") &&
        network.backbone.stageOf(name.slice("backbone.".length)) <= frozenStages;
      for (const { name } of parametersOf(network)) {
        const usualRate = name.startsWith("backbone.") ? 0.1 : 1;
        expect(network.rateOf(name)).toBe(frozen(name) ? 0 : usualRate);
      }
      const { updates } = traceTraining(() => network.forward(input("x", [2, 3, 64, 64])));
      const moved = new Set([...updates.keys()].map(({ name }) => name));
      for (const [name] of namedTensors(network)) {
        if (name.endsWith("running_mean")) expect(moved.has(name)).toBe(!frozen(name));
      }
    }
  });
});

describe("freezing", () => {
  it("is an option of all detectors on backbones", () => {
    expect(onBackbones).toEqual(
      expect.arrayContaining(["yolo", "fcos", "center-net", "retina-net", "faster-rcnn"]),
    );
  });

  it("counts stages as the documentation says", () => {
    const zero = (options: Partial<FeatureNetworkOptions>) =>
      [...ratesOf(options)].flatMap(([name, rate]) =>
        rate === 0 ? [name.split(".").slice(1, 3).join(".")] : [],
      );
    const of = (backbone: FeatureNetworkOptions["backbone"], frozenStages: number) => [
      ...new Set(zero({ backbone, frozenStages })),
    ];
    expect(of("csp", 2)).toEqual(["stem.conv", "stem.norm", "stages.0"]);
    expect(of("resnet18", 2)).toEqual(["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0", "layer1.1"]);
    expect(of("mobilenet-v2", 2)).toEqual(["features.0", "features.1", "features.2", "features.3"]);
    expect(of("efficientnet-lite0", 1)).toEqual([
      "_conv_stem.weight",
      "_bn0.weight",
      "_bn0.bias",
      "_blocks.0",
    ]);
  });

  it("of batch norms keeps factors and shifts, and no kernels", () => {
    for (const backbone of BACKBONES) {
      const rates = [...ratesOf({ backbone, frozenNorm: true, backboneRate: 0.5 })];
      const network = namedTensors(new FeatureNetwork({ ...usual, backbone }));
      for (const [name, rate] of rates) {
        const vector = network.get(name)?.shape.length === 1;
        const inBackbone = name.startsWith("backbone.");
        expect([name, rate]).toEqual([name, inBackbone ? (vector ? 0 : 0.5) : 1]);
      }
      const frozen = nameParameters(new FeatureNetwork({ ...usual, backbone, frozenNorm: true }));
      const { updates } = traceTraining(() => frozen.forward(input("x", [2, 3, 64, 64])));
      expect([...updates.keys()].filter(({ name }) => name.startsWith("backbone."))).toEqual([]);
      expect(updates.size).toBeGreaterThan(0);
    }
  });

  it("is taken, like the rate, by every detector with a backbone", () => {
    for (const name of onBackbones) {
      const given = { backbone: "resnet18", frozenStages: 1, frozenNorm: true, backboneRate: 0.25 };
      const detector = detectorNamed(name, given, [3, 64, 64]);
      const rates = parametersOf(detector).map((parameter) => [
        parameter.name,
        detector.rateOf?.(parameter.name),
      ]);
      expect([name, Object.fromEntries(rates)]).toMatchObject([
        name,
        {
          "features.backbone.conv1.weight": 0,
          "features.backbone.layer3.0.bn1.weight": 0,
          "features.backbone.layer3.0.conv1.weight": 0.25,
        },
      ]);
    }
  });

  it("is decided by whether weights are given", () => {
    for (const backbone of BACKBONES) {
      const normalize =
        { "efficientnet-lite0": "half", csp: "unit", resnet: "unit" }[backbone as "csp"] ?? "imagenet";
      expect(settledFeatures({ backbone }, false)).toEqual({ normalize, frozenNorm: false });
      expect(settledFeatures({ backbone }, true)).toEqual({ normalize, frozenNorm: isPublished(backbone) });
      expect(settledFeatures({ backbone, frozenNorm: false, normalize: "unit" }, true)).toEqual({
        normalize: "unit",
        frozenNorm: false,
      });
    }
    expect(() => settledFeatures({ frozenStages: 1 }, false)).toThrow(OptionError);
    expect(() => settledFeatures({ frozenNorm: true }, false)).toThrow(/frozenNorm: without weights/);
  });

  it("does not change the depth of a published backbone", () => {
    expect(() => new FeatureNetwork({ ...usual, backbone: "resnet50", depth: 2 })).toThrow(
      "option depth: resnet50 has the depth it was published with",
    );
  });
});

describe("normalizedImages", () => {
  it("is what the weights want", async () => {
    const x = float32([0, 127, 255, 10, 20, 30], [1, 3, 2, 1]);
    const images = input("x", x.shape);
    const outputs = Object.fromEntries(
      (["imagenet", "half", "unit"] as const).map((kind) => [kind, normalizedImages(images, kind)]),
    );
    const [all] = await runAll(outputs, [{ x }]);
    const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));
    expect(present(all).unit?.data).toEqual(close([0, 127 / 255, 1, 10 / 255, 20 / 255, 30 / 255]));
    expect(present(all).half?.data).toEqual(close([-127 / 128, 0, 1, -117 / 128, -107 / 128, -97 / 128]));
    expect(present(all).imagenet?.data).toEqual(
      close([
        -0.485 / 0.229,
        (127 / 255 - 0.485) / 0.229,
        (1 - 0.456) / 0.224,
        (10 / 255 - 0.456) / 0.224,
        (20 / 255 - 0.406) / 0.225,
        (30 / 255 - 0.406) / 0.225,
      ]),
    );
  });
});
