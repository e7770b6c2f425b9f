import { readFile, stat } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { packDigits } from "../../scripts/pack-digits.ts";
import { type DataSet, range } from "../../src/data/sources/data-set.ts";
import { openDigits } from "../../src/data/sources/digits.node.ts";
import { WeightsError } from "../../src/errors.ts";
import {
  DigitFeatureNetwork,
  digitFeatureNetwork,
  digitFeatures,
  digitFeaturesAsset,
  digitFrechetDistance,
} from "../../src/metrics/index.node.ts";
import { readSafetensors } from "../../src/nn/safetensors.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";

interface Fixture {
  readonly by: string;
  readonly features: readonly (readonly number[])[];
  readonly probabilities: readonly (readonly number[])[];
}

const fixture: Fixture = JSON.parse(
  await readFile(new URL("../fixtures/metrics/digit-features.json", import.meta.url), "utf8"),
);

let digits: DataSet;
let runtime: Runtime;
beforeAll(async () => {
  await packDigits();
  digits = await openDigits();
  runtime = await nodeRuntime({ threads: 1 });
});

/** The images that the fixture's script makes. */
function patterns(count: number): NdArray<"float32"> {
  const data = Float32Array.from({ length: count * 784 }, (_, place) => {
    const [image, i, j] = [Math.floor(place / 784), Math.floor((place % 784) / 28), place % 28];
    const value = (7 * i * i + 13 * i * j + 31 * image) % 256;
    return value > 150 ? value : 0;
  });
  return float32(data, [count, 1, 28, 28]);
}

describe("the feature network of digits", () => {
  it("is small, and as accurate as its file says: at least 98 %", async () => {
    expect((await stat(digitFeaturesAsset)).size).toBeLessThan(1e6);
    const network = await digitFeatureNetwork();
    const { x, label } = digits.splits.test.batch(range(0, 1000));
    const { probabilities } = await network.view(x, runtime);
    let right = 0;
    for (let i = 0; i < 1000; i++) {
      const row = probabilities.data.subarray(10 * i, 10 * i + 10);
      if (row.indexOf(Math.max(...row)) === Number(label?.data[i])) right++;
    }
    expect(right).toBeGreaterThanOrEqual(980);
    const { metadata } = readSafetensors(await readFile(digitFeaturesAsset), "asset");
    // Another processor may round a close decision the other way.
    expect(Math.abs(right / 1000 - Number(metadata.testAccuracy))).toBeLessThan(0.0011);
  });

  it(`sees what ${fixture.by} sees with its weights`, async () => {
    const network = await digitFeatureNetwork();
    const { features, probabilities } = await network.view(patterns(3), runtime);
    expect(features.shape).toEqual([3, 64]);
    for (const [k, value] of fixture.features.flat().entries())
      expect(features.data[k]).toBeCloseTo(value, 3);
    for (const [k, value] of fixture.probabilities.flat().entries()) {
      expect(probabilities.data[k]).toBeCloseTo(value, 4);
    }
  });

  it("sees the same in parts, and in rows of pixels", async () => {
    const { x } = digits.splits.train.batch(range(0, 612));
    const whole = await digitFeatures(x, runtime);
    const tail = float32(x.data.slice(600 * 784), [12, 784]);
    const part = await digitFeatures(tail, runtime);
    for (const [k, value] of part.data.entries()) {
      expect(whole.data[600 * 64 + k]).toBeCloseTo(value, 4);
    }
  });

  it("has a Fréchet distance that grows with noise, and with what is missing", async () => {
    // The splits are in the order of the classes: every sixteenth training digit makes 500 of all.
    const eighths = (first: number) => range(0, 500).map((i) => 16 * i + first);
    const real = digits.splits.train.batch(eighths(0)).x;
    const test = digits.splits.test.batch(range(0, 500).map((i) => 2 * i)).x;
    const noise = new Float32Array(test.data.length);
    new Random(0).fillNormal(noise);
    const distances: number[] = [];
    for (const deviation of [0, 20, 40, 80]) {
      const disturbed = test.data.map((byte, i) =>
        Math.min(255, Math.max(0, byte + deviation * (noise[i] ?? 0))),
      );
      distances.push(await digitFrechetDistance(real, float32(disturbed, test.shape), runtime));
    }
    const [fresh = 0, ...disturbed] = distances;
    for (const [i, distance] of disturbed.entries()) {
      expect(distance).toBeGreaterThan(1.5 * (distances[i] ?? 0));
    }
    expect(await digitFrechetDistance(real, real, runtime)).toBeLessThan(1e-3 * fresh);
    // Fresh digits of half of the classes are farther than fresh digits of all.
    const { label } = digits.splits.train.batch(range(0, 8000));
    const even = range(0, 8000).filter((i) => i % 16 !== 0 && Number(label?.data[i]) % 2 === 0);
    const half = digits.splits.train.batch(range(0, 500).map((i) => even[6 * i] ?? 0)).x;
    const missing = await digitFrechetDistance(real, half, runtime);
    expect(missing).toBeGreaterThan(5 * fresh);
  });

  it("takes digits alone and whole weights alone", async () => {
    await expect(digitFeatures(float32(new Float32Array(12), [3, 4]), runtime)).rejects.toThrow(
      /are no digits/,
    );
    expect(() => new DigitFeatureNetwork(new Uint8Array(100))).toThrow(WeightsError);
  });
});
