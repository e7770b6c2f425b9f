import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support.ts";
import { built, QUICK, refused, run, succeed } from "./support.ts";

// How commands end: in the time that they say, without leftovers, and with the right word.

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  await succeed(["fit", "nice", "two-moons", ...QUICK, "--steps", "3", "--out", "run"], cwd);
});
afterAll(() => rm(cwd, { recursive: true }));

describe("words of other programs", () => {
  test.each([
    [["train"], /unknown command 'train'; it is called fit here/],
    [
      ["predict", "run"],
      /it is called detect \(finds objects\), score \(rates rows and images\) or sample here/,
    ],
    [["fit", "nice", "two-moons", "--lr", "1"], /unknown option '--lr'; it is called --learning-rate here/],
    [
      ["fit", "nice", "two-moons", "--batch", "1"],
      /unknown option '--batch'; it is called --batch-size here/,
    ],
    [["fit", "ddim", "two-moons"], /no model called ddim; that is a solver of ddpm: .*--solver ddim/],
  ])("%j lead to the right one", async (args, message) => {
    expect(await refused(args, cwd)).toMatch(message);
  });
});

describe("a path on which nothing can be written", () => {
  test.each([
    [
      ["fit", "nice", "two-moons", "--steps", "1", "--out", "file/run"],
      /cannot make the folder .*a part of the path is a file/,
    ],
    [
      ["sample", "run", "--out", "file/deeper/x.png"],
      /cannot write .*a part of the path is a file, not a folder/,
    ],
  ])("%j is refused before any work", async (args, message) => {
    await writeFile(join(cwd, "file"), "");
    expect(await refused(args, cwd)).toMatch(message);
  });
});

describe("a model of one's own that throws", () => {
  const module = (thrown: string): string => `
    import { defineModel } from ${JSON.stringify(built("index.js"))};
    import { Linear } from ${JSON.stringify(built("nn/index.js"))};
    import { z } from ${JSON.stringify(import.meta.resolve("zod"))};
    export default defineModel({
      name: "mine", summary: "throws", paper: "none", dataKinds: ["points"], can: [],
      options: z.strictObject({}),
      build: () => ({ layer: new Linear(2, 1), loss({ x }) { ${thrown} } }),
    });`;

  test("is shown as one's own, with the stack, and leaves no folder", async () => {
    await writeFile(join(cwd, "mine.mjs"), module("return x.nothing.at.all;"));
    const outcome = await run(["fit", "./mine.mjs", "two-moons", "--steps", "2", "--out", "own"], cwd);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(
      /eidos: your own code has failed \(.*mine\.mjs:\d+\): Cannot read properties/,
    );
    expect(outcome.stderr).toMatch(/\n\s+at .*mine\.mjs/);
    expect(outcome.stderr).not.toMatch(/please report/);
    await expect(stat(join(cwd, "own"))).rejects.toThrow(/ENOENT/);
  });

  test.each([
    ["nothing", "", "total"],
    ["a tensor by itself", "return x.mean();", "total"],
    ["a number beside it", "return { total: x.mean(), weight: 3 };", "weight"],
  ])("is told what its loss has to return in place of %s", async (_, body, wrong) => {
    await writeFile(join(cwd, "returns.mjs"), module(body));
    const args = ["fit", join(cwd, "returns.mjs"), "two-moons", "--steps", "2", "--out", "returned"];
    const { code, stderr } = await run(args, cwd);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`\neidos: the model's loss.batch. must return { total }, .*; ${wrong} is no tensor\n$`),
    );
  });
});

describe("--report", () => {
  test("none writes the model alone", async () => {
    await succeed(
      ["fit", "nice", "two-moons", ...QUICK, "--steps", "3", "--report", "none", "--out", "bare"],
      cwd,
    );
    expect(await readdir(join(cwd, "bare"))).not.toContain("report.html");
    expect(await readdir(join(cwd, "bare"))).toContain("model.onnx");
    const config = JSON.parse(await readFile(join(cwd, "bare", "config.json"), "utf8"));
    expect(config.fit.report).toBe("none");
  });
});

describe("eval", () => {
  test("is quick, says what it leaves out, and measures all where that is asked for", async () => {
    const quick = await succeed(["eval", "run"], cwd);
    expect(quick.stderr).toMatch(/quick: quick distances alone; --full measures all/);
    expect(quick.stdout).not.toMatch(/classifier/);
    const full = await succeed(["eval", "run", "--full"], cwd);
    expect(full.stderr).toMatch(
      /^the run is hardly trained: its weights are of 3 steps, best validation loss [\d.-]+; .*\n$/,
    );
    expect(full.stdout).toMatch(/classifier/);
  });
});

describe("--quiet", () => {
  test("is an option of every command that uses a run", async () => {
    await mkdir(join(cwd, "out"), { recursive: true });
    const { stderr } = await succeed(["sample", "run", "--quiet", "--out", "out/samples.csv"], cwd);
    expect(stderr).toBe("");
  });
});
