import { totalmem } from "node:os";
import process from "node:process";
import { OptionError } from "./errors.ts";
import type { MemoryLimit } from "./memory.ts";

/** The environment variable that sets the limit: EIDOS_MEMORY=8GB; `none` lifts it. */
const VARIABLE = "EIDOS_MEMORY";

const FACTORS: Readonly<Record<string, number>> = { "": 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 };

/**
 * How much memory may be asked for: what the environment sets; otherwise what the machine has, or the container (cgroup) that the process
 * runs in. Memory that others hold at the moment counts too: an estimate above the limit can never fit.
 * @throws OptionError where the environment variable is no size
 */
export function memoryLimit(): MemoryLimit {
  const set = process.env[VARIABLE];
  if (set !== undefined && set.trim() !== "") return { bytes: sizeOf(set), source: `${VARIABLE} allows` };
  const machine = totalmem();
  // Without a limit this is 0, or more than any machine has.
  const container = process.constrainedMemory() ?? 0;
  return container > 0 && container < machine
    ? { bytes: container, source: `the container of this process (set ${VARIABLE} to change that) has` }
    : { bytes: machine, source: `this machine (set ${VARIABLE} to change that) has` };
}

function sizeOf(text: string): number {
  if (text.trim().toLowerCase() === "none") return Number.POSITIVE_INFINITY;
  const [, value, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]b)?\s*$/i.exec(text) ?? [];
  const factor = FACTORS[unit.toLowerCase()];
  if (value !== undefined && factor !== undefined) return Number(value) * factor;
  throw new OptionError(
    `${VARIABLE}: ${JSON.stringify(text)} is no amount of memory; write it as 8GB or 500MB, or none for no limit`,
  );
}
