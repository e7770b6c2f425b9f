import { basename, join } from "node:path";
import { z } from "zod";
import { seedNumber } from "../../bounds.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import { EidosError, OptionError } from "../../errors.ts";
import { parameterCount } from "../../nn/module.ts";
import { checkNames, type NamesOf, parseOptions } from "../../options.ts";
import { Interrupted } from "../../program/deadline.ts";
import { nodeRuntime } from "../../program/node.ts";
import type { Leaderboard, LeaderboardRow } from "../../report/index.ts";
import { fitOptions } from "../../train/options.ts";
import { DistanceMeter } from "../measure/distances.node.ts";
import { sampleSchema } from "../run/definition.node.ts";
import { type LoadedRun, loadRun } from "../run/load.node.ts";
import { leaderboardOf, type Standing, writeLeaderboard } from "./board.node.ts";
import { controlOf } from "./control.node.ts";
import { CompareFolder } from "./folder.node.ts";
import { drawAndTime, type Stage } from "./model.node.ts";
import { pictureOfSamples, planeSetting, writeNamed } from "./pictures.node.ts";
import type { Contender } from "./request.node.ts";

// Samplers of fitted runs beside each other: DDPM in 1,000 steps and DDIM in 50 are two ways to draw from one model.

/** One way to draw: a solver and its steps, of models that have solvers. */
export interface SamplerChoice {
  readonly solver: string;
  readonly steps?: number | undefined;
}

/** What is compared. */
export interface SamplersRequest {
  /** Folders of runs that were fitted to the same data. */
  readonly runs: readonly string[];
  readonly samplers: readonly SamplerChoice[];
  /** Default: 0. */
  readonly seed?: number;
  readonly provider?: string;
  readonly threads?: number | undefined;
  /** Folder to write into. Default: runs/samplers-NAMES. */
  readonly out?: string;
}

const settings = z.strictObject({
  seed: seedNumber().default(0),
  provider: fitOptions.shape.provider,
  threads: fitOptions.shape.threads,
});

export interface SamplersHooks {
  readonly onBegin?: (beginning: { readonly folder: string; readonly data: readonly string[] }) => void;
  /** Called as samples are drawn: which of how many, and the share of it that is done. */
  readonly onProgress?: (progress: {
    readonly name: string;
    readonly position: number;
    readonly count: number;
    readonly share: number | undefined;
  }) => void;
  /** Ends the comparison; the leaderboard holds what was measured. */
  readonly signal?: AbortSignal;
}

const REQUEST_NAMES: NamesOf<SamplersRequest> = {
  runs: true,
  samplers: true,
  seed: true,
  provider: true,
  threads: true,
  out: true,
};

const HOOKS: NamesOf<SamplersHooks> = { onBegin: true, onProgress: true, signal: true };

const SAMPLER_NAMES: NamesOf<SamplerChoice> = { solver: true, steps: true };

/**
 * Reads a list of samplers: `ddpm:50,ddim:50,heun`, a solver and its steps; without steps, those of the model.
 * @throws OptionError
 */
export function parseSamplers(text: string): readonly SamplerChoice[] {
  const samplers = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part): SamplerChoice => {
      const [solver = "", steps, ...rest] = part.split(":");
      const count = Number(steps);
      if (
        solver === "" ||
        rest.length > 0 ||
        (steps !== undefined && !(Number.isInteger(count) && count > 0))
      ) {
        throw new OptionError(`option samplers: ${part} is not a solver and its steps, as in ddim:50`);
      }
      return { solver, ...(steps !== undefined && { steps: count }) };
    });
  if (samplers.length === 0) throw new OptionError("option samplers: names none, as in ddpm:50,ddim:50");
  return samplers;
}

/** A run with one way to draw from it. */
interface Entry {
  readonly id: string;
  readonly label: string;
  readonly run: string;
  readonly sampler: SamplerChoice | undefined;
}

const plain = (text: string): string => text.replaceAll(/[^A-Za-z0-9_.-]+/g, "-").replace(/^[-.]+/, "");

