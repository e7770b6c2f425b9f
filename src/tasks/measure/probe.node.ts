import { type DataSet, range, type Split } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { alongAxes, principalAxes } from "../../metrics/index.ts";
import { initialState } from "../../nn/module.ts";
import { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { mutualInformation } from "../../representation/mutual-information/estimate.ts";
import type { MutualInformationOptions } from "../../representation/mutual-information/options.ts";
import type { ProbeOptions } from "../../representation/probe/options.ts";
import {
  type FeatureSplits,
  type Probed,
  type ProbeWatch,
  probeFeatures,
} from "../../representation/probe/probe.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { gathered, openLike, SOURCE_BATCH, type Source } from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { embedding, joined, type LayerOptions } from "../use/embed.node.ts";

/** How the features of a run are probed. */
export interface RunProbeOptions extends ProbeOptions, LayerOptions, ProbeWatch {
  /** Other runs whose features stand in the same table, such as one that was trained with labels; by name. */
  readonly beside?: ReadonlyMap<string, LoadedRun> | undefined;
  /** Which of the usual comparisons are made; default: all. */
  readonly references?: readonly ReferenceName[] | undefined;
  /** An estimate of the mutual information of samples and features; default: none, as it takes minutes. */
  readonly information?: MutualInformationOptions["estimator"] | undefined;
}

/** What stands beside the features of a run. */
export const REFERENCES = ["pixels", "pca", "untrained"] as const;

export type ReferenceName = (typeof REFERENCES)[number];

/** A row of the table. */
export interface ProbeRow extends Probed {
  readonly name: string;
  /** Mutual information of samples and features in nats, by an estimator; its deviation over seeds. */
  readonly information?: { readonly estimator: string; readonly nats: number; readonly deviation?: number };
}

/** What the features of a run are worth, beside those of others. */
export interface RunProbe {
  readonly run: string;
  readonly data: string;
  readonly layer: string;
  readonly step: number | undefined;
  readonly counts: Readonly<Record<"train" | "validation" | "test", number>>;
  readonly classes: readonly string[];
  readonly rows: readonly ProbeRow[];
  readonly notes: readonly string[];
}

const NAMES = ["train", "validation", "test"] as const;

/** Principal components that stand beside features. */
const COMPONENTS = 64;
/** Rows that the axes of wide samples are of: the work grows with the square of the smaller of rows and columns. */
const AXES_ROWS = 1024;

/**
 * Probes of the features of a run, beside those of raw samples, of 64 principal components and of the same network without training.
 * @param source data with classes like those that the run was fitted on; default: the run's own
 * @throws OptionError where the model has no features or the data no classes; DataError; as `probeFeatures`
 */
export async function probeRun(
  run: LoadedRun,
  source?: Source,
  options: RunProbeOptions = {},
): Promise<RunProbe> {
  const {
    beside,
    references = REFERENCES,
    information,
    layer = "code",
    pool,
    onProgress,
    signal,
    ...probes
  } = options;
  const given = await gathered(source);
  const data = given === undefined ? await run.data() : await openLike(run, given);
  const { classes } = data;
  if (classes === undefined) {
    throw new OptionError(
      `${data.name}: has no classes, which a probe finds; name labeled data: images in a folder for each class, a table with --label`,
    );
  }
  if (classes.length === 1) {
    throw new OptionError(
      `${data.name}: all samples are of the class ${classes[0]}; a probe tells classes apart, give data of at least two`,
    );
  }
  const empty = NAMES.find((name) => data.splits[name].count === 0);
  if (empty !== undefined)
    throw new OptionError(`${data.name}: its ${empty} split is empty; a probe needs all three`);
  const notes: string[] = [];
  const compared = affordable(data, references, notes);
  const sources = sourcesOf(
    run,
    data,
    { beside, references: compared, layer, pool, seed: probes.seed ?? 0 },
    notes,
  );
  const rows: ProbeRow[] = [];
  const raw = information === undefined ? undefined : await splitFeatures(data, async (x) => flattened(x));
  for (const [position, { name, features }] of sources.entries()) {
    const watch: ProbeWatch = {
      signal,
      ...(onProgress && {
        onProgress: (what, share) => onProgress(`${name}: ${what}`, (position + share) / sources.length),
      }),
    };
    signal?.throwIfAborted();
    watch.onProgress?.("features", 0);
    const splits = await features();
    const probed = await probeFeatures(splits, probes, run.session.runtime, watch);
    notes.push(...notesOn(name, probed));
    if (position === 0 && probed.tooMany.length > 0) {
      notes.push(
        `labels ${probed.tooMany.join(", ")}: left out, as there are ${splits.train.labels.length} training samples`,
      );
    }
    const told =
      raw && name !== "raw samples"
        ? await informationOf(raw, splits, information, run, watch).catch((error: unknown) => {
            // Some features an estimator has no number for: components follow linearly from samples, so that gaussian is infinite.
            if (!(error instanceof OptionError)) throw error;
            notes.push(`${name}: no mutual information: ${error.message}`);
            return undefined;
          })
        : undefined;
    rows.push({ name, ...probed, ...(told && { information: told }) });
  }
  const counts = {
    train: data.splits.train.count,
    validation: data.splits.validation.count,
    test: data.splits.test.count,
  };
  return {
    run: run.folder.path,
    data: data.name,
    layer,
    step: run.weightsStep,
    counts,
    classes,
    rows,
    notes,
  };
}

/** What has to be known of a row beside its numbers. */
function notesOn(name: string, { constant, size, linear }: Probed): readonly string[] {
  return [
    ...(constant > 0
      ? [`${name}: ${constant} of ${size} features are the same for all training samples; left out`]
      : []),
    ...(linear?.converged === false
      ? [`${name}: the search for the minimum of the linear probe ended before it was there`]
      : []),
  ];
}

/** Numbers of all raw samples that are probed at most: those of 150,000 digits, a few gigabytes while it goes on. */
const MOST_NUMBERS = 1.2e8;

/** The comparisons that fit into memory: of large images, raw samples do not. */
function affordable(
  { splits, sampleShape, name }: DataSet,
  references: readonly ReferenceName[],
  notes: string[],
): readonly ReferenceName[] {
  const count = splits.train.count + splits.validation.count + splits.test.count;
  const numbers = count * elementCount(sampleShape);
  const kept: readonly ReferenceName[] = references.filter((reference) => reference === "untrained");
  if (numbers <= MOST_NUMBERS || kept.length === references.length) return references;
  notes.push(
    `${name}: ${count} samples of ${elementCount(sampleShape)} numbers are too many to be probed raw; left out: ${references.filter((reference) => !kept.includes(reference)).join(", ")}`,
  );
  return kept;
}

interface NamedFeatures {
  readonly name: string;
  features(): Promise<FeatureSplits>;
}

function sourcesOf(
  run: LoadedRun,
  data: DataSet,
  {
    beside = new Map<string, LoadedRun>(),
    references,
    layer,
    pool,
    seed,
  }: Pick<RunProbeOptions, "beside" | "pool"> & {
    readonly references: readonly ReferenceName[];
    readonly layer: string;
    readonly seed: number;
  },
  notes: string[],
): readonly NamedFeatures[] {
  const of = (name: string, other: LoadedRun, options: LayerOptions): NamedFeatures => {
    checkSameSamples(other, data);
    const features = embedding(other, options);
    return { name, features: () => splitFeatures(data, async (x) => flattened(await features(x))) };
  };
  const own = of(`${run.config.model}${layer === "code" ? "" : ` ${layer}`}`, run, { layer, pool });
  const raw = () => splitFeatures(data, async (x) => flattened(x));
  return [
    own,
    ...[...beside].map(([name, other]) => of(name, other, {})),
    ...(references.includes("untrained")
      ? [of("untrained, same network", withoutTraining(run, seed), { layer, pool })]
      : []),
    ...(references.includes("pca")
      ? [
          {
            name: `PCA-${Math.min(COMPONENTS, elementCount(data.sampleShape))}`,
            features: async () => projected(await raw(), seed, notes),
          },
        ]
      : []),
    ...(references.includes("pixels") ? [{ name: "raw samples", features: raw }] : []),
  ];
}

/** @throws OptionError where a run takes other samples */
function checkSameSamples({ config, folder }: LoadedRun, data: DataSet): void {
  const { sampleShape } = config.dataInfo;
  if (sampleShape.join() === data.sampleShape.join()) return;
  throw new OptionError(
    `${folder.path}: takes samples [${sampleShape}], and those of ${data.name} are [${data.sampleShape}]; fit both on the same size`,
  );
}

/** The run with weights as a fit would begin with, from this seed. */
function withoutTraining(run: LoadedRun, seed: number): LoadedRun {
  const weights = initialState(run.model, new Random(seed).split("untrained"));
  return { ...run, session: new Session(run.session.runtime, weights) };
}

async function splitFeatures(
  data: DataSet,
  features: (x: NdArray<"float32">) => Promise<NdArray<"float32">>,
): Promise<FeatureSplits> {
  const of = async (split: Split) => {
    const parts: NdArray<"float32">[] = [];
    const labels: number[] = [];
    for (let first = 0; first < split.count; first += SOURCE_BATCH) {
      const { x, label } = split.batch(range(first, Math.min(SOURCE_BATCH, split.count - first)));
      parts.push(await features(x));
      for (const value of label?.data ?? []) labels.push(Number(value));
    }
    return { features: joined(parts), labels };
  };
  return {
    train: await of(data.splits.train),
    validation: await of(data.splits.validation),
    test: await of(data.splits.test),
  };
}

const flattened = (x: NdArray<"float32">): NdArray<"float32"> =>
  float32(x.data, [x.shape[0] ?? 0, elementCount(x.shape.slice(1))]);

/** Coordinates along the principal axes of training rows. */
function projected(raw: FeatureSplits, seed: number, notes: string[]): FeatureSplits {
  const { train } = raw;
  const [count = 0, size = 0] = train.features.shape;
  let learnt = train.features;
  if (Math.min(count, size) > AXES_ROWS) {
    const data = new Float32Array(AXES_ROWS * size);
    for (const [i, row] of new Random(seed)
      .split("axes")
      .permutation(count)
      .subarray(0, AXES_ROWS)
      .entries()) {
      data.set(train.features.data.subarray(row * size, (row + 1) * size), i * size);
    }
    learnt = float32(data, [AXES_ROWS, size]);
    notes.push(
      `PCA: the axes of samples of ${size} numbers are those of ${AXES_ROWS} training samples at random`,
    );
  }
  const axes = principalAxes(learnt, Math.min(COMPONENTS, size, learnt.shape[0] ?? 1));
  const along = ({ features, labels }: FeatureSplits["train"]) => ({
    features: alongAxes(features, axes),
    labels,
  });
  return { train: along(raw.train), validation: along(raw.validation), test: along(raw.test) };
}

/** The mutual information of raw samples and their features, of test rows that the critic has not seen. */
async function informationOf(
  raw: FeatureSplits,
  { train }: FeatureSplits,
  estimator: MutualInformationOptions["estimator"],
  run: LoadedRun,
  watch: ProbeWatch,
): Promise<ProbeRow["information"]> {
  const [x, y] = [varied(raw.train.features), varied(train.features)];
  const {
    nats,
    deviation,
    estimator: name,
  } = await mutualInformation(x, y, { estimator, seeds: [0], permutations: 0 }, run.session.runtime, {
    ...(watch.signal && { signal: watch.signal }),
    onProgress: ({ done, all }) => watch.onProgress?.(`mutual information ${done}/${all}`, 0.99),
  });
  return { estimator: name, nats, ...(deviation !== undefined && { deviation }) };
}

/** Columns that vary: others say nothing, and are refused. */
function varied({ data, shape: [count = 0, size = 0] }: NdArray<"float32">): NdArray<"float32"> {
  const kept: number[] = [];
  for (let k = 0; k < size; k++) {
    for (let row = 1; row < count; row++) {
      if (data[row * size + k] === data[k]) continue;
      kept.push(k);
      break;
    }
  }
  const picked = new Float32Array(count * kept.length);
  for (let row = 0; row < count; row++) {
    for (const [i, k] of kept.entries()) picked[row * kept.length + i] = data[row * size + k] ?? 0;
  }
  return float32(picked, [count, kept.length]);
}
