import { DataError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { Binarization, DataSet, Split, SplitName } from "./data-set.ts";
import { Fingerprint, range, storedSplit } from "./data-set.ts";

const LEVELS = 255;
const THRESHOLD = 128;
/** Images drawn at once. */
const ROWS = 1024;

/** How images were binarized, for a person. */
export function describeBinarization({ protocol, seed }: Binarization): string {
  switch (protocol) {
    case "threshold":
      return `binarized by threshold: bytes from ${THRESHOLD} on are ones`;
    case "stochastic":
      return `binarized by one draw of each pixel (stochastic), seed ${seed}`;
    case "dynamic":
      return `binarized by draws, training images anew at each step, others once (dynamic), seed ${seed}`;
  }
}

/**
 * Images of bytes as zeros and ones; where these are drawn, by the fixed draw.
 * @param x `[count, …]`, bytes as floats
 * @param location what the images are part of and the number of the first of them there: an image is drawn alike however the
 *   part is cut into batches
 */
export function binarizeImages(
  x: NdArray<"float32">,
  { protocol, seed }: Binarization,
  location: { readonly part: string; readonly first: number },
): NdArray<"float32"> {
  const [count = 0] = x.shape;
  if (protocol === "threshold") {
    return float32(
      x.data.map((byte) => Number(byte >= THRESHOLD)),
      x.shape,
    );
  }
  const bits = new Float32Array(x.data.length);
  new Random(seed).split("binarise").split(location.part).fillRows(bits, count, location.first, "uniform");
  for (let i = 0; i < bits.length; i++) bits[i] = Number((bits[i] ?? 0) * LEVELS < (x.data[i] ?? 0));
  return float32(bits, x.shape);
}

/** A training split of zeros and ones, with the probabilities of those where they are drawn anew. @param bytes that they are drawn of */
function asTrained(split: Split, bytes: Split, { protocol }: Binarization): Split {
  if (protocol !== "dynamic") return split;
  return {
    ...split,
    intensities(indices) {
      const { x, ...rest } = bytes.batch(indices);
      return {
        ...rest,
        x: float32(
          x.data.map((byte) => byte / LEVELS),
          x.shape,
        ),
      };
    },
  };
}

/**
 * Some training images of bytes as zeros and ones, as `binarized` makes them of all.
 * @param positions of the images in the training split
 */
export function binarizedShare(
  bytes: Split,
  shape: readonly number[],
  binarization: Binarization,
  positions: Uint32Array,
): Split {
  const size = elementCount(shape);
  const bits = new Uint8Array(bytes.count * size);
  let labels: Uint32Array | undefined;
  for (const [i, first] of positions.entries()) {
    const { x, label } = bytes.batch([i]);
    bits.set(binarizeImages(x, binarization, { part: "train", first }).data, i * size);
    if (label === undefined) continue;
    labels ??= new Uint32Array(bytes.count);
    labels[i] = Number(label.data[0]);
  }
  return asTrained(storedSplit(bits, shape, range(0, bytes.count), labels), bytes, binarization);
}

/** A split of bytes as one of zeros and ones, kept in memory as bytes; labels stay. */
function binarizedSplit(split: Split, name: SplitName, binarization: Binarization, shape: readonly number[]) {
  const size = elementCount(shape);
  const bits = new Uint8Array(split.count * size);
  let labels: Uint32Array | undefined;
  for (let first = 0; first < split.count; first += ROWS) {
    const { x, label } = split.batch(range(first, Math.min(ROWS, split.count - first)));
    bits.set(binarizeImages(x, binarization, { part: name, first }).data, first * size);
    if (label === undefined) continue;
    labels ??= new Uint32Array(split.count);
    labels.set(Uint32Array.from(label.data, Number), first);
  }
  return storedSplit(bits, shape, range(0, split.count), labels);
}

/**
 * A data set of grey images as one of binary images: kind `binary`, classes kept.
 * @throws DataError where the samples are not images of one channel
 */
export function binarized(data: DataSet, binarization: Binarization): DataSet {
  const { kind, sampleShape, splits } = data;
  if (kind !== "image" || sampleShape[0] !== 1) {
    throw new DataError(
      `${data.name}: ${kind} data of shape [${sampleShape}] cannot be binarized; only grey images, of one channel, can`,
    );
  }
  const split = (name: SplitName): Split => binarizedSplit(splits[name], name, binarization, sampleShape);
  return {
    ...data,
    kind: "binary",
    splits: {
      train: asTrained(split("train"), splits.train, binarization),
      validation: split("validation"),
      test: split("test"),
    },
    binarization,
    fingerprint: new Fingerprint().text(data.fingerprint).text(JSON.stringify(binarization)).toString(),
    describe: () => [...data.describe(), describeBinarization(binarization)],
  };
}
