import { z } from "zod";
import { list, MOST, nameList, share, text, unitCount } from "../bounds.ts";
import { dataCatalog } from "../data/catalog.ts";
import { binarizationSchema } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import { isRecord, withCurrentNames } from "../options.ts";
import { elementCount } from "../tensor/array.ts";
import { resolvedFitOptions } from "./options.ts";

/** Samples of a training split at most; they may be streamed, and are then never in memory together. */
const MOST_STREAMED = 1e12;

/** Bytes of a file of weights. */
const MOST_WEIGHTS = 2 ** 31 - 1;

/** What a model must know of the data, kept with the run so that it can be rebuilt without the data. */
export const dataInfo = z.object({
  kind: z.enum(["points", "image", "table", "binary"]),
  sampleShape: list(z.int().min(1).max(MOST.elements), 4)
    .readonly()
    .refine((shape) => elementCount(shape) <= MOST.elements, `a sample has at most ${MOST.elements} numbers`),
  marks: z.enum(["boxes"]).optional().describe("what is marked in images, and learnt"),
  classes: unitCount().optional(),
  classNames: nameList(text()).readonly().optional(),
  classShares: list(share(), MOST.names).readonly().optional().describe("among the training samples"),
  columns: list(z.unknown(), MOST.names)
    .readonly()
    .optional()
    .describe("how to undo the standardization of table columns"),
  ones: list(z.number().gt(0).lt(1), MOST.elements)
    .readonly()
    .optional()
    .describe(
      "share of ones of each element of zeros and ones among the training samples, at which the model began",
    ),
  binarization: binarizationSchema.optional().describe("how images became zeros and ones"),
  energy: text().optional().describe("name of the energy function that the data is drawn from"),
  fingerprint: text(),
  trainCount: z.int().min(1).max(MOST_STREAMED),
  chips: z
    .object({
      side: z.int().min(1).max(MOST.pixels),
      count: z.int().min(1).max(MOST_STREAMED),
      background: z.int().min(0).max(MOST_STREAMED),
      pixels: z.number().min(0).max(MOST.amount),
      negatives: text().optional(),
    })
    .readonly()
    .optional()
    .describe("of an epoch of training on chips; their pixels in parts of those of all images"),
});

/** Where weights are from that were fetched to begin with, and what they were. */
const fetchedWeights = z.object({
  url: text(),
  /** The commit of the hub. */
  revision: text().optional(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0).max(MOST_WEIGHTS),
});

/** Stands in place of data before the name of the file that a run was imported from. */
export const IMPORTED = "imported:";

/** config.json of a run folder: everything that is needed to repeat, resume or use the run. */
export const runConfig = z.object({
  eidos: text().describe("version that made the run"),
  created: text(),
  model: text().describe("name in the catalogue, or path of a module that exports a model definition"),
  modelOptions: z.record(text(), z.unknown()),
  data: text().describe("name or path of the data"),
  dataOptions: z.record(text(), z.unknown()),
  dataInfo,
  fit: resolvedFitOptions,
  weights: fetchedWeights.optional(),
  imported: z
    .object({ file: text(), sha256: text() })
    .readonly()
    .optional()
    .describe("the file of weights that the run was made of, where nothing was fitted"),
  /** Whole paths, as they were when the run began, of the files that it names. */
  paths: z
    .object({
      model: text().optional(),
      data: text().optional(),
      source: text().optional(),
      pairs: text().optional(),
      weights: text().optional(),
    })
    .readonly()
    .optional(),
});

export type RunConfig = z.output<typeof runConfig>;

/** A config.json, as it was read, with the keys that earlier versions spelled otherwise under their current names. */
export function withCurrentKeys(json: unknown): unknown {
  if (!isRecord(json)) return json;
  const { fit, dataInfo: info, dataOptions } = json;
  return {
    ...json,
    ...(isRecord(dataOptions) && { dataOptions: withImageFormat(withDigitOverlap(dataOptions), json) }),
    ...(isRecord(fit) && {
      fit: withCurrentNames(fit, (name) => Object.hasOwn(resolvedFitOptions.shape, name)),
    }),
    ...(isRecord(info) && {
      dataInfo: withCurrentNames(info, (name) => Object.hasOwn(dataInfo.shape, name)),
    }),
  };
}

/** Options of data in which `overlap` is that of tiles: before there were tiles, it was that of the digits of digit-scenes. */
function withDigitOverlap(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { overlap, ...others } = options;
  return overlap === undefined || options.tiles !== undefined
    ? options
    : { ...others, digitOverlap: overlap };
}

/**
 * Options of data in which the size and the color of images are, where those are not boxed: before both were chosen by the images, they were
 * the same for all, and were kept only where they were given.
 */
function withImageFormat(
  options: Readonly<Record<string, unknown>>,
  { data, dataInfo: info }: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (!isRecord(info) || info.marks !== undefined || !Array.isArray(info.sampleShape)) return options;
  const [channels, height, width] = info.sampleShape as readonly unknown[];
  const isNamed = dataCatalog.some(({ name }) => name === data);
  const isSquare = typeof height === "number" && height === width;
  if (isNamed || !isSquare || (info.kind !== "image" && info.kind !== "binary")) return options;
  if (typeof data === "string" && data.startsWith(IMPORTED)) return options;
  return { size: height, color: channels === 1 ? "grey" : "rgb", ...options };
}

/** The most keys of an object in config.json; no model has as many options. */
const MOST_KEYS = 1000;

/**
 * Refuses a config.json of more keys than any run has, before each of them is looked at.
 * @throws OptionError
 */
export function refuseManyKeys(json: unknown, file: string): void {
  if (!isRecord(json)) return;
  for (const [name, value] of [["it", json] as const, ...Object.entries(json).slice(0, MOST_KEYS)]) {
    const count = isRecord(value) ? Object.keys(value).length : 0;
    if (count > MOST_KEYS) {
      throw new OptionError(`${file}: ${name} has ${count} keys, where ${MOST_KEYS} are read at most`);
    }
  }
}

/** Refuses to resume on other data than the run began with. @throws OptionError */
export function checkFingerprint(
  expected: string,
  data: { readonly name: string; readonly fingerprint: string },
): void {
  if (expected !== data.fingerprint) {
    throw new OptionError(
      `${data.name} is no longer what this run was begun with (its contents or split changed); fit into a new folder`,
    );
  }
}
