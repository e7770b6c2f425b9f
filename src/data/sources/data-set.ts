import * as z from "zod";
import { seedNumber } from "../../bounds.ts";
import { EidosError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { DataInfo, DataKind } from "../../model/data-info.ts";
import type { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Column } from "./columns.ts";

/** Some samples of a data set, and the class of each where the data has classes. */
export interface Batch {
  /** `[count, ...sampleShape]`. */
  readonly x: NdArray<"float32">;
  /** `[count]`, indices into the data set's `classes`. */
  readonly label?: NdArray<"int64">;
  /** `[count, ...sampleShape]`, the other end of a path to each sample, for models that are fitted to pairs. */
  readonly source?: NdArray<"float32">;
}

/** One of the three parts of a data set. */
export interface Split {
  readonly count: number;
  /** The position of a sample that is at hand, where not all are; others than those throw. Default: 0, as all are. */
  readonly example?: number;
  /** The samples at the given positions, 0 … count − 1; a position may occur more than once. */
  batch(indices: ArrayLike<number>): Batch;
  /**
   * Where samples of zeros and ones are drawn anew each time that they are trained on: the probability of each one.
   * `batch` then gives one fixed draw of them.
   */
  intensities?(indices: ArrayLike<number>): Batch;
  /**
   * Where samples hold noise that is drawn anew each time that they are trained on: the samples with noise of the given generators, one for
   * each position of the batch. `batch` then gives one fixed draw of it.
   */
  redrawn?(indices: ArrayLike<number>, randomOf: (position: number) => Random): Batch;
}

export type SplitName = "train" | "validation" | "test";

const SPLITS: Readonly<Record<string, SplitName>> = {
  train: "train",
  training: "train",
  val: "validation",
  valid: "validation",
  validation: "validation",
  validate: "validation",
  dev: "validation",
  test: "test",
  testing: "test",
};

/** Names that a test split may have, and that may mean other things: what is taken for one is told. */
const GUESSED = /^(hold|held)[-_ ]?out$/i;

/** True for the name of a folder that is taken for the test split though it says so in other words, as `holdout`. */
export function isGuessedTest(name: string): boolean {
  return GUESSED.test(name);
}

/** The split that a file or folder of this name (without extension, in any case) holds; undefined for other names. */
export function splitNamed(name: string): SplitName | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(SPLITS, key) ? SPLITS[key] : undefined;
}

/** The split that a folder is named after: `train`, `valid2017`, `test_images`, `holdout`; undefined where it is none. */
export function splitOfFolder(folder: string): SplitName | undefined {
  const plain = folder.replace(/\d+$/, "");
  const named =
    splitNamed(plain) ??
    splitNamed(plain.replace(/[-_. ]?(images?|imgs?|data|set|labels?|annotations?)$/i, ""));
  return named ?? (isGuessedTest(folder) ? "test" : undefined);
}

/**
 * How grey bytes become zeros and ones.
 *
 * - `threshold`: bytes from 128 on are ones.
 * - `stochastic`: one draw of each pixel, a one with probability byte / 255, the same for good (Salakhutdinov and Murray
 *   2008: "binarized MNIST" is such a draw).
 * - `dynamic`: training images are drawn anew each time that they are trained on (as in Burda et al. 2015,
 *   arXiv:1509.00519); validation and test images are drawn once.
 *
 * Log-likelihoods under different protocols are of different data, and not to be compared.
 */
export const binarizationProtocols = ["threshold", "stochastic", "dynamic"] as const;

/** A protocol and the seed of its draws: what numbers measured on binarized images depend on. */
export const binarizationSchema = z
  .strictObject({ protocol: z.enum(binarizationProtocols), seed: seedNumber() })
  .readonly();

export type Binarization = z.infer<typeof binarizationSchema>;

/** Where the training samples of a file or folder stand in it, so that another process can read some of them alone. */
export interface Origin {
  readonly kind: "table" | "folder";
  /** Of each training sample the row of the table, or the number of its file in the order of names; no two are the same. */
  readonly rows: Uint32Array;
  /** What the files of the folder are called, as a digest: numbers mean the same where names are. */
  readonly names?: string;
}

