import { spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root } from "../packed.ts";
import { temporaryFolder } from "../support.ts";
import { built, main, outcomeOf, QUICK, start } from "./support.ts";

// The command in its bundle, and where a module of one's own is the model: such a module finds eidos by its entrances, file by file.

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  const model = `
    import { defineModel } from ${JSON.stringify(built("index.js"))};
    import { Linear } from ${JSON.stringify(built("nn/index.js"))};
    import { z } from ${JSON.stringify(import.meta.resolve("zod"))};
    export default defineModel({
      name: "mine", summary: "a line", paper: "none", dataKinds: ["points"], can: [],
      options: z.strictObject({}),
      build: () => ({ layer: new Linear(2, 1), loss({ x }) { return { total: this.layer.forward(x).square().mean() }; } }),
    });`;
  await writeFile(join(cwd, "mine.mjs"), model);
  await writeFile(
    join(cwd, "mine.json"),
    JSON.stringify({ model: "./mine.mjs", data: "two-moons", steps: 3, batchSize: 8 }),
  );
});
afterAll(() => rm(cwd, { recursive: true }));

/** Files that a command loads, as URLs, and what it came to. The hook stands in a program: options that load one have the command take the files. */
async function loading(
  args: readonly string[],
): Promise<{ files: readonly string[]; code: number | null; stderr: string }> {
  const hook =
    "export async function load(url, context, next) { process._rawDebug('loads ' + url); return next(url, context); }";
  const program = `require("node:module").register("data:text/javascript,${encodeURIComponent(hook)}");
    process.argv.splice(1, 0, "eidos");
    import(${JSON.stringify(pathToFileURL(main).href)});`;
  const { code, stderr } = await outcomeOf(spawn(process.execPath, ["-e", program, "--", ...args], { cwd }));
  const files = [...stderr.matchAll(/^loads (file:\S+)$/gm)].map(([, url = ""]) => url);
  return { files, code, stderr: stderr.replace(/^loads .*\n/gm, "") };
}

const among = (files: readonly string[], folder: string): readonly string[] =>
  files.filter((url) => url.startsWith(pathToFileURL(join(root, folder)).href));

test("a command is loaded in a few files, with zod", async () => {
  const fit = ["fit", "nice", "two-moons", ...QUICK, "--steps", "3", "--report", "none", "--out", "run"];
  const { files, code, stderr } = await loading(fit);
  expect(code, stderr).toBe(0);
  expect(among(files, "dist/").map((url) => url.slice(url.indexOf("/dist/")))).toEqual(["/dist/cli/main.js"]);
  const bundled = among(files, "bundle/");
  expect(new Set(bundled).size).toBeLessThan(130);
  const help = await loading(["--help"]);
  expect(help.files.filter((url) => !url.includes("/commander/")).length).toBeLessThan(12);
  expect(among(files, "node_modules/zod/")).toEqual([]);
  expect(await readFile(join(root, "bundle", "licenses.txt"), "utf8")).toMatch(/^zod \d.*\n\nMIT License/m);
});

test("so is the thread of a fit", async () => {
  const fit = ["fit", "nice", "two-moons", ...QUICK, "--steps", "3", "--report", "none", "--out", "profiled"];
  const { code, stderr } = await start(fit, cwd, ["--cpu-prof", "--cpu-prof-dir=profiles"]).outcome;
  expect(code, stderr).toBe(0);
  const names = await readdir(join(cwd, "profiles"));
  const profiles = await Promise.all(names.map((name) => readFile(join(cwd, "profiles", name), "utf8")));
  expect(profiles.length).toBeGreaterThan(1);
  for (const profile of profiles) {
    const files = [...profile.matchAll(/"url":"(file:[^"]+)"/g)].map(([, url = ""]) => url);
    expect(among(files, "bundle/").length).toBeGreaterThan(0);
    expect(among(files, "dist/").filter((url) => !url.endsWith("/cli/main.js"))).toEqual([]);
  }
});

test.each([
  [
    "by its path",
    ["fit", "./mine.mjs", "two-moons", "--steps", "3", "--batch-size", "8", "--report", "none"],
  ],
  ["in a configuration", ["fit", "--config", "mine.json", "--report", "none"]],
  ["among others", ["compare", "two-moons", "--models", "nice,./mine.mjs", "--steps", "3"]],
])("a model of one's own that is named %s has the classes of the command", async (_, args) => {
  const { files, code, stderr } = await loading([...args, "--out", `own-${args[0]}-${args.length}`]);
  expect(code, stderr).toBe(0);
  expect(among(files, "bundle/")).toEqual([]);
});

test("so has that of a run whose module is trusted", async () => {
  const fitted = await loading([
    "fit",
    "./mine.mjs",
    "two-moons",
    "--steps",
    "3",
    "--report",
    "none",
    "--out",
    "own",
  ]);
  expect(fitted.code, fitted.stderr).toBe(0);
  const refused = await loading(["eval", "own"]);
  expect(refused.stderr).toMatch(/names a module as its model: .*mine\.mjs would run .*--trust-module/);
  const trusted = await loading(["eval", "own", "--trust-module"]);
  expect(trusted.code, trusted.stderr).toBe(0);
  expect(among(trusted.files, "bundle/")).toEqual([]);
  const resumed = await loading(["fit", "--resume", "own", "--trust-module", "--steps", "5"]);
  expect(resumed.code, resumed.stderr).toBe(0);
});

test("a module that Node loads before the command has its classes, too", async () => {
  await writeFile(
    join(cwd, "before.mjs"),
    `import { Trainer } from ${JSON.stringify(built("train/trainer.js"))};
    Trainer.create = () => { throw new Error("seen by the module"); };`,
  );
  const fit = ["fit", "nice", "two-moons", ...QUICK, "--steps", "3", "--out", "before"];
  const { code, stderr } = await start(fit, cwd, ["--import", pathToFileURL(join(cwd, "before.mjs")).href])
    .outcome;
  expect(code).toBe(1);
  expect(stderr).toMatch(/seen by the module/);
});

test("the bundle imports no module: its classes would be others than those that the module finds", async () => {
  const file = pathToFileURL(join(root, "bundle", "cli", "command.js")).href;
  const code = `const { runCommand } = await import(${JSON.stringify(file)}); await runCommand(["fit", "./mine.mjs", "two-moons"]);`;
  const { stderr } = await outcomeOf(spawn(process.execPath, ["--input-type=module", "-e", code], { cwd }));
  expect(stderr).toMatch(/mine\.mjs: a module cannot be imported by a command from its bundle/);
});
