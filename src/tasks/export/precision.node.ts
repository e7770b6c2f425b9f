import { sampleCount } from "../../bounds.ts";
import type { DataSource } from "../../data/sources/memory.ts";
import { OptionError } from "../../errors.ts";
import { counted, showBytes } from "../../memory.ts";
import type { ExportedLoss, ExportedPrecision } from "../../model/exported.ts";
import { calibrate } from "../../precision/calibrate.ts";
import { foldConstants } from "../../precision/fold.ts";
import { halfWeights } from "../../precision/half-weights.ts";
import { type QuantizedPart, quantized, watchedValues } from "../../precision/quantize.ts";
import { nodeRuntime } from "../../program/node.ts";
import type { State } from "../../program/program.ts";
import type { Runtime } from "../../program/runtime.ts";
import type { LoadedRun } from "../run/load.node.ts";
import type { AbilityFile, InnerNetwork } from "./ability.ts";
import {
  type Loss,
  lossOf,
  type MeasuredAbility,
  type NetworkResults,
  networkResults,
} from "./losses.node.ts";
import { type FedData, fedRows } from "./network-feeds.node.ts";

// Files of fewer bits: weights of 16 bits, or layers of whole numbers of 8, with what that loses on held-out samples.

/** How numbers of a file's weights are written. */
export const PRECISIONS = ["fp32", "fp16", "int8"] as const;

export type Precision = (typeof PRECISIONS)[number];

/** How files become smaller. */
export interface PrecisionOptions {
  /**
   * fp32; fp16: weights of 16 bits, computed with in 32; int8: layers that compute with whole numbers of 8 bits, as far as the loss is small,
   * weights of 8 bits otherwise. Default: fp32.
   */
  readonly precision?: Precision | undefined;
  /** With int8: training samples that the ranges of activations are found on. Default: 128. */
  readonly calibrate?: number | undefined;
  /**
   * With fp16 and int8: where the run's data is now, or that data; of an imported detector annotated images. Default: as the run has it.
   */
  readonly data?: string | DataSource | undefined;
}

/** Samples that ranges are found on. */
export const CALIBRATED = 128;

/** Samples at most on which the loss is measured. */
const MEASURED = { detect: 200, score: 512, embed: 512, sample: 32 } as const;

/** @throws OptionError where options do not belong together */
export function checkPrecision({ precision = "fp32", calibrate, data }: PrecisionOptions): Precision {
  if (!PRECISIONS.includes(precision)) {
    throw new OptionError(
      `option precision: ${String(precision)} is unknown; there are: ${PRECISIONS.join(", ")}`,
    );
  }
  if (calibrate !== undefined) {
    if (precision !== "int8")
      throw new OptionError("option calibrate: is of --precision int8, precision: int8; leave it out");
    const checked = sampleCount().safeParse(calibrate);
    if (!checked.success)
      throw new OptionError(`option calibrate: ${calibrate} is not a whole number from 1 on`);
  }
  if (data !== undefined && precision === "fp32") {
    throw new OptionError(
      "option data: fp32 loses nothing that data would measure; leave it out, or add a precision",
    );
  }
  return precision;
}

/** What files are made smaller by. */
interface Shrinking {
  readonly run: LoadedRun;
  readonly weights: State;
  readonly data: FedData;
  readonly calibrate: number;
}

type MeasuredLoss = Loss & { readonly samples: number };

/** A smaller network, what was done to it, and what that loses. */
interface Smaller {
  readonly bytes: Uint8Array;
  readonly loss: MeasuredLoss;
  readonly note: Pick<ExportedPrecision, "type" | "what" | "layers" | "calibration" | "overflow">;
}

const WORDS: Readonly<Record<QuantizedPart, string>> = {
  all: "layers compute with whole numbers of 8 bits",
  inner: "layers compute with whole numbers of 8 bits, the first and the last in float32",
  weights: "weights of 8 bits, computed with in float32: with whole numbers more would be lost",
};

/** A file with one network inside. */
type FileOfNetwork = AbilityFile & { readonly name: MeasuredAbility; readonly network: InnerNetwork };

/** Networks that are run on the same held-out samples. */
class Comparison {
  private readonly file: FileOfNetwork;
  private readonly shrinking: Shrinking;
  private readonly runtime: Runtime;
  private before: Promise<NetworkResults> | undefined;

  constructor(file: FileOfNetwork, shrinking: Shrinking, runtime: Runtime) {
    this.file = file;
    this.shrinking = shrinking;
    this.runtime = runtime;
  }

  private async results(bytes: Uint8Array): Promise<NetworkResults> {
    const { run, data } = this.shrinking;
    const { name, network } = this.file;
    const session = await this.runtime.load(bytes, true);
    try {
      const rows = fedRows(network.inputs, data.heldOut, MEASURED[name], run.config.dataInfo.classes ?? 1);
      return await networkResults(name, run, session, rows, data.heldOut);
    } finally {
      await session.release();
    }
  }

  /** What a smaller network loses. */
  async loss(bytes: Uint8Array): Promise<MeasuredLoss> {
    this.before ??= this.results(this.file.network.bytes);
    const before = await this.before;
    const after = await this.results(bytes);
    return { ...lossOf(this.file.name, this.shrinking.run.config, before, after), samples: before.samples };
  }
}

/** Weights of 16 bits. */
async function halved(file: FileOfNetwork, { weights }: Shrinking, comparison: Comparison): Promise<Smaller> {
  const { bytes, overflow } = halfWeights(file.network.bytes, weights);
  return {
    bytes,
    loss: await comparison.loss(bytes),
    note: {
      type: "fp16",
      what: "weights of 16 bits, computed with in float32",
      ...(overflow && { overflow }),
    },
  };
}

