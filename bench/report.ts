import type { Result, WorkResults } from "./measure.ts";
import { median, medianRatio } from "./statistics.ts";

/** A table in Markdown, whose columns also stand in line in a terminal. The first column is aligned to the left. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0), 3),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? `:${"-".repeat(width + 1)}` : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  const [head = [], ...others] = rows;
  return [line(head), rule, ...others.map(line)].join("\n");
}

export function milliseconds(value: number): string {
  if (!Number.isFinite(value)) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

type Measure = "rounds" | "processor";

function roundsOf(result: Result | undefined, measure: Measure = "rounds"): readonly number[] {
  return result === undefined || result.kind === "failed" ? [] : result.timing[measure];
}

/**
 * One row a work and contender: medians of the time that passed and of the processor time of all threads, and how often those of each of ours
 * go into them.
 */
export function timeTable(
  all: readonly WorkResults[],
  contenders: readonly string[],
  ours: readonly string[],
): string {
  const rows = all.flatMap(({ work, results, rounds: count, repetitions }) =>
    contenders.flatMap((name) => {
      const result = results.get(name);
      if (result === undefined) return [];
      const title = `${work.title}, ${work.batch} samples`;
      if (result.kind === "failed")
        return [[title, name, "failed", ...ours.flatMap(() => ["", ""]), "", "", ""]];
      const { rounds, least, processor } = result.timing;
      const ratio = (mine: string, measure: Measure): string => {
        const [theirs, own] = [roundsOf(result, measure), roundsOf(results.get(mine), measure)];
        if (own.length === 0) return "";
        if (result.kind === "once") return `${(median(theirs) / median(own)).toFixed(0)}×`;
        return `${medianRatio(theirs, own).toFixed(2)}×`;
      };
      const once = result.kind === "once";
      return [
        [
          title,
          name,
          milliseconds(median(rounds)),
          ...ours.map((mine) => ratio(mine, "rounds")),
          milliseconds(median(processor)),
          ...ours.map((mine) => ratio(mine, "processor")),
          milliseconds(least),
          once ? "once" : `${count} × ${repetitions}`,
        ],
      ];
    }),
  );
  const head = [
    "work",
    "by",
    "median ms",
    ...ours.map((name) => `speed of ${name}`),
    "processor ms",
    ...ours.map((name) => `${name}, by processor`),
    "least ms",
    "rounds",
  ];
  return table([head, ...rows]);
}

/** A plain line for every contender that failed at a work. */
export function failures(all: readonly WorkResults[]): readonly string[] {
  return all.flatMap(({ work, results }) =>
    [...results].flatMap(([name, result]) =>
      result.kind === "failed" ? [`${name} failed at ${work.title}: ${result.reason}`] : [],
    ),
  );
}

/** Ratio of speeds of the faster of ours to a peer; undefined where either did not do the work. */
export function bestRatio(
  { results }: WorkResults,
  ours: readonly string[],
  peer: string,
): number | undefined {
  const theirs = roundsOf(results.get(peer));
  const ratios = ours
    .map((name) => medianRatio(theirs, roundsOf(results.get(name))))
    .filter((ratio) => Number.isFinite(ratio));
  return ratios.length === 0 ? undefined : Math.max(...ratios);
}

/** How much of the time of a work another one takes, by contender; undefined where none did both. */
export function shareTable(all: readonly WorkResults[], whole: string, part: string): string | undefined {
  const resultsOf = (name: string) => all.find(({ work }) => work.name === name)?.results;
  const title = all.find(({ work }) => work.name === part)?.work.title ?? part;
  const rows = [...(resultsOf(part) ?? [])].flatMap(([name, result]) => {
    const [of, all] = [roundsOf(result), roundsOf(resultsOf(whole)?.get(name))].map(median);
    return of === undefined || all === undefined || !Number.isFinite(of / all)
      ? []
      : [[name, milliseconds(all), milliseconds(of), (of / all).toFixed(2)]];
  });
  return rows.length === 0 ? undefined : table([[title, "whole, ms", "ms", "share"], ...rows]);
}
