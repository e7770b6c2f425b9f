import { readFile } from "node:fs/promises";
import { join } from "node:path";

// A comparison of three models, and what it writes.

/** Options of its small models. */
export const OWN = { batchSize: 64, width: 16, samplePictures: 0 };

/** A flow, a model without a likelihood, and one that does not take points. */
export const comparisonOf = (steps: number) => ({
  data: "eight-gaussians",
  count: 400,
  steps,
  seed: 3,
  models: [
    { model: "nice", couplings: 2, checkpointEvery: 10, ...OWN },
    "pixel-cnn",
    { model: "rectified-flow", name: "flow", depth: 1, checkpointEvery: 10, ...OWN },
  ],
});

/** The command for a comparison in all.json. */
export const COMPARE = ["compare", "--config", "all.json"];

export const readBoard = async (folder: string) =>
  JSON.parse(await readFile(join(folder, "leaderboard.json"), "utf8"));

export const readResult = async (folder: string, name: string) =>
  JSON.parse(await readFile(join(folder, "results", `${name}.json`), "utf8"));
