import { open } from "node:fs/promises";
import { z } from "zod";
import { list, MOST } from "../bounds.ts";
import { fileError, isMissing } from "../data/files/files.node.ts";
import { WeightsError } from "../errors.ts";
import { readSafetensorsMetadata } from "../nn/safetensors.ts";

// What a checkpoint holds besides vectors, and how it is read without them.

const progressSchema = z.object({
  step: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
  best: z
    .object({
      step: z.int(),
      loss: z.number(),
      measures: z.record(z.string(), z.number()).optional(),
    })
    .optional(),
  validationsSinceBest: z.int().nonnegative(),
  /** Samples of a validation, where all that were asked for take too much of the time. */
  validationSamples: z.int().positive().optional(),
  /** Sums since the last row of metrics.csv. */
  pending: z.object({ count: z.int().nonnegative(), sums: z.record(z.string(), z.number()) }),
  /** Where stages have begun, of parts that are trained one after the other. */
  stages: list(
    z.object({
      step: z.int().nonnegative(),
      seconds: z.number().nonnegative(),
      samples: z.object({ train: z.int().positive(), validation: z.int().nonnegative() }).optional(),
    }),
    MOST.layers,
  )
    .readonly()
    .optional(),
  /** Training ended by its own limit or patience, and everything is written. */
  finished: z.boolean(),
});

export type RunProgress = z.output<typeof progressSchema>;

/** The first faults of a file, on one line: it may have as many as it has entries. */
export function faultsOf({ issues }: z.ZodError): string {
  const most = 20;
  const more = issues.length > most ? ` and ${issues.length - most} more faults` : "";
  return z.prettifyError({ issues: issues.slice(0, most) }).replaceAll("\n", " ") + more;
}

/** The progress that a checkpoint holds as text. @throws WeightsError where it is damaged */
export function parseProgress(text: string | undefined, name: string): RunProgress {
  let progress: unknown;
  try {
    progress = JSON.parse(text ?? "");
  } catch (cause) {
    throw new WeightsError(`${name} has no readable progress entry; fit again into another folder`, {
      cause,
    });
  }
  const parsed = progressSchema.safeParse(progress);
  if (!parsed.success) throw new WeightsError(`${name}: ${faultsOf(parsed.error)}`);
  return parsed.data;
}

/**
 * The progress of a checkpoint's file, of which the header alone is read; undefined where there is no such file.
 * @throws WeightsError where it is damaged; FileError where it cannot be read
 */
export async function readProgress(path: string): Promise<RunProgress | undefined> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const read = async (position: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, position);
      return bytes.subarray(0, bytesRead);
    };
    const { progress } = await readSafetensorsMetadata(read, size, path);
    return parseProgress(progress, path);
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw cause instanceof WeightsError ? cause : fileError(cause, "read", path);
  }
}
