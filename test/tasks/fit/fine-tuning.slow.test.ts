import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { publishedBackbone } from "../../../src/backbones/published/index.ts";
import { OptionError, WeightsError } from "../../../src/errors.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { readSafetensors, writeSafetensors } from "../../../src/nn/safetensors.ts";
import type { State } from "../../../src/program/program.ts";
import { resumeFit, startFit } from "../../../src/tasks/fit/fit.node.ts";
import { numbers, temporaryFolder } from "../../support.ts";

// A detector begins from weights of a published backbone, keeps what is frozen, and goes on as if it had never been stopped.

let root = "";
let weights = "";
let start: State = new Map();

beforeAll(async () => {
  root = await temporaryFolder();
  weights = join(root, "mobilenet.safetensors");
  start = initialState(nameParameters(publishedBackbone("mobilenet-v2")), 7);
  await mkdir(root, { recursive: true });
  await writeFile(
    weights,
    writeSafetensors(new Map([...start].map(([name, value]) => [`module.${name}`, value])), {}),
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

const request = () => ({
  model: "fcos",
  data: "digit-scenes",
  scenes: 8,
  canvas: 64,
  size: 64,
  width: 0.25,
  headBlocks: 1,
  batchSize: 2,
  threads: 1,
  deterministic: true,
  averageDecay: 0,
  warmupSteps: 0,
  samplePictures: 0,
  checkpointEvery: 1,
});

const fineTuned = () => ({
  ...request(),
  backbone: "mobilenet-v2",
  weights,
  frozenStages: 3,
  backboneRate: 0.5,
});

const lastOf = async (path: string): Promise<State> => {
  const file = join(path, "weights", "last.safetensors");
  return readSafetensors(await readFile(file), file).tensors;
};

const configSchema = z.object({ modelOptions: z.record(z.string(), z.unknown()) });
const optionsOf = async (path: string) =>
  configSchema.parse(JSON.parse(await readFile(join(path, "config.json"), "utf8"))).modelOptions;

describe("a detector from weights of a published backbone", () => {
  it("keeps what is frozen, trains the rest, records what was decided, and resumes bit for bit", async () => {
    const [whole, parts] = [join(root, "whole"), join(root, "parts")];
    await startFit({ ...fineTuned(), steps: 2, schedule: "constant", out: whole });
    expect(await optionsOf(whole)).toMatchObject({
      backbone: "mobilenet-v2",
      normalize: "imagenet",
      frozenStages: 3,
      frozenNorm: true,
      backboneRate: 0.5,
    });
    const trained = await lastOf(whole);
    const backbone = publishedBackbone("mobilenet-v2");
    for (const [name, value] of start) {
      const now = numbers(trained.get(`features.backbone.${name}`));
      const isKernel = value.shape.length > 1;
      const same = now.every((number, i) => number === value.data[i]);
      // Of stages that are trained, only kernels change: batch norms are frozen.
      expect([name, same]).toEqual([name, backbone.stageOf(name) <= 3 || !isKernel]);
    }
    await startFit({ ...fineTuned(), steps: 1, schedule: "constant", out: parts });
    await resumeFit(parts, { steps: 2 });
    for (const [name, value] of await lastOf(parts))
      expect(numbers(value)).toEqual(numbers(trained.get(name)));
  });

  it("is refused where there is nothing to keep, or another network in the file", async () => {
    const out = join(root, "refused");
    const frozen = { ...request(), frozenStages: 1, steps: 1, out };
    await expect(startFit(frozen)).rejects.toThrow(OptionError);
    await expect(startFit(frozen)).rejects.toThrow("option frozenStages: without weights");
    const other = { ...request(), backbone: "resnet18", weights, steps: 1, out };
    await expect(startFit(other)).rejects.toThrow(WeightsError);
    await expect(startFit(other)).rejects.toThrow(
      `${weights}: it is most likely mobilenet-v2, and the backbone here is resnet18; choose --backbone mobilenet-v2`,
    );
  });
});