/** The network's layers in whole numbers, as far as little is lost: all of them, all but the first and the last, or weights alone. */
async function wholeNumbers(
  file: FileOfNetwork,
  { run, weights, data, calibrate: most }: Shrinking,
  comparison: Comparison,
  runtime: Runtime,
): Promise<Smaller> {
  const { inputs } = file.network;
  const folded = await foldConstants(file.network.bytes, new Set(weights.keys()), runtime);
  let samples = 0;
  async function* feeds() {
    for await (const rows of fedRows(inputs, data.training, most, run.config.dataInfo.classes ?? 1)) {
      samples += rows.indices.length;
      yield rows.feeds;
    }
  }
  const ranges = await calibrate(folded.bytes, watchedValues(folded.weights), feeds(), runtime);
  const on = inputs.some(({ from }) => from === "samples") ? data.training.name : "noise";
  const calibration = { on, samples, method: "smallest and largest value" };
  let last: Smaller | undefined;
  for (const part of ["all", "inner", "weights"] as const) {
    const { bytes, counts } = quantized(folded.bytes, folded.weights, ranges, part);
    // Where nothing computes with whole numbers, there is nothing to lose by it.
    if (part !== "weights" && counts.computing === 0) continue;
    const loss = await comparison.loss(bytes);
    last = {
      bytes,
      loss,
      note: {
        type: "int8",
        what: WORDS[part],
        layers: counts,
        ...(counts.computing > 0 && { calibration }),
      },
    };
    if (loss.isSmall) return last;
  }
  if (last === undefined) throw new RangeError("no part of a network was tried");
  return last;
}

/** The loss as model.json has it. @throws OptionError where a measure is no number */
function lossNote(file: AbilityFile, precision: Precision, loss: MeasuredLoss, on: string): ExportedLoss {
  for (const measure of loss.measures) {
    const numbers = measure.kind === "compared" ? [measure.before, measure.after] : [measure.value];
    if (numbers.every(Number.isFinite)) continue;
    throw new OptionError(
      file.name === "detect"
        ? `option precision: the ${on} images have no objects, so that no loss can be measured; name annotated images: --data, data`
        : `option precision: ${file.note.file} gives numbers that are not finite in ${precision} (${measure.name}); take a larger precision`,
    );
  }
  return { on, samples: loss.samples, measures: loss.measures };
}

/**
 * A file with a smaller network inside, and what that loses recorded.
 * @throws OptionError where the loss cannot be measured or is not finite
 */
export async function smallerFile(
  file: FileOfNetwork,
  precision: Exclude<Precision, "fp32">,
  shrinking: Shrinking,
): Promise<AbilityFile> {
  const runtime = await nodeRuntime();
  const comparison = new Comparison(file, shrinking, runtime);
  const smaller =
    precision === "fp16"
      ? await halved(file, shrinking, comparison)
      : await wholeNumbers(file, shrinking, comparison, runtime);
  const bytes = file.network.fileOf(smaller.bytes);
  const reads = file.network.inputs.some(({ from }) => from === "samples");
  return {
    ...file,
    bytes,
    note: {
      ...file.note,
      precision: {
        ...smaller.note,
        bytes: { before: file.bytes.length, after: bytes.length },
        loss: lossNote(file, precision, smaller.loss, reads ? shrinking.data.heldOut.name : "noise"),
      },
    },
  };
}

const number = (value: number): string => {
  const size = Math.abs(value);
  return size !== 0 && size < 1e-3
    ? value.toExponential(1)
    : String(Number(value.toPrecision(size < 1 ? 3 : 5)));
};

/** A file with one network inside; undefined for one with several, which stays as it is. */
export function ofOneNetwork(file: AbilityFile): FileOfNetwork | undefined {
  const { name, network } = file;
  return network === undefined || name === "impute" ? undefined : { ...file, name, network };
}

/** Sizes and loss of a file in a line: "4.1 MB → 1.1 MB; AP50 0.913 → 0.909 on 60 validation images". */
export function precisionLine(
  { precision }: Pick<AbilityFile["note"], "precision">,
  isImage: boolean,
): string | undefined {
  if (precision === undefined) return undefined;
  const { bytes, loss, overflow, calibration, what } = precision;
  const measures = loss.measures.map((measure) => {
    const unit = measure.unit === undefined ? "" : ` ${measure.unit}`;
    return measure.kind === "compared"
      ? `${measure.name} ${number(measure.before)} → ${number(measure.after)}${unit}`
      : `${measure.name} ${number(measure.value)}${unit}`;
  });
  const of = isImage ? "image" : "row";
  const counts = (on: string, samples: number): string =>
    on === "noise"
      ? counted(samples, "sample")
      : counted(samples, `${on === "train" ? "training" : on} ${of}`);
  return [
    `${showBytes(bytes.before)} → ${showBytes(bytes.after)}`,
    `${measures.join(", ")} on ${counts(loss.on, loss.samples)}`,
    what,
    ...(calibration === undefined ? [] : [`ranges of ${counts(calibration.on, calibration.samples)}`]),
    ...(overflow === undefined
      ? []
      : [
          `${counted(overflow.count, "number")} beyond 65504, such as ${number(overflow.example)}: ${counted(overflow.weights.length, "weight")} stayed in float32 (${overflow.weights[0]}${overflow.weights.length > 1 ? ", …" : ""})`,
        ]),
  ].join("; ");
}
