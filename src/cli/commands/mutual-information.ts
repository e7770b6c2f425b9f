import type { Command } from "commander";
import { z } from "zod";
import { nameList, threadCount } from "../../bounds.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { counted } from "../../memory.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { informationCurve } from "../../report/index.ts";
import {
  type MutualInformationOptions,
  mutualInformationOptions,
} from "../../representation/mutual-information/options.ts";
import { tableInformation } from "../../tasks/measure/mutual-information.node.ts";
import { print, printJson, printLine, printNote, showDuration } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { interruptible } from "../signals.ts";

const flags = z.strictObject({
  x: nameList().min(1).describe("columns of the first variable"),
  y: nameList().min(1).describe("columns of the second variable"),
  out: z.string().min(1).optional().describe("picture to write: the estimate while the critic learns (.svg)"),
  threads: threadCount().optional().describe("threads inside one operation (default: all cores)"),
  json: z.boolean().default(false).describe("print as JSON"),
  quiet: z.boolean().default(false).describe("show no progress"),
});

/** How a table is read; which rows are held out, the estimate decides. */
const tableOptions = dataOptionsSchema.pick({ categorical: true, sql: true, splitSeed: true });

const SIDES = { lower: "a lower bound", upper: "an upper bound", neither: "no bound" } as const;

export function configure(command: Command): void {
  addSchemaOptions(command, "Mutual information", flags);
  addSchemaOptions(command, "Estimate", mutualInformationOptions);
  addSchemaOptions(command, "Data", tableOptions);
  command.addHelpText(
    "after",
    "\nExamples:\n  eidos mutual-information wine.csv --x alcohol --y density,pH --estimator ksg\n  eidos mutual-information wine.csv --x alcohol --y quality --categorical quality --estimator smile --out learning.svg",
  );
  command.action(async (table: string | undefined, given: Record<string, unknown>) => {
    const schemas = { flags, estimate: mutualInformationOptions, data: tableOptions };
    const divided = divideOptions("mutual-information", flagValues(given, Object.values(schemas)), schemas);
    const { x, y, out, threads, json, quiet } = parseOptions("mutual-information", flags, divided.flags);
    const settled = parseOptions("mutual-information", mutualInformationOptions, divided.estimate);
    // Defaults are left out: an option that is given to an estimator without it is an error.
    const options = Object.fromEntries(
      Object.entries(settled).filter(([name]) => Object.hasOwn(divided.estimate, name)),
    ) as MutualInformationOptions;
    const dataOptions = parseOptions("data", tableOptions, divided.data);
    const line = new ProgressLine();
    const display = {
      say: (text: string) => {
        line.end();
        printNote(text);
      },
      end: () => line.clear(),
      stopping: "stopping after this step",
    };
    const begun = performance.now();
    const found = await interruptible(display, (signal) =>
      tableInformation(
        { data: table ?? "", x, y, dataOptions, ...options, ...(threads !== undefined && { threads }) },
        {
          signal,
          ...(!quiet && {
            onProgress: ({ done, all, nats }) => {
              const left = (((performance.now() - begun) / 1000) * (all - done)) / done;
              line.show(
                `${Math.floor((100 * done) / all)} %  step ${done}/${all}  ${nats.toFixed(3)} nats  ${showDuration(left)} left`,
              );
            },
          }),
        },
      ),
    );
    if (out !== undefined && found.curve.length > 0) {
      await writeFileAtomic(out, await informationCurve({ points: found.curve, ...found }));
    }
    if (json) return printJson(found);
    const { nats, deviation, bySeed, rows, side, limit, pValue, estimator, notes } = found;
    const spread = deviation === undefined ? "" : ` ± ${deviation.toFixed(3)} over ${bySeed.length} seeds`;
    printLine(`I(${x.join(", ")}; ${y.join(", ")}) = ${nats.toFixed(3)}${spread} nats`);
    const most = limit === undefined ? "" : `, at most ln N = ${limit.toFixed(3)}`;
    const learnt = rows.training === 0 ? "" : `, learnt from ${rows.training}`;
    printLine(`${estimator}: ${SIDES[side]}${most}; ${counted(rows.test, "row")}${learnt}`);
    if (pValue !== undefined) {
      printLine(`p-value of independence: ${pValue.toFixed(3)} (${settled.permutations} random pairings)`);
    }
    for (const note of notes) printLine(note);
    if (out !== undefined) {
      print(found.curve.length > 0 ? `picture: ${out}` : `no picture: ${estimator} does not learn`);
    }
  });
}
