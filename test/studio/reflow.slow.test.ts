import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { nodeRuntime } from "eidos/program/node";
import { describe, expect, it } from "vitest";
import { Engine, type LookRequest } from "../../studio/playground/engine.ts";
import { initialSettings } from "../../studio/playground/models.ts";
import { programOf } from "../../studio/playground/program.ts";

// Reflow in the playground, past the steps after which a flow is fitted to pairs of its own.

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

const PATH: LookRequest = {
  view: "path",
  count: 60,
  settings: { solver: "heun", steps: 20 },
  time: 0.5,
  seed: 1,
  figures: false,
  patient: false,
};

const MOONS = { kind: "plane", name: "two-moons" } as const;

describe("reflow", () => {
  it("fits a flow to pairs of its own after its first steps, which straightens its paths", async () => {
    const engine = new Engine("reflow", MOONS, 0, await nodeRuntime({ threads: 1 }));
    /** How far states of a path lie from the straight line between its ends, beside how long that is. */
    const bend = async (): Promise<number> => {
      const { picture } = await engine.look(PATH);
      if (picture.kind !== "path") throw new Error("no path");
      const { states } = picture;
      const [first = new Float32Array(0), last = first] = [states[0], states.at(-1)];
      let [off, length] = [0, 0];
      for (const [k, state] of states.entries()) {
        const share = k / (states.length - 1);
        for (const [i, value] of state.entries()) {
          const [from = 0, to = 0] = [first[i], last[i]];
          off += (value - from - share * (to - from)) ** 2;
          length += (to - from) ** 2;
        }
      }
      return off / length;
    };
    const before = await engine.advance({ steps: 1000, milliseconds: 600_000 });
    expect(before.step).toBe(1000);
    const bent = await bend();
    const after = await engine.advance({ steps: 400, milliseconds: 600_000 });
    expect(after.steps.slice(0, 2)).toEqual([1001, 1002]);
    expect(after.step).toBe(1400);
    expect(await bend()).toBeLessThan(bent / 2);
    await engine.release();
  });

  it("fits a flow to its own pairs where the page has done so", async () => {
    const file = `${root}.studio-program-reflow-again.ts`;
    const request = { key: "reflow", data: { kind: "plane", name: "rings" }, seed: 1 } as const;
    await writeFile(file, programOf({ ...request, settings: initialSettings("reflow"), steps: 1100 }));
    try {
      const { stdout } = await run(process.execPath, ["--import", "tsx", file], { cwd: root });
      expect(stdout).toMatch(/\nstep 1000: loss \d\.\d{3}\nstep 1100: loss \d\.\d{3}\nenergy distance/);
    } finally {
      await rm(file);
    }
  });
});
