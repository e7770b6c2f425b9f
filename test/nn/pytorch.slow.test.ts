import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readWeights } from "../../src/nn/weights.ts";
import { numbers, tensorOf } from "./support.ts";

// Real files, which stand beside the project and are no part of it. Values as PyTorch 1.13 reads them.
const shared = new URL("../../../shared/weights/", import.meta.url);
const present = existsSync(shared);
if (!present) console.log("skipped: weights that others have trained; there is no ../shared/weights");

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

describe.skipIf(!present)("weights that others have trained", () => {
  const read = (name: string) => readWeights(new Uint8Array(readFileSync(new URL(name, shared))), name);

  it("EfficientNet-Lite0", () => {
    const { tensors } = read("efficientnet-lite0.pth");
    expect(tensors.size).toBe(296);
    expect(sum([...tensors.values()].map(({ data }) => data.length))).toBe(4_694_073);
    const stem = tensorOf(tensors, "_conv_stem.weight");
    expect(stem.shape).toEqual([32, 3, 3, 3]);
    expect(numbers(stem).slice(0, 3)).toEqual([
      -1.1103360652923584, -1.3087704181671143, -0.010156914591789246,
    ]);
    expect(sum(numbers(stem))).toBeCloseTo(-26.811376610887237, 9);
    expect(sum(numbers(tensorOf(tensors, "_bn1.running_var")))).toBeCloseTo(13721.746045589447, 6);
    expect(tensorOf(tensors, "_bn0.num_batches_tracked")).toEqual({
      dtype: "int64",
      shape: [],
      data: BigInt64Array.of(0n),
    });
  });

  it.each([
    ["mtcnn/pnet.pt", 13, 6632, -43.12531704072171],
    ["mtcnn/rnet.pt", 16, 100_178, -178.50655001851723],
    ["mtcnn/onet.pt", 21, 389_040, -354.43949631894327],
  ])("%s", (name, count, size, total) => {
    const { tensors } = read(name);
    const values = [...tensors.values()].map(numbers);
    expect(values.length).toBe(count);
    expect(sum(values.map(({ length }) => length))).toBe(size);
    expect(sum(values.map(sum))).toBeCloseTo(total, 8);
  });
});