function entryOf(run: string, runName: string, sampler: SamplerChoice | undefined): Entry {
  if (sampler === undefined) return { id: runName, label: runName, run, sampler };
  const { solver, steps } = sampler;
  const own = solver.replaceAll("+", "p");
  return {
    id: `${runName}-${own}${steps === undefined ? "" : `-${steps}`}`,
    label: `${runName}, ${solver}${steps === undefined ? "" : ` in ${steps}`}`,
    run,
    sampler,
  };
}

/**
 * Draws from runs by several samplers with one seed, measures each on the test split of their data, and writes one leaderboard with times.
 * A run without solvers stands there once. A sampler that a model cannot use has a row that states why.
 * @throws OptionError where runs are not of the same data; FileError, WeightsError of a run
 */
export async function compareSamplers(
  request: SamplersRequest,
  hooks: SamplersHooks = {},
): Promise<{
  readonly folder: string;
  readonly leaderboard: Leaderboard;
  readonly reason: "finished" | "stopped";
}> {
  checkNames("compareSamplers", request, REQUEST_NAMES);
  for (const sampler of request.samplers) checkNames("compareSamplers: samplers", sampler, SAMPLER_NAMES);
  checkNames("compareSamplers", hooks, HOOKS);
  const { seed, provider, threads } = parseOptions("compare", settings, {
    ...(request.seed !== undefined && { seed: request.seed }),
    ...(request.provider !== undefined && { provider: request.provider }),
    ...(request.threads !== undefined && { threads: request.threads }),
  });
  if (request.runs.length === 0) throw new OptionError("option runs: names none");
  const { signal } = hooks;
  const opened: LoadedRun[] = [];
  try {
    let data: DataSet | undefined;
    for (const path of request.runs) {
      const run = await loadRun(path, {
        provider,
        threads,
        signal,
        ...(data !== undefined && { opened: data }),
      });
      opened.push(run);
      const [first] = opened;
      if (first !== undefined && run.config.dataInfo.fingerprint !== first.config.dataInfo.fingerprint) {
        throw new OptionError(
          `option runs: ${path} is of ${run.config.data} and ${request.runs[0]} of ${first.config.data}: samples are compared with those of the same data, alike read and divided`,
        );
      }
      data ??= await run.data();
    }
    if (data === undefined) throw new OptionError("option runs: names none");
    return await compareOpened(opened, data, { ...request, seed, provider, threads }, hooks);
  } finally {
    for (const run of opened) await run.session.release();
  }
}

async function compareOpened(
  opened: readonly LoadedRun[],
  data: DataSet,
  request: SamplersRequest & {
    readonly seed: number;
    readonly provider: string;
    readonly threads: number | undefined;
  },
  { onBegin, onProgress, signal }: SamplersHooks,
): Promise<{
  readonly folder: string;
  readonly leaderboard: Leaderboard;
  readonly reason: "finished" | "stopped";
}> {
  const { seed, provider, threads } = request;
  const names = request.runs.map((path, i) => {
    const name = plain(basename(path)) || `run-${i + 1}`;
    const isTwice = request.runs.some((other, k) => k !== i && plain(basename(other)) === name);
    return isTwice ? `${name}-${i + 1}` : name;
  });
  const folder = new CompareFolder(request.out ?? join("runs", `samplers-${names.join("-")}`.slice(0, 60)));
  const runtime = await nodeRuntime({ provider, ...(threads !== undefined && { threads }) });
  const shared = { seed, provider, threads };
  const comparison = {
    data: data.name,
    dataOptions: {},
    shared: { ...shared, seconds: undefined, steps: undefined, epochs: undefined },
    contenders: [],
    out: folder.path,
    fresh: true,
    features: undefined,
    trustModule: false,
  };
  const meter = new DistanceMeter(data, { split: "test", seed, extent: "all", runtime });
  const setting = planeSetting(data);
  const stage: Stage = { folder, comparison, data, meter, features: undefined, setting, signal };
  await folder.check();
  await folder.open({ runs: request.runs, samplers: request.samplers, ...shared }, true);
  onBegin?.({ folder: folder.path, data: data.describe() });
  const control = await controlOf(stage);

  const entries = opened.flatMap((run, i) => {
    const [path = "", name = ""] = [request.runs[i], names[i]];
    const has = sampleSchema(run.definition)?.shape.solver !== undefined;
    return (has ? request.samplers : [undefined]).map((sampler) => ({
      entry: entryOf(path, name, sampler),
      run,
    }));
  });
  const contenders = new Map(
    entries.map(({ entry, run }): [Entry, Contender] => [
      entry,
      {
        name: entry.id,
        model: run.config.model,
        definition: run.definition,
        options: {},
        modelOptions: {},
        fit: {},
      },
    ]),
  );
  const standings = new Map<Contender, Standing>(
    [...contenders.values()].map((one) => [one, { status: "waiting" }]),
  );
  const publish = async (): Promise<Leaderboard> => {
    const board = await leaderboardOf({ folder, comparison, data, control, standings });
    const shown = ofSamplers(board, [...contenders.keys()], request);
    await writeLeaderboard(folder, shown);
    return shown;
  };
  for (const [i, { entry, run }] of entries.entries()) {
    if (signal?.aborted) break;
    const contender = contenders.get(entry);
    if (contender === undefined) continue;
    try {
      const standing = await standingOf(entry, run, stage, (share) =>
        onProgress?.({ name: entry.label, position: i + 1, count: entries.length, share }),
      );
      standings.set(contender, standing);
    } catch (error) {
      if (error instanceof Interrupted) break;
      if (!(error instanceof EidosError)) throw error;
      standings.set(contender, { status: "failed", reason: error.message });
    }
    await publish();
  }
  const reason = [...standings.values()].some(({ status }) => status === "waiting") ? "stopped" : "finished";
  return { folder: folder.path, leaderboard: await publish(), reason };
}

