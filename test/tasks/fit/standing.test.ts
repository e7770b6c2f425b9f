import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TrainingError } from "../../../src/errors.ts";
import { fit } from "../../../src/tasks/fit/fit.node.ts";
import { temporaryFolder } from "../../support.ts";

// A run has its page from the first checkpoint on, whatever becomes of the fit.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Its first step moves the weights so far that the loss of a later one is not finite. */
const diverging = {
  model: "nice",
  data: "two-moons",
  count: 64,
  width: 8,
  batchSize: 8,
  threads: 1,
  steps: 40,
  optimizer: "sgd",
  learningRate: 1e6,
  checkpointEvery: 1,
  samplePictures: 0,
} as const;

test("a fit that fails after a checkpoint leaves the page of how it stood", async () => {
  const out = join(root, "told");
  await expect(fit({ ...diverging, out })).rejects.toThrow(TrainingError);
  const page = await readFile(join(out, "report.html"), "utf8");
  expect(page).toContain("not ended: this is how it stood at step 1 ");
  expect(page).toContain("two-moons");
  expect(page).not.toContain("finished");
});

test("without a report there is no such page", async () => {
  const out = join(root, "untold");
  await expect(fit({ ...diverging, report: "none", out })).rejects.toThrow(TrainingError);
  expect(await readdir(out)).not.toContain("report.html");
});
