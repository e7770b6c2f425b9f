import { isPicture } from "../../data/sources/data-set.ts";
import { isDetector } from "../../detection/models/detector.ts";
import { detectorViews } from "../../detection/models/image-pyramid.ts";
import type { ExportedAbilityName, ExportedLoss } from "../../model/exported.ts";
import type { RuntimeSession } from "../../program/runtime.ts";
import { elementCount, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { detectionEvaluator } from "../measure/evaluator.ts";
import { looksOf } from "../run/detection-options.ts";
import type { LoadedRun } from "../run/load.node.ts";
import type { FedRows, FedSplit } from "./network-feeds.node.ts";

// What a network of fewer bits loses: both networks are given the same samples and the same noise.

/** What a network gives of held-out samples: numbers to compare one by one, or measures of all. */
export interface NetworkResults {
  readonly samples: number;
  /** Outputs one after the other, as many of each sample. */
  readonly values: Float64Array;
  readonly measures: Readonly<Record<string, number>>;
}

/** A loss, and whether it is small enough for kernels of whole numbers. */
export interface Loss {
  readonly measures: ExportedLoss["measures"];
  readonly isSmall: boolean;
}

/** How large a loss may be where layers compute with whole numbers; otherwise more of them stay floats. */
export const SMALL_LOSS = {
  /** Of AP and AP50. */
  precision: 0.01,
  /** Mean difference of log-likelihoods, in nats for each number of a sample. */
  nats: 0.01,
  /** Mean difference of bytes of images. */
  bytes: 2,
  /** Mean difference of columns, in standard deviations of the column; of features, relative to their size. */
  relative: 0.02,
} as const;

/** Runs a network on all rows. */
async function gathered(
  session: RuntimeSession,
  rows: AsyncIterable<FedRows>,
  output: string,
): Promise<NetworkResults> {
  const parts: ArrayLike<number>[] = [];
  let samples = 0;
  for await (const { feeds, indices } of rows) {
    const value = await (await session.run(feeds))[output]?.read();
    if (value === undefined) throw new RangeError(`the network has no output ${output}`);
    parts.push(value.data as ArrayLike<number>);
    samples += indices.length;
  }
  const values = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return { samples, values, measures: {} };
}

/** Average precision of what a detector's network finds, as `eidos eval` has it. */
async function precisionOf(
  run: Pick<LoadedRun, "config" | "model">,
  session: RuntimeSession,
  rows: AsyncIterable<FedRows>,
  split: FedSplit,
): Promise<NetworkResults> {
  const { model, config } = run;
  if (!isDetector(model) || model.looks === "cascade" || split.annotated === undefined) {
    throw new RangeError("average precision is of a detector and annotated images");
  }
  const looks = looksOf(config, {});
  const { views } = detectorViews(model, looks);
  const judged = detectionEvaluator(model, split.annotated, config.dataInfo.classNames ?? [], looks).begin();
  let samples = 0;
  for await (const { feeds, indices } of rows) {
    const results = await session.run(feeds);
    const outputs: Record<string, NdArray> = {};
    for (const [i, { side }] of views.entries()) {
      const size = side === model.imageSize.width ? "" : side;
      for (const name of ["boxes", "scores"] as const) {
        const value = results[`${name}${i}`];
        if (value !== undefined) outputs[`${name}${size}`] = await value.read();
      }
    }
    judged.add(outputs, { first: indices[0] ?? 0, count: 1 });
    samples += 1;
  }
  return { samples, values: new Float64Array(), measures: judged.measures() };
}

/** Abilities whose files hold one network, which can be measured. */
export type MeasuredAbility = Exclude<ExportedAbilityName, "impute">;

const OUTPUTS = { score: "logProb", sample: "samples", embed: "features" } as const;

/** What a network gives of held-out samples. */
export function networkResults(
  name: MeasuredAbility,
  run: Pick<LoadedRun, "config" | "model">,
  session: RuntimeSession,
  rows: AsyncIterable<FedRows>,
  split: FedSplit,
): Promise<NetworkResults> {
  return name === "detect" ? precisionOf(run, session, rows, split) : gathered(session, rows, OUTPUTS[name]);
}

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** Mean and largest difference; infinite where one is no number and the other is. */
function differences(a: Float64Array, b: Float64Array): { readonly mean: number; readonly greatest: number } {
  let [sum, greatest, count] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    if (!Number.isFinite(value)) continue;
    const other = b[i] ?? Number.NaN;
    const apart = Number.isFinite(other) ? Math.abs(value - other) : Number.POSITIVE_INFINITY;
    sum += apart;
    greatest = Math.max(greatest, apart);
    count++;
  }
  return { mean: sum / Math.max(1, count), greatest };
}

