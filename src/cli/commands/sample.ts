import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { models, parseOptions } from "../../catalog/models.ts";
import { openRun } from "../../catalog/run.node.ts";
import { checkSamplePath, sampleRun, writeSamples } from "../../catalog/sample.node.ts";
import { print, showDuration } from "../format.ts";
import { addSchemaOptions } from "../options.ts";

const sampleFlags = z.strictObject({
  count: z.int().positive().default(64).describe("how many samples"),
  seed: z.int().nonnegative().default(0).describe("seed of the samples"),
  label: z.int().nonnegative().optional().describe("class of the samples, for conditional models"),
  out: z
    .string()
    .optional()
    .describe(".png, .npy, .csv or .parquet file (default: samples/ in the run folder)"),
  weights: z.enum(["best", "last"]).optional().describe("which weights"),
  provider: z.string().default("cpu").describe("execution provider"),
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Samples", sampleFlags);
  for (const { name, sampleOptions } of models.values()) {
    if (sampleOptions !== undefined && "shape" in sampleOptions) {
      addSchemaOptions(command, name, sampleOptions as z.ZodObject);
    }
  }
  command.action(async (path: string, flags: Record<string, unknown>) => {
    const known = Object.keys(sampleFlags.shape);
    const own = Object.fromEntries(Object.entries(flags).filter(([name]) => !known.includes(name)));
    const general = Object.fromEntries(Object.entries(flags).filter(([name]) => known.includes(name)));
    const { count, seed, label, out, weights, provider } = parseOptions("sample", sampleFlags, general);
    const run = await openRun(path, { provider, ...(weights !== undefined && { weights }) });
    const { kind } = run.config.dataInfo;
    const target = out ?? join(path, "samples", `seed-${seed}.${kind === "table" ? "csv" : "png"}`);
    checkSamplePath(target, kind);
    const begun = performance.now();
    const samples = await sampleRun(run, { ...own, count, seed, ...(label !== undefined && { label }) });
    const seconds = (performance.now() - begun) / 1000;
    await writeSamples(run, samples, target);
    print(
      `${count} samples in ${seconds < 10 ? `${seconds.toFixed(1)} s` : showDuration(seconds)}: ${target}`,
    );
    await run.session.release();
  });
}
