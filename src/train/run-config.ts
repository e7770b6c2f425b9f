import { z } from "zod";
import { binarizationSchema } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import { isRecord, withCurrentNames } from "../options.ts";
import { resolvedFitOptions } from "./options.ts";

/** What a model must know of the data, kept with the run so that it can be rebuilt without the data. */
export const dataInfo = z.object({
  kind: z.enum(["points", "image", "table", "binary"]),
  sampleShape: z.array(z.int().positive()).readonly(),
  marks: z.enum(["boxes"]).optional().describe("what is marked in images, and learnt"),
  classes: z.int().positive().optional(),
  classNames: z.array(z.string()).readonly().optional(),
  classShares: z.array(z.number().min(0)).readonly().optional().describe("among the training samples"),
  columns: z
    .array(z.unknown())
    .readonly()
    .optional()
    .describe("how to undo the standardization of table columns"),
  binarization: binarizationSchema.optional().describe("how images became zeros and ones"),
  energy: z.string().optional().describe("name of the energy function that the data is drawn from"),
  fingerprint: z.string(),
  trainCount: z.int().positive(),
});

/** config.json of a run folder: everything that is needed to repeat, resume or use the run. */
export const runConfig = z.object({
  eidos: z.string().describe("version that made the run"),
  created: z.string(),
  model: z.string().describe("name in the catalogue, or path of a module that exports a model definition"),
  modelOptions: z.record(z.string(), z.unknown()),
  data: z.string().describe("name or path of the data"),
  dataOptions: z.record(z.string(), z.unknown()),
  dataInfo,
  fit: resolvedFitOptions,
  /** Whole paths, as they were when the run began, of the files that it names. */
  paths: z
    .object({
      model: z.string().optional(),
      data: z.string().optional(),
      source: z.string().optional(),
      pairs: z.string().optional(),
      weights: z.string().optional(),
    })
    .readonly()
    .optional(),
});

export type RunConfig = z.output<typeof runConfig>;

/** A config.json, as it was read, with the keys that earlier versions spelled otherwise under their current names. */
export function withCurrentKeys(json: unknown): unknown {
  if (!isRecord(json)) return json;
  const { fit, dataInfo: info } = json;
  return {
    ...json,
    ...(isRecord(fit) && { fit: withCurrentNames(fit, (name) => name in resolvedFitOptions.shape) }),
    ...(isRecord(info) && { dataInfo: withCurrentNames(info, (name) => name in dataInfo.shape) }),
  };
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
