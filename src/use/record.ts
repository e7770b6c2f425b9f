import { DataError } from "../errors.ts";
import type {
  ExportedAbility,
  ExportedImputation,
  ExportedModel,
  ExportedPart,
  ExportedPort,
  ExportedPrecision,
} from "../model/exported.ts";
import { either, list, number, oneOf, optional, record, type Shape, text } from "./shape.ts";

// model.json without zod, which is larger than all the rest. `exportedModelSchema` is what it has to be: test/use/record.test.ts puts the same
// records, sound and broken, to both.

/** Largest numbers of values and characters, as those of `exportedModelSchema`. */
const NAMES = 65_536;
const ELEMENTS = 2 ** 26;
const STEPS = 1_000_000;
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
  offset: optional(number()),
  missing: optional(oneOf("NaN", "", -1)),
  categories: optional(texts),
  pooled: optional(anyText),
  hashed: optional(anyText),
  date: optional(dateNote),
  noise: optional(oneOf("normal", "uniform")),
  stream: optional(list(anyText, 8)),
});

const count = number({ whole: true, least: 1 }, "a whole number from 1 on");
const countOrNone = number({ whole: true, least: 0 }, "a whole number from 0 on");
const round = number({ whole: true, least: 1, most: STEPS }, "a number of rounds");
const position = number({ whole: true, least: 0, most: ELEMENTS }, "a position");
const share = number({ least: 0, most: 1 }, "a number from 0 to 1");

const part: Shape<ExportedPart> = record({
  file: fileName,
  inputs: list(port, NAMES),
  outputs: list(port, NAMES, 1),
});

const completion: Shape<ExportedImputation> = record({
  cells: part,
  draw: optional(part),
  drawKnown: optional(part),
  density: part,
  mixture: optional(part),
  columns: list(record({ gap: position, size: position }), NAMES),
  modeled: list(position, ELEMENTS),
  order: optional(list(position, ELEMENTS)),
  noise: record({ kind: oneOf("normal", "uniform", "logistic", "mixture"), size: position }),
  course: record({ iterations: round, leapfrogs: round, startPower: share }),
  keys: optional(record({ input: anyText, columns: texts })),
  firstRow: optional(anyText),
  block: number({ whole: true, least: 1, most: ELEMENTS }, "a number of rows"),
  classColumn: optional(anyText),
  shares: optional(list(share, NAMES)),
});

type LossMeasure = ExportedPrecision["loss"]["measures"][number];

const measure = either<LossMeasure, LossMeasure>(
  record({
    kind: oneOf("compared"),
    name: anyText,
    unit: optional(anyText),
    before: number(),
    after: number(),
  }),
  record({ kind: oneOf("difference"), name: anyText, unit: optional(anyText), value: number() }),
);

const precision: Shape<ExportedPrecision> = record({
  type: oneOf("fp16", "int8"),
  what: anyText,
  bytes: record({ before: count, after: count }),
  layers: optional(record({ computing: countOrNone, stored: countOrNone, floats: countOrNone })),
  calibration: optional(record({ on: anyText, samples: count, method: anyText })),
  overflow: optional(record({ count, example: number(), weights: texts })),
  loss: record({ on: anyText, samples: count, measures: list(measure, 8, 1) }),
});

const ability: Shape<ExportedAbility> = record({
  file: fileName,
  what: anyText,
  inputs: list(port, NAMES),
  outputs: list(port, NAMES, 1),
  steps: optional(
    record({
      count: round,
      each: round,
      first: anyText,
      last: anyText,
      input: anyText,
      state: anyText,
      noise: optional(anyText),
    }),
  ),
  completion: optional(completion),
  notes: optional(texts),
  precision: optional(precision),
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
    impute: optional(ability),
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
