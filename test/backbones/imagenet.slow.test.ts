import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { normalizedImages } from "../../src/backbones/image-normalization.ts";
import { EfficientNetLite0Classifier } from "../../src/backbones/published/index.ts";
import { openPhoto } from "../../src/data/boxes/image.node.ts";
import type { ByteImage } from "../../src/data/boxes/set.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { checkState, matchState } from "../../src/nn/state.ts";
import { readWeights } from "../../src/nn/weights.ts";
import { compile } from "../../src/program/program.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import { detectorNamed } from "../detection/models/support.ts";
import { numbers, present } from "../support.ts";
import { testRuntime } from "../tensor/support.ts";

// EfficientNet-Lite0 with its ImageNet weights, against PyTorch on real pictures. Both stand beside the project.
const shared = new URL("../../../shared/", import.meta.url);
const weightsFile = new URL("weights/efficientnet-lite0.pth", shared);
const available = existsSync(weightsFile) && existsSync(new URL("data/cifar10", shared));
if (!available)
  console.log(
    "skipped: EfficientNet-Lite0 on real pictures; there is no ../shared/weights, or no ../shared/data",
  );

const { pictures } = z
  .object({
    pictures: z.record(
      z.string(),
      z.object({ class: z.number(), logit: z.number(), lead: z.number(), deviation: z.number() }),
    ),
  })
  .parse(
    JSON.parse(readFileSync(new URL("../fixtures/detectors/imagenet-classes.json", import.meta.url), "utf8")),
  );

const SIDE = 224;

/** Weights of four neighbors by cubic convolution with a = −3/4, at a share 0 … 1 of the way from the second to the third. */
function cubic(share: number): readonly number[] {
  const a = -0.75;
  const near = (x: number): number => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number): number => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [far(1 + share), near(share), near(1 - share), far(2 - share)];
}

/** The middle square of a picture, 224 / 256 of the shorter side, resized to 224 by cubic interpolation: [1, 3, 224, 224] in bytes. */
function prepared({ width, height, data }: ByteImage): NdArray<"float32"> {
  const side = Math.round((Math.min(width, height) * SIDE) / (SIDE + 32));
  const [left, top] = [Math.floor((width - side) / 2), Math.floor((height - side) / 2)];
  const taps = Array.from({ length: SIDE }, (_, i) => {
    const center = ((i + 0.5) * side) / SIDE - 0.5;
    const first = Math.floor(center) - 1;
    const places = [0, 1, 2, 3].map((k) => Math.min(side - 1, Math.max(0, first + k)));
    return cubic(center - Math.floor(center)).map((weight, k) => ({ weight, at: present(places[k]) }));
  });
  const x = new Float32Array(3 * SIDE * SIDE);
  for (let channel = 0; channel < 3; channel++) {
    for (let row = 0; row < SIDE; row++) {
      for (let column = 0; column < SIDE; column++) {
        let sum = 0;
        for (const vertical of present(taps[row])) {
          for (const horizontal of present(taps[column])) {
            const at = (channel * height + top + vertical.at) * width + left + horizontal.at;
            sum += vertical.weight * horizontal.weight * present(data[at]);
          }
        }
        x[(channel * SIDE + row) * SIDE + column] = sum;
      }
    }
  }
  return float32(x, [1, 3, SIDE, SIDE]);
}

describe.skipIf(!available)("EfficientNet-Lite0 with its ImageNet weights", () => {
  const file = fileURLToPath(weightsFile);
  const tensors = () => readWeights(new Uint8Array(readFileSync(file)), file).tensors;

  it(`sees in ${Object.keys(pictures).length} pictures what PyTorch sees`, async () => {
    const net = nameParameters(new EfficientNetLite0Classifier());
    const weights = checkState(tensors(), net, file);
    const program = compile(["x"], ({ x }) => ({ logits: net.logits(normalizedImages(x, "half")) }), {
      runtime: await testRuntime(),
      weights,
    });
    const seen: Record<string, number> = {};
    for (const [name, expected] of Object.entries(pictures)) {
      const path = fileURLToPath(new URL(`data/${name}`, shared));
      const photo = await openPhoto(path, path, { pixelLimit: 10_000_000 });
      const { logits } = await program.run({ x: prepared(await photo.decode()) });
      const values = numbers(logits);
      const best = Math.max(...values);
      seen[name] = values.indexOf(best);
      expect(Math.abs(best - expected.logit)).toBeLessThan(2e-3);
    }
    await program.release();
    expect(seen).toEqual(
      Object.fromEntries(Object.entries(pictures).map(([name, own]) => [name, own.class])),
    );
  });

  it("begins a detector", () => {
    const detector = detectorNamed("fcos", { backbone: "efficientnet-lite0" }, [3, 64, 64]);
    const wanted = [...namedTensors(detector).keys()];
    const { taken, report } = matchState(
      tensors(),
      detector,
      "efficientnet-lite0.pth",
      detector.foreignNames?.(),
    );
    expect([...taken.keys()]).toEqual(wanted.filter((name) => name.startsWith("features.backbone.")));
    expect(report.slice(0, 2)).toEqual([
      `weights of efficientnet-lite0.pth: 288 of ${wanted.length} tensors taken, by the names of lukemelas' efficientnet-lite0`,
      "8 of its classifier, not used: _fc.weight [1000, 1280], _conv_head.weight [1280, 320, 1, 1], _bn1.weight [1280], _bn1.bias [1280], _bn1.running_mean [1280], and 3 more",
    ]);
    expect(report[2]).toMatch(/^\d+ beside it, begun afresh: features\.neck \(\d+\), head \(\d+\)$/);
    expect(report).toHaveLength(3);
  });
});
