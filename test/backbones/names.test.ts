import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { likelyArchitecture, publishedOf } from "../../src/backbones/published/names.ts";
import { lookOf } from "../../src/detection/models/torchvision.ts";
import { WeightsError } from "../../src/errors.ts";
import { namedTensors } from "../../src/nn/module.ts";
import { prefixesOf } from "../../src/nn/names.ts";
import { matchState } from "../../src/nn/state.ts";
import type { State } from "../../src/program/program.ts";
import type { NdArray } from "../../src/tensor/index.ts";
import { detectorNamed } from "../detection/models/support.ts";
import { present } from "../support.ts";

// Names and shapes as torchvision and timm save them; values do not matter here.

const table = z
  .object({
    fields: z.array(z.string()),
    shapes: z.array(z.string()),
    networks: z.record(z.string(), z.array(z.tuple([z.string()], z.number()))),
  })
  .parse(JSON.parse(await readFile(new URL("../fixtures/detectors/names.json", import.meta.url), "utf8")));

/** A tensor without its values. */
const shaped = (shape: readonly number[]): NdArray => ({
  dtype: "float32",
  shape,
  data: new Float32Array(0),
});

/** A file's tensors, with a prefix before their names. */
function fileOf(network: string, prefix = ""): State {
  const state = new Map<string, NdArray>();
  for (const [path, ...pairs] of present(table.networks[network], network)) {
    for (let i = 0; i < pairs.length; i += 2) {
      const field = present(table.fields[present(pairs[i])]);
      const shape = present(table.shapes[present(pairs[i + 1])]);
      const name = path === "" ? field : `${path}.${field}`;
      state.set(`${prefix}${name}`, shaped(shape === "" ? [] : shape.split(",").map(Number)));
    }
  }
  return state;
}

const detector = (backbone: string, options: Readonly<Record<string, unknown>> = {}, classes = 3) =>
  detectorNamed("fcos", { backbone, width: 0.5, ...options }, [3, 64, 64], classes);

const matched = (state: State, backbone: string, options: Readonly<Record<string, unknown>> = {}) => {
  const model = detector(backbone, options);
  return matchState(state, model, "w.pth", model.foreignNames?.(), "timm/tf_efficientnet_lite0");
};

const inBackbone = (name: string) => name.startsWith("features.backbone.");

