import { openData } from "../../data/open.node.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { FileError, OptionError } from "../../errors.ts";
import { checkNames, type NamesOf, parseOptions } from "../../options.ts";
import { Interrupted } from "../../program/deadline.ts";
import { nodeRuntime } from "../../program/node.ts";
import type { Leaderboard } from "../../report/index.ts";
import type { FitProgress } from "../../train/fit-request.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { infoOf } from "../fit/configure.node.ts";
import type { FitHooks } from "../fit/fit.node.ts";
import { asTaken } from "../fit/image-format.node.ts";
import { DistanceMeter } from "../measure/distances.node.ts";
import { leaderboardOf, type Standing, type Standings, writeLeaderboard } from "./board.node.ts";
import { controlOf } from "./control.node.ts";
import { openFeatures } from "./features.node.ts";
import { CompareFolder } from "./folder.node.ts";
import { checkRun, measure, type Stage, train } from "./model.node.ts";
import { planeSetting } from "./pictures.node.ts";
import {
  type CompareRequest,
  type Contender,
  type ResolvedComparison,
  requestJson,
  resolveComparison,
} from "./request.node.ts";

/** What images of files are read as. */
const imageOptions = dataOptionsSchema.pick({ size: true, color: true });

/** Foresees how long all models of a comparison will take, from those that are done. */
export class TimeLeft {
  /** Seconds of training that each is given; undefined where the budget is in steps or epochs. */
  private readonly budget: number | undefined;
  /** Seconds of training, and of all else, of each model that is done. */
  private readonly done: { readonly training: number; readonly rest: number }[] = [];

  constructor(budget: number | undefined) {
    this.budget = budget;
  }

  /** A model has been trained and measured. */
  add(training: number, whole: number): void {
    this.done.push({ training, rest: Math.max(0, whole - training) });
  }

  /**
   * Seconds until all is done; undefined until a model has shown how long measuring takes, unless nothing is left to measure.
   * @param current seconds that training of the model under way will still take, undefined where it is not known
   * @param after models that come after it
   * @param measuring seconds since its training ended, where it did, and what is known to be left of the work since
   */
  estimate(
    current: number | undefined,
    after: number,
    measuring?: { readonly since: number; readonly left?: number },
  ): number | undefined {
    const training = this.budget ?? this.mean("training");
    const rest = this.mean("rest");
    // Of the first model it is known how long its training takes, and nothing more.
    if (rest === undefined && measuring?.left === undefined) return undefined;
    if (rest === undefined && after > 0) return undefined;
    const first = measuring === undefined ? (current ?? training) : 0;
    if (first === undefined) return undefined;
    if (after > 0 && training === undefined) return undefined;
    const own = Math.max(measuring?.left ?? 0, (rest ?? 0) - (measuring?.since ?? 0));
    return first + own + after * ((training ?? 0) + (rest ?? 0));
  }

  private mean(part: "training" | "rest"): number | undefined {
    if (this.done.length === 0) return undefined;
    return this.done.reduce((sum, one) => sum + one[part], 0) / this.done.length;
  }
}

export type { CompareModel, CompareRequest } from "./request.node.ts";

/** Where a comparison stands. */
export interface CompareProgress {
  readonly model: string;
  /** Its position among the models, from 1. */
  readonly position: number;
  readonly models: number;
  readonly stage: "training" | "drawing" | "measuring";
  /** While it is trained. */
  readonly fit?: FitProgress;
  /** While samples are drawn: the share that is done, 0 to 1. */
  readonly share?: number;
  /** Until all models are done; undefined while it is not known. */
  readonly secondsLeft?: number;
}

