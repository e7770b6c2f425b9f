import type { Command } from "commander";
import { z } from "zod";
import { amount, sampleCount, seedNumber } from "../../bounds.ts";
import type { PathMeasures } from "../../model/capabilities.ts";
import { parseOptions } from "../../options.ts";
import { fitToPairs, PAIR_MODELS } from "../../tasks/fit/reflow.node.ts";
import { loadDefinition, modelSchema } from "../../tasks/run/definition.node.ts";
import { loadRun } from "../../tasks/run/load.node.ts";
import type { Trust } from "../../tasks/run/trust.node.ts";
import { fitOptions } from "../../train/options.ts";
import { trustFlags, trustOf } from "../flags.ts";
import { print, printJson, showNumber } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { fitHooks, ProgressDisplay, printSummary } from "../progress.ts";
import { interruptible } from "../signals.ts";
import { runOptions } from "../verb.ts";
import { codeOptions, codeSolver } from "../verb-options.ts";

const pairFlags = z.strictObject({
  count: sampleCount()
    .optional()
    .describe("pairs of noise and samples to draw (default: 50000, of images 4000)"),
  pairSeed: seedNumber().default(0).describe("seed of the pairs"),
  guidance: amount()
    .optional()
    .describe(
      "classifier-free guidance with which pairs are drawn, and which the new model then has in itself (default: 1, none)",
    ),
  ...codeOptions,
  runWeights: runOptions.weights,
  ...trustFlags,
});

/** Paths that are measured before and after. */
const MEASURED = 500;

/** Straightness and cost of a run's paths; undefined where its model has none. */
async function measuresOf(path: string, trust: Trust): Promise<PathMeasures | undefined> {
  const run = await loadRun(path, { trust });
  try {
    const count = run.config.dataInfo.kind === "image" ? MEASURED / 20 : MEASURED;
    return await run.model.straightness?.(run.session, { count, seed: 0 });
  } finally {
    await run.session.release();
  }
}

/** Makes a command that draws pairs of a run and fits a new run to them. */
async function configurePairs(command: Command, kind: keyof typeof PAIR_MODELS): Promise<void> {
  const schema = modelSchema(await loadDefinition(PAIR_MODELS[kind]));
  command
    .option(
      "--out <folder>",
      `run folder (default: runs/${PAIR_MODELS[kind]}-DATA, numbered where it exists)`,
    )
    .option("--json", "print the summary as JSON")
    .option("--offline", "make no request: weights that are named by an address come out of the cache")
    .option("--quiet", "show no progress");
  addSchemaOptions(command, "Pairs", pairFlags);
  addSchemaOptions(command, "Training", fitOptions);
  addSchemaOptions(command, `Model ${PAIR_MODELS[kind]} (default: as in the run)`, schema);
  command.action(async (path: string, flags: Record<string, unknown>) => {
    const { json, quiet, out, ...given } = flags;
    const own = Object.keys(pairFlags.shape);
    const pick = (ofPairs: boolean) =>
      Object.fromEntries(Object.entries(given).filter(([name]) => own.includes(name) === ofPairs));
    const { count, pairSeed, guidance, solver, solverSteps, runWeights, ...flagged } = parseOptions(
      kind,
      pairFlags,
      flagValues(pick(true), [pairFlags]),
    );
    const trust = trustOf(flagged);
    const display = new ProgressDisplay();
    const begun = performance.now();
    const summary = await interruptible(display, (signal) =>
      fitToPairs(
        {
          kind,
          run: path,
          pairs: {
            ...(count !== undefined && { count }),
            ...(guidance !== undefined && { guidance }),
            ...codeSolver({ solver, solverSteps }),
            seed: pairSeed,
            open: { weights: runWeights, trust },
            ...(quiet !== true && {
              onProgress: (share) =>
                display.showLine(`${String(Math.floor(100 * share)).padStart(3)} %  drawing pairs`, {
                  stage: "sampling",
                  seconds: (performance.now() - begun) / 1000,
                }),
            }),
          },
          fit: {
            ...flagValues(pick(false), [fitOptions, schema]),
            ...(typeof out === "string" && { out }),
          },
        },
        fitHooks(display, signal, quiet === true),
      ),
    );
    if (json) printJson(summary);
    else printSummary(summary);
    if (summary.reason === "stopped" || summary.unreported) return;
    process.exitCode = 0;
    if (json) return;
    const [before, after] = [await measuresOf(path, trust), await measuresOf(summary.folder, trust)];
    if (before === undefined || after === undefined) return;
    const change = (name: keyof PathMeasures): string =>
      `${showNumber(before[name])} before, ${showNumber(after[name])} now`;
    print(`straightness (0: straight) ${change("straightness")}\ntransport cost ${change("transportCost")}`);
  });
}

export const reflow = { configure: (command: Command) => configurePairs(command, "reflow") };

export const distill = { configure: (command: Command) => configurePairs(command, "distill") };
