import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** The built command; `npm test` builds before it tests. */
export const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** A module of the build, for modules that tests write. */
export function built(path: string): string {
  return new URL(`../../dist/${path}`, import.meta.url).href;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly outcome: Promise<Outcome>;
  /** What a pattern's first group finds on standard output, once it is there. @throws Error where the command ends without */
  printed(pattern: RegExp): Promise<string>;
  kill(signal: NodeJS.Signals): void;
}

/** What a process prints until it ends, and how it ends. */
export function outcomeOf(
  child: Pick<ChildProcessWithoutNullStreams, "stdout" | "stderr" | "on">,
): Promise<Outcome> {
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (data: Buffer) => {
      texts[name] += data;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...texts }));
  });
}

/** Starts the command in a folder. */
export function start(
  args: readonly string[],
  cwd: string,
  node: readonly string[] = [],
  shell?: string,
): Running {
  const command = [process.execPath, ...node, main, ...args];
  const child =
    shell === undefined
      ? spawn(command[0] ?? "", command.slice(1), { cwd })
      : spawn("sh", ["-c", `${shell} "$@"`, "sh", ...command], { cwd });
  const outcome = outcomeOf(child);
  let seen = "";
  child.stdout.on("data", (data: Buffer) => {
    seen += data;
  });
  const printed = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(seen)?.[1];
        if (found !== undefined) resolve(found);
      };
      child.stdout.on("data", look);
      outcome.then(({ stderr }) => reject(new Error(`the command ended: ${stderr}`)), reject);
      look();
    });
  return { outcome, printed, kill: (signal) => child.kill(signal) };
}

/**
 * Runs the built command to its end, in this process: that spares starting Node and loading the library each time. What it prints is
 * caught. For signals, limits and what is loaded when, `start` runs it as a process of its own.
 */
export function run(args: readonly string[], cwd: string): Promise<Outcome> {
  const outcome = queue.then(() => runHere(args, cwd));
  queue = outcome.catch(() => undefined);
  return outcome;
}

/** One command at a time: they share the process's streams, folder and exit code. */
let queue: Promise<unknown> = Promise.resolve();

async function runHere(args: readonly string[], cwd: string): Promise<Outcome> {
  const { runCommand }: typeof import("../../src/cli/command.ts") = await import(built("cli/command.js"));
  const before = process.cwd();
  const texts = { stdout: "", stderr: "" };
  const streams = (["stdout", "stderr"] as const).map((name) => {
    const original = process[name].write;
    process[name].write = ((text: string | Uint8Array, ...rest: readonly unknown[]) => {
      texts[name] += typeof text === "string" ? text : new TextDecoder().decode(text);
      const done = rest.find((item) => typeof item === "function") as (() => void) | undefined;
      done?.();
      return true;
    }) as typeof original;
    return () => {
      process[name].write = original;
    };
  });
  const code = process.exitCode;
  process.exitCode = undefined;
  process.chdir(cwd);
  try {
    await runCommand(args);
    return { code: Number(process.exitCode ?? 0), signal: null, ...texts };
  } finally {
    process.exitCode = code;
    process.chdir(before);
    for (const restore of streams) restore();
  }
}

/** Runs the command, which is to succeed. */
export async function succeed(args: readonly string[], cwd: string): Promise<Outcome> {
  const outcome = await run(args, cwd);
  if (outcome.code !== 0) throw new Error(`eidos ${args.join(" ")}: code ${outcome.code}\n${outcome.stderr}`);
  return outcome;
}

/** The command is to end with code 1 and one line on standard error, which this returns. */
export async function refused(args: readonly string[], cwd: string): Promise<string> {
  const outcome = await run(args, cwd);
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^eidos: [^\n]+\n$/);
  return outcome.stderr.trim();
}

/** A fit that takes about a second. */
export const QUICK = ["--count", "2000", "--width", "16", "--batch-size", "64", "--sample-pictures", "0"];

/** A fit of a moment, of which the weights alone are wanted. */
export const BARE = [...QUICK, "--report", "none"];

/** The paths of all files below a folder. */
export async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.path, entry.name).slice(folder.length + 1))
    .sort();
}

/** The rows of metrics.csv without what the clock decides. */
export async function timelessMetrics(folder: string): Promise<readonly Readonly<Record<string, string>>[]> {
  const text = await readFile(join(folder, "metrics.csv"), "utf8");
  const [head = "", ...lines] = text.trim().split("\n");
  const names = head.split(",");
  return lines.map((line) => {
    const cells = line.split(",");
    const {
      seconds: _s,
      samplesPerSecond: _p,
      ...row
    } = Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""]));
    return row;
  });
}

/** Rows of a CSV file without quotes, the first line being names. */
export async function readCsv(
  path: string,
): Promise<{ readonly names: string[]; readonly rows: string[][] }> {
  const [head = "", ...lines] = (await readFile(path, "utf8")).trim().split("\n");
  return { names: head.split(","), rows: lines.map((line) => line.split(",")) };
}

/** A file system of this size, where this machine lets us mount one. */
export function mounted(folder: string, options: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
