import type { Command } from "commander";
import { z } from "zod";
import { unitCount } from "../../bounds.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { counted } from "../../memory.ts";
import { checkCodePath } from "../../tasks/use/codes.node.ts";
import { checkSamplePath } from "../../tasks/use/sample.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, csvFlags, csvWriting, runOptions } from "../verb.ts";
import { addGiven, codeOptions, codeSolver, givenValues } from "../verb-options.ts";

const flags = z.strictObject({
  out: z.string().optional().describe(".png, .npy, .csv or .parquet file (default: decoded.png or .csv)"),
  label: unitCount(0).optional().describe("class of all samples, for conditional models"),
  ...codeOptions,
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addGiven(command, "");
  addVerb(command, {
    name: "decode",
    heading: "Samples",
    flags,
    help: "CODES is a file that eidos encode has written: .npy, .csv or .parquet.",
    check(_, [codes]) {
      checkCodePath(String(codes), "codes");
    },
    target({ out }, info) {
      const path = out ?? `decoded.${isPicture(info) ? "png" : "csv"}`;
      checkSamplePath(path, info);
      return path;
    },
    async action({
      run,
      flags: { label, solver, solverSteps, csvSafe, json },
      others,
      operands: [codes],
      target,
    }) {
      const samples = await run.decode(String(codes), {
        label,
        codes: codeSolver({ solver, solverSteps }),
        ...givenValues(others),
      });
      await run.save(samples, target, csvWriting(csvSafe));
      const count = samples.shape[0] ?? 0;
      printOutcome(json, `${counted(count, "sample")}: ${target}`, { out: target, samples: count });
    },
  });
}
