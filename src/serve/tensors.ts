import { z } from "zod";
import type { Row, RowCell } from "../data/sources/memory.ts";
import { elementCount } from "../tensor/array.ts";
import type { Answer, ServedAbility, ServedColumn, ServedModel, Work } from "./abilities.ts";
import { bad, checkAbility, checkedArray, type RequestLimits, workOf, workOnFiles } from "./requests.ts";

// The Open Inference Protocol (version 2, REST): what a model is asked and answers as named tensors.
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
// A model of the protocol does one thing. NAME is the first ability of a run, NAME:ABILITY each of them.

const DATATYPES = [
  "BOOL",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "FP16",
  "FP32",
  "FP64",
  "BYTES",
] as const;

type Datatype = (typeof DATATYPES)[number];

/** Most levels of lists in each other: tensors of images have four. */
const DEEPEST = 8;

/** Parameters by name. */
const parameters = z.record(z.string().max(200), z.unknown());

const requestInput = z.strictObject({
  name: z.string(),
  shape: z.array(z.int().min(0)).max(DEEPEST),
  datatype: z.enum(DATATYPES),
  parameters: parameters.optional(),
  data: z.array(z.unknown()),
});

type RequestInput = z.output<typeof requestInput>;

/** An inference request. */
export const inferenceRequest = z.strictObject({
  id: z.string().max(1000).optional(),
  parameters: parameters.optional(),
  inputs: z.array(requestInput),
  outputs: z.array(z.strictObject({ name: z.string(), parameters: parameters.optional() })).optional(),
});

/** What a tensor of a model is. */
export interface TensorMetadata {
  readonly name: string;
  readonly datatype: Datatype;
  /** −1 where it may be any. */
  readonly shape: readonly number[];
}

/** A tensor of an answer. */
export interface ResponseTensor extends TensorMetadata {
  readonly data: readonly (number | string | null)[];
}

/** A model of the protocol: a run and one of its abilities. */
export interface ProtocolModel {
  readonly run: ServedModel;
  readonly ability: ServedAbility;
}

/** The model of a name, NAME or NAME:ABILITY; undefined where there is none. */
export function protocolModel(
  models: ReadonlyMap<string, ServedModel>,
  name: string,
): ProtocolModel | undefined {
  const whole = models.get(name);
  const [first] = whole?.abilities ?? [];
  if (whole !== undefined && first !== undefined) return { run: whole, ability: first };
  const at = name.lastIndexOf(":");
  const run = at < 0 ? undefined : models.get(name.slice(0, at));
  const ability = run?.abilities.find((known) => known === name.slice(at + 1));
  return run === undefined || ability === undefined ? undefined : { run, ability };
}

const ofColumn = ({ name, kind }: ServedColumn): TensorMetadata => ({
  name,
  datatype: kind === "categorical" ? "BYTES" : kind === "binary" ? "UINT8" : "FP64",
  shape: [-1],
});

function sampleTensors({ sample }: ServedModel, name: string): readonly TensorMetadata[] {
  return sample.kind === "rows"
    ? sample.columns.map(ofColumn)
    : [{ name, datatype: "FP32", shape: [-1, ...sample.shape] }];
}

/** The tensors that a model takes. Pictures come as numbers (x) or as files in base64 (image). */
export function inputTensors({ run, ability }: ProtocolModel): readonly TensorMetadata[] {
  if (ability === "detect") return [{ name: "image", datatype: "BYTES", shape: [-1] }];
  if (ability === "sample") return [{ name: "count", datatype: "INT64", shape: [1] }];
  const x = sampleTensors(run, "x");
  if (ability !== "inpaint" || run.sample.kind !== "picture") return x;
  return [...x, { name: "unknown", datatype: "UINT8", shape: [-1, ...run.sample.shape.slice(1)] }];
}

/** The tensors that it answers. */
export function outputTensors({ run, ability }: ProtocolModel): readonly TensorMetadata[] {
  switch (ability) {
    case "detect":
      return [
        { name: "size", datatype: "INT64", shape: [-1, 2] },
        { name: "image_index", datatype: "INT64", shape: [-1] },
        { name: "box", datatype: "FP32", shape: [-1, 4] },
        { name: "score", datatype: "FP32", shape: [-1] },
        { name: "class", datatype: "INT64", shape: [-1] },
        { name: "label", datatype: "BYTES", shape: [-1] },
      ];
    case "score":
      return [{ name: "log_likelihood", datatype: "FP64", shape: [-1] }];
    case "sample":
      return sampleTensors(run, "samples");
    case "impute":
      return [...sampleTensors(run, "samples"), { name: "draw", datatype: "INT64", shape: [-1] }];
    case "embed":
      return [{ name: "features", datatype: "FP32", shape: [-1, ...(run.features ?? [])] }];
    case "inpaint":
    case "edit":
    case "interpolate":
      return run.sample.kind === "rows"
        ? sampleTensors(run, "samples")
        : [{ name: "samples", datatype: "FP32", shape: [-1, -1, ...run.sample.shape] }];
  }
}