/** What a score loses. */
function natsLost(config: RunConfig, before: NetworkResults, after: NetworkResults): Loss {
  const { dataInfo } = config;
  const size = elementCount(dataInfo.sampleShape);
  const apart = differences(before.values, after.values);
  const isImage = isPicture(dataInfo);
  // Nats of bytes become bits of each of them. What dequantization adds is the same for both.
  const shown = (nats: number): number => (isImage ? -nats / (size * Math.LN2) : nats);
  const finite = before.values.map((value) => (Number.isFinite(value) ? value : Number.NaN));
  const kept = Array.from(finite.keys()).filter((i) => !Number.isNaN(finite[i]));
  const meanOf = (values: Float64Array): number => shown(mean(kept.map((i) => values[i] ?? Number.NaN)));
  return {
    measures: [
      {
        kind: "compared",
        name: isImage ? "bits per dimension" : "mean log-likelihood",
        ...(!isImage && { unit: "nats" }),
        before: meanOf(before.values),
        after: meanOf(after.values),
      },
      {
        kind: "difference",
        name: `mean difference of ${isImage ? "an image" : "a row"}`,
        unit: "nats",
        value: apart.mean,
      },
    ],
    isSmall: apart.mean <= SMALL_LOSS.nats * size,
  };
}

/** What samples from the same noise differ by. */
function samplesLost({ dataInfo }: RunConfig, before: NetworkResults, after: NetworkResults): Loss {
  const isImage = isPicture(dataInfo);
  const scale = dataInfo.kind === "binary" ? 255 : 1;
  const written = (values: Float64Array): Float64Array =>
    isImage ? values.map((value) => Math.max(0, Math.min(255, Math.floor(value * scale + 0.5)))) : values;
  const apart = differences(written(before.values), written(after.values));
  const unit = isImage ? "of 255" : dataInfo.columns === undefined ? "" : "standard deviations";
  const measure = (name: string, value: number) =>
    ({ kind: "difference", name, ...(unit !== "" && { unit }), value }) as const;
  return {
    measures: [
      measure("mean difference of samples from the same noise", apart.mean),
      measure("greatest", apart.greatest),
    ],
    isSmall: apart.mean <= (isImage ? SMALL_LOSS.bytes : SMALL_LOSS.relative),
  };
}

/** What features differ by, relative to their size. */
function featuresLost(before: NetworkResults, after: NetworkResults): Loss {
  const square = (values: ArrayLike<number>): number =>
    Array.from(values).reduce((sum, value) => sum + value * value, 0);
  const apart = Math.sqrt(square(before.values.map((value, i) => value - (after.values[i] ?? Number.NaN))));
  const value = apart === 0 ? 0 : apart / Math.sqrt(square(before.values));
  const name = "root mean square of differences, relative to that of features";
  return {
    measures: [{ kind: "difference", name, value }],
    isSmall: value <= SMALL_LOSS.relative,
  };
}

/** What average precision loses. Without objects among the images there is none. */
function precisionLost(before: NetworkResults, after: NetworkResults): Loss {
  const pairs = (["AP50", "AP"] as const).map((name) => ({
    kind: "compared" as const,
    name,
    before: before.measures[name] ?? Number.NaN,
    after: after.measures[name] ?? Number.NaN,
  }));
  return {
    measures: pairs,
    isSmall: pairs.every((pair) => pair.before - pair.after <= SMALL_LOSS.precision),
  };
}

/** What the second network loses. */
export function lossOf(
  name: MeasuredAbility,
  config: RunConfig,
  before: NetworkResults,
  after: NetworkResults,
): Loss {
  if (name === "detect") return precisionLost(before, after);
  if (name === "score") return natsLost(config, before, after);
  return name === "sample" ? samplesLost(config, before, after) : featuresLost(before, after);
}