export interface CompareHooks {
  /** Called once, when the data is there and the folder is made, with what is to be done. */
  readonly onBegin?: (beginning: { readonly folder: string; readonly data: readonly string[] }) => void;
  readonly onProgress?: (progress: CompareProgress) => void;
  /** Called when a model is finished, was finished by an earlier call, or has failed. */
  readonly onModel?: (model: CompareOutcome) => void;
  /** Called with what went wrong without ending anything. */
  readonly onWarning?: (message: string) => void;
  /** Ends the comparison in good order; the same call goes on with it. */
  readonly signal?: AbortSignal;
}

const HOOKS: NamesOf<CompareHooks> = {
  onBegin: true,
  onProgress: true,
  onModel: true,
  onWarning: true,
  signal: true,
};

/** What became of a model. */
export interface CompareOutcome {
  readonly name: string;
  readonly status: "finished" | "earlier" | "failed";
  /** Why it failed. */
  readonly reason?: string;
}

/** What a comparison comes to. */
export interface Comparison {
  readonly folder: string;
  readonly leaderboard: Leaderboard;
  /** `stopped` where the signal came before all models were done. */
  readonly reason: "finished" | "stopped";
}

/**
 * Trains several models on the same data with the same budget and seed, one after the other, measures each on the test
 * split, and writes one leaderboard of all into a folder: leaderboard.html, .md, .csv and .json. After each model it is
 * written anew, and what is finished is kept, so that the same call goes on where an earlier one was stopped or killed. A
 * model that does not take the data, or fails, has a row that states why; it is tried again by the next call.
 * @throws OptionError, DataError before any work; FileError
 */
export async function compare(request: CompareRequest, hooks: CompareHooks = {}): Promise<Comparison> {
  checkNames("compare", hooks, HOOKS);
  const asked = await asBegun(await resolveComparison(request));
  const { shared } = asked;
  // All models read images alike, as those that take them do in a fit.
  const { data, notes } = await asTaken(
    asked.contenders,
    asked.dataOptions,
    (options) => openData(asked.data, options),
    infoOf,
  );
  const comparison = { ...asked, dataOptions: { ...asked.dataOptions, ...data.format } };
  if (data.splits.test.count === 0) {
    throw new OptionError(
      `option test: ${comparison.data} has no test split to compare on; give a fraction of it`,
    );
  }
  const runtime = await nodeRuntime({
    provider: shared.provider,
    ...(shared.threads !== undefined && { threads: shared.threads }),
  });
  const { provider, threads, seed } = shared;
  const { trustModule } = comparison;
  const features =
    comparison.features === undefined
      ? undefined
      : await openFeatures(comparison.features, { provider, threads, trust: { module: trustModule } });
  try {
    const meter = new DistanceMeter(data, {
      ...{ split: "test", seed, extent: "all", runtime },
      features: features?.view,
    });
    const stage: Stage = {
      ...{ folder: new CompareFolder(comparison.out), comparison, data, meter },
      ...{ features: features?.fingerprint, setting: planeSetting(data), signal: hooks.signal },
    };
    return await compareAll(stage, notes, hooks);
  } finally {
    await features?.release();
  }
}

/** A comparison in which images are read as by the runs that are there already. @throws FileError, OptionError */
async function asBegun(comparison: ResolvedComparison): Promise<ResolvedComparison> {
  if (comparison.fresh) return comparison;
  const folder = new CompareFolder(comparison.out);
  await folder.check();
  for (const { name } of comparison.contenders) {
    const run = new RunFolder(folder.run(name));
    if (!(await run.exists())) continue;
    const { dataOptions } = await run.readConfig();
    const given = Object.entries(dataOptions).filter(([option]) => option in imageOptions.shape);
    const images = parseOptions("data", imageOptions, Object.fromEntries(given));
    return { ...comparison, dataOptions: { ...images, ...comparison.dataOptions } };
  }
  return comparison;
}

