import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { models } from "../../src/catalog.ts";
import { columnsOf, showTable, wrapped } from "../../src/cli/format.ts";
import { temporaryFolder } from "../support.ts";
import { QUICK, refused, succeed } from "./support.ts";

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
});
afterAll(() => rm(cwd, { recursive: true }));

/** The lines of a text, without the last empty one. */
const linesOf = (text: string): readonly string[] => text.replace(/\n$/, "").split("\n");

describe("the help of a fit", () => {
  test("shows what matters first, for every model in at most 40 lines of 100 columns", async () => {
    for (const name of models.keys()) {
      const { stdout } = await succeed(["fit", name, "--help"], cwd);
      const lines = linesOf(stdout);
      expect(lines.length, name).toBeLessThanOrEqual(40);
      expect(Math.max(...lines.map((line) => line.length)), name).toBeLessThanOrEqual(100);
      expect(stdout, name).toMatch(/--seconds .*\n[\s\S]*--help all .*\n\nExamples: eidos (fit|distill) /);
    }
    const { stdout } = await succeed(["fit", "--help"], cwd);
    expect(stdout).toMatch(/Usage: eidos fit MODEL DATA[\s\S]*eidos fit MODEL --help shows the options/);
  });

  test("has all options where they are asked for, those of digit-scenes with that data alone", async () => {
    const all = await succeed(["fit", "yolo", "--help", "all"], cwd);
    expect(all.stdout).toMatch(/--beta1/);
    expect(all.stdout).toMatch(/Examples:\n {2}eidos fit yolo digit-scenes/);
    expect(all.stdout).not.toMatch(/--clutter/);
    const scenes = await succeed(["fit", "yolo", "digit-scenes", "--help", "all"], cwd);
    expect(scenes.stdout).toMatch(/--clutter/);
  });
});

describe("models", () => {
  test("stand under what one wants, in 100 columns, and are shown one by one", async () => {
    const { stdout } = await succeed(["models"], cwd);
    expect(Math.max(...linesOf(stdout).map((line) => line.length))).toBeLessThanOrEqual(100);
    for (const name of models.keys()) expect(stdout).toMatch(new RegExp(`\n {2}${name} `));
    const [find = "", score = "", draw = "", embed = ""] = stdout.split(/^To .*$/m).slice(1);
    expect(find).toMatch(/ {2}yolo /);
    expect(score).toMatch(/ {2}nice [\s\S]* {2}continuous-flow /);
    expect(draw).toMatch(/ {2}ddpm [\s\S]* {2}vae [\s\S]* {2}gan /);
    expect(embed).toMatch(/ {2}simclr /);
    const one = await succeed(["models", "nice"], cwd);
    expect(one.stdout).toMatch(
      /arXiv:1410.8516[\s\S]*begin with: eidos fit nice digits[\s\S]*--couplings <number>/,
    );
    expect(JSON.parse((await succeed(["models", "nice", "--json"], cwd)).stdout).name).toBe("nice");
    expect(await refused(["models", "nyce"], cwd)).toMatch(/did you mean nice/);
  });
});

describe("runs", () => {
  test("have a status, their best measure and a size", async () => {
    await succeed(["fit", "nice", "two-moons", ...QUICK, "--steps", "20", "--out", "runs/a", "--quiet"], cwd);
    await mkdir(join(cwd, "runs/b"), { recursive: true });
    await writeFile(join(cwd, "runs/b/config.json"), "{");
    const { stdout } = await succeed(["runs"], cwd);
    expect(linesOf(stdout)[0]).toMatch(/^run +model +data +status +step +time +best validation +size$/);
    expect(stdout).toMatch(/runs\/a +nice +two-moons +finished +20 +\d+:\d+ +loss [\d.-]+ +[\d.]+ [kM]B\n/);
    const [run] = JSON.parse((await succeed(["runs", "--json"], cwd)).stdout);
    expect(run).toMatchObject({ status: "finished", step: 20, best: { name: "loss" } });
    expect(run.bytes).toBeGreaterThan(1000);
  });
});

describe("--json and --quiet", () => {
  test.each([
    ["sample", ["sample", "runs/a", "--out", "s.csv", "--count", "4"], { out: "s.csv", samples: 4 }],
    ["encode", ["encode", "runs/a", "--out", "codes.csv"], { out: "codes.csv", dimensions: 2 }],
    ["decode", ["decode", "runs/a", "codes.csv", "--out", "d.csv"], { out: "d.csv" }],
    ["interpolate", ["interpolate", "runs/a", "--index", "0,1", "--steps", "3"], { paths: 1, steps: 3 }],
    ["models", ["models"], []],
    ["data", ["data", "two-moons"], { name: "two-moons" }],
    ["completion", ["completion", "bash"], []],
  ])("%s prints JSON alone", async (_, args, expected) => {
    const { stdout, stderr } = await succeed([...args, "--json", "--quiet"], cwd);
    const value = JSON.parse(stdout);
    if (!Array.isArray(expected)) expect(value).toMatchObject(expected);
    expect(stderr).toBe("");
  });

  test("are options of every command", async () => {
    const words = JSON.parse((await succeed(["completion", "bash", "--json"], cwd)).stdout) as {
      name: string;
      options: { flag: string }[];
    }[];
    expect(words.length).toBeGreaterThan(25);
    for (const { name, options } of words) {
      const flags = options.map(({ flag }) => flag);
      expect(flags, name).toContain("--json");
      expect(flags, name).toContain("--quiet");
    }
  });
});

describe("completion", () => {
  test("knows commands, options, models and data in three shells", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { stdout } = await succeed(["completion", shell], cwd);
      for (const word of ["fit", "rectified-flow", "two-moons", "learning-rate", "mutual-information"]) {
        expect(stdout, shell).toContain(word);
      }
    }
    expect(await refused(["completion", "tcsh"], cwd)).toMatch(/tcsh is none of bash, zsh, fish/);
  });
});

describe("tables", () => {
  test("align letters that are two columns wide, marks and emoji", () => {
    expect(columnsOf("黒猫a")).toBe(5);
    expect(columnsOf("e\u0301")).toBe(1);
    expect(columnsOf("👩‍🚀")).toBe(2);
    expect(columnsOf("हिन्दी")).toBeLessThan(6);
    const lines = showTable(
      ["name", "count"],
      [
        ["黒猫", "1"],
        ["cat", "2"],
      ],
    ).split("\n");
    expect(new Set(lines.map((line) => columnsOf(line.slice(0, line.search(/(count|\d)$/)))))).toEqual(
      new Set([6]),
    );
    expect(wrapped("one two three", 7)).toEqual(["one two", "three"]);
  });
});