/** What the protocol answers on a model. */
export function modelMetadata(model: ProtocolModel, name: string) {
  const { version, model: platform } = model.run;
  return {
    name,
    ...(version !== undefined && { versions: [version] }),
    platform: `eidos_${platform}`,
    inputs: inputTensors(model),
    outputs: outputTensors(model),
  };
}

/** The values of a tensor, one after the other, whether they come nested or flat. @throws ServiceError */
function valuesOf({ name, shape, data }: RequestInput): readonly unknown[] {
  let values: readonly unknown[] = data;
  for (let depth = 1; depth < DEEPEST && values.some(Array.isArray); depth++) values = values.flat();
  const count = elementCount(shape);
  if (values.length !== count) {
    bad(`input ${name}: ${values.length} values cannot fill the shape [${shape}]`);
  }
  return values;
}

function numbersOf(input: RequestInput): readonly number[] {
  return valuesOf(input).map((value, i) => {
    if (typeof value === "boolean") return value ? 1 : 0;
    return typeof value === "number" ? value : bad(`input ${input.name}: value ${i} is no number`);
  });
}

/** Base64 as a file has it. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** The files in a tensor of texts. @throws ServiceError where one is no base64 */
function filesOf(input: RequestInput): readonly Uint8Array[] {
  if (input.datatype !== "BYTES") bad(`input ${input.name}: must be BYTES, files of images in base64`);
  return valuesOf(input).map((value, i) => {
    if (typeof value !== "string" || value.length % 4 !== 0 || !BASE64.test(value)) {
      return bad(`input ${input.name}: value ${i} is no file in base64`);
    }
    const text = atob(value);
    return Uint8Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
  });
}

/** Rows of a table from a tensor a column. @throws ServiceError */
function rowsOf({ sample }: ServedModel, inputs: readonly RequestInput[]): readonly Row[] {
  const kinds = new Map(sample.kind === "rows" ? sample.columns.map(({ name, kind }) => [name, kind]) : []);
  const columns = inputs.map((input) => {
    const { name, shape, datatype } = input;
    const kind = kinds.get(name);
    if (shape.length > 2 || (shape.length === 2 && shape[1] !== 1)) {
      bad(`input ${name}: a column has the shape [n] or [n,1], not [${shape}]`);
    }
    const isText = datatype === "BYTES";
    if (kind !== undefined && kind !== "categorical" && isText) {
      bad(`input ${name}: this column holds numbers, not BYTES`);
    }
    const cells = valuesOf(input).map((value, i): RowCell => {
      if (value === null || (isText && value === "")) return null;
      if (isText && typeof value !== "string") return bad(`input ${name}: value ${i} is no text`);
      if (typeof value === "string") return isText ? value : bad(`input ${name}: value ${i} is no number`);
      if (typeof value !== "number" && typeof value !== "boolean") {
        return bad(`input ${name}: value ${i} is no cell`);
      }
      return kind === "categorical" ? String(value) : value;
    });
    return { name, cells };
  });
  const [first] = columns;
  const count = first?.cells.length ?? 0;
  const other = columns.find(({ cells }) => cells.length !== count);
  if (other !== undefined) {
    bad(`input ${other.name} has ${other.cells.length} values, ${first?.name} has ${count}`);
  }
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map(({ name, cells }) => [name, cells[row]])),
  );
}

