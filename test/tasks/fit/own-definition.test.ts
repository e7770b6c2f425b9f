import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { fit, openRun, points, resumeFit } from "../../../src/index.ts";
import type { Trainable } from "../../../src/model/capabilities.ts";
import { defineModel } from "../../../src/model/definition.ts";
import { zeros } from "../../../src/nn/initializers.ts";
import { Parameter, type Tensor } from "../../../src/tensor/index.ts";
import { temporaryFolder } from "../../support.ts";

// A model that is given as an object, not by name.

class Mean implements Trainable {
  readonly mean = new Parameter([1, 2], zeros);
  readonly scale: number;
  constructor(scale: number) {
    this.scale = scale;
  }
  loss({ x }: { readonly x: Tensor }) {
    return { total: x.sub(this.mean).square().mean().mul(this.scale) };
  }
}

const mean = defineModel({
  name: "mean",
  summary: "the mean of points",
  paper: "none",
  dataKinds: ["points"],
  can: [],
  options: z.strictObject({ scale: z.number().positive().default(1).describe("weight of the loss") }),
  build: ({ scale }) => new Mean(scale),
  preferences: () => ({ learningRate: 0.1 }),
});

describe("a definition that is given as an object", () => {
  let root = "";
  beforeAll(async () => {
    root = await temporaryFolder();
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  const data = points(
    Float32Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? 3 : -1)),
    [40, 2],
  );

  it("is fitted with its own options, and opened again where it is given", async () => {
    const out = join(root, "run");
    const { step, reason } = await fit({ model: mean, data, scale: 2, steps: 5, batchSize: 8, out });
    expect([step, reason]).toEqual([5, "limit"]);
    const run = await openRun(out, { definition: mean });
    expect(run.config).toMatchObject({ model: "definition:mean", modelOptions: { scale: 2 } });
    await run.release();
  });

  it("goes on, bit for bit, where the definition and the data are given again", async () => {
    const [whole, parts] = [join(root, "whole"), join(root, "parts")];
    const options = { model: mean, data, batchSize: 8, schedule: "constant", threads: 1 } as const;
    await fit({ ...options, steps: 6, out: whole });
    await fit({ ...options, steps: 2, out: parts });
    await expect(resumeFit(parts, { steps: 6, data })).rejects.toThrow(
      /resumeFit\(folder, \{ definition \}\)/,
    );
    const begun: boolean[] = [];
    const hooks = { onBegin: ({ resumed }: { readonly resumed: boolean }) => void begun.push(resumed) };
    expect(await resumeFit(parts, { steps: 6, data, definition: mean }, hooks)).toMatchObject({ step: 6 });
    expect(begun).toEqual([true]);
    const weights = (folder: string) => readFile(join(folder, "weights", "last.safetensors"));
    expect(await weights(parts)).toEqual(await weights(whole));
  });

  it("has options that are checked, and does not go to replicas", async () => {
    const out = join(root, "refused");
    // @ts-expect-error a misspelt option
    await expect(fit({ model: mean, data, scael: 2, steps: 1, out })).rejects.toThrow(/did you mean scale/);
    await expect(fit({ model: mean, data, steps: 1, replicas: 2, out })).rejects.toThrow(/option replicas/);
  });
});
