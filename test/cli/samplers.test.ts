import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { parseSamplers } from "../../src/tasks/compare/samplers.node.ts";
import { temporaryFolder } from "../support.ts";
import { QUICK, refused, run, succeed } from "./support.ts";

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  const small = ["two-moons", ...QUICK, "--steps", "4", "--report", "none", "--quiet"];
  await succeed(["fit", "ddpm", ...small, "--depth", "1", "--out", "ddpm"], cwd);
  await succeed(["fit", "nice", ...small, "--out", "nice"], cwd);
});
afterAll(() => rm(cwd, { recursive: true }));

test("samplers are solvers with their steps", () => {
  expect(parseSamplers("ddpm:50, ddim:50,heun")).toEqual([
    { solver: "ddpm", steps: 50 },
    { solver: "ddim", steps: 50 },
    { solver: "heun" },
  ]);
  for (const text of ["", "ddim:0", "ddim:x", ":5", "a:1:2"]) {
    expect(() => parseSamplers(text)).toThrow(OptionError);
  }
});

test("samplers of runs stand beside each other, with times and pictures, and those that a model cannot use say why", async () => {
  const args = ["compare", "--runs", "ddpm,nice", "--samplers", "ddpm:4,ddim:2,heun:2", "--out", "board"];
  const { stdout } = await succeed([...args, "--quiet"], cwd);
  expect(stdout).toMatch(/ ddpm, ddpm in 4 /);
  expect(stdout).toMatch(/ ddpm, ddim in 2 /);
  expect(stdout).toMatch(/\d {2}nice /);
  expect(stdout).toMatch(/training samples/);
  expect(stdout).toMatch(/\nddpm, heun in 2: option solver: heun cannot sample from this model/);
  const board = JSON.parse(await readFile(join(cwd, "board/leaderboard.json"), "utf8"));
  const finished = board.rows.filter(({ status }: { status: string }) => status === "finished");
  expect(finished.map(({ name }: { name: string }) => name).sort()).toEqual([
    "ddpm, ddim in 2",
    "ddpm, ddpm in 4",
    "nice",
  ]);
  for (const row of finished) {
    expect(row.sampling.seconds).toBeGreaterThan(0);
    expect(row.distances.energy).toBeTypeOf("number");
  }
  expect(await readdir(join(cwd, "board/pictures"))).toContain("ddpm-ddim-2-samples.png");
  expect(board.command).toBe("eidos compare --runs ddpm,nice --samplers ddpm:4,ddim:2,heun:2 --seed 0");
});

test("guidance is refused alike where there are no classes", async () => {
  for (const args of [
    ["sample", "ddpm", "--guidance", "3"],
    ["edit", "ddpm", "--index", "0", "--guidance", "3"],
    ["reflow", "ddpm", "--guidance", "3", "--count", "64", "--out", "never"],
  ]) {
    expect(await refused(args, cwd), args[0]).toMatch(/option guidance: .*two-moons has no classes/);
  }
});

test("what belongs to fits is refused", async () => {
  expect(await refused(["compare", "--runs", "ddpm"], cwd)).toMatch(/belong together/);
  const both = ["compare", "two-moons", "--runs", "ddpm", "--samplers", "ddim:2"];
  expect(await refused(both, cwd)).toMatch(/two-moons is of fits/);
  const { code } = await run(["compare", "--runs", "nowhere", "--samplers", "ddim:2"], cwd);
  expect(code).toBe(1);
});
