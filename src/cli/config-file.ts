import { readFile } from "node:fs/promises";
import { fileError } from "../data/files/files.node.ts";
import { OptionError } from "../errors.ts";
import { isTooDeep } from "../options.ts";

/** A JSON file of options, or nothing. @throws FileError; OptionError where it is no JSON object */
export async function readConfigFile(path: string | undefined): Promise<Record<string, unknown>> {
  if (path === undefined) return {};
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read the configuration", path);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OptionError(`${path} is not valid JSON: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  if (isTooDeep(value)) throw new OptionError(`${path}: lists and objects are nested too deeply`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OptionError(`${path}: a configuration is one JSON object, { "model": …, "data": …, … }`);
  }
  const { $schema: _, ...options } = value as Record<string, unknown>;
  return options;
}

/** An option that is to be a text, or nothing. @throws OptionError */
export function textOf(value: unknown, option: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new OptionError(`option ${option}: must be a text, not ${JSON.stringify(value)}`);
}
