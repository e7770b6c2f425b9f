import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { planeDensity, planePoints } from "../../../src/data/sources/toy.ts";
import { compare, TimeLeft } from "../../../src/tasks/compare/compare.node.ts";
import { CompareFolder } from "../../../src/tasks/compare/folder.node.ts";
import { checkRun } from "../../../src/tasks/compare/model.node.ts";
import { planeSetting } from "../../../src/tasks/compare/pictures.node.ts";
import { requestJson, resolveComparison } from "../../../src/tasks/compare/request.node.ts";

describe("a request", () => {
  const resolve = (request: Readonly<Record<string, unknown>>) =>
    resolveComparison({ data: "two-moons", models: ["nice", "gan"], ...request });

  it("gives every model the options of all and its own", async () => {
    const { contenders, dataOptions, shared, out } = await resolve({
      models: ["nice", { model: "nice", name: "wide", width: 32, batchSize: 64 }],
      seconds: 5,
      seed: 3,
      count: 1000,
    });
    expect(shared).toMatchObject({ seconds: 5, seed: 3, provider: "cpu" });
    expect(dataOptions).toEqual({ count: 1000, binary: false });
    expect(out).toBe(join("runs", "compare-two-moons"));
    expect(
      contenders.map(({ name, fit, modelOptions }) => [name, fit.seconds, fit.batchSize, modelOptions.width]),
    ).toEqual([
      ["nice", 5, undefined, contenders[0]?.modelOptions.width],
      ["wide", 5, 64, 32],
    ]);
  });

  it("has the budget of a single fit where none is given", async () => {
    expect((await resolve({})).shared.seconds).toBe(120);
    expect((await resolve({ steps: 9 })).shared).not.toHaveProperty("seconds");
  });

  it("written as JSON makes itself again", async () => {
    const first = await resolve({
      models: ["gan", { model: "nice", name: "wide", width: 32 }],
      steps: 7,
      count: 1000,
      out: "here",
      features: "runs/encoder",
    });
    const json = JSON.parse(JSON.stringify(requestJson(first)));
    expect(json.features).toBe("runs/encoder");
    expect(json.models).toEqual(["gan", { model: "nice", name: "wide", width: 32 }]);
    expect(requestJson(await resolveComparison(json))).toEqual(json);
  });

  it("reads data as zeros and ones where all models take them and one takes nothing else", async () => {
    const binary = async (models: readonly string[], options = {}) =>
      (await resolve({ data: "digits", models, ...options })).dataOptions.binary;
    expect(await binary(["made", "nade"])).toBe(true);
    expect(await binary(["made", "vae"])).toBe(true);
    expect(await binary(["vae"])).toBe(false);
    expect(await binary(["made", "nice"])).toBe(false);
    expect(await binary(["vae"], { binary: true })).toBe(true);
    expect(await binary(["made"], { data: "two-moons" })).toBe(false);
  });

  it.each([
    [{ models: ["nise"] }, /no model called nise; did you mean nice/],
    [{ models: [] }, /no models were named/],
    [{ models: ["nice", "nice"] }, /nice was named twice/],
    [{ models: ["nice", { model: "gan", name: "../gan" }] }, /"\.\.\/gan" is to be a folder/],
    [{ models: [{ model: "nice", widht: 3 }] }, /nice: there is no option widht; did you mean width/],
    [{ models: [{ model: "nice", width: -3 }] }, /nice: option width/],
    [{ models: [{ model: "nice", seed: 3 }] }, /option seed of nice is the same for all models/],
    [{ trustModule: true }, /option trustModule is about the run whose features are used/],
    [{ secnds: 3 }, /compare: there is no option secnds; did you mean seconds/],
    [{ steps: 1.5 }, /option steps/],
  ])("%j is refused before any work", async (request, message) => {
    await expect(resolve(request)).rejects.toThrow(message);
  });
});

describe("the time left", () => {
  it("is not guessed before a model has shown how long measuring takes, and then foreseen from those that are done", () => {
    const time = new TimeLeft(20);
    expect(time.estimate(undefined, 2)).toBeUndefined();
    expect(time.estimate(5, 2)).toBeUndefined();
    expect(time.estimate(0, 0, { since: 4, left: 7 })).toBe(7);
    time.add(20, 30);
    // Ten seconds of other work a model.
    expect(time.estimate(5, 1)).toBe(5 + 10 + 30);
    expect(time.estimate(0, 1, { since: 4 })).toBe(6 + 30);
    expect(time.estimate(0, 0, { since: 40 })).toBe(0);
    expect(time.estimate(0, 1, { since: 40, left: 100 })).toBe(130);
  });

  it("of a budget in steps is not known before a model is done", () => {
    const time = new TimeLeft(undefined);
    expect(time.estimate(undefined, 0)).toBeUndefined();
    expect(time.estimate(3, 1)).toBeUndefined();
    expect(time.estimate(3, 0)).toBeUndefined();
    time.add(8, 10);
    expect(time.estimate(3, 1)).toBe(3 + 2 + 10);
  });
});

describe("the setting of the plane", () => {
  it("has the scale of the true density, and about the same where only points are known", () => {
    const points = planePoints("two-moons", { count: 20_000 });
    const setting = planeSetting(points);
    const { logDensity: _, ...unknown } = points;
    const peak = Math.exp(planeDensity("two-moons").logDensity([-1, 1.5]));
    expect(setting?.top).toBeGreaterThan(0.8 * peak);
    expect(setting?.top).toBeLessThan(1.1 * peak);
    expect(planeSetting(unknown)?.top).toBeGreaterThan(0.7 * peak);
    expect(planeSetting(unknown)?.top).toBeLessThan(1.3 * peak);
    expect(planeSetting(unknown)?.frame).toEqual(setting?.frame);
    expect(planeSetting({ ...points, kind: "table" })).toBeUndefined();
  });
});

