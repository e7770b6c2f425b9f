import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isRecord } from "../../src/options.ts";
import { temporaryFolder } from "../support.ts";
import { start } from "./support.ts";

// The command in a process with little memory of its own: what asks for too much ends with one line, not with the process.

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

/** A quarter of what Node takes by default. */
const SMALL = ["--max-old-space-size=512"];

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A copy of a run with other options of its model, data or fit. */
async function changed(group: string, options: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = join(root, `run-${Object.keys(options).join("-")}`);
  await cp(fixture("nice-two-moons"), folder, { recursive: true });
  const path = join(folder, "config.json");
  const config: unknown = JSON.parse(await readFile(path, "utf8"));
  const target = isRecord(config) ? config[group] : undefined;
  expect(isRecord(target)).toBe(true);
  Object.assign(target as object, options);
  await writeFile(path, JSON.stringify(config));
  return folder;
}

async function refusal(args: readonly string[]): Promise<string> {
  const { code, signal, stderr } = await start(args, root, SMALL).outcome;
  expect({ code, signal, stderr }).toMatchObject({ code: 1, signal: null });
  expect(stderr).toMatch(/^eidos: [^\n]+\n$/);
  return stderr;
}

describe("a small process", () => {
  it.each([
    ["modelOptions", { couplings: 1e8 }, /option couplings/],
    ["modelOptions", { width: 65_536, hiddenLayers: 1000, couplings: 16 }, /weights|parameters/],
    ["modelOptions", { couplings: 1000, hiddenLayers: 1000 }, /more than 100,000 parameters/],
    ["dataOptions", { count: 1e12 }, /option count/],
    ["dataInfo", { sampleShape: [1e9, 1e9] }, /sampleShape/],
  ] as const)("refuses a run with %s %o", async (group, options, message) => {
    const run = await changed(group, options);
    expect(await refusal(["eval", run])).toMatch(message);
    expect(await refusal(["fit", "--resume", run, "--steps", "8"])).toMatch(message);
  });

  it("refuses requests", async () => {
    const run = fixture("rectified-flow-digits");
    const fit = ["fit", "nice", "two-moons", "--steps", "2", "--out", "new"];
    expect(await refusal(["sample", run, "--count", "100000000", "--out", "x.npy"])).toMatch(
      /needs at least/,
    );
    expect(await refusal(["sample", run, "--count", "1e12", "--out", "x.npy"])).toMatch(/count/);
    expect(await refusal([...fit, "--count", "1e12"])).toMatch(/count/);
    expect(await refusal([...fit, "--width", "65536", "--couplings", "1000"])).toMatch(/needs at least/);
  });
});