/**
 * Samples to learn from, in memory.
 *
 * - `points`: coordinates as they are, `[2]`.
 * - `image`: bytes as floats 0 … 255 (whole numbers), `[channels, height, width]`; models scale and dequantize.
 * - `table`: `[columns]`, numeric columns standardized by mean and deviation of the training split; `columns` holds
 *   what undoes it.
 * - `binary`: zeros and ones, rows of a table `[columns]` or binarized images `[1, height, width]`.
 */
export interface DataSet {
  readonly name: string;
  readonly kind: DataKind;
  readonly sampleShape: readonly number[];
  readonly splits: Readonly<Record<SplitName, Split>>;
  /** Pairs to fit a model to, instead of the training and validation splits. */
  readonly pairs?: Readonly<Record<"train" | "validation", Split>>;
  /** Where training samples were read; undefined where that is no file or folder, or they are not what is read there. */
  readonly origin?: Origin;
  /** Where paths to the samples begin, for models that lead from one data set to another. */
  readonly source?: DataSet;
  /** Tables only, those of zeros and ones among them. */
  readonly columns?: readonly Column[];
  /** Files of images only: what they were decoded to, by options or by what they are. */
  readonly format?: { readonly size: number; readonly color: "grey" | "rgb" };
  /** Binarized images only: how their bytes became zeros and ones. */
  readonly binarization?: Binarization;
  /** The exact log-density in nats of the distribution the samples were drawn from, where it is known. */
  readonly logDensity?: (point: ArrayLike<number>) => number;
  /** Name of the energy function whose density, ∝ exp(−energy), the samples were drawn from. */
  readonly energy?: string;
  /** Names of the classes that labels index. */
  readonly classes?: readonly string[];
  /** Changes whenever the contents or the split change: a resumed run checks that it continues on the same data. */
  readonly fingerprint: string;
  /** Lines for a person: what it is, how many samples each split has, what was left out and why. */
  describe(): string[];
}

/** True where samples are images, to be drawn as such: of bytes, or of zeros and ones. */
export function isPicture({ kind, sampleShape }: Pick<DataInfo, "kind" | "sampleShape">): boolean {
  return kind === "image" || (kind === "binary" && sampleShape.length === 3);
}

/** The line of `describe` that every data set has. */
export function describeSplits(splits: DataSet["splits"]): string {
  const { train, validation, test } = splits;
  return `${train.count} training, ${validation.count} validation and ${counted(test.count, "test sample")}`;
}

/**
 * A split over samples stored one after another: `order` is which stored sample is at each position.
 * Numbers are converted to float32 as a batch is taken, so that images stay bytes in memory.
 */
export function storedSplit(
  store: Uint8Array | Float32Array,
  sampleShape: readonly number[],
  order: ArrayLike<number>,
  labels?: ArrayLike<number>,
): Split {
  const size = sampleShape.reduce((product, length) => product * length, 1);
  const position = (index: number): number => {
    const stored = order[index];
    if (stored === undefined) throw new RangeError(`sample ${index} asked of a split of ${order.length}`);
    return stored;
  };
  return {
    count: order.length,
    batch(indices) {
      const data = new Float32Array(indices.length * size);
      const classes = new BigInt64Array(labels === undefined ? 0 : indices.length);
      for (let i = 0; i < indices.length; i++) {
        const stored = position(indices[i] ?? -1);
        // Rows of a few numbers are copied faster one by one than through a view.
        if (size > 16) data.set(store.subarray(stored * size, (stored + 1) * size), i * size);
        else for (let k = 0; k < size; k++) data[i * size + k] = store[stored * size + k] ?? 0;
        if (labels !== undefined) classes[i] = BigInt(labels[stored] ?? 0);
      }
      const x: NdArray<"float32"> = { dtype: "float32", shape: [indices.length, ...sampleShape], data };
      if (labels === undefined) return { x };
      return { x, label: { dtype: "int64", shape: [indices.length], data: classes } };
    },
  };
}

