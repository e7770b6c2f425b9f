import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { filesBelow, QUICK, start, succeed, timelessMetrics } from "./support.ts";

// Long enough to be killed in the middle; checkpoints at odd places of the rows of metrics.csv.
const STEPS = 400;
const FIT = [
  ...["fit", "rectified-flow", "two-moons", ...QUICK, "--depth", "2", "--steps", String(STEPS)],
  ...["--checkpoint-every", "7", "--validate-every", "40", "--quiet"],
];

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  await succeed([...FIT, "--out", "whole"], cwd);
});

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Starts a command, and sends a signal some time after it has written its first checkpoint, or rewritten one. */
async function interrupt(args: readonly string[], folder: string, signal: NodeJS.Signals, after: number) {
  const state = join(cwd, folder, "state.safetensors");
  const before = (await exists(state)) ? (await stat(state)).mtimeMs : 0;
  const running = start(args, cwd);
  let ended = false;
  running.outcome.finally(() => {
    ended = true;
  });
  while (!ended && !((await exists(state)) && (await stat(state)).mtimeMs > before)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await new Promise((resolve) => setTimeout(resolve, after));
  running.kill(signal);
  return running.outcome;
}

/** Two run folders hold the same numbers: metrics, weights, optimizer, average. */
async function expectSame(folder: string, other: string): Promise<void> {
  expect(await timelessMetrics(join(cwd, folder))).toEqual(await timelessMetrics(join(cwd, other)));
  for (const which of ["best", "last"]) {
    const file = join("weights", `${which}.safetensors`);
    expect((await readFile(join(cwd, folder, file))).equals(await readFile(join(cwd, other, file)))).toBe(
      true,
    );
  }
  const [a, b] = await Promise.all(
    [folder, other].map((name) => new RunFolder(join(cwd, name)).readCheckpoint()),
  );
  expect(a?.vectors).toEqual(b?.vectors);
  expect(a?.progress).toMatchObject({ step: STEPS, finished: true, best: b?.progress.best });
}

test("a run that is killed again and again ends as the uninterrupted one, bit for bit", async () => {
  let args: readonly string[] = [...FIT, "--out", "killed"];
  const steps: number[] = [];
  for (let kill = 0; kill < 3; kill++) {
    const outcome = await interrupt(args, "killed", "SIGKILL", 60 * Math.random());
    if (outcome.code === 0) break;
    expect(outcome.signal).toBe("SIGKILL");
    steps.push((await new RunFolder(join(cwd, "killed")).readCheckpoint())?.progress.step ?? 0);
    args = ["fit", "--resume", "killed", "--quiet"];
  }
  expect(steps.length).toBeGreaterThan(0);
  expect(steps.every((step) => step < STEPS)).toBe(true);
  await succeed(["fit", "--resume", "killed", "--quiet"], cwd).catch((error) => {
    // It may have come to its end before the last kill.
    expect(String(error)).toMatch(/is finished/);
  });
  await expectSame("killed", "whole");
  expect((await filesBelow(join(cwd, "killed"))).filter((file) => file.endsWith(".tmp"))).toEqual([]);
});

test("Ctrl-C saves, prints how to go on, and loses nothing", async () => {
  const outcome = await interrupt([...FIT.slice(0, -1), "--out", "stopped"], "stopped", "SIGINT", 20);
  expect(outcome.code).toBe(130);
  expect(outcome.stdout).toMatch(/stopped and saved after \d+ steps/);
  expect(outcome.stdout).toContain("continue with: eidos fit --resume stopped");
  const step = Number(/after (\d+) steps/.exec(outcome.stdout)?.[1]);
  expect(step).toBeGreaterThan(0);
  expect(step).toBeLessThan(STEPS);
  expect((await new RunFolder(join(cwd, "stopped")).readCheckpoint())?.progress.step).toBe(step);
  expect(await exists(join(cwd, "stopped", "report.html"))).toBe(true);
  const { stderr } = await succeed(["fit", "--resume", "stopped"], cwd);
  expect(stderr).toMatch(/continuing stopped/);
  await expectSame("stopped", "whole");
});