/** Trains, measures and ranks all models. @param notes on how the data was opened */
async function compareAll(stage: Stage, notes: readonly string[], hooks: CompareHooks): Promise<Comparison> {
  const { folder, comparison, data } = stage;
  const { contenders, shared, fresh } = comparison;
  await folder.check();
  if (!fresh) for (const contender of contenders) await checkRun(contender, stage);
  await folder.open(requestJson(comparison), fresh);
  hooks.onBegin?.({ folder: folder.path, data: [...data.describe(), ...notes] });

  const control = await controlOf(stage);
  const standings = new Map<Contender, Standing>(contenders.map((one) => [one, { status: "waiting" }]));
  const known: Standings = { folder, comparison, data, control, standings };
  const publish = async (): Promise<Leaderboard> => {
    const board = await leaderboardOf(known);
    await writeLeaderboard(folder, board);
    return board;
  };
  const time = new TimeLeft(shared.seconds);
  for (const [i, contender] of contenders.entries()) {
    if (hooks.signal?.aborted) break;
    const standing = await stand(contender, stage, hooks, { time, position: i + 1 });
    standings.set(contender, standing);
    if (standing.status !== "waiting") await publish();
  }
  const reason = [...standings.values()].some(({ status }) => status === "waiting") ? "stopped" : "finished";
  return { folder: folder.path, leaderboard: await publish(), reason };
}

function secondsSince(time: number): number {
  return (performance.now() - time) / 1000;
}

/** Trains and measures a model, unless that is done. Only a failure of the file system is no failure of the model. */
async function stand(
  contender: Contender,
  stage: Stage,
  hooks: CompareHooks,
  { time, position }: { readonly time: TimeLeft; readonly position: number },
): Promise<Standing> {
  const { name } = contender;
  const earlier = await stage.folder.readResult(name);
  if (earlier !== undefined && earlier.features === stage.features) {
    hooks.onModel?.({ name, status: "earlier" });
    return { status: "finished", result: earlier };
  }
  if (earlier !== undefined) {
    hooks.onWarning?.(
      `${name}: was measured in other features, whose numbers do not compare; it is measured again`,
    );
  }
  const models = stage.comparison.contenders.length;
  const begun = performance.now();
  let trained: number | undefined;
  const report = (
    current: Pick<CompareProgress, "stage" | "fit" | "share">,
    left: number | undefined,
  ): void => {
    const since = trained === undefined ? undefined : secondsSince(trained);
    const measuring = since === undefined ? undefined : { since, ...(left !== undefined && { left }) };
    const secondsLeft = time.estimate(left, models - position, measuring);
    hooks.onProgress?.({
      model: name,
      position,
      models,
      ...current,
      ...(secondsLeft !== undefined && { secondsLeft }),
    });
  };
  const fitHooks: FitHooks = {
    onProgress: (fit) => {
      if (fit.stage === "reporting") trained ??= performance.now();
      report({ stage: "training", fit }, fit.secondsLeft);
    },
    onWarning: (message) => hooks.onWarning?.(`${name}: ${message}`),
    ...(hooks.signal !== undefined && { signal: hooks.signal }),
  };
  try {
    if (!(await train(contender, stage, fitHooks))) return { status: "waiting" };
    if (hooks.signal?.aborted) return { status: "waiting" };
    trained ??= performance.now();
    const drawing = performance.now();
    const result = await measure(contender, stage, (share) => {
      if (share === undefined) return report({ stage: "measuring" }, 0);
      // A share of nothing predicts no time.
      const left = share > 0.01 ? (secondsSince(drawing) * (1 - share)) / share : undefined;
      report({ stage: "drawing", share }, left);
    });
    time.add(result.trainingSeconds, secondsSince(begun));
    hooks.onModel?.({ name, status: "finished" });
    return { status: "finished", result };
  } catch (error) {
    if (error instanceof Interrupted) return { status: "waiting" };
    if (error instanceof FileError || !(error instanceof Error)) throw error;
    hooks.onModel?.({ name, status: "failed", reason: error.message });
    return { status: "failed", reason: error.message };
  }
}
