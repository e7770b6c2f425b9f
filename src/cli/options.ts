import { type Command, Option } from "commander";
import { z } from "zod";
import { OptionError } from "../errors.ts";

/** What of a JSON schema matters for a flag. */
interface Property {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
}

/** learningRate → learning-rate. */
export function flagName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Adds a flag for every field of the schemas. Values are checked by the schemas later, not by commander. */
export function addSchemaOptions(command: Command, heading: string, schema: z.ZodObject): void {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as {
    properties?: Record<string, Property>;
  };
  command.optionsGroup(`${heading}:`);
  for (const [name, property] of Object.entries(properties)) {
    const flag = flagName(name);
    if (command.options.some((known) => known.long === `--${flag}`)) continue;
    const fallback = property.default === undefined ? "" : ` (default: ${showValue(property.default)})`;
    const description = `${property.description ?? ""}${property.enum ? ` [${property.enum.join("|")}]` : ""}${fallback}`;
    if (property.type === "boolean") {
      command.addOption(new Option(`--${flag}`, description));
      if (property.default === true)
        command.addOption(new Option(`--no-${flag}`, `not: ${property.description ?? flag}`));
      continue;
    }
    command.addOption(
      new Option(`--${flag} <${valueName(property)}>`, description).argParser((text) =>
        parseValue(name, property, text),
      ),
    );
  }
}

function showValue(value: unknown): string {
  return Array.isArray(value) ? value.join() : String(value);
}

function valueName({ type }: Property): string {
  if (type === "integer" || type === "number") return "number";
  return type === "array" ? "a,b,…" : "value";
}

function parseValue(name: string, { type }: Property, text: string): unknown {
  if (type === "integer" || type === "number") return parseNumber(name, text);
  if (type !== "array") return text;
  return text
    .split(",")
    .map((item) => (item.trim() !== "" && Number.isFinite(Number(item)) ? Number(item) : item.trim()));
}

/** @throws OptionError where the text is no number */
export function parseNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new OptionError(`option ${name}: ${JSON.stringify(text)} is not a number`);
  }
  return value;
}
