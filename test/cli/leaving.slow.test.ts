import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { built, type Outcome, type Running, run, start, succeed } from "./support.ts";

// Processes that end in the middle of a step: with the right code, never by an abort; and two that want one run.

const FIT = [
  "fit",
  "glow",
  "digits",
  "--batch-size",
  "64",
  "--sample-pictures",
  "0",
  "--steps",
  "100000",
  "--checkpoint-every",
  "2",
];

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
});

/** Waits until a run has a checkpoint. */
async function trained(folder: string, running: Running): Promise<void> {
  let ended = false;
  running.outcome.finally(() => {
    ended = true;
  });
  const run = new RunFolder(join(cwd, folder));
  while (!ended && (await run.readCheckpoint()) === undefined)
    await new Promise((resolve) => setTimeout(resolve, 20));
}

describe.each([
  ["SIGHUP", 129],
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const)("%s", (signal, code) => {
  test("saves, and ends with its own code", async () => {
    const running = start([...FIT, "--out", signal], cwd);
    await trained(signal, running);
    running.kill(signal);
    const outcome = await running.outcome;
    expect(outcome).toMatchObject({ code, signal: null });
    expect(outcome.stdout).toMatch(/stopped and saved/);
    expect(await new RunFolder(join(cwd, signal)).fitter()).toBeUndefined();
  });

  test("a second time ends at once, without an abort", async () => {
    const folder = `${signal}-twice`;
    const running = start([...FIT, "--out", folder], cwd);
    await trained(folder, running);
    running.kill(signal);
    await new Promise((resolve) => setTimeout(resolve, 30));
    running.kill(signal);
    const outcome = await running.outcome;
    expect(outcome).toMatchObject({ code, signal: null });
    expect(outcome.stderr).not.toMatch(/terminate|Napi/);
    // What is there can be gone on with: its lock belongs to a process that is gone.
    const left = new RunFolder(join(cwd, folder));
    await left.lock();
    await left.unlock();
    expect(await left.readCheckpoint()).toBeDefined();
  });
});

test("a signal while a run reports ends it at once, with its weights; a resumed fit writes the report", async () => {
  const running = start(
    ["fit", "ddpm", "digits", "--steps", "2", "--report", "full", "--out", "reporting"],
    cwd,
  );
  const run = new RunFolder(join(cwd, "reporting"));
  // The checkpoint of the last step is written before the report is begun.
  while ((await run.readCheckpoint())?.progress.step !== 2)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  running.kill("SIGTERM");
  const outcome = await running.outcome;
  expect(outcome).toMatchObject({ code: 143, signal: null });
  expect(outcome.stdout).toMatch(/stopped before the report was written; all weights are saved/);
  expect(outcome.stderr).not.toMatch(/terminate|Napi/);
  expect(await run.readWeights("last")).toBeDefined();
  expect(await run.fitter()).toBeUndefined();
  await succeed(["fit", "--resume", "reporting", "--report", "none"], cwd);
  expect((await run.readCheckpoint())?.progress.finished).toBe(true);
});

/** Runs a program that fits, and ends in its own way some time within a step. */
function program(name: string, ending: string): Promise<Outcome> {
  const code = `
    import { fit } from ${JSON.stringify(built("index.js"))};
    let seen = 0;
    const end = () => { ${ending} };
    const onProgress = ({ stage }) => { if (stage === "training" && ++seen === 2) setTimeout(end, 120 * Math.random()); };
    await fit({ model: "glow", data: "digits", batchSize: 64, steps: 100000, samplePictures: 0, out: ${JSON.stringify(name)}, ...more }, { onProgress });
  `;
  return new Promise((resolve, reject) => {
    const text = code.replace("...more", name.includes("replicas") ? "replicas: 2" : "");
    writeFile(join(cwd, `${name}.mjs`), text).then(() => {
      const child = spawn(process.execPath, [`${name}.mjs`], { cwd });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (data: Buffer) => {
        stdout += data;
      });
      child.stderr.on("data", (data: Buffer) => {
        stderr += data;
      });
      child.on("error", reject);
      child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    }, reject);
  });
}

describe("a program that fits", () => {
  test.each([
    ["exit", "process.exit(3)", 3],
    ["exit-replicas", "process.exit(4)", 4],
    ["uncaught", "throw new Error('mine')", 1],
    ["rejected", "Promise.reject(new Error('mine'))", 1],
  ])("ends in a step by %s with its own code", async (name, ending, code) => {
    for (let time = 0; time < 2; time++) {
      const outcome = await program(`${name}-${time}`, ending);
      expect(outcome).toMatchObject({ code, signal: null });
      expect(outcome.stderr).not.toMatch(/terminate|Napi/);
    }
  });
});

test("a run that is being fitted is refused to a second fit, and read by all others", async () => {
  const running = start([...FIT, "--out", "busy"], cwd);
  await trained("busy", running);
  const again = await run(["fit", "--resume", "busy"], cwd);
  expect(again.code).toBe(1);
  expect(again.stderr).toMatch(/busy is being fitted by process \d+ since/);
  const anew = await run([...FIT, "--out", "busy"], cwd);
  expect(anew.stderr).toMatch(/busy holds a run already/);
  const { stderr } = await succeed(
    ["sample", "busy", "--count", "2", "--weights", "last", "--out", "busy.png"],
    cwd,
  );
  expect(stderr).toMatch(/busy is being fitted by process \d+ .*weights up to now/);
  expect((await succeed(["runs", "."], cwd)).stdout).toMatch(/busy .*by process \d+/);
  running.kill("SIGTERM");
  await running.outcome;
  expect((await succeed(["runs", "."], cwd)).stdout).not.toMatch(/busy .*by process \d+/);
});
