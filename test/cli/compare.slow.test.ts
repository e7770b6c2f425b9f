import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { COMPARE, comparisonOf, readBoard, readResult } from "./comparison.ts";
import { filesBelow, start, succeed } from "./support.ts";

const CONFIG = comparisonOf(300);

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, "all.json"), JSON.stringify(CONFIG));
  await succeed([...COMPARE, "--out", "whole", "--quiet"], cwd);
});

describe("a comparison that is stopped", () => {
  const exists = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );

  /** Starts it and sends a signal as soon as a file is there. */
  async function interrupt(file: string, signal: NodeJS.Signals) {
    const running = start([...COMPARE, "--out", "parts"], cwd);
    let ended = false;
    running.outcome.finally(() => {
      ended = true;
    });
    while (!ended && !(await exists(join(cwd, "parts", file)))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    running.kill(signal);
    return running.outcome;
  }

  test("goes on where it was, whatever the signal, and ends with the same numbers", async () => {
    const stopped = await interrupt("runs/nice/state.safetensors", "SIGINT");
    expect(stopped.code).toBe(130);
    expect(stopped.stdout).toContain("stopped and saved; the same command goes on");
    expect((await readBoard(join(cwd, "parts"))).rows).toMatchObject([
      { name: "nice", status: "waiting" },
      {},
      {},
    ]);
    const step = (await new RunFolder(join(cwd, "parts/runs/nice")).readCheckpoint())?.progress.step ?? 0;
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(300);
    // Killed once more, in the midst of the last model.
    const killed = await interrupt("runs/flow/state.safetensors", "SIGKILL");
    expect(killed.signal).toBe("SIGKILL");
    const { stderr } = await succeed([...COMPARE, "--out", "parts"], cwd);
    expect(stderr).toContain("nice: done by an earlier call\n");
    for (const name of ["nice", "flow"]) {
      const [whole, parts] = [
        await readResult(join(cwd, "whole"), name),
        await readResult(join(cwd, "parts"), name),
      ];
      for (const key of ["likelihood", "distances", "steps", "weightsStep"])
        expect(parts[key]).toEqual(whole[key]);
    }
    expect((await filesBelow(join(cwd, "parts"))).filter((file) => file.includes(".tmp"))).toEqual([]);
  });

  test("begins anew with --fresh", async () => {
    const args = ["compare", "--config", "all.json", "--models", "nice", "--out", "parts", "--steps", "5"];
    await succeed([...args, "--fresh", "--quiet"], cwd);
    expect((await readBoard(join(cwd, "parts"))).rows).toMatchObject([{ name: "nice", steps: 5 }]);
    expect(await readdir(join(cwd, "parts", "runs"))).toEqual(["nice"]);
  });
});
