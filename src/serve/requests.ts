import type { z } from "zod";
import { ServiceError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { elementCount, float32 } from "../tensor/array.ts";
import {
  type Brought,
  countOf,
  type SeriesAbility,
  type ServedAbility,
  type ServedModel,
  type Unknown,
  type Work,
} from "./abilities.ts";
import { BODIES, DETECT_OPTIONS, type numbers, rows, type samples } from "./bodies.ts";

// What clients send becomes work, or an answer of 4xx in one line, before any of it reaches a worker.

/** Columns among which one that was meant is looked for. */
const LOOKED_AT = 1000;

/** How much one request may ask for. */
export interface RequestLimits {
  readonly maxRows: number;
  readonly maxSamples: number;
}

/** @throws ServiceError with status 400 */
export function bad(message: string): never {
  throw new ServiceError(message, { status: 400 });
}

/** Parses what a client sent. @throws ServiceError naming what is wrong */
export function checked<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === "unrecognized_keys") {
    const known = "shape" in schema ? Object.keys(schema.shape as object) : [];
    const [key = ""] = issue.keys;
    return bad(`there is no ${JSON.stringify(short(key))} here${hint(key, known)}`);
  }
  const where = issue?.path.map((part) => short(String(part))).join(".");
  return bad(`${where ? `${where}: ` : ""}${issue?.message ?? "not acceptable"}`);
}

/** A text of a client in a message. */
function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function hint(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  if (meant !== undefined) return `; did you mean ${meant}?`;
  return known.length === 0 ? "" : `; there are ${known.slice(0, 20).map(short).join(", ")}`;
}

/** @throws ServiceError where a model cannot do what is asked, listing what it can */
export function checkAbility(model: ServedModel, ability: ServedAbility): void {
  if (model.abilities.includes(ability)) return;
  bad(`${model.name} (${model.model}) cannot ${ability}; it can ${model.abilities.join(", ")}`);
}

/**
 * Checks rows against the columns of a model: all have the same columns, and those of the model among them.
 * @throws ServiceError naming the row and column at fault
 */
export function checkRows(
  { sample, name }: ServedModel,
  rows: readonly Readonly<Record<string, unknown>>[],
  { maxRows }: RequestLimits,
): void {
  if (sample.kind !== "rows") bad(`${name} takes pictures, not rows; send an image, or samples`);
  if (rows.length > maxRows) {
    throw new ServiceError(`${rows.length} rows, more than the limit of ${maxRows}; send them in parts`, {
      status: 413,
    });
  }
  const [first = {}] = rows;
  const names = Object.keys(first);
  const wanted = sample.kind === "rows" ? sample.columns : [];
  for (const column of wanted) {
    if (Object.hasOwn(first, column.name)) continue;
    const asked = new Set(wanted.map((one) => one.name));
    const known = names.filter((other) => !asked.has(other)).slice(0, LOOKED_AT);
    bad(`rows[0]: column ${JSON.stringify(short(column.name))} is missing${hint(column.name, known)}`);
  }
  for (const [i, row] of rows.entries()) {
    const own = Object.keys(row);
    const extra = own.find((key) => !Object.hasOwn(first, key));
    const absent = names.find((key) => !Object.hasOwn(row, key));
    if (extra !== undefined) bad(`rows[${i}]: column ${JSON.stringify(short(extra))} is not in rows[0]`);
    if (absent !== undefined) {
      bad(`rows[${i}]: column ${JSON.stringify(short(absent))} is missing; write null for a missing cell`);
    }
  }
}

/** Names of columns that rows have and the model does not know: they are not looked at. */
export function ignoredColumns({ sample }: ServedModel, rows: readonly object[]): readonly string[] {
  if (sample.kind !== "rows") return [];
  const known = new Set(sample.columns.map(({ name }) => name));
  return Object.keys(rows[0] ?? {}).filter((name) => !known.has(name));
}

/** Samples as an array. @throws ServiceError where their shape or values are not those of the model */
export function checkedArray(
  { sample, name }: ServedModel,
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  { maxRows }: RequestLimits,
): Brought {
  const own = sample.kind === "picture" ? sample.shape : bad(`${name} takes rows, not samples`);
  if (shape.length !== own.length + 1 || own.some((size, i) => shape[i + 1] !== size)) {
    bad(`samples have the shape [${shape}]; ${name} takes [n,${own}]`);
  }
  const [count = 0] = shape;
  if (count === 0) bad("there are no samples");
  if (count > maxRows) {
    throw new ServiceError(`${count} samples, more than the limit of ${maxRows}`, { status: 413 });
  }
  if (data.length !== elementCount(shape)) bad(`${data.length} numbers cannot fill the shape [${shape}]`);
  const most = sample.kind === "picture" && sample.binary ? 1 : 255;
  const x = float32(data, shape);
  const wrong = x.data.findIndex((value) => !(value >= 0 && value <= most));
  if (wrong >= 0) bad(`number ${wrong} of the samples is ${x.data[wrong]}; ${name} takes 0 to ${most}`);
  return { kind: "array", x };
}

