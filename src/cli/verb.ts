import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { positions, threadCount } from "../bounds.ts";
import type { MarkedCells } from "../data/files/csv.ts";
import { checkCanMake } from "../data/files/files.node.ts";
import { describeHolder } from "../data/files/lock.node.ts";
import type { Clipped } from "../data/table/codec/index.ts";
import { OptionError } from "../errors.ts";
import { counted } from "../memory.ts";
import { currentName, parseOptions } from "../options.ts";
import { firstNames, printable } from "../printable.ts";
import { Interrupted } from "../program/deadline.ts";
import { openRun, type Run } from "../tasks/open-run.node.ts";
import type { TableWriting } from "../tasks/run/outputs.node.ts";
import type { SampleFiles, SplitSamples } from "../tasks/run/samples.node.ts";
import type { RunConfig } from "../train/run-config.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import { showing, trustFlags, trustOf } from "./flags.ts";
import { printNote } from "./format.ts";
import { addSchemaOptions, flagValues } from "./options.ts";
import { WorkDisplay } from "./progress.ts";
import { interruptible } from "./signals.ts";
import { type cascadeFlags, cascadeOptions, type tridentFlag } from "./verb-options.ts";

// The skin of the commands that use a fitted model: it parses flags, checks the file to be written, opens the run, and releases it.

/** Options of every command that runs a fitted model. */
export const runOptions = {
  weights: z
    .enum(["best", "last"])
    .optional()
    .describe("which weights (default: best where validation has chosen some, otherwise last)"),
  provider: z.string().default("cpu").describe("execution provider: cpu, webgpu, cuda, dml, coreml"),
  threads: threadCount().optional().describe("threads inside one operation (default: all cores)"),
  ...showing,
  ...trustFlags,
};

/** Options of commands that write tables. */
export const csvFlags = {
  csvSafe: z
    .boolean()
    .default(true)
    .describe("in .csv, mark texts that a spreadsheet would take for formulas by an apostrophe in front"),
};

/** How a command writes tables: what was marked is printed on standard error. */
export function csvWriting(csvSafe: boolean): TableWriting {
  return { csvSafe, onMarked: noteMarked, onClipped: noteClipped };
}

/** Columns that are named in one line. */
const NAMED = 4;

/** Prints on standard error that cells were set to the bounds of their columns. */
export function noteClipped(clipped: readonly Clipped[], rows: number): void {
  const shown = clipped
    .slice(0, NAMED)
    .map(
      ({ column, count, minimum, maximum, example }) =>
        `${printable(column)}: ${count} of ${rows} set to ${printable(String(minimum))} … ${printable(String(maximum))} (${printable(String(example))} is one)`,
    );
  const rest = clipped.length > NAMED ? `; and ${clipped.length - NAMED} more columns` : "";
  printNote(`cells beyond the bounds of their columns: ${shown.join("; ")}${rest}`);
}

/** Prints on standard error that texts of a table were marked. */
export function noteMarked({ count, example, column }: MarkedCells): void {
  const quoted = JSON.stringify(example.length > 40 ? `${example.slice(0, 40)}…` : example);
  printNote(
    `${counted(count, "text")} that a spreadsheet would take for a formula marked by an apostrophe in front (the first: ${quoted}, column ${column}); --no-csv-safe writes them as they are`,
  );
}

