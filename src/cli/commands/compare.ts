import type { Command } from "commander";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { OptionError } from "../../errors.ts";
import { leaderboardLines } from "../../report/index.ts";
import { leaderboardJson } from "../../tasks/compare/board.node.ts";
import {
  type CompareProgress,
  type CompareRequest,
  type Comparison,
  compare,
} from "../../tasks/compare/compare.node.ts";
import { sharedOptions } from "../../tasks/compare/request.node.ts";
import { compareSamplers, parseSamplers } from "../../tasks/compare/samplers.node.ts";
import { readConfigFile, textOf } from "../config-file.ts";
import { print, printJson, printLine, showDuration, showTable } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { ProgressDisplay, progressLine, WorkDisplay } from "../progress.ts";
import { interruptible } from "../signals.ts";

const USAGE = "as in: eidos compare two-moons --models nice,spline-flow --seconds 20";

type Entry = CompareRequest["models"][number];

/** Models of a configuration file: names, or objects with a model and options of its own. */
function entriesOf(value: unknown): readonly Entry[] {
  if (value === undefined) return [];
  const isEntry = (one: unknown): one is Entry =>
    typeof one === "string" ||
    (typeof one === "object" && one !== null && "model" in one && typeof one.model === "string");
  if (!Array.isArray(value) || !value.every(isEntry)) {
    throw new OptionError(
      'option models: must be a list of names or objects, ["nice", { "model": "nice", "name": "wide", "width": 256 }]',
    );
  }
  return value;
}

const nameOf = (entry: Entry): string => (typeof entry === "string" ? entry : (entry.name ?? entry.model));

/** The models that the command line names, with the options that the file has for them; all of the file's without. */
function modelsOf(flag: string | undefined, inFile: readonly Entry[]): readonly Entry[] {
  if (flag === undefined) return inFile;
  const names = flag.split(",").map((name) => name.trim());
  return names
    .filter((name) => name !== "")
    .map((name) => inFile.find((entry) => nameOf(entry) === name) ?? name);
}

async function requestOf(
  positional: string | undefined,
  { config, models: named, ...flags }: Readonly<Record<string, unknown>>,
): Promise<CompareRequest> {
  const {
    models: inFile,
    data: fileData,
    trustModule: inFileTrust,
    ...fromFile
  } = await readConfigFile(textOf(config, "config"));
  if (inFileTrust !== undefined) {
    throw new OptionError("option trustModule: is not taken from a file; give --trust-module yourself");
  }
  const { out, sql, fresh, trustModule, features, ...others }: Record<string, unknown> = {
    ...fromFile,
    ...flagValues(flags, [sharedOptions, dataOptionsSchema]),
  };
  const query = textOf(sql, "sql");
  const source = positional ?? textOf(fileData, "data");
  const data = source ?? query;
  if (data === undefined) throw new OptionError(`compare wants data, ${USAGE}`);
  const models = modelsOf(textOf(named, "models"), entriesOf(inFile));
  if (models.length === 0) throw new OptionError(`compare wants models, ${USAGE}`);
  const folder = textOf(out, "out");
  return {
    ...others,
    ...(source !== undefined && query !== undefined && { sql: query }),
    data,
    models,
    ...(folder !== undefined && { out: folder }),
    ...(fresh === true && { fresh: true }),
    ...(trustModule === true && { trustModule }),
    ...(features !== undefined && { features: textOf(features, "features") ?? "" }),
  };
}

/** One line on how a comparison stands. */
function compareLine({ model, position, models, stage, fit, share, secondsLeft }: CompareProgress): string {
  const doing =
    fit !== undefined
      ? progressLine(fit)
      : stage === "drawing"
        ? `drawing samples ${Math.floor(100 * (share ?? 0))} %`
        : "measuring …";
  return [
    `[${position}/${models}] ${model}`,
    doing,
    ...(secondsLeft === undefined ? [] : [`${showDuration(secondsLeft)} left in all`]),
  ].join("  ");
}

/** Options of a comparison of samplers. */
const OF_SAMPLERS = ["out", "seed", "provider", "threads"];

