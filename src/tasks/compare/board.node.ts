import { availableParallelism, cpus } from "node:os";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { counted } from "../../memory.ts";
import {
  type Leaderboard,
  type LeaderboardControl,
  type LeaderboardMeasure,
  type LeaderboardRow,
  leaderboardCells,
  leaderboardMarkdown,
  renderLeaderboard,
} from "../../report/index.ts";
import { significant } from "../../report/statistics.ts";
import { version } from "../../version.ts";
import { MEASURES, type MeasureName, type SampleDistance } from "../measure/measures.ts";
import type { CompareFolder, ControlResult, ModelResult } from "./folder.node.ts";
import { optionsText } from "./model.node.ts";
import { galleriesOf } from "./pictures.node.ts";
import type { Contender, ResolvedComparison } from "./request.node.ts";

/** What became of a model so far. */
export type Standing =
  | { readonly status: "finished"; readonly result: ModelResult }
  | { readonly status: "failed"; readonly reason: string }
  | { readonly status: "waiting" };

/** All that a leaderboard is made of. */
export interface Standings {
  readonly folder: CompareFolder;
  readonly comparison: ResolvedComparison;
  readonly data: DataSet;
  readonly control: ControlResult;
  readonly standings: ReadonlyMap<Contender, Standing>;
}

/** Measures in the leaderboard itself; the table of all distances has the others. */
const HEADLINES: readonly MeasureName[] = ["frechet", "energy", "sliced", "precision", "recall", "marginals"];

function valuesOf(distances: readonly SampleDistance[]): Readonly<Record<string, number>> {
  return Object.fromEntries(distances.map(({ measure, value }) => [measure, value]));
}

/** Finished models by the measure that ranks, then those without it, then the others in the order they were named. */
function rowsOf({ standings }: Standings, ranking: MeasureName | undefined): readonly LeaderboardRow[] {
  const finished: { readonly contender: Contender; readonly result: ModelResult; readonly value: number }[] =
    [];
  const others: LeaderboardRow[] = [];
  for (const [contender, standing] of standings) {
    const { name } = contender;
    if (standing.status === "finished") {
      const { result } = standing;
      const value = result.distances.find(({ measure }) => measure === ranking)?.value ?? Number.NaN;
      finished.push({ contender, result, value });
    } else others.push(standing.status === "failed" ? { name, ...standing } : { name, status: "waiting" });
  }
  const rank = ({ value }: { readonly value: number }) =>
    Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
  finished.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  const rows = finished.map(({ contender, result, value }, i): LeaderboardRow => {
    const {
      name,
      likelihood,
      likelihoodDetail,
      distances,
      trainingSeconds,
      steps,
      weightsStep,
      sampling,
      parameters,
    } = result;
    const options = optionsText(contender);
    return {
      status: "finished",
      name,
      ...(options !== undefined && { options }),
      ...(!Number.isNaN(value) && { rank: i + 1 }),
      ...(likelihood !== undefined && { likelihood }),
      ...(likelihoodDetail !== undefined && { likelihoodDetail }),
      distances: valuesOf(distances),
      trainingSeconds,
      steps,
      weightsStep,
      ...(sampling !== undefined && { sampling }),
      parameters,
      report: `runs/${name}/report.html`,
    };
  });
  return [...rows, ...others];
}

/** The columns of distances, in the order in which they are measured; the first one ranks. */
function measuresOf({ control, standings }: Standings): readonly LeaderboardMeasure[] {
  const all = [
    ...[...standings.values()].flatMap((standing) =>
      standing.status === "finished" ? standing.result.distances : [],
    ),
    ...control.distances,
  ];
  const first = new Map<MeasureName, SampleDistance>();
  for (const distance of all) if (!first.has(distance.measure)) first.set(distance.measure, distance);
  return [...first.values()].map(({ measure, samples, real, note }) => {
    const counts = `${significant(samples, 9)} drawn, ${significant(real, 9)} held-out`;
    return {
      key: measure,
      ...MEASURES[measure],
      basis: note === undefined ? counts : `${counts}; ${note}`,
      headline: HEADLINES.includes(measure),
    };
  });
}

