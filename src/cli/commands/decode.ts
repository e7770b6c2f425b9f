import type { Command } from "commander";
import { z } from "zod";
import { isPicture } from "../../data/sources/data-set.ts";
import { parseOptions } from "../../options.ts";
import { parseGiven } from "../../tasks/run/given.node.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkCodePath, decodeRun } from "../../tasks/use/codes.node.ts";
import { checkSamplePath, writeSamples } from "../../tasks/use/sample.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { codeOptions, codeSolver } from "../code-options.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const decodeFlags = z.strictObject({
  out: z.string().optional().describe(".png, .npy, .csv or .parquet file (default: decoded.png or .csv)"),
  label: z.int().nonnegative().optional().describe("class of all samples, for conditional models"),
  ...codeOptions,
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Samples", decodeFlags);
  command.option(
    "--given <name=value>",
    "value of a table column that the model is conditioned on; again for each",
    (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
  );
  command.addHelpText("after", "\nCODES is a file that eidos encode has written: .npy, .csv or .parquet.");
  command.action(async (path: string, codes: string, { given, ...flags }: Record<string, unknown>) => {
    const { out, label, solver, solverSteps, ...opening } = parseOptions(
      "decode",
      decodeFlags,
      flagValues(flags, [decodeFlags]),
    );
    checkCodePath(codes, "codes");
    const { dataInfo } = await new RunFolder(path).readConfig();
    const target = out ?? `decoded.${isPicture(dataInfo) ? "png" : "csv"}`;
    checkSamplePath(target, dataInfo);
    const run = await openRun(path, opening);
    const samples = await decodeRun(run, codes, {
      label,
      codes: codeSolver({ solver, solverSteps }),
      ...(Array.isArray(given) && { given: parseGiven(given) }),
    });
    await writeSamples(run, samples, target);
    print(`${samples.shape[0]} samples: ${target}`);
    await run.session.release();
  });
}