/** `length` consecutive positions from `start` on. */
export function range(start: number, length: number): Uint32Array {
  return Uint32Array.from({ length: Math.max(0, length) }, (_, i) => start + i);
}

/**
 * A 64-bit FNV-1a hash over bytes and words, in hexadecimal. It distinguishes data sets that changed; it does not
 * protect against anyone who wants a collision.
 */
export class Fingerprint {
  private low = 0x84222325;
  private high = 0xcbf29ce4;

  text(value: string): this {
    // The closing byte, which no UTF-8 has, keeps "ab" + "c" apart from "a" + "bc".
    return this.bytes(new TextEncoder().encode(value)).bytes(Uint8Array.of(0xff));
  }

  bytes(values: Uint8Array): this {
    let { low, high } = this;
    for (let i = 0; i < values.length; i++) {
      low = (low ^ (values[i] ?? 0)) >>> 0;
      // times the prime 2⁴⁰ + 0x1b3, in two halves of 32 bits
      const product = low * 0x1b3;
      high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
      low = product >>> 0;
    }
    this.low = low;
    this.high = high;
    return this;
  }

  /** The bytes of any typed array (of a little-endian machine). */
  values(values: ArrayBufferView): this {
    return this.bytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  toString(): string {
    const part = (word: number) => word.toString(16).padStart(8, "0");
    return part(this.high) + part(this.low);
  }
}

/** Number of batches in an epoch: partial batches are dropped, but a small split still makes one batch. */
export function batchesPerEpoch(count: number, batchSize: number): number {
  return Math.max(1, Math.floor(count / batchSize));
}

// A permutation of a large split costs milliseconds, so the one of the current epoch is kept for each generator.
const lastEpoch = new WeakMap<Random, { count: number; epoch: number; order: Uint32Array }>();

/** The order in which an epoch visits a split: a permutation that depends on the generator's key and the epoch alone. */
export function epochOrder(count: number, epoch: number, random: Random): Uint32Array {
  const held = lastEpoch.get(random);
  if (held !== undefined && held.count === count && held.epoch === epoch) return held.order;
  const order = random.split(epoch).permutation(count);
  lastEpoch.set(random, { count, epoch, order });
  return order;
}

/**
 * Which samples training step `step` (from 0) sees: a pure function of its arguments, so that a resumed run sees what
 * the uninterrupted one would have seen. Every epoch is a fresh permutation; its last partial batch is dropped. Where
 * the split is smaller than a batch, a batch goes round the permutation until it is full.
 * @throws EidosError where the split is empty.
 */
export function batchIndices(count: number, batchSize: number, step: number, random: Random): Uint32Array {
  if (count < 1) throw new EidosError("the training split is empty: there is nothing to take a batch from");
  const batches = batchesPerEpoch(count, batchSize);
  const order = epochOrder(count, Math.floor(step / batches), random);
  const start = (step % batches) * batchSize;
  return Uint32Array.from({ length: batchSize }, (_, i) => order[(start + i) % count] ?? 0);
}

/**
 * Divides 0 … count − 1 at random into training, validation and test positions. Fractions are of the whole; every
 * part gets at least one sample where there are three or more, so that a small file can still be tried.
 */
export function randomSplit(
  count: number,
  fractions: { readonly validation: number; readonly test: number },
  random: Random,
): Readonly<Record<"train" | "validation" | "test", Uint32Array>> {
  const order = random.permutation(count);
  const part = (fraction: number) =>
    fraction === 0 ? 0 : Math.max(count >= 3 ? 1 : 0, Math.floor(count * fraction));
  const validation = part(fractions.validation);
  const test = Math.min(part(fractions.test), count - validation);
  const train = count - validation - test;
  return {
    train: order.slice(0, train),
    validation: order.slice(train, train + validation),
    test: order.slice(train + validation),
  };
}