/** Draws by a sampler, and measures what was drawn. @throws Interrupted; what sampling throws */
async function standingOf(
  { id, sampler }: Entry,
  run: LoadedRun,
  stage: Stage,
  onProgress: (share: number | undefined) => void,
): Promise<Standing> {
  const { data, meter, setting, folder, comparison, signal } = stage;
  const { seed } = comparison.shared;
  const own = sampler === undefined ? {} : { solver: sampler.solver, steps: sampler.steps };
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  const drawn = await drawAndTime(run, stage, onProgress, given);
  onProgress(undefined);
  const distances = meter.count === 0 ? [] : await meter.measure(drawn.samples);
  if (signal?.aborted) throw new Interrupted("stopped");
  const picture = await pictureOfSamples(run, drawn.shown, data, { setting, seed });
  const progress = await run.folder.readProgress();
  return {
    status: "finished",
    result: {
      name: id,
      distances: [...distances],
      trainingSeconds: progress?.seconds ?? 0,
      steps: progress?.step ?? 0,
      weightsStep: run.weightsStep ?? 0,
      sampling: drawn.sampling,
      parameters: parameterCount(run.model),
      picture: await writeNamed(folder.file("pictures"), `${id}-samples`, picture),
    },
  };
}

/** The board with names and words of samplers in place of those of fits. */
function ofSamplers(board: Leaderboard, entries: readonly Entry[], request: SamplersRequest): Leaderboard {
  const label = new Map(entries.map(({ id, label }) => [id, label]));
  const named = (name: string): string => label.get(name) ?? name;
  const rows = board.rows.map((row): LeaderboardRow => {
    if (row.status !== "finished") return { ...row, name: named(row.name) };
    const { report: _report, options: _options, ...kept } = row;
    return { ...kept, name: named(row.name) };
  });
  const samplers = request.samplers
    .map(({ solver, steps }) => (steps === undefined ? solver : `${solver}:${steps}`))
    .join(",");
  return {
    ...board,
    budget: "samples by the same seed",
    rule: board.rule
      .replace("Models are ranked", "Samplers are ranked")
      .replace("every model that draws samples", "every sampler"),
    rows,
    galleries: board.galleries
      .filter(({ title }) => title === "Samples")
      .map((gallery) => ({
        ...gallery,
        panels: gallery.panels.map((panel) => ({ ...panel, name: named(panel.name) })),
      })),
    command: `eidos compare --runs ${request.runs.join(",")} --samplers ${samplers} --seed ${request.seed ?? 0}`,
  };
}