describe("weights of a published backbone", () => {
  it.each([
    ["torchvision resnet18", "resnet18", "torchvision's and timm's resnet18", 2],
    ["torchvision resnet34", "resnet34", "torchvision's and timm's resnet34", 2],
    ["torchvision resnet50", "resnet50", "torchvision's and timm's resnet50", 2],
    ["timm resnet18", "resnet18", "torchvision's and timm's resnet18", 2],
    ["torchvision mobilenet_v2", "mobilenet-v2", "torchvision's mobilenet-v2", 8],
    ["timm mobilenetv2_100", "mobilenet-v2", "timm's mobilenet-v2", 8],
    ["timm tf_efficientnet_lite0", "efficientnet-lite0", "timm's efficientnet-lite0", 8],
  ])("%s fits %s whole", (network, backbone, source, classifier) => {
    const model = detector(backbone);
    const wanted = [...namedTensors(model).keys()];
    for (const prefix of ["", "module.", "model.", "module.encoder.net."]) {
      const { taken, report } = matched(fileOf(network, prefix), backbone);
      expect([...taken.keys()]).toEqual(wanted.filter(inBackbone));
      const without = prefix === "" ? "" : `, without the prefix ${prefix}`;
      expect(report[0]).toBe(
        `weights of w.pth: ${taken.size} of ${wanted.length} tensors taken, by the names of ${source}${without}`,
      );
      expect(report[1]).toMatch(new RegExp(`^${classifier} of its classifier, not used: \\S+ \\[1000, `));
      expect(report[2]).toMatch(/^\d+ beside it, begun afresh: features\.neck \(\d+\), head \(\d+\)$/);
      expect(report).toHaveLength(3);
      expect(report.join()).not.toContain("num_batches_tracked");
    }
  });

  it("are found in a detector of torchvision's", () => {
    const { taken, report } = matched(fileOf("torchvision fcos_resnet50_fpn"), "resnet50");
    const missed = [...namedTensors(detector("resnet50")).keys()].filter(
      (name) => inBackbone(name) && !taken.has(name),
    );
    // torchvision's frozen batch norms have no counters.
    expect(missed.every((name) => name.endsWith("num_batches_tracked"))).toBe(true);
    expect(report[0]).toMatch(/without the prefix backbone\.body\.$/);
    expect(report.join("\n")).toMatch(
      /\d+ not in the model, not used:\n {2}backbone\.fpn\.layer_blocks\.0\.0\.weight {2,}\[256, 256, 3, 3\]/,
    );
  });

  it("fit a backbone that ends before them", () => {
    const options = { neck: "none", finestStride: 8, levels: 1 };
    const { taken } = matched(fileOf("torchvision resnet18"), "resnet18", options);
    const wanted = [...namedTensors(detector("resnet18", options)).keys()].filter(inBackbone);
    expect([...taken.keys()]).toEqual(wanted);
  });

  it.each([
    [
      "torchvision resnet50",
      "resnet18",
      "most likely resnet50, and the backbone here is resnet18; choose --backbone resnet50",
    ],
    [
      "torchvision resnet34",
      "resnet18",
      "most likely resnet34, and the backbone here is resnet18; choose --backbone resnet34",
    ],
    [
      "torchvision resnet18",
      "csp",
      "most likely resnet18, and the backbone here is csp; choose --backbone resnet18",
    ],
    [
      "torchvision resnet101",
      "resnet50",
      "most likely resnet101, and the backbone here is resnet50; weights are taken of resnet18, ",
    ],
    [
      "torchvision wide_resnet50_2",
      "resnet50",
      "most likely a residual network of 3, 4, 6, 3 bottleneck blocks and 128 channels",
    ],
    ["timm mobilenetv2_100", "efficientnet-lite0", "choose --backbone mobilenet-v2"],
    ["timm tf_efficientnet_lite0", "mobilenet-v2", "choose --backbone efficientnet-lite0"],
    ["torchvision vgg11", "resnet18", "most likely VGG or AlexNet"],
    ["torchvision efficientnet_b0", "efficientnet-lite0", "most likely torchvision's EfficientNet"],
    ["timm efficientnet_b0", "efficientnet-lite0", "with squeeze-and-excitation"],
    ["torchvision fcos_resnet50_fpn", "mobilenet-v2", "choose --backbone resnet50"],
  ])("%s for %s are refused in one line", (network, backbone, line) => {
    const refused = () => matched(fileOf(network, "module."), backbone);
    expect(refused).toThrow(WeightsError);
    expect(refused).toThrow(line);
    expect(refused).not.toThrow("\n");
  });

  it("of timm's efficientnet_lite0 are read with a warning, unless a name has tf_", () => {
    const model = detector("efficientnet-lite0");
    const { report } = matchState(
      fileOf("timm tf_efficientnet_lite0"),
      model,
      "efficientnet_lite0.pth",
      model.foreignNames?.(),
    );
    const warnings = report.filter((line) => line.startsWith("warning: "));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("it is read as tf_efficientnet_lite0");
    expect(
      matched(fileOf("timm tf_efficientnet_lite0"), "efficientnet-lite0").report.join("\n"),
    ).not.toContain("warning");
  });

  it("of a ResNet-D are refused by their name", () => {
    const state = new Map(fileOf("timm resnet18"));
    state.delete("conv1.weight");
    for (const [name, value] of [...state]) {
      const field = /^(layer\d\.0\.downsample)\.0\.weight$/.exec(name)?.[1];
      if (field === undefined) continue;
      state.delete(name);
      state.set(`${field}.1.weight`, value);
    }
    state.set("conv1.0.weight", shaped([32, 3, 3, 3]));
    expect(likelyArchitecture(state)).toBe("resnet18d");
    expect(publishedOf(state)).toBeUndefined();
    expect(() => matched(state, "resnet18")).toThrow(
      "most likely resnet18d, and the backbone here is resnet18; weights are taken of resnet18, ",
    );
  });

  it.each([
    ["features.1.block.0.0.weight", "torchvision's MobileNetV3"],
    ["backbone.body.4.block.0.0.weight", "torchvision's MobileNetV3"],
    ["features.3.squeeze.weight", "SqueezeNet"],
  ])("with %s are of %s", (name, network) => {
    expect(likelyArchitecture(new Map([[name, shaped([8, 8, 1, 1])]]))).toBe(network);
  });

  it("are found where all of a file is one backbone, with or without a prefix", () => {
    expect(publishedOf(fileOf("torchvision resnet18"))).toBe("resnet18");
    expect(publishedOf(fileOf("timm mobilenetv2_100", "module."))).toBe("mobilenet-v2");
    expect(publishedOf(fileOf("torchvision fcos_resnet50_fpn"))).toBeUndefined();
    expect(publishedOf(fileOf("torchvision vgg11"))).toBeUndefined();
  });

  it("are told with what can be done with them", () => {
    expect(lookOf(fileOf("torchvision resnet18"))).toMatch(
      /^resnet18, a network for images; --as resnet18 .*--backbone resnet18 --weights FILE$/,
    );
    expect(lookOf(fileOf("torchvision vgg11"))).toMatch(
      /^a classifier of images, most likely VGG or AlexNet; /,
    );
    const mask = new Map([
      ...fileOf("torchvision fcos_resnet50_fpn"),
      ["roi_heads.mask_head.0.weight", shaped([1])] as const,
    ]);
    expect(lookOf(mask)).toMatch(/^a Mask R-CNN .*import reads fasterrcnn_resnet50_fpn.*--backbone resnet50/);
  });

  it("of a larger relative are refused, too", () => {
    expect(likelyArchitecture(fileOf("timm tf_efficientnet_lite1"))).toBeUndefined();
    expect(() => matched(fileOf("timm tf_efficientnet_lite1"), "efficientnet-lite0")).toThrow(
      "w.pth: it has what efficientnet-lite0 has not, such as blocks.5.4.conv_pw.weight, and is most likely of another architecture",
    );
  });

  it("that have little of the backbone are refused", () => {
    const state = new Map(
      [...fileOf("torchvision resnet18")].filter(([name]) => !name.startsWith("layer4.")),
    );
    expect(() => matched(state, "resnet18")).toThrow(
      "w.pth: read as torchvision's and timm's resnet18, it has 25 % of the numbers of features.backbone",
    );
  });
});