/** Options of commands that work on samples of a split, or on image files. */
export const sampleChoice = {
  index: positions().optional().describe("samples of a split by position, in place of image files"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split that --index counts in"),
};

/** A command that uses a fitted model. */
export interface Verb<F extends z.ZodObject> {
  readonly name: string;
  /** Heading of its options in the help. */
  readonly heading: string;
  /** Its flags; `runOptions` among them. */
  readonly flags: F;
  /** Text at the end of the help. */
  readonly help?: string;
  /** Checks that need no model; called before the run is opened. @throws OptionError */
  check?(flags: z.output<F>, operands: readonly unknown[]): void;
  /** The file to write, and a check that it can be written; called before the model is loaded. */
  target?(flags: z.output<F>, info: RunConfig["dataInfo"], folder: string): string;
  /** What the command does. */
  action(use: VerbUse<F>): Promise<void>;
}

/** What the action of a verb works with. */
export interface VerbUse<F extends z.ZodObject> {
  readonly run: Run;
  /** Flags that the schema knows, parsed. */
  readonly flags: z.output<F>;
  /** Flags of the model's own options, as texts. */
  readonly others: Readonly<Record<string, unknown>>;
  /** The operands behind the run folder. */
  readonly operands: readonly unknown[];
  /** The file to write; an empty text where the verb has no `target`. */
  readonly target: string;
  /** Shows progress. */
  readonly display: WorkDisplay;
  /** Stops the command: what runs on the run then ends with `Interrupted`. */
  readonly signal: AbortSignal;
  /** Seconds since the run was open. */
  seconds(): number;
}

/** Makes of a command a verb on a run. */
export function addVerb<F extends z.ZodObject>(command: Command, verb: Verb<F>): void {
  addSchemaOptions(command, verb.heading, verb.flags);
  if (verb.help !== undefined) command.addHelpText("after", `\n${verb.help}`);
  command.action(async (folder: string, ...rest: readonly unknown[]) => {
    // Commander hands over the operands, the flags and the command itself.
    const operands = rest.slice(0, -2);
    const given = rest.at(-2) as Readonly<Record<string, unknown>>;
    const known = (name: string): boolean => Object.hasOwn(verb.flags.shape, name);
    const pick = (own: boolean) =>
      Object.fromEntries(Object.entries(given).filter(([name]) => known(currentName(name) ?? name) === own));
    const flags = parseOptions(verb.name, verb.flags, flagValues(pick(true), [verb.flags]));
    verb.check?.(flags, operands);
    const target =
      verb.target === undefined
        ? ""
        : verb.target(flags, (await new RunFolder(folder).readConfig()).dataInfo, folder);
    const out = target === "" && "out" in flags && typeof flags.out === "string" ? flags.out : target;
    if (out !== "") await checkCanMake(out, "write");
    const fitter = await new RunFolder(folder).fitter();
    if (fitter !== undefined) {
      const who = describeHolder(fitter);
      printNote(`${folder} is being fitted by ${who}: these are its weights up to now`);
    }
    const opening = flags as z.output<
      z.ZodObject<typeof runOptions & typeof tridentFlag & typeof cascadeFlags>
    >;
    const { weights, provider, threads, trident, quiet, ...trust } = opening;
    const display = new WorkDisplay(quiet);
    await interruptible(display, async (signal) => {
      await using run = await openRun(folder, {
        weights,
        provider,
        threads,
        trident,
        cascade: cascadeOptions(opening),
        trust: trustOf(trust),
        signal,
      });
      const begun = performance.now();
      const seconds = (): number => (performance.now() - begun) / 1000;
      try {
        const others = pick(false);
        await verb.action({ run, flags, others, operands, target, display, signal, seconds });
        for (const line of [...run.imageNotes(), ...run.tableNotes()]) printNote(line);
      } catch (error) {
        if (!(error instanceof Interrupted) && error !== signal.reason) throw error;
        display.say("stopped; nothing was written");
      }
    });
  });
}

/** A file in the samples folder of a run. */
export function inSamples(folder: string, name: string): string {
  return join(folder, "samples", name);
}

/** The samples that image files or flags name. @throws OptionError where both do */
export function chosenBy(
  verb: string,
  files: readonly string[],
  { index, split, count, source }: SplitSamples,
): SampleFiles | SplitSamples {
  if (index !== undefined && files.length > 0) {
    throw new OptionError(`${verb}: name samples by files or by --index, not by both`);
  }
  return files.length > 0 ? { files, count } : { index, split, count, source };
}

/** Prints on standard error which files were left out. */
export function printUnreadable(files: readonly string[]): void {
  if (files.length === 0) return;
  printNote(`left out ${files.length} unreadable: ${firstNames(files, 10)}`);
}
