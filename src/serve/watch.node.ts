import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunToOpen } from "./worker.node.ts";

// Looks whether the weights of runs have changed. Run folders may lie on other machines, whose file systems announce nothing: files are looked at.

export interface RunWatcher {
  /** Names of the runs that have changed since the last look. */
  changed(): Promise<readonly string[]>;
}

/** What a file is known again by; undefined where there is none. */
async function mark(path: string): Promise<string | undefined> {
  const held = await stat(path).catch(() => undefined);
  return held && [held.ino, held.mtimeMs, held.size].join();
}

/** The weights that are read, and the record of the run, by what they are known again by. */
async function marks(folder: string, weights: "best" | "last" | undefined): Promise<string | undefined> {
  for (const name of weights === undefined ? ["best", "last"] : [weights]) {
    const held = await mark(join(folder, "weights", `${name}.safetensors`));
    if (held !== undefined) return [name, held, await mark(join(folder, "config.json"))].join();
  }
  return undefined;
}

export async function watchRuns(
  runs: readonly Pick<RunToOpen, "name" | "folder">[],
  weights: "best" | "last" | undefined,
): Promise<RunWatcher> {
  const known = new Map<string, string | undefined>();
  for (const { name, folder } of runs) known.set(name, await marks(folder, weights));
  return {
    async changed() {
      const names: string[] = [];
      for (const { name, folder } of runs) {
        const now = await marks(folder, weights);
        // While a folder is being replaced, there is nothing to read.
        if (now === undefined || now === known.get(name)) continue;
        known.set(name, now);
        names.push(name);
      }
      return names;
    },
  };
}