describe("the folder", () => {
  let path: string;
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "eidos-compare-"));
  });
  const result = {
    name: "gan",
    likelihood: { kind: "exact" as const, nats: Number.NEGATIVE_INFINITY },
    distances: [{ measure: "energy" as const, value: Number.NaN, samples: 10, real: 10 }],
    trainingSeconds: 1,
    steps: 2,
    weightsStep: 2,
    parameters: 3,
  };

  it("keeps results, numbers that are not finite too, and takes damaged ones for missing", async () => {
    const folder = new CompareFolder(path);
    await folder.open({ data: "x" }, false);
    await folder.writeResult(result);
    expect(await folder.readResult("gan")).toEqual(result);
    expect(await folder.readResult("nice")).toBeUndefined();
    await writeFile(folder.file("results", "gan.json"), "{ half");
    expect(await folder.readResult("gan")).toBeUndefined();
  });

  it("takes results for missing that name pictures elsewhere, or are another model's", async () => {
    const folder = new CompareFolder(path);
    await folder.open({ data: "x" }, false);
    for (const picture of ["gan-samples.png", "data/samples.svg"]) {
      await folder.writeResult({ ...result, picture });
      expect((await folder.readResult("gan"))?.picture).toBe(picture);
    }
    for (const picture of [
      "../../private.png",
      "/etc/passwd",
      "data/../../x.png",
      "..",
      "passwd",
      "a\0.png",
    ]) {
      await folder.writeResult({ ...result, picture });
      expect(await folder.readResult("gan")).toBeUndefined();
    }
    await writeFile(
      folder.file("results", "nice.json"),
      JSON.stringify({ ...result, likelihood: undefined }),
    );
    expect(await folder.readResult("nice")).toBeUndefined();
  });

  it.each([
    "leaderboard.html",
    "data.json",
    "runs",
    "runs/nice",
    "results",
    "pictures",
    "pictures/nice-samples.png",
  ])("in which %s leads out of it is neither read nor written, fresh or not", async (name) => {
    const own = await mkdtemp(join(tmpdir(), "eidos-private-"));
    await mkdir(join(own, "nice"));
    await writeFile(join(own, "nice", "notes.txt"), "mine");
    const folder = new CompareFolder(path);
    await folder.open({ data: "two-moons" }, false);
    await rm(folder.file(name), { recursive: true, force: true });
    await symlink(/[.]/.test(name) ? join(own, "nice", "notes.txt") : own, folder.file(name));
    for (const fresh of [false, true]) {
      const request = { data: "two-moons", models: ["nice"], count: 100, steps: 1, out: path, fresh };
      await expect(compare(request)).rejects.toThrow(
        /is a link that leads out of the comparison, to .*private/,
      );
    }
    expect(await readdir(own)).toEqual(["nice"]);
    expect(await readFile(join(own, "nice", "notes.txt"), "utf8")).toBe("mine");
  });

  it("imports the module that is asked for, never the one that a run in it names", async () => {
    const modules = await mkdtemp(join(tmpdir(), "eidos-modules-"));
    await writeFile(join(modules, "evil.mjs"), "export default { build() {} };\n");
    await writeFile(join(modules, "mine.mjs"), "export default { build() {} };\n");
    const folder = new CompareFolder(path);
    await folder.open({ data: "two-moons" }, false);
    const config = JSON.parse(
      await readFile(new URL("../../fixtures/runs/nice-two-moons/config.json", import.meta.url), "utf8"),
    );
    const model = join(modules, "mine.mjs");
    await mkdir(folder.run("mine"), { recursive: true });
    await writeFile(
      join(folder.run("mine"), "config.json"),
      JSON.stringify({ ...config, model, paths: { model: join(modules, "evil.mjs") } }),
    );
    const stage = { folder, comparison: { data: "two-moons" } } as unknown as Parameters<typeof checkRun>[1];
    const contender = { name: "mine", model, modelOptions: {}, fit: {} } as unknown as Parameters<
      typeof checkRun
    >[0];
    await expect(checkRun(contender, stage)).rejects.toThrow(/holds mine with another model, .*evil.mjs/);
  });

  it("begins anew where asked, clears what a killed process has left, and touches no other folder", async () => {
    const folder = new CompareFolder(path);
    await folder.open({ data: "x" }, false);
    await folder.writeResult(result);
    await writeFile(folder.file("results", "nice.json.12-3.tmp"), "half");
    await writeFile(folder.file("notes.txt"), "mine");
    await folder.open({ data: "x" }, false);
    expect(await readdir(folder.file("results"))).toEqual(["gan.json"]);
    await folder.open({ data: "y" }, true);
    expect(await folder.readResult("gan")).toBeUndefined();
    expect(await readFile(folder.file("notes.txt"), "utf8")).toBe("mine");
    const other = await mkdtemp(join(tmpdir(), "eidos-compare-"));
    await writeFile(join(other, "notes.txt"), "mine");
    for (const fresh of [true, false]) {
      await expect(new CompareFolder(other).open({}, fresh)).rejects.toThrow(
        /not empty and holds no comparison/,
      );
    }
    expect(await readdir(other)).toEqual(["notes.txt"]);
  });
});
