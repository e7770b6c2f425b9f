import { createHash } from "node:crypto";
import { z } from "zod";
import { buildModel } from "../../catalog.ts";
import { openShare } from "../../data/open.node.ts";
import type { Origin, Split } from "../../data/sources/data-set.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { shareSplit } from "../../data/sources/sample-share.ts";
import { DataError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { parseOptions } from "../../options.ts";
import { elementCount } from "../../tensor/array.ts";
import type { TrainData } from "../../train/batches.ts";
import type { Fit } from "../../train/fit-request.node.ts";
import { checkFitMemory } from "../../train/memory.ts";
import { checkWhole } from "../../train/options.ts";
import { rankName } from "../../train/ranks/job.node.ts";
import { MOST_EXCHANGED } from "../../train/ranks/mpi.node.ts";
import { SampleOwners } from "../../train/ranks/owners.ts";
import type { Ranks } from "../../train/ranks/ranks.node.ts";
import { runConfig } from "../../train/run-config.ts";
import { modelInfo, runDefinition } from "../run/definition.node.ts";
import { asInRun, locatedData } from "../run/run-data.node.ts";
import { type FitTask, type PreparedFit, replicasOf, resolveRun } from "./prepare.node.ts";

// How the ranks of a job come to a fit that rank 0 has prepared: with the whole data, or with the share of it that rank 0 tells them.

/** What the ranks of a job other than 0 are told, to take part in a fit. */
const toldFit = z.object({
  config: runConfig,
  /** Of the run. */
  folder: z.string(),
  /** The data where it lies; null where each rank was given it in memory. */
  data: z.string().nullable(),
  /** Where each rank reads its own training samples alone; null where each reads all. */
  share: z
    .object({
      /** Of the samples of each rank. */
      digests: z.array(z.string()),
      /** `Origin.names` */
      names: z.string().optional(),
    })
    .nullable(),
});

/** What rank 0 passes on: words, and where each training sample was read, which may be millions of numbers. */
export interface PassedFit {
  readonly text: string;
  readonly rows: Uint8Array;
  readonly owners: SampleOwners | undefined;
}

/**
 * Where training samples were read, if ranks are to read their shares: a table or folder, as it is, of at least one sample for each. What
 * is drawn, made, asked for by a query or given in memory has no origin. Replicas open the data by themselves, and need all of it; batches
 * too large for one exchange are not exchanged.
 */
function sharedOrigin({ fit: { data, options } }: PreparedFit, size: number): Origin | undefined {
  if (data.kind === "batches" || options.replicas > 1) return undefined;
  const { origin, sampleShape } = data;
  // A class beside each sample.
  const isTooLarge = options.batchSize * (elementCount(sampleShape) + 1) > MOST_EXCHANGED;
  return origin === undefined || origin.rows.length < size || isTooLarge ? undefined : origin;
}

/** What rank 0 has the other ranks know of a fit. */
export function passedBy(prepared: PreparedFit, size: number): PassedFit {
  const { fit, config, data } = prepared;
  const origin = sharedOrigin(prepared, size);
  const told: z.input<typeof toldFit> = {
    config,
    folder: fit.folder.path,
    data: typeof data === "string" ? data : null,
    share: null,
  };
  if (origin === undefined || fit.data.kind === "batches") {
    return { text: JSON.stringify(told), rows: new Uint8Array(0), owners: undefined };
  }
  const { rows, names } = origin;
  const owners = new SampleOwners(rows, size);
  const { train } = fit.data.splits;
  const digests = Array.from({ length: size }, (_, rank) =>
    rank === 0 ? "" : digestOf(train, owners.samplesOf(rank)),
  );
  return {
    text: JSON.stringify({ ...told, share: { digests, names } }),
    rows: new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength),
    owners,
  };
}

/** Samples whose digest is made at once. */
const ROWS = 256;

/** What tells some samples from any others: their numbers and classes. */
function digestOf(split: Split, samples: Uint32Array): string {
  const hash = createHash("sha256");
  for (let first = 0; first < samples.length; first += ROWS) {
    const some = samples.subarray(first, first + ROWS);
    const { x, label } = split.intensities?.(some) ?? split.batch(some);
    hash.update(x.data);
    if (label !== undefined) hash.update(label.data);
  }
  return hash.digest("hex");
}

/** A fit, as far as a rank other than 0 takes part in it. */
type RankFit = Pick<Fit, "model" | "options" | "replicaPool" | "owners"> & { readonly data: TrainData };

/**
 * Model and data of a fit that rank 0 has prepared.
 * @param passed `PassedFit`
 * @throws OptionError, DataError where the data is not the same here
 */
export async function preparedByRank0(
  task: FitTask,
  passed: { readonly told: unknown; readonly rows: Uint8Array },
  ranks: Pick<Ranks, "rank" | "size">,
): Promise<RankFit> {
  const { config, folder, data, share } = toldFit.parse(passed.told);
  const given = data ?? (task.kind === "new" ? task.request.data : task.data);
  if (share !== null) return withShare({ config, folder, data: String(given), share }, passed.rows, ranks);
  // What rank 0 was trusted with, this rank is: it was called with the same words.
  const run = await resolveRun(config, folder, given, true);
  const { model, data: opened } = run.subject;
  return { model, data: opened, options: config.fit, replicaPool: replicasOf(config, run.data) };
}

/** Opens the samples of this rank alone. */
async function withShare(
  {
    config,
    folder,
    data: given,
    share: { digests, names },
  }: Pick<z.output<typeof toldFit>, "config" | "folder"> & {
    readonly data: string;
    readonly share: NonNullable<z.output<typeof toldFit>["share"]>;
  },
  bytes: Uint8Array,
  ranks: Pick<Ranks, "rank" | "size">,
): Promise<RankFit> {
  const definition = await runDefinition(config, folder, true);
  const { dataInfo } = config;
  const model = buildModel(definition, config.modelOptions, modelInfo(dataInfo), memoryLimit());
  checkFitMemory(model, config.fit, dataInfo.sampleShape, memoryLimit());
  checkWhole(model, config.fit);
  const { data, dataOptions } = await locatedData(config, folder, given);
  const options = parseOptions("data", dataOptionsSchema, dataOptions);
  const rows = new Uint32Array(bytes.slice().buffer);
  const { rank, size } = ranks;
  const owners = new SampleOwners(rows, size);
  const positions = owners.samplesOf(rank);
  let held: Split;
  try {
    held = await openShare(data, options, asInRun(config, true), {
      rows: positions.map((position) => rows[position] ?? 0),
      positions,
      classes: dataInfo.classNames,
      sampleShape: dataInfo.sampleShape,
      names,
    });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`${rankName(ranks)}: ${error.message}`, { cause: error });
  }
  const [example = 0] = positions;
  const train = shareSplit(held, owners.count, (position) => owners.placeOn(rank, position), example);
  if (digestOf(train, positions) !== digests[rank]) {
    throw new OptionError(
      `${data} is not the same for ${rankName(ranks)} as for rank 0: of the ${owners.count} training samples, its share of ${positions.length} differs; copy the data of rank 0 to its machine`,
    );
  }
  const shared = { kind: config.dataInfo.kind, splits: { train } };
  return { model, data: shared, options: config.fit, owners, replicaPool: replicasOf(config, data) };
}
