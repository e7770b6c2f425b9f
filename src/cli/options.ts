import { type Command, Option } from "commander";
import { z } from "zod";
import { OptionError } from "../errors.ts";
import { currentName, oldNames } from "../options.ts";

/** What of a JSON schema matters for a flag. */
interface Property {
  readonly type?: string;
  readonly items?: Property;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
}

/** learningRate → learning-rate. */
export function flagName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function propertiesOf(schema: z.ZodObject): Readonly<Record<string, Property>> {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as {
    properties?: Record<string, Property>;
  };
  return properties;
}

/** A flag of a schema, for help. */
export interface Flag {
  /** Of the option, in camelCase. */
  readonly name: string;
  /** As it is given: `--width <number>`. */
  readonly flags: string;
  /** What it does, its values and its default. */
  readonly description: string;
}

/** The flags of a schema, in order. */
export function flagsOf(schema: z.ZodObject): readonly Flag[] {
  return Object.entries(propertiesOf(schema)).map(([name, property]) => {
    const values = property.enum ? ` [${property.enum.join("|")}]` : "";
    const fallback = property.default === undefined ? "" : ` (default: ${showValue(property.default)})`;
    const flag = flagName(name);
    return {
      name,
      flags: property.type === "boolean" ? `--${flag}` : `--${flag} <${valueName(property)}>`,
      description: `${property.description ?? ""}${values}${fallback}`,
    };
  });
}

/**
 * Adds a flag for every field of a schema. Commander only divides the command line: texts become values in
 * `flagValues`, and schemas check them.
 * @param hidden leaves the flags out of the help
 */
export function addSchemaOptions(
  command: Command,
  heading: string,
  schema: z.ZodObject,
  hidden = false,
): void {
  command.optionsGroup(`${heading}:`);
  for (const [name, property] of Object.entries(propertiesOf(schema))) {
    const flag = flagName(name);
    if (command.options.some((known) => known.long === `--${flag}`)) continue;
    const fallback = property.default === undefined ? "" : ` (default: ${showValue(property.default)})`;
    const description = `${property.description ?? ""}${property.enum ? ` [${property.enum.join("|")}]` : ""}${fallback}`;
    const boolean = property.type === "boolean";
    const option = new Option(boolean ? `--${flag}` : `--${flag} <${valueName(property)}>`, description);
    // A list may be given in one flag or in several.
    if (property.type === "array") {
      option.argParser((text, before?: string) => (before === undefined ? text : `${before},${text}`));
    }
    command.addOption(option.hideHelp(hidden));
    for (const old of oldNames(name)) {
      command.addOption(new Option(option.flags.replace(`--${flag}`, `--${flagName(old)}`)).hideHelp());
    }
    if (boolean && property.default !== false) {
      command.addOption(new Option(`--no-${flag}`, `not: ${property.description ?? flag}`).hideHelp(hidden));
    }
  }
}

function showValue(value: unknown): string {
  return Array.isArray(value) ? value.join() || "none" : String(value);
}

function valueName({ type }: Property): string {
  if (type === "integer" || type === "number") return "number";
  return type === "array" ? "a,b,…" : "value";
}

/**
 * Turns the texts of flags into the values that schemas take. Flags that no schema knows stay as they are.
 * @throws OptionError where a text is no number
 */
export function flagValues(
  flags: Readonly<Record<string, unknown>>,
  schemas: readonly z.ZodObject[],
): Record<string, unknown> {
  const known = schemas.map(propertiesOf);
  return Object.fromEntries(
    Object.entries(flags).map(([name, value]) => {
      const current = known.some((properties) => Object.hasOwn(properties, name)) ? name : currentName(name);
      const property =
        current === undefined
          ? undefined
          : known.find((properties) => Object.hasOwn(properties, current))?.[current];
      return [name, typeof value === "string" && property ? parseValue(name, property, value) : value];
    }),
  );
}

function parseValue(name: string, { type, items }: Property, text: string): unknown {
  if (type === "integer" || type === "number") return parseNumber(name, text);
  if (type !== "array") return text;
  const parts = text.split(",").map((part) => part.trim());
  return text.trim() === "" ? [] : parts.map((part) => (items ? parseValue(name, items, part) : part));
}

/** @throws OptionError where the text is no number */
function parseNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new OptionError(`option ${name}: ${JSON.stringify(text)} is not a number`);
  }
  return value;
}
