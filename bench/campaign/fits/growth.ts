import { fork } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Random } from "../../../src/random.ts";
import { Budget, type Kind, type Report } from "../kind.ts";
import { makeData } from "./fits.ts";
import type { GrowthMessage } from "./growth-process.ts";

// Memory over 10,000 steps. What is compared are medians of resident memory over the second quarter of the steps and the last one.
// Each collection of garbage is a whole one (`--gc-global`, in every thread): else old garbage, tensors' buffers among it, piles up
// to some 90 MB before it is freed, and a fit of few steps would be judged by where on that saw it ends.

const STEPS = 10_000;

/**
 * Megabytes by which the medians may differ. They are 6,250 steps apart: a leak of a batch's noise and results (some kilobytes a
 * step) or of the vectors of weights (100 kB) would be more; what V8 and the allocator keep for later, 16 MB of young
 * objects and half-used arenas of each thread, is less.
 */
const MOST = 32;

/** Fits that last long, in the folder of the data. */
const FITS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  points: { model: "nice", data: "two-moons", count: 2000, width: 32 },
  images: {
    model: "rectified-flow",
    data: "images",
    size: 8,
    color: "grey",
    channels: 8,
    multipliers: [1],
    batchSize: 4,
  },
  detector: { model: "center-net", data: "photos", size: 32, batchSize: 2 },
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Watches one fit for as long as there is time. */
async function watch(name: string, seed: number, budget: Budget, report: Report): Promise<void> {
  const row = `memory: ${name}`;
  const cwd = report.folder;
  const common = {
    steps: STEPS,
    batchSize: 16,
    threads: 1,
    samplePictures: 0,
    validateEvery: 500,
    checkpointEvery: 500,
  };
  const request = { ...common, ...FITS[name], seed, out: `grown-${name}` };
  const entry = fileURLToPath(new URL("growth-process.ts", import.meta.url));
  const child = fork(entry, [JSON.stringify(request)], {
    cwd,
    execArgv: ["--gc-global", "--import", import.meta.resolve("tsx")],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const begun = performance.now();
  const seen: GrowthMessage[] = [];
  let words = "";
  child.stderr?.on("data", (data: Buffer) => {
    words = (words + data).slice(-1_000);
  });
  child.on("message", (message: GrowthMessage) => {
    if (message.step > (seen.at(-1)?.step ?? 0)) seen.push(message);
    report.progress(`${name}, step ${message.step}, ${message.megabytes.toFixed(0)} MB`);
  });
  let cut = false;
  const timer = setTimeout(() => {
    cut = true;
    child.kill("SIGKILL");
  }, 1000 * Math.max(1, budget.left));
  const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  clearTimeout(timer);
  const steps = seen.at(-1)?.step ?? 0;
  report.count(row, "steps", steps, (performance.now() - begun) / 1000);
  const details = { name, seed, folder: join(cwd, `grown-${name}`) };
  if (code !== 0 && !cut)
    return report.fault(row, { fault: "crash", message: `ended with code ${code}: ${words}`, details });
  const between = (from: number, to: number): readonly number[] =>
    seen.filter(({ step }) => step >= from * steps && step <= to * steps).map(({ megabytes }) => megabytes);
  const [early, late] = [between(0.25, 0.5), between(0.75, 1)];
  if (cut) report.note(row, `cut short at ${steps} of ${STEPS} steps`);
  // Of fewer steps the first quarter is not over with warming up.
  if (steps < STEPS / 10 || early.length < 5 || late.length < 5) return report.note(row, "too few to judge");
  const growth = median(late) - median(early);
  report.note(row, `${median(early).toFixed(0)} MB, then ${median(late).toFixed(0)} MB`);
  if (growth > MOST)
    await report.fault(row, {
      fault: "growth",
      message: `${growth.toFixed(0)} MB in ${steps} steps`,
      details,
    });
}

export const growth: Kind = {
  name: "growth",
  share: 2,

  async run(budget: Budget, random: Random, report: Report): Promise<void> {
    await makeData(report.folder);
    const names = Object.keys(FITS);
    for (const [i, name] of names.entries()) {
      // What one leaves of its time is for the others.
      await watch(name, random.integer(1000), new Budget(budget.left / (names.length - i)), report);
    }
  },

  async replay(details, _kept, report): Promise<void> {
    await makeData(report.folder);
    await watch(String(details.name), Number(details.seed), new Budget(600), report);
  },
};
