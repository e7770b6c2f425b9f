import type { DataInfo, DataKind } from "../nn/model.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Binarisation } from "./binarise.ts";
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
  /** The samples at the given positions, 0 … count − 1; a position may occur more than once. */
  batch(indices: ArrayLike<number>): Batch;
  /**
   * Where samples of zeros and ones are drawn anew each time that they are trained on: the probability of each one.
   * `batch` then gives one fixed draw of them.
   */
  intensities?(indices: ArrayLike<number>): Batch;
}

export type SplitName = "train" | "validation" | "test";

const SPLITS: Readonly<Record<string, SplitName>> = {
  train: "train",
  training: "train",
  val: "validation",
  valid: "validation",
  validation: "validation",
  test: "test",
};

/** The split that a file or folder of this name (without extension, in any case) holds; undefined for other names. */
export function splitNamed(name: string): SplitName | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(SPLITS, key) ? SPLITS[key] : undefined;
}

/**
 * Samples to learn from, in memory.
 *
 * - `points`: coordinates as they are, `[2]`.
 * - `image`: bytes as floats 0 … 255 (whole numbers), `[channels, height, width]`; models scale and dequantise.
 * - `table`: `[columns]`, numeric columns standardised by mean and deviation of the training split; `columns` holds
 *   what undoes it.
 * - `binary`: zeros and ones, rows of a table `[columns]` or binarised images `[1, height, width]`.
 */
export interface DataSet {
  readonly name: string;
  readonly kind: DataKind;
  readonly sampleShape: readonly number[];
  readonly splits: Readonly<Record<SplitName, Split>>;
  /** Pairs to fit a model to in place of the training and validation splits. */
  readonly pairs?: Readonly<Record<"train" | "validation", Split>>;
  /** Where paths to the samples begin, for models that lead from one data set to another. */
  readonly source?: DataSet;
  /** Tables only, those of zeros and ones among them. */
  readonly columns?: readonly Column[];
  /** Binarised images only: how their bytes became zeros and ones. */
  readonly binarisation?: Binarisation;
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
  return `${train.count} training, ${validation.count} validation and ${test.count} test samples`;
}

/**
 * A split over samples stored one after another: `order` says which stored sample stands at each position.
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
        // Rows of a few numbers are copied faster one by one than by way of a view.
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
