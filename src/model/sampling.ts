import { OptionError } from "../errors.ts";
import { Interrupted } from "../program/deadline.ts";
import { Random } from "../random.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import type { InpaintOptions, SampleOptions } from "./capabilities.ts";

/** Draws one part of the samples, in data units. */
export type SamplePart = (
  /** One generator a sample, so that sample i is the same however the samples are cut into parts. */
  randoms: readonly Random[],
  /** Index of the first sample of the part, among those that are drawn. */
  first: number,
  /** Reports the share of this part that is done. */
  onProgress: (share: number) => void,
) => Promise<NdArray<"float32">>;

/**
 * Draws `count` samples in parts of equal size, at most `limit` each, so that memory stays bounded and one compiled
 * program serves all parts. The last part is filled up and cut.
 * @throws OptionError where count is not a whole number from 0 on; Interrupted where it has to end early, with the samples of whole parts
 */
export async function sampleInParts(
  options: SampleOptions,
  sampleShape: readonly number[],
  limit: number,
  part: SamplePart,
): Promise<NdArray<"float32">> {
  const { count, seed, first: begin = 0, onProgress } = options;
  if (!Number.isInteger(count) || count < 0) {
    throw new OptionError(`count: must be a whole number of samples, not ${count}`);
  }
  const size = elementCount(sampleShape);
  const data = new Float32Array(count * size);
  const parts = Math.ceil(count / limit);
  const rows = parts === 0 ? 0 : Math.ceil(count / parts);
  const random = new Random(seed).split("sample");
  for (let k = 0; k < parts; k++) {
    const first = k * rows;
    const randoms = Array.from({ length: rows }, (_, i) => random.split(begin + first + i));
    try {
      const samples = await part(randoms, first, (share) => onProgress?.((k + share) / parts));
      data.set(samples.data.subarray(0, Math.min(rows, count - first) * size), first * size);
      onProgress?.((k + 1) / parts);
    } catch (error) {
      if (!(error instanceof Interrupted) || k === 0) throw error;
      const drawn = float32(data.subarray(0, first * size), [first, ...sampleShape]);
      throw new Interrupted(error.reason, drawn);
    }
  }
  return float32(data, [count, ...sampleShape]);
}

/** A sample to complete: its elements, and 1 where they are known. */
export interface IncompleteRow {
  readonly index: number;
  readonly x: Float32Array;
  readonly known: Float32Array;
}

/**
 * The samples to complete, one after the other, with the options that every model takes checked.
 * @throws OptionError where options are of diffusion models only (remove them first if the model takes them), shapes do not
 *   fit the model's samples, or draws or steps are not whole numbers from 1 on
 */
export function incompleteRows(
  { x, known, draws, steps, method, resamplings }: InpaintOptions,
  sampleShape: readonly number[],
): readonly IncompleteRow[] {
  if (method !== undefined || resamplings !== undefined) {
    throw new OptionError(
      `option ${method === undefined ? "resamplings" : "method"}: ${method ?? "resampling"} is for diffusion models; leave it out`,
    );
  }
  const size = elementCount(sampleShape);
  const [count = 0, ...shape] = x.shape;
  if (shape.join() !== sampleShape.join()) {
    throw new OptionError(
      `inpaint: x has shape [${x.shape}]; the samples of this model are [n,${sampleShape}]`,
    );
  }
  const masks = known.shape[0] ?? 0;
  if (known.shape.slice(1).join() !== shape.join() || (masks !== 1 && masks !== count)) {
    throw new OptionError(
      `inpaint: known has shape [${known.shape}]; it must be [${count},${shape}] or [1,${shape}]`,
    );
  }
  for (const [name, value] of Object.entries({ draws, steps: steps ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new OptionError(`option ${name}: must be a whole number of at least 1, not ${value}`);
    }
  }
  return Array.from({ length: count }, (_, index) => {
    const mask = masks === 1 ? 0 : index;
    return {
      index,
      x: x.data.subarray(index * size, (index + 1) * size),
      known: known.data.subarray(mask * size, (mask + 1) * size),
    };
  });
}
