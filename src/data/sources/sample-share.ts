import type { Split } from "./data-set.ts";

// Some of the training samples of a data set, for a process that reads no others.

/** Which training samples are read, and what they are. */
export interface SampleShare {
  /** Where each stands in the table or folder (`Origin`), in rising order; there is one at least. */
  readonly rows: Uint32Array;
  /** The position of each in the training split. */
  readonly positions: Uint32Array;
  /** The names of classes, in order, where samples have some. */
  readonly classes?: readonly string[] | undefined;
  /** Of one sample. */
  readonly sampleShape: readonly number[];
  /** `Origin.names` where the data was found. */
  readonly names?: string | undefined;
}

/**
 * A training split of which some samples are at hand, by their positions in it. Others throw.
 * @param held the samples at hand
 * @param placeOf where each sample of the split is among them; anything else where it is not
 * @param example position of one that is
 */
export function shareSplit(
  held: Split,
  count: number,
  placeOf: (position: number) => number,
  example: number,
): Split {
  const placesOf = (indices: ArrayLike<number>): Uint32Array =>
    Uint32Array.from(indices, (position) => {
      const place = placeOf(position);
      if (place >= 0 && place < held.count) return place;
      throw new RangeError(`sample ${position} is not in the share of ${held.count} of ${count} samples`);
    });
  const { intensities, redrawn } = held;
  return {
    count,
    example,
    batch: (indices) => held.batch(placesOf(indices)),
    ...(intensities && { intensities: (indices) => intensities(placesOf(indices)) }),
    ...(redrawn && { redrawn: (indices, randomOf) => redrawn(placesOf(indices), randomOf) }),
  };
}
