import { OptionError } from "../errors.ts";
import type { Tensor } from "../tensor/graph.ts";

/**
 * What a sample is: a point of the plane, an image in bytes, a row of standardized table columns, or zeros and ones (a
 * vector or an image of one channel).
 */
export type DataKind = "points" | "image" | "table" | "binary";

/** What a model is fitted to: samples of a distribution, or images in bytes in which objects are marked by boxes. */
export type FitKind = DataKind | "detection";

/** What a sample of data is, without what is marked in it. */
export function sampleKind(kind: FitKind): DataKind {
  return kind === "detection" ? "image" : kind;
}

/** Kinds of data that have a density. */
export type ContinuousKind = Exclude<DataKind, "binary">;

/** The kind of data whose density is learned. @throws OptionError for zeros and ones, which have none */
export function continuousKind({ kind }: Pick<DataInfo, "kind">): ContinuousKind {
  if (kind === "binary") throw new OptionError("zeros and ones have no density; this model takes other data");
  return kind;
}

/**
 * A column of a table as a model sees it: one or more numbers of a sample. A column with gaps is two of one name, first the code of two
 * categories (there, missing), then the value, which is noise where the cell is missing.
 */
export interface DataColumn {
  readonly name: string;
  /** How many of a sample's numbers it takes. */
  readonly size: number;
  /** For numbers: a sample holds (value − mean) / deviation, the value being that on the column's scale. */
  readonly mean?: number;
  readonly deviation?: number;
}

/** What a model must know of the data to be built. */
export interface DataInfo {
  readonly kind: DataKind;
  /** Shape of one sample: [2], [channels, height, width], [columns]. */
  readonly sampleShape: readonly number[];
  /** Number of classes where samples have labels. */
  readonly classes?: number;
  /** Share of each class among the training samples (default: equal shares). */
  readonly classShares?: readonly number[];
  /** Columns of a table in the order of a sample. */
  readonly columns?: readonly DataColumn[];
  /** Name of the energy function of the plane, where the data is one: density ∝ exp(−energy). */
  readonly energy?: string;
  /**
   * Of zeros and ones, the share of ones of each element among the training samples, above 0 and below 1: models begin at them. Left out
   * where a fit began with given weights, and in runs of earlier versions.
   */
  readonly ones?: readonly number[];
  /** Shapes of the boxes that are marked in training images, in their pixels. */
  readonly boxShapes?: readonly { readonly width: number; readonly height: number }[];
  /** Whether a fit begins with given weights. */
  readonly fromWeights?: boolean;
  /** Detectors: landmarks that the objects have, 0 or more, where one is fitted. */
  readonly landmarks?: number;
}

/** A batch while tracing: x of shape [n, …sampleShape] in data units, label of shape [n] (int64) where there is one. */
export interface SymbolicBatch {
  readonly x: Tensor;
  readonly label?: Tensor;
  /** The other end of a path to each sample, as x, where a model is fitted to pairs. */
  readonly source?: Tensor;
}

/** Share of each class of labeled data; equal shares where they are not known. */
export function classShares({ classes = 1, classShares: shares }: DataInfo): readonly number[] {
  return shares ?? new Array<number>(classes).fill(1 / classes);
}

/** The class at a position on [0, 1), which is divided among the classes by their shares of the training samples. */
export function drawClass({ classes = 1, classShares }: DataInfo, position: number): number {
  if (classShares === undefined) return Math.floor(position * classes);
  let end = 0;
  const found = classShares.findIndex((share) => {
    end += share;
    return position < end;
  });
  // Rounding may leave the shares a hair below 1.
  return found >= 0 ? found : classShares.findLastIndex((share) => share > 0);
}
