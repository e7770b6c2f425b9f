import { beforeAll, describe, expect, it } from "vitest";
import { classifierTwoSampleTest } from "../../src/metrics/index.ts";
import { fairCoinTail } from "../../src/metrics/roc.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { float32 } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian } from "./support.ts";

describe("classifier two-sample test", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await nodeRuntime({ threads: 1 });
  });

  it(`with the linear classifier finds what logistic regression finds: ${fixture.by}`, async () => {
    const { x, y, accuracy } = fixture.classifier;
    const accuracies: number[] = [];
    for (let seed = 0; seed < 8; seed++) {
      const options = { classifier: "logistic", steps: 200, seed } as const;
      const found = await classifierTwoSampleTest(
        float32(x, [400, 2]),
        float32(y, [400, 2]),
        runtime,
        options,
      );
      expect(found.count).toBe(400);
      expect(found.pValue).toBe(fairCoinTail(Math.round(400 * found.accuracy), 400));
      expect(found.pValue).toBeLessThan(1e-3);
      accuracies.push(found.accuracy);
    }
    // The fixture's is the mean over 200 divisions into halves, this the mean over 8.
    const mean = accuracies.reduce((sum, value) => sum + value, 0) / 8;
    expect(Math.abs(mean - accuracy)).toBeLessThan(0.02);
  });

  it("separates by the shape what a line cannot", async () => {
    // A ring around the other set: the same mean.
    const inner = gaussian(1, 300, 2, 0.5);
    const ring = float32(
      Float32Array.from({ length: 600 }, (_, i) => 3 * (i % 2 ? Math.sin(i - 1) : Math.cos(i))),
      [300, 2],
    );
    const options = { steps: 300, seed: 2 };
    const network = await classifierTwoSampleTest(inner, ring, runtime, options);
    expect(network.accuracy).toBeGreaterThan(0.97);
    const linear = await classifierTwoSampleTest(inner, ring, runtime, {
      ...options,
      classifier: "logistic",
    });
    expect(linear.accuracy).toBeLessThan(0.85);
  });

  it("finds no difference where there is none, and repeats itself", async () => {
    const [x, y] = [gaussian(5, 500, 3), gaussian(6, 400, 3)];
    const options = { steps: 100, seed: 1 };
    const found = await classifierTwoSampleTest(x, y, runtime, options);
    expect(found.count).toBe(400);
    expect(found.pValue).toBeGreaterThan(0.01);
    expect(await classifierTwoSampleTest(x, y, runtime, options)).toEqual(found);
  });

  it("needs samples to learn from", async () => {
    await expect(classifierTwoSampleTest(gaussian(0, 3, 2), gaussian(0, 9, 2), runtime)).rejects.toThrow(
      /first set has 3 samples; at least 4/,
    );
  });
});
