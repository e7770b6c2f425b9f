import { DataError } from "../errors.ts";
import type { ExportedAbility, ExportedModel, ExportedPort } from "../model/exported.ts";
import { either, list, number, oneOf, optional, record, type Shape, text } from "./shape.ts";

// model.json without zod, which is larger than all the rest. `exportedModelSchema` is what it has to be: test/use/record.test.ts puts the same
// records, sound and broken, to both.

/** Largest numbers of values and characters, as those of `exportedModelSchema`. */
const NAMES = 65_536;
const TEXT = 100_000;

/** The most bytes of model.json that are read. */
export const MOST_RECORD_BYTES = 64e6;

const anyText = text(TEXT);
const texts = list(anyText, NAMES);

/** The name of a file beside model.json, and of no other. */
const fileName: Shape<string> = (value, at) => {
  const name = text(200)(value, at);
  if (/^\w[\w .-]*\.onnx$/.test(name)) return name;
  throw new DataError(`${at} is not the name of an ONNX file beside model.json`);
};

const dateNote = record({
  precision: anyText,
  form: anyText,
  zone: optional(anyText),
  formula: anyText,
});

const port: Shape<ExportedPort> = record({
  name: anyText,
  type: oneOf("float32", "float64", "int64", "uint8", "string"),
  shape: list(either(number({ whole: true, least: 0 }, "a size"), anyText), 8),
  what: anyText,
  column: optional(anyText),
  unit: optional(anyText),
  optional: optional(oneOf(true)),
  default: optional(number()),
  minimum: optional(number()),
  maximum: optional(number()),
  step: optional(number({ above: 0 }, "a number above 0")),
  missing: optional(oneOf("NaN", "", -1)),
  categories: optional(texts),
  pooled: optional(anyText),
  hashed: optional(anyText),
  date: optional(dateNote),
  noise: optional(oneOf("normal", "uniform")),
  stream: optional(list(anyText, 8)),
});

const ability: Shape<ExportedAbility> = record({
  file: fileName,
  what: anyText,
  inputs: list(port, NAMES),
  outputs: list(port, NAMES, 1),
  steps: optional(
    record({
      count: number({ whole: true, least: 1, most: 1_000_000 }, "a number of rounds"),
      each: number({ whole: true, least: 1, most: 1_000_000 }, "a number of rounds"),
      first: anyText,
      last: anyText,
      input: anyText,
      state: anyText,
      noise: optional(anyText),
    }),
  ),
  notes: optional(texts),
});

const model: Shape<ExportedModel> = record({
  format: oneOf("eidos-model"),
  version: oneOf(1),
  eidos: anyText,
  model: anyText,
  data: anyText,
  kind: oneOf("points", "image", "table", "binary", "detection"),
  step: optional(number({ whole: true, least: 0 }, "a whole number from 0 on")),
  seed: optional(number({ whole: true }, "a whole number")),
  classes: optional(texts),
  abilities: record({
    score: optional(ability),
    sample: optional(ability),
    embed: optional(ability),
    detect: optional(ability),
  }),
  stages: optional(list(record({ file: fileName, what: anyText }), NAMES)),
  outside: optional(texts),
  leftOut: list(record({ ability: anyText, why: anyText }), NAMES),
});

/**
 * What model.json says.
 * @param value its parsed JSON
 * @throws DataError naming what is wrong with it
 */
export function modelRecord(value: unknown): ExportedModel {
  const version = typeof value === "object" && value !== null && "version" in value ? value.version : 1;
  if (typeof version === "number" && version > 1) {
    throw new DataError(`model.json is of version ${version}, and this eidos reads version 1; update eidos`);
  }
  try {
    return model(value, "");
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`model.json: ${error.message}; export the model again with eidos export`);
  }
}

/** As `modelRecord`, of the bytes of the file. @throws DataError where they are no JSON, or more than are read */
export function readRecord(bytes: Uint8Array): ExportedModel {
  if (bytes.length > MOST_RECORD_BYTES) {
    throw new DataError(
      `model.json has ${bytes.length} bytes, of which ${MOST_RECORD_BYTES} are read at most`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new DataError("model.json is not valid JSON", { cause });
  }
  return modelRecord(value);
}
