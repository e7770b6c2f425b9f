import type { z } from "zod";
import { OptionError } from "../errors.ts";
import { nearest } from "../nearest.ts";

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
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const owners = entries.filter(([, schema]) => option in schema.shape);
    if (owners.length === 0) {
      const known = entries.flatMap(([, schema]) => Object.keys(schema.shape));
      throw new OptionError(`${owner}: ${noSuchOption(option, known)}`);
    }
    for (const [name] of owners) (result[name] ?? {})[option] = value;
  }
  return result as { readonly [Name in keyof G]: Record<string, unknown> };
}

/** Says that an option does not exist, and what was probably meant. */
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
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const known = "shape" in schema ? Object.keys(schema.shape as object) : [];
  const faults = parsed.error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => noSuchOption(key, known)).join("; ");
    }
    return issue.path.length === 0 ? issue.message : `option ${issue.path.join(".")}: ${issue.message}`;
  });
  throw new OptionError(`${owner}: ${faults.join("; ")}`);
}
