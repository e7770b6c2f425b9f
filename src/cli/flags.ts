import { z } from "zod";
import type { Trust } from "../tasks/run/trust.node.ts";
import { printJson, printLine } from "./format.ts";

// Flags that many commands share, apart from what opens runs: a command that computes nothing itself starts without loading models.

/** Flags that trust what a run folder names, for runs that a stranger may have made. */
export const trustFlags = {
  trustModule: z
    .boolean()
    .default(false)
    .describe("import the module that the run names as its model: it may do whatever you may do"),
  trustQuery: z
    .boolean()
    .default(false)
    .describe("let a query of the run read any file that you may read (default: the run's data alone)"),
};

/** Trust as flags give it. */
export function trustOf({
  trustModule,
  trustQuery,
}: {
  readonly trustModule: boolean;
  readonly trustQuery: boolean;
}): Trust {
  return { module: trustModule, query: trustQuery };
}

/** Options of every command: what it shows while it works, and how it prints what it came to. */
export const showing = {
  quiet: z.boolean().default(false).describe("show no progress"),
  json: z
    .boolean()
    .default(false)
    .describe("print what the command came to as JSON, and nothing else, on standard output"),
};

/** Prints what a command came to: a line for a person, or the same as JSON. */
export function printOutcome(json: boolean, line: string, outcome: Readonly<Record<string, unknown>>): void {
  if (json) printJson(outcome);
  else printLine(line);
}
