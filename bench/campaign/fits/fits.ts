import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { built, type Report } from "../kind.ts";
import { bits, boxFolder, imageFolder, mixedTable, put } from "../material.ts";
import { differences } from "./compare.ts";

// The fits that the campaign interrupts: one of each kind, of a few seconds, most of which are start-up.

/** A small fit. */
export interface Fit {
  readonly name: string;
  readonly args: readonly string[];
}

const image = ["images", "--size", "8", "--color", "grey"] as const;
const points = ["--count", "2000", "--width", "16"] as const;

const fit = (name: string, model: string, steps: number, every: number, ...args: readonly string[]): Fit => ({
  name,
  args: ["fit", model, ...args, "--steps", String(steps), "--checkpoint-every", String(every), ...COMMON],
});

// One thread each: two are interrupted at a time, and the same numbers are asked of the same number of threads.
const COMMON = [
  "--batch-size",
  "16",
  "--log-every",
  "5",
  "--validate-every",
  "20",
  "--threads",
  "1",
  "--quiet",
];
const NO_PICTURES = ["--sample-pictures", "0"] as const;

/** Checkpoints fall at odd places of the rows of metrics.csv. */
export const FITS: readonly Fit[] = [
  fit("points", "nice", 400, 7, "two-moons", ...points, "--sample-pictures", "4"),
  fit("table", "spline-flow", 80, 7, "table.csv", "--categorical", "color", "--width", "16", ...NO_PICTURES),
  fit("image flow", "real-nvp", 60, 7, ...image, "--width", "8", ...NO_PICTURES),
  fit(
    "diffusion",
    "rectified-flow",
    50,
    3,
    ...image,
    "--channels",
    "8",
    "--multipliers",
    "1,2",
    ...NO_PICTURES,
  ),
  fit("VAE", "vae", 60, 7, ...image, ...NO_PICTURES),
  fit("GAN", "gan", 50, 3, ...image, ...NO_PICTURES),
  fit("binary", "made", 200, 7, "bits.csv", "--binary", ...NO_PICTURES),
  fit("detector", "center-net", 12, 2, "photos", "--size", "64", ...NO_PICTURES),
  fit("two replicas", "rectified-flow", 100, 7, "checkerboard", ...points, "--replicas", "2", ...NO_PICTURES),
  fit("accumulated", "rectified-flow", 100, 7, "two-moons", ...points, "--accumulate", "2", ...NO_PICTURES),
];

/** The data of all fits, in the folder in which they run. */
export async function makeData(folder: string): Promise<void> {
  await put(join(folder, "table.csv"), mixedTable(240));
  await put(join(folder, "bits.csv"), bits(240));
  await imageFolder(join(folder, "images"), 24);
  await boxFolder(join(folder, "photos"), 24, "coco");
}

/** How a command ended. */
export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  readonly seconds: number;
}

export interface Running {
  readonly outcome: Promise<Outcome>;
  readonly ended: () => boolean;
  kill(signal: NodeJS.Signals): void;
}

/** Nothing here takes this long. */
const LIMIT = 120_000;

/** Starts the built command in a folder, perhaps behind a word of the shell, such as a limit. */
export function start(args: readonly string[], cwd: string, shell?: string): Running {
  const begun = performance.now();
  const command = [process.execPath, fileURLToPath(built("cli/main.js")), ...args];
  const stdio: ["ignore", "ignore", "pipe"] = ["ignore", "ignore", "pipe"];
  const [program = "", ...rest] =
    shell === undefined ? command : ["sh", "-c", `${shell} exec "$@"`, "sh", ...command];
  const child = spawn(program, rest, { cwd, stdio });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => {
    stderr = (stderr + data).slice(-4_000);
  });
  let ended = false;
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT);
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      ended = true;
      clearTimeout(timer);
      resolve({ code, signal, stderr, seconds: (performance.now() - begun) / 1000 });
    });
  });
  return { outcome, ended: () => ended, kill: (signal) => child.kill(signal) };
}

/** A run that nobody disturbed, which the others are compared with. */
export interface Reference {
  readonly folder: string;
  readonly seconds: number;
}

/** Fits undisturbed runs, each once. */
export class References {
  private readonly cwd: string;
  private readonly made = new Map<string, Promise<Reference>>();

  constructor(cwd: string) {
    this.cwd = cwd;
  }

  of(fit: Fit): Promise<Reference> {
    const held = this.made.get(fit.name);
    if (held !== undefined) return held;
    const made = this.make(fit);
    this.made.set(fit.name, made);
    return made;
  }

  private async make(fit: Fit): Promise<Reference> {
    const name = `whole-${fit.name.replaceAll(" ", "-")}`;
    const { code, stderr, seconds } = await start([...fit.args, "--out", name], this.cwd).outcome;
    if (code !== 0) throw new Error(`the undisturbed fit of ${fit.name} fails: ${stderr}`);
    return { folder: join(this.cwd, name), seconds };
  }
}

/** The command that begins a run or goes on with it, as a user would choose. */
export function nextArgs(fit: Fit, cwd: string, out: string): readonly string[] {
  return existsSync(join(cwd, out, "config.json"))
    ? ["fit", "--resume", out, "--quiet"]
    : [...fit.args, "--out", out];
}

/** Lets a run come to its end, and compares it with the undisturbed one. */
export async function finish(
  fit: Fit,
  cwd: string,
  out: string,
  reference: Reference,
  report: Report,
  row: string,
  details: Readonly<Record<string, unknown>>,
): Promise<void> {
  const folder = join(cwd, out);
  const { code, signal, stderr } = await start(nextArgs(fit, cwd, out), cwd).outcome;
  if (code !== 0 && !isFinished(stderr)) {
    await report.fault(row, {
      fault: "lost",
      message: `cannot go on (${signal ?? `code ${code}`}): ${stderr.trim()}`,
      details,
      folder,
    });
    return;
  }
  const found = await differences(reference.folder, folder);
  if (found.length > 0)
    await report.fault(row, {
      fault: "mixed",
      message: `not as the undisturbed run: ${found.join(", ")}`,
      details,
      folder,
    });
}

/** True for the answer that there is nothing left to do. */
export function isFinished(stderr: string): boolean {
  return /^eidos: [^\n]* is finished/m.test(stderr);
}

/** True for one clear line, as every error of eidos is. */
export function isOneLine(stderr: string): boolean {
  return /^(?:warning: [^\n]+\n|[^\n]*saving[^\n]*\n)*eidos: (?!unexpected)[^\n]+\n$/.test(stderr);
}