/** The work of an inference request. @throws ServiceError */
export function workOfTensors(
  model: ProtocolModel,
  { inputs, parameters: given = {}, outputs = [] }: z.output<typeof inferenceRequest>,
  limits: RequestLimits,
): Work {
  const { run, ability } = model;
  checkAbility(run, ability);
  refuseBinary([...inputs, ...outputs]);
  const named = new Map(inputs.map((input) => [input.name, input]));
  if (named.size < inputs.length) bad("two inputs have the same name");
  if (new Set(outputs.map(({ name }) => name)).size < outputs.length) bad("two outputs have the same name");
  const known = outputTensors(model).map(({ name }) => name);
  const strange = ability === "impute" ? undefined : outputs.find(({ name }) => !known.includes(name));
  if (strange !== undefined) bad(`there is no output ${strange.name}; there are ${known.join(", ")}`);
  if ("why" in given) bad("why: cells that make rows odd are told by POST /score alone");
  if ("states" in given) bad("states: samples as they form are answered by POST /sample alone");
  const unknown = ability === "inpaint" ? named.get("unknown") : undefined;
  const alone = (name: string): RequestInput | undefined => {
    const input = named.get(name);
    if (input === undefined) return undefined;
    const more = inputs.find((other) => other !== input && other !== unknown);
    return more === undefined ? input : bad(`there is no input ${more.name} beside ${name}`);
  };
  if (ability === "sample") {
    const count = inputs.length === 0 ? undefined : alone("count");
    if (count === undefined && inputs.length > 0) bad(`there is no input ${inputs[0]?.name}; there is count`);
    const [number] = count === undefined ? [] : numbersOf(count);
    return workOf(run, ability, { ...given, ...(number !== undefined && { count: number }) }, limits);
  }
  if (ability === "detect") {
    const image = alone("image") ?? bad("input image is missing");
    return workOnFiles(run, ability, filesOf(image), given, limits);
  }
  if (run.sample.kind === "rows") {
    return workOf(run, ability, { ...given, rows: rowsOf(run, inputs) }, limits);
  }
  const image = alone("image");
  const options = {
    ...given,
    ...(unknown !== undefined && { unknown: { shape: unknown.shape, data: numbersOf(unknown) } }),
  };
  if (image !== undefined && ability !== "impute") {
    return workOnFiles(run, ability, filesOf(image), options, limits);
  }
  const x = alone("x") ?? bad("input x or image is missing");
  const array = { shape: x.shape, data: numbersOf(x) };
  checkedArray(run, array, limits);
  return workOf(run, ability, { ...options, samples: array }, limits);
}

/** Binary tensors are an extension of one server. @throws ServiceError */
function refuseBinary(
  tensors: readonly { readonly name: string; readonly parameters?: Record<string, unknown> | undefined }[],
): void {
  for (const { name, parameters: given = {} } of tensors) {
    for (const [key, value] of Object.entries(given)) {
      if (value === false || key === "content_type") continue;
      bad(
        `tensor ${name}: there is no parameter ${JSON.stringify(key.slice(0, 60))}; tensors are sent and answered as JSON`,
      );
    }
  }
}

/** The tensors of an answer. @param wanted names of those that the client asked for; all where there are none */
export function tensorsOf(
  answer: Answer,
  model: ProtocolModel,
  wanted: readonly string[],
): readonly ResponseTensor[] {
  const all = allTensors(answer, model);
  if (wanted.length === 0) return all;
  return wanted.map(
    (name) =>
      all.find((tensor) => tensor.name === name) ??
      bad(`there is no output ${name}; there are ${all.map((tensor) => tensor.name).join(", ")}`),
  );
}

function allTensors(answer: Answer, model: ProtocolModel): readonly ResponseTensor[] {
  const [first] = outputTensors(model);
  const name = first?.name ?? "output";
  switch (answer.kind) {
    case "found": {
      const objects = answer.images.flatMap(({ objects }, image) =>
        objects.map((one) => ({ image, ...one })),
      );
      const tensor = (
        name: string,
        datatype: Datatype,
        data: readonly (number | string)[],
        ...rest: readonly number[]
      ): ResponseTensor => ({ name, datatype, shape: [data.length / (rest[0] ?? 1), ...rest], data });
      return [
        tensor(
          "size",
          "INT64",
          answer.images.flatMap(({ width, height }) => [width, height]),
          2,
        ),
        tensor(
          "image_index",
          "INT64",
          objects.map(({ image }) => image),
        ),
        tensor(
          "box",
          "FP32",
          objects.flatMap(({ box }) => [...box]),
          4,
        ),
        tensor(
          "score",
          "FP32",
          objects.map(({ score }) => score),
        ),
        tensor(
          "class",
          "INT64",
          objects.map((one) => one.class),
        ),
        tensor(
          "label",
          "BYTES",
          objects.map(({ label }) => label),
        ),
      ];
    }
    case "scores":
      return [
        {
          name,
          datatype: "FP64",
          shape: [answer.logLikelihood.length],
          data: Array.from(answer.logLikelihood, jsonNumber),
        },
      ];
    case "table": {
      const known = new Map(outputTensors(model).map((tensor) => [tensor.name, tensor.datatype]));
      return answer.names.map((column, i) => {
        const cells = answer.rows.map((row) => row[i] ?? null);
        // Columns that the model does not know are handed back as they are.
        const datatype =
          known.get(column) ?? (cells.some((one) => typeof one === "string") ? "BYTES" : "FP64");
        const data = cells.map((one) =>
          datatype === "BYTES" || one === null ? one : jsonNumber(Number(one)),
        );
        return { name: column, datatype, shape: [data.length], data };
      });
    }
    case "array": {
      const { shape, data } = answer.array;
      return [{ name, datatype: "FP32", shape, data: Array.from(data, jsonNumber) }];
    }
    case "picture":
      return bad("a picture is no tensor");
  }
}

/** JSON has neither NaN nor infinity. */
export function jsonNumber(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
