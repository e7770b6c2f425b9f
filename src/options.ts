import type { z } from "zod";
import { OptionError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/**
 * Older spellings of options and what they are called now. Configuration files of earlier runs and scripts use them; no help shows
 * them.
 */
const OLD_NAMES: Readonly<Record<string, string>> = {
  optimiser: "optimizer",
  colour: "color",
  binarise: "binarize",
  dequantise: "dequantize",
  normalisation: "normalization",
  binarisation: "binarization",
};

/** The option that an older spelling means; undefined for a name that is not one. */
export function currentName(option: string): string | undefined {
  return Object.hasOwn(OLD_NAMES, option) ? OLD_NAMES[option] : undefined;
}

/** The older spellings of an option. */
export function oldNames(option: string): readonly string[] {
  return Object.keys(OLD_NAMES).filter((old) => OLD_NAMES[old] === option);
}

/**
 * Options by their current names. An older spelling stays where the schema knows it itself.
 * @throws OptionError where both spellings are given
 */
export function withCurrentNames(
  options: Readonly<Record<string, unknown>>,
  knows: (option: string) => boolean,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([option, value]) => {
      const current = currentName(option);
      if (current === undefined || knows(option) || !knows(current)) return [option, value];
      if (options[current] !== undefined) {
        throw new OptionError(`option ${current} is given twice, also as ${option}; leave one out`);
      }
      return [current, value];
    }),
  );
}

/** A group of options that travel together, by the name of the group. */
export type OptionGroups = Readonly<Record<string, z.ZodObject>>;

/**
 * Divides a flat set of options, as the command line and configuration files give them, among the schemas that know
 * them. An option that two groups know goes to both.
 * @param owner named in errors: whose options these are
 * @throws OptionError for an option that none knows, with the nearest known name.
 */
export function divideOptions<G extends OptionGroups>(
  owner: string,
  options: Readonly<Record<string, unknown>>,
  groups: G,
): { readonly [Name in keyof G]: Record<string, unknown> } {
  const entries = Object.entries(groups);
  const result = Object.fromEntries(entries.map(([name]) => [name, {} as Record<string, unknown>]));
  const named = withCurrentNames(options, (option) =>
    entries.some(([, schema]) => Object.hasOwn(schema.shape, option)),
  );
  for (const [option, value] of Object.entries(named)) {
    if (value === undefined) continue;
    const owners = entries.filter(([, schema]) => Object.hasOwn(schema.shape, option));
    if (owners.length === 0) {
      const known = entries.flatMap(([, schema]) => Object.keys(schema.shape));
      throw new OptionError(`${owner}: ${noSuchOption(option, known)}`);
    }
    for (const [name] of owners) (result[name] ?? {})[option] = value;
  }
  return result as { readonly [Name in keyof G]: Record<string, unknown> };
}

/**
 * All names of an interface of options, each with `true`: one too few or too many does not compile, so that a list of names can't go stale.
 * Names that an index signature allows stand elsewhere.
 */
export type NamesOf<O> = { readonly [Name in keyof O as string extends Name ? never : Name]-?: true };

/**
 * Refuses options by names that nobody reads, where no schema does: those with callbacks, signals and arrays among them. One that is undefined is not given.
 * @param owner named in errors: whose options these are
 * @param names those that are known, as keys
 * @throws OptionError for the first name that is not known, with the nearest known one, and for what is no object
 */
export function checkNames(owner: string, options: unknown, names: object): void {
  if (!isRecord(options)) throw new OptionError(`${owner}: options must be an object`);
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(names, option)) continue;
    throw new OptionError(`${owner}: ${noSuchOption(option, Object.keys(names))}`);
  }
}

/** The message that an option does not exist, with what was probably meant. */
function noSuchOption(option: string, known: readonly string[]): string {
  const close = nearest(option, known);
  const instead =
    close !== undefined
      ? `did you mean ${close}?`
      : known.length === 0
        ? "there are none"
        : `there are ${known.join(", ")}`;
  return `there is no option ${option}; ${instead}`;
}

/** Parses options by their schema. @throws OptionError that names the option at fault, and whose it is */
export function parseOptions<S extends z.ZodType>(owner: string, schema: S, options: unknown): z.output<S> {
  const known = "shape" in schema ? Object.keys(schema.shape as object) : [];
  const named = isRecord(options) ? withCurrentNames(options, (option) => known.includes(option)) : options;
  const parsed = schema.safeParse(named);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.slice(0, MOST_FAULTS).flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.slice(0, MOST_FAULTS).map((key) => noSuchOption(key, known));
    }
    return issue.path.length === 0 ? issue.message : `option ${issue.path.join(".")}: ${issue.message}`;
  });
  const more = countFaults(parsed.error.issues) - faults.length;
  throw new OptionError(`${owner}: ${faults.join("; ")}${more > 0 ? `; and ${more} more faults` : ""}`);
}

/** The most faults that a message names: a file may have a million. */
const MOST_FAULTS = 20;

function countFaults(issues: readonly z.core.$ZodIssue[]): number {
  return issues.reduce((sum, issue) => sum + (issue.code === "unrecognized_keys" ? issue.keys.length : 1), 0);
}

/** Levels of lists and objects within each other that a file of settings may have. */
const DEEPEST = 64;

/** Whether lists and objects of parsed JSON stand deeper in each other than any settings do; what walks through them would fail. */
export function isTooDeep(json: unknown): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; depth < DEEPEST; depth++) {
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? Object.values(value) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}

/** Whether a value is an object with named values. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
