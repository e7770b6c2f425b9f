import { OptionError } from "../errors.ts";
import { elementCount } from "../tensor/array.ts";
import type { InpaintOptions } from "./model.ts";

/** A sample to complete: its elements, and 1 where they are known. */
export interface IncompleteRow {
  readonly index: number;
  readonly x: Float32Array;
  readonly known: Float32Array;
}

/**
 * The samples that a completion is asked of, one after the other, once its options have been checked: those that every model
 * takes; others are to be taken away before.
 * @throws OptionError where there are others, shapes do not fit the model's samples, or draws or steps are no whole numbers from 1 on
 */
export function incompleteRows(
  { x, known, draws, steps, method, resamplings }: InpaintOptions,
  sampleShape: readonly number[],
): readonly IncompleteRow[] {
  if (method !== undefined || resamplings !== undefined) {
    throw new OptionError(
      `option ${method === undefined ? "resamplings" : "method"}: ${method ?? "resampling"} is a way of diffusion models; leave it out`,
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
