import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { initialState } from "../../../src/nn/module.ts";
import { type FitTask, prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { openRun } from "../../../src/tasks/open-run.node.ts";
import { locatedData } from "../../../src/tasks/run/run-data.node.ts";
import { fitOptions } from "../../../src/train/options.ts";
import { temporaryFolder } from "../../support.ts";

// A run finds the files that it names from any working directory, and says that it is its data that is missing.

let folder = "";
let before = "";

const table = (shift: number): string =>
  `a,b\n${Array.from({ length: 60 }, (_, i) => `${Math.sin(i) + shift},${Math.cos(3 * i)}`).join("\n")}\n`;

beforeAll(async () => {
  before = process.cwd();
  folder = await temporaryFolder();
  for (const name of ["home", "elsewhere"]) await mkdir(join(folder, name));
  process.chdir(join(folder, "home"));
  await writeFile("wine.csv", table(0));
  const request = { model: "rectified-flow", data: "wine.csv", width: 8, depth: 1, steps: 1, out: "run" };
  const { fit } = await prepareFit({ kind: "new", request });
  await fit.folder.writeWeights("last", initialState(fit.model, 0), 0);
  await fit.folder.unlock();
});
beforeEach(() => process.chdir(join(folder, "home")));
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

const run = () => join(folder, "home", "run");
const config = async () => JSON.parse(await readFile(join(run(), "config.json"), "utf8"));

const trainCount = async (options: Parameters<typeof openRun>[1] = {}): Promise<number> => {
  await using opened = await openRun(run(), options);
  return (await opened.loaded.data()).splits.train.count;
};

describe("the data of a run", () => {
  test("is kept as typed and whole, and found from another working directory", async () => {
    expect(await config()).toMatchObject({
      data: "wine.csv",
      paths: { data: join(folder, "home", "wine.csv") },
    });
    process.chdir(join(folder, "elsewhere"));
    expect(await trainCount()).toBe(48);
    const resume: FitTask = { kind: "resume", folder: run(), overrides: { steps: 2 } };
    const { fit } = await prepareFit(resume);
    expect(fit.data.describe()[0]).toMatch(/wine\.csv: 60 rows/);
    await fit.folder.unlock();
  });

  test("of the working directory does not take its place", async () => {
    process.chdir(join(folder, "elsewhere"));
    await writeFile("wine.csv", table(1));
    expect(await trainCount()).toBe(48);
    await rm("wine.csv");
  });

  test("that is missing is told as the run's data; where it is now can be said, and stays in the run", async () => {
    const moved = join(folder, "elsewhere", "moved.csv");
    await rename("wine.csv", moved);
    await expect(trainCount()).rejects.toThrow(
      new RegExp(
        `the data of the run ${run()} is missing: wine.csv.*${join(folder, "home")}.*--resume ${run()} --data`,
      ),
    );
    expect(await trainCount({ data: moved })).toBe(48);
    await writeFile(join(folder, "elsewhere", "other.csv"), table(1));
    const resume = (data: string): FitTask => ({
      kind: "resume",
      folder: run(),
      overrides: { steps: 2 },
      data,
    });
    await expect(prepareFit(resume(join(folder, "elsewhere", "other.csv")))).rejects.toThrow(
      /no longer what this run/,
    );
    process.chdir(join(folder, "elsewhere"));
    await (await prepareFit(resume("moved.csv"))).fit.folder.unlock();
    expect(await config()).toMatchObject({ data: "moved.csv", paths: { data: moved } });
    process.chdir(folder);
    expect(await trainCount()).toBe(48);
  });
});

test("a run that was imported has no data, and its message names an option that fit has", async () => {
  const run = { data: "imported:fcos.pth", dataOptions: {} };
  const refused = await locatedData(run, "runs/coco").catch((error: unknown) => String(error));
  const [, option = ""] = /eidos fit MODEL DATA --(\w+) runs\/coco/.exec(String(refused)) ?? [];
  expect(Object.keys(fitOptions.shape)).toContain(option);
});
