import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import type { Trainable } from "../../src/model/capabilities.ts";
import { Conv2d } from "../../src/nn/convolution.ts";
import { Linear } from "../../src/nn/linear.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { BatchNorm2d } from "../../src/nn/normalization.ts";
import { readWeights } from "../../src/nn/weights.ts";
import { warmStart } from "../../src/train/run-folder.node.ts";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/pytorch/${name}`, import.meta.url));

/** The network of the fixtures, by PyTorch's names of a Sequential. */
const network = (outputs: number): Trainable =>
  nameParameters({
    0: new Conv2d(2, 3, 2),
    1: new BatchNorm2d(3),
    3: new Linear(12, outputs),
    loss: () => {
      throw new Error("not fitted here");
    },
  });

describe("a fit that begins with weights of PyTorch", () => {
  it.each(["network.pth", "network-older.pth", "checkpoint.pt"])("%s", async (name) => {
    const path = fixture(name);
    const { start, report } = await warmStart(path, network(2), 0);
    const { tensors, notes } = readWeights(await readFile(path), name);
    expect([...start.keys()]).toEqual([...tensors.keys()]);
    for (const [key, { data }] of tensors) {
      expect(Array.from(start.get(key)?.data ?? [], Number)).toEqual(Array.from(data, Number));
      expect(start.get(key)?.dtype).toBe("float32");
    }
    expect(report).toEqual([
      ...notes.map((note) => `weights of ${path}: ${note}`),
      `weights of ${path}: 9 of 9 tensors taken`,
    ]);
    expect(notes.length).toBe(name === "checkpoint.pt" ? 1 : 0);
  });

  it("takes what fits, and tells what does not", async () => {
    const { report } = await warmStart(fixture("network.pth"), network(5), 0);
    expect(report.slice(1)).toEqual([
      "2 of another shape, begun afresh:",
      "  3.weight  [2, 12], the model wants [5, 12]",
      "  3.bias    [2], the model wants [5]",
    ]);
  });

  it("must find all that is frozen in the file", async () => {
    const frozen = (outputs: number, part: string): Trainable =>
      Object.assign(network(outputs), { rateOf: (name: string) => (name.startsWith(part) ? 0 : 1) });
    await expect(warmStart(fixture("network.pth"), frozen(5, "3."), 0)).rejects.toThrow(
      /has not 2 of the 2 parameters that are frozen \(the first is 3\.weight\)/,
    );
    expect((await warmStart(fixture("network.pth"), frozen(5, "0."), 0)).start.size).toBe(9);
  });

  it("is told by what a file holds, not by its name", async () => {
    const folder = await mkdtemp(join(tmpdir(), "eidos-"));
    const path = join(folder, "weights.safetensors");
    await writeFile(path, await readFile(fixture("network.pth")));
    expect((await warmStart(path, network(2), 0)).report).toHaveLength(1);
    await writeFile(path, "<!DOCTYPE html><html></html>");
    await expect(warmStart(path, network(2), 0)).rejects.toThrow("a page of HTML");
    await rm(folder, { recursive: true });
  });

  it("refuses what would run, and what fits nowhere", async () => {
    await expect(warmStart(fixture("whole-model.pt"), network(2), 0)).rejects.toThrow(WeightsError);
    await expect(warmStart(fixture("kinds.pth"), network(2), 0)).rejects.toThrow(
      "it holds permuted [4, 2, 3], channels-last [1, 2, 2, 4], float32 [2, 3], transposed [3, 2], every second [6], and 16 more; the model wants 0.weight [3, 2, 2, 2], ",
    );
  });
});