/** The samples of a body. */
function broughtBy(
  model: ServedModel,
  body: { readonly rows?: unknown; readonly samples?: z.output<typeof samples> | undefined },
  limits: RequestLimits,
): Brought {
  const { rows: given, samples: array } = body;
  const wanted = model.sample.kind === "rows" ? "rows" : "an image, or samples";
  if (given !== undefined && array !== undefined) bad("rows and samples are both given");
  if (array !== undefined) return checkedArray(model, array, limits);
  if (given === undefined) return bad(`${model.name} takes ${wanted}`);
  const list = checked(rows, given);
  checkRows(model, list, limits);
  return { kind: "rows", rows: list };
}

/** Work of the body of a plain route, or of the parameters of the protocol. @throws ServiceError */
export function workOf(
  model: ServedModel,
  ability: Exclude<ServedAbility, "detect">,
  given: unknown,
  limits: RequestLimits,
  picture = false,
): Work {
  checkAbility(model, ability);
  switch (ability) {
    case "score": {
      const body = checked(BODIES.score, given);
      if (body.why > 0 && !model.reasons)
        bad(`why: ${model.name} has no rows of a table whose cells could be told`);
      return { kind: "score", samples: broughtBy(model, body, limits), seed: body.seed, why: body.why };
    }
    case "embed": {
      const { layer, pool, seed, ...body } = checked(BODIES.embed, given);
      return { kind: "embed", samples: broughtBy(model, body, limits), seed, layer: { layer, pool } };
    }
    case "impute": {
      const { rows, draws, seed, label } = checked(BODIES.impute, given);
      checkRows(model, rows, limits);
      const most = 10 * limits.maxSamples;
      if (rows.length * draws > most) {
        throw new ServiceError(
          `${rows.length} rows with ${draws} draws each, more than the limit of ${most} draws; send them in parts`,
          { status: 413 },
        );
      }
      checkLabel(model, label);
      return { kind: "impute", rows, options: { draws, seed, label } };
    }
    case "sample": {
      const { count, seed, label, given: values, states, ...own } = checked(BODIES.sample, given);
      const all = count * (states ?? 1);
      if (all > limits.maxSamples) {
        throw new ServiceError(`${all} samples, more than the limit of ${limits.maxSamples}`, {
          status: 413,
        });
      }
      if (states !== undefined && (!model.forms || picture)) {
        bad(
          model.forms
            ? "states: are numbers; accept application/json"
            : `states: ${model.name} does not show samples as they form`,
        );
      }
      const unknown = Object.keys(own).find((name) => !model.sampleOptions.includes(name));
      if (unknown !== undefined) {
        const known = [...Object.keys(BODIES.sample.shape), ...model.sampleOptions];
        bad(`there is no option ${JSON.stringify(short(unknown))}${hint(unknown, known)}`);
      }
      checkLabel(model, label);
      if (model.given.length > 0 && values === undefined) {
        bad(`${model.name} draws samples under the values of ${model.given.join(", ")}; add given`);
      }
      if (picture && model.sample.kind !== "picture") {
        throw new ServiceError(`samples of ${model.name} are rows, not pictures; accept application/json`, {
          status: 406,
        });
      }
      const options = {
        ...own,
        count,
        seed,
        ...(label !== undefined && { label }),
        ...(values !== undefined && { given: values }),
      };
      return { kind: "sample", picture, states, options };
    }
    case "inpaint": {
      const { samples: array, ...options } = checked(BODIES.inpaint, given);
      return seriesWork(model, ability, checkedArray(model, array, limits), options, limits, picture);
    }
    case "edit":
    case "interpolate": {
      const body = checked(BODIES[ability], given);
      const { rows: _rows, samples: _samples, ...options } = body;
      if (picture && model.sample.kind === "rows") {
        throw new ServiceError(`${model.name} answers rows, not pictures; accept application/json`, {
          status: 406,
        });
      }
      return seriesWork(model, ability, broughtBy(model, body, limits), options, limits, picture);
    }
  }
}

