import type { z } from "zod";
import { OptionError } from "../errors.ts";
import { nearest } from "../nearest.ts";

/** A group of options that travel together, by the name of the group. */
export type OptionGroups = Readonly<Record<string, z.ZodObject>>;

/**
 * Divides a flat set of options, as the command line and configuration files give them, among the schemas that know
 * them. An option that two groups know goes to both.
 * @throws OptionError for an option that none knows, with the nearest known name.
 */
export function divideOptions<G extends OptionGroups>(
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
      const close = nearest(option, known);
      throw new OptionError(
        `there is no option ${option}${close === undefined ? "" : `; did you mean ${close}?`}`,
      );
    }
    for (const [name] of owners) (result[name] ?? {})[option] = value;
  }
  return result as { readonly [Name in keyof G]: Record<string, unknown> };
}
