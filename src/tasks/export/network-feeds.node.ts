import type { DetectionSplit } from "../../data/boxes/set.ts";
import type { Split, SplitName } from "../../data/sources/data-set.ts";
import type { DataSource } from "../../data/sources/memory.ts";
import { letterboxBatch } from "../../detection/augment/batches.ts";
import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { int64, type NdArray, zeros } from "../../tensor/array.ts";
import { IMPORTED } from "../../train/run-config.ts";
import { annotatedData, detectorRun, type LoadedRun } from "../run/load.node.ts";
import type { NetworkInput } from "./ability.ts";

// What networks of files are fed where they are calibrated and compared: samples of the run's data, and noise.

/** Rows that are fed at once. */
const ROWS_AT_ONCE = 32;

/** A part of a run's data. */
export interface FedSplit {
  readonly name: SplitName;
  readonly count: number;
  /** Samples as an input of the network takes them. */
  read(indices: readonly number[], shape: NetworkInput["shape"]): Promise<NdArray<"float32">>;
  /** Of annotated images: the split itself. */
  readonly annotated?: DetectionSplit;
}

/** What a run was trained on, and what it is measured on. */
export interface FedData {
  readonly training: FedSplit;
  readonly heldOut: FedSplit;
}

const ofSamples = (name: SplitName, split: Split): FedSplit => ({
  name,
  count: split.count,
  read: async (indices) => split.batch(indices).x,
});

const ofImages = (name: SplitName, split: DetectionSplit): FedSplit => ({
  name,
  count: split.count,
  read: async (indices, shape) => (await letterboxBatch(split, indices, Number(shape[3]))).x,
  annotated: split,
});

/** The validation split; where it is empty the test split. @throws OptionError where both are */
function heldOutOf<S extends { readonly count: number }>(
  splits: Readonly<Record<SplitName, S>>,
): "validation" | "test" {
  if (splits.validation.count > 0) return "validation";
  if (splits.test.count > 0) return "test";
  throw new OptionError(
    "option precision: the data has no validation and no test split to measure the loss on; name data that has: --data, data",
  );
}

/**
 * The data of a run, to calibrate and measure networks with.
 * @param given of an imported detector, which has none of its own: annotated images
 * @throws OptionError, DataError where it is no longer there
 */
export async function fedData(run: LoadedRun, given: string | DataSource | undefined): Promise<FedData> {
  if (run.config.dataInfo.marks === "boxes") {
    const isImported = run.config.data.startsWith(IMPORTED);
    if (isImported && given === undefined) {
      throw new OptionError(
        "option precision: the run was imported without images; name annotated ones to measure the loss on: --data, data",
      );
    }
    // Of a run that has images, what is given is where they are now.
    const { splits } = await annotatedData(detectorRun(run), isImported ? given : undefined);
    const held = heldOutOf(splits);
    return { training: ofImages("train", splits.train), heldOut: ofImages(held, splits[held]) };
  }
  const { splits } = await run.data();
  const held = heldOutOf(splits);
  return { training: ofSamples("train", splits.train), heldOut: ofSamples(held, splits[held]) };
}

/** Noise or classes for an input. @param first number of the first row among all */
function drawn({ name, shape, from }: NetworkInput, rows: number, first: number, classes: number): NdArray {
  const dims = shape.map((size) => (size === "batch" ? rows : Number(size)));
  if (typeof from === "object") return int64([from.number], dims);
  // All classes in turn.
  if (from === "classes")
    return int64(
      Array.from({ length: rows }, (_, i) => (first + i) % Math.max(1, classes)),
      dims,
    );
  const noise = zeros("float32", dims);
  new Random(0)
    .split("precision")
    .split(name)
    .fillRows(noise.data, dims[0] ?? 1, first, from === "uniform" ? from : "normal");
  return noise;
}

/** Some rows that are fed at once. */
export interface FedRows {
  readonly indices: readonly number[];
  readonly feeds: Readonly<Record<string, NdArray>>;
}

/**
 * Feeds of a network: samples of a split, chosen by a seed where it has more than are wanted, with noise; or noise alone.
 * @param most samples at most
 */
export async function* fedRows(
  inputs: readonly NetworkInput[],
  split: FedSplit,
  most: number,
  classes: number,
): AsyncGenerator<FedRows> {
  const reads = inputs.some(({ from }) => from === "samples");
  const count = reads ? Math.min(most, split.count) : most;
  const order =
    reads && count < split.count
      ? new Random(0).split("precision").split("samples").permutation(split.count).subarray(0, count).sort()
      : undefined;
  // Networks of detectors take one image at a time.
  const isSingle = inputs.some(({ shape }) => shape[0] === 1);
  const atOnce = isSingle ? 1 : ROWS_AT_ONCE;
  for (let first = 0; first < count; first += atOnce) {
    const rows = Math.min(atOnce, count - first);
    const indices = Array.from({ length: rows }, (_, i) => order?.[first + i] ?? first + i);
    const feeds: Record<string, NdArray> = {};
    for (const own of inputs) {
      feeds[own.name] =
        own.from === "samples" ? await split.read(indices, own.shape) : drawn(own, rows, first, classes);
    }
    yield { indices, feeds };
  }
}