/** Compares samplers of runs. @throws OptionError for options of fits */
async function compareRuns(
  given: Readonly<Record<"runs" | "samplers" | "data", unknown>>,
  options: Readonly<Record<string, unknown>>,
  { json, quiet }: { readonly json: boolean; readonly quiet: boolean },
): Promise<void> {
  const runs = textOf(given.runs, "runs");
  const samplers = textOf(given.samplers, "samplers");
  if (runs === undefined || samplers === undefined) {
    throw new OptionError(
      "compare: --runs and --samplers belong together, as in --runs runs/ddpm --samplers ddpm:50,ddim:50",
    );
  }
  const other = [
    ...(given.data === undefined ? [] : [String(given.data)]),
    ...Object.keys(options).filter((name) => !OF_SAMPLERS.includes(name)),
  ];
  if (other[0] !== undefined) {
    throw new OptionError(`compare: ${other[0]} is of fits, and runs are fitted; leave it out with --runs`);
  }
  const { out, ...settings } = flagValues(options, [sharedOptions]);
  const folder = textOf(out, "out");
  const request = {
    ...settings,
    runs: runs
      .split(",")
      .map((path) => path.trim())
      .filter((path) => path !== ""),
    samplers: parseSamplers(samplers),
    ...(folder !== undefined && { out: folder }),
  };
  const display = new WorkDisplay(quiet);
  const made = await interruptible(display, (signal) =>
    compareSamplers(request, {
      signal,
      onProgress: ({ name, position, count, share = 1 }) =>
        display.show("comparing samplers", (position - 1 + share) / count, name),
    }),
  );
  display.end();
  printBoard(made, json);
}

/** Prints a leaderboard, or the same as JSON. The exit code is 1 where nothing could be measured. */
function printBoard({ folder, leaderboard, reason }: Comparison, json: boolean): void {
  if (json) printJson(leaderboardJson(leaderboard));
  else {
    const { names, rows } = leaderboardLines(leaderboard);
    if (rows.length > 0) print(showTable(names, rows));
    for (const row of leaderboard.rows) if (row.status === "failed") printLine(`${row.name}: ${row.reason}`);
    printLine(`leaderboard: ${folder}/leaderboard.html (also .md, .csv, .json)`);
    if (reason === "stopped") print("stopped and saved; the same command goes on");
  }
  if (reason === "finished") {
    // A signal that came when all was done has changed nothing.
    process.exitCode = leaderboard.rows.some(({ status }) => status === "finished") ? 0 : 1;
  }
}

export function configure(command: Command): void {
  command
    .option("--models <a,b,…>", "models to compare, by name or by the path of a module")
    .option("--runs <a,b,…>", "fitted runs of the same data, whose samplers are compared in place of models")
    .option(
      "--samplers <a:n,…>",
      "with --runs: solvers and their steps, such as ddpm:50,ddim:50,dpm++:15,heun:25; a run without solvers stands there once",
    )
    .option(
      "--out <folder>",
      "where to write (default: runs/compare-DATA); a comparison that is there goes on",
    )
    .option(
      "--features <run>",
      "run whose features images are compared in, of colors too (default: of digits those of a classifier, otherwise pixels)",
    )
    .option(
      "--trust-module",
      "import the module that this run names as its model: it runs with all rights of this process",
    )
    .option("--fresh", "begin anew where a comparison is there already")
    .option(
      "--config <file>",
      "JSON file of options by their camelCase names, with models as a list of names or objects with options of their own",
    )
    .option("--json", "print the leaderboard as JSON")
    .option("--quiet", "show no progress");
  addSchemaOptions(command, "Training, the same for all models", sharedOptions);
  addSchemaOptions(command, "Data", dataOptionsSchema);
  command.addHelpText(
    "after",
    "\nExamples:\n  eidos compare two-moons --models nice,spline-flow,rectified-flow --seconds 20\n  eidos compare --runs runs/ddpm,runs/rf --samplers ddpm:50,ddim:50,dpm++:15,heun:25\n  eidos compare --config runs/compare-two-moons/compare.json",
  );
  command.action(async (data: string | undefined, flags: Record<string, unknown>) => {
    const { json, quiet, runs, samplers, ...options } = flags;
    if (runs !== undefined || samplers !== undefined) {
      await compareRuns({ runs, samplers, data }, options, { json: json === true, quiet: quiet === true });
      return;
    }
    const request = await requestOf(data, options);
    const display = new ProgressDisplay();
    const made = await interruptible(display, (signal) =>
      compare(request, {
        signal,
        onWarning: (message) => display.say(`warning: ${message}`),
        ...(quiet !== true && {
          onBegin: (beginning) => {
            for (const line of beginning.data) display.say(line);
            display.say(`comparison: ${beginning.folder}`);
          },
          onModel: ({ name, status }) =>
            display.say(
              `${name}: ${{ finished: "done", earlier: "done by an earlier call", failed: "failed" }[status]}`,
            ),
          onProgress: (progress) =>
            display.showLine(compareLine(progress), {
              stage: progress.fit?.stage ?? (progress.stage === "drawing" ? "sampling" : progress.stage),
              seconds: progress.fit?.seconds ?? 0,
            }),
        }),
      }),
    );
    printBoard(made, json === true);
  });
}