/** Where pictures are unknown. @throws ServiceError unless it is told in one way, and something is unknown */
function unknownOf(
  { sample, name }: ServedModel,
  count: number,
  {
    unknown,
    half,
  }: { readonly unknown?: z.output<typeof numbers> | undefined; readonly half?: string | undefined },
): Unknown {
  const [, height = 1, width = 1] = sample.kind === "picture" ? sample.shape : [];
  if ((unknown === undefined) === (half === undefined)) {
    bad("give what is unknown by one of unknown and half");
  }
  if (half === "top" || half === "bottom" || half === "left" || half === "right")
    return { kind: "half", half };
  const { shape, data } = unknown ?? bad("unknown is missing");
  const full = shape.length === 2 ? [1, ...shape] : shape;
  const [masks = 0, ...size] = full;
  if (size.join() !== `${height},${width}` || (masks !== 1 && masks !== count)) {
    bad(`unknown has the shape [${shape}]; ${name} takes [${height},${width}], or one for each picture`);
  }
  if (data.length !== elementCount(full))
    bad(`${data.length} numbers cannot fill the shape [${shape}] of unknown`);
  const wrong = data.find((value) => value !== 0 && value !== 1);
  if (wrong !== undefined)
    bad(`unknown holds ${wrong}; it takes 1 where a picture is drawn anew, otherwise 0`);
  if (!data.includes(1)) bad("unknown: nothing is unknown; there is nothing to draw");
  return { kind: "mask", mask: float32(data, full) };
}

/** Work on samples, with options that are checked. @throws ServiceError where it is too much, or the samples do not make pairs */
function seriesWork(
  model: ServedModel,
  ability: SeriesAbility,
  samples: Brought,
  options: SeriesOptions,
  { maxSamples }: RequestLimits,
  picture: boolean,
): Work {
  const count = countOf(samples);
  const each = "draws" in options ? options.draws : options.steps;
  const series = ability === "interpolate" ? count / 2 : count;
  const what = model.sample.kind === "rows" ? "rows" : "pictures";
  if (series * each > maxSamples) {
    throw new ServiceError(`${series * each} ${what}, more than the limit of ${maxSamples}`, {
      status: 413,
    });
  }
  checkLabel(model, options.label);
  if ("strength" in options) return { kind: "edit", samples, picture, options };
  if (!("draws" in options)) {
    if (!Number.isInteger(series)) bad(`${count} ${what} do not make pairs`);
    return { kind: "interpolate", samples, picture, options };
  }
  const { unknown, half, ...rest } = options;
  return {
    kind: "inpaint",
    samples,
    picture,
    unknown: unknownOf(model, count, { unknown, half }),
    options: rest,
  };
}

/** Options of work on samples, without the samples. */
type SeriesOptions = {
  [A in SeriesAbility]: Omit<z.output<(typeof BODIES)[A]>, "samples" | "rows">;
}[SeriesAbility];

function checkLabel({ classes, name }: ServedModel, label: number | undefined): void {
  if (label === undefined || label < classes.length) return;
  bad(
    classes.length === 0
      ? `${name} has no classes`
      : `label: must be from 0 to ${classes.length - 1}, not ${label}`,
  );
}

/** Options of work on files of pictures, in the query. */
const OF_FILES = {
  inpaint: BODIES.inpaint.omit({ samples: true }),
  edit: BODIES.edit.omit({ rows: true, samples: true }),
  interpolate: BODIES.interpolate.omit({ rows: true, samples: true }),
} as const;

/** Work on files of images, with the options of a query. @throws ServiceError */
export function workOnFiles(
  model: ServedModel,
  ability: Exclude<ServedAbility, "impute" | "sample">,
  files: readonly Uint8Array[],
  given: Readonly<Record<string, unknown>>,
  limits: RequestLimits,
  picture = false,
): Work {
  const { maxRows } = limits;
  checkAbility(model, ability);
  if (files.length === 0 || files.some(({ length }) => length === 0)) bad("there is no image in the body");
  if (files.length > maxRows) {
    throw new ServiceError(`${files.length} images, more than the limit of ${maxRows}`, { status: 413 });
  }
  if (ability === "detect") {
    return { kind: "detect", files, picture, options: checked(DETECT_OPTIONS, given) };
  }
  if (model.sample.kind !== "picture") bad(`${model.name} takes rows as JSON, not images`);
  const samples: Brought = { kind: "files", files };
  switch (ability) {
    case "score": {
      const { seed } = checked(BODIES.score.pick({ seed: true }), given);
      return { kind: "score", samples, seed, why: 0 };
    }
    case "embed": {
      const { seed, layer, pool } = checked(BODIES.embed.omit({ rows: true, samples: true }), given);
      return { kind: "embed", samples, seed, layer: { layer, pool } };
    }
    default: {
      const options = checked(OF_FILES[ability], given);
      return seriesWork(model, ability, samples, options, limits, picture);
    }
  }
}