describe("weights of a detector", () => {
  const saved = (options: Readonly<Record<string, unknown>>, classes: number, backbone = "csp"): State =>
    new Map(
      [...namedTensors(detector(backbone, options, classes))].map(([name, { shape }]) => [
        name,
        shaped(shape),
      ]),
    );

  it.each(["csp", "resnet", "resnet18", "mobilenet-v2"])(
    "of %s fit another of other classes but for the heads of classes, which begin afresh",
    (backbone) => {
      const { taken, report } = matched(saved({}, 7, backbone), backbone);
      const count = namedTensors(detector(backbone)).size;
      expect(taken.size).toBe(count - 2);
      expect(report).toEqual([
        `weights of w.pth: ${count - 2} of ${count} tensors taken`,
        "2 of another shape, begun afresh:",
        "  head.classes.weight  [7, 32, 3, 3], the model wants [3, 32, 3, 3]",
        "  head.classes.bias    [7], the model wants [3]",
      ]);
    },
  );

  it("are taken without a prefix", () => {
    const state = new Map([...saved({}, 3)].map(([name, value]) => [`model.${name}`, value]));
    const { taken, report } = matched(state, "csp");
    expect(taken.size).toBe(state.size);
    expect(report).toEqual([
      `weights of w.pth: ${state.size} of ${state.size} tensors taken, without the prefix model.`,
    ]);
  });

  it("of another backbone are refused where that is a published one", () => {
    expect(() => matched(saved({}, 3, "resnet50"), "resnet18")).toThrow("choose --backbone resnet50");
  });

  it("fit a backbone by itself", () => {
    const state = new Map(
      [...saved({}, 3)].flatMap(([name, value]) =>
        inBackbone(name) ? [[name.slice("features.backbone.".length), value] as const] : [],
      ),
    );
    const { taken, report } = matched(state, "csp");
    expect(taken.size).toBe(state.size);
    expect(report[0]).toContain("by the names of a backbone by itself");
  });
});

describe("prefixesOf", () => {
  it("are those of much of a file, none first", () => {
    const state = new Map([
      ["a.b.x", shaped([100])],
      ["a.c", shaped([100])],
      ["d.e", shaped([1])],
      ["f", shaped([1])],
    ]);
    expect(prefixesOf(state)).toEqual(["", "a.", "a.b."]);
    expect(prefixesOf(new Map())).toEqual([""]);
  });
});