function controlsOf({ control }: Standings): readonly LeaderboardControl[] {
  const { trueLogDensity, distances } = control;
  return [
    ...(distances.length === 0
      ? []
      : [
          {
            name: "training samples",
            meaning:
              "as many training samples instead of drawn ones: what samples of the data itself come to by chance alone, and what a model that only repeats its training split would",
            distances: valuesOf(distances),
          },
        ]),
    ...(trueLogDensity === undefined
      ? []
      : [
          {
            name: "true density",
            meaning:
              "the distribution that the data is drawn from: no model has a higher log-likelihood on average",
            likelihood: { kind: "exact" as const, nats: trueLogDensity },
            distances: {},
          },
        ]),
  ];
}

function budgetText({ seconds, steps, epochs }: ResolvedComparison["shared"]): string {
  return [
    ...(seconds === undefined ? [] : [`${seconds} seconds`]),
    ...(steps === undefined ? [] : [counted(steps, "step")]),
    ...(epochs === undefined ? [] : [counted(epochs, "epoch")]),
  ].join(" or ");
}

function machineText({ provider, threads }: ResolvedComparison["shared"]): string {
  const cores = threads === undefined ? availableParallelism() : Math.min(threads, availableParallelism());
  const on = provider === "cpu" ? (cpus()[0]?.model.trim() ?? "unknown processor") : provider;
  return `${on}, ${counted(cores, "thread")}, Node ${process.version}`;
}

/** A path as a shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w./:@-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Puts all that is known together. */
export async function leaderboardOf(standings: Standings): Promise<Leaderboard> {
  const { comparison, data, control, folder } = standings;
  const measures = measuresOf(standings);
  const ranking = measures[0]?.key as MeasureName | undefined;
  const rows = rowsOf(standings, ranking);
  const results = [...standings.standings.values()].flatMap((standing) =>
    standing.status === "finished" ? [standing.result] : [],
  );
  const ordered = rows.flatMap(({ name }) => results.filter((result) => result.name === name));
  const { binary, ...dataOptions } = comparison.dataOptions;
  const given = Object.entries({ ...dataOptions, ...(binary === true && { binary }) });
  return {
    data: comparison.data,
    dataDescription: data.describe(),
    ...(given.length > 0 && { dataOptions: given.map(([key, value]) => `${key} ${value}`).join(", ") }),
    split: "test",
    splitCount: data.splits.test.count,
    budget: budgetText(comparison.shared),
    seed: comparison.shared.seed,
    date: new Date(),
    version,
    machine: machineText(comparison.shared),
    rule:
      ranking === undefined
        ? "Models are not ranked: the test split is too small, or none can draw samples."
        : `Models are ranked by ${MEASURES[ranking].name} alone, the lowest first: every model that draws samples has it, whether or not it has a likelihood. Differences of the size of the value of training samples are chance.`,
    measures,
    rows,
    controls: controlsOf(standings),
    galleries: await galleriesOf({ folder, data, control, results: ordered, ranking }),
    command: `eidos compare --config ${quoted(folder.file("compare.json"))}`,
  };
}

/** The leaderboard as JSON: what it holds, pictures by their files. */
export function leaderboardJson({ galleries, ...board }: Leaderboard): unknown {
  return {
    ...board,
    galleries: galleries.map(({ panels, ...gallery }) => ({
      ...gallery,
      panels: panels.map(({ picture: _, ...panel }) => panel),
    })),
  };
}

/** Writes the leaderboard in all four forms. @throws FileError */
export async function writeLeaderboard(folder: CompareFolder, board: Leaderboard): Promise<void> {
  await writeFileAtomic(folder.file("leaderboard.html"), renderLeaderboard(board));
  await writeFileAtomic(folder.file("leaderboard.md"), leaderboardMarkdown(board));
  await writeFileAtomic(
    folder.file("leaderboard.json"),
    `${JSON.stringify(leaderboardJson(board), null, 2)}\n`,
  );
  const { names, rows } = leaderboardCells(board);
  await writeTable(folder.file("leaderboard.csv"), names, rows);
}
