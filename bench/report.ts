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

function roundsOf(result: Result | undefined): readonly number[] {
  return result === undefined || result.kind === "failed" ? [] : result.timing.rounds;
}

/** One row a work and contender: medians, and how much faster each of ours is. */
export function timeTable(
  all: readonly WorkResults[],
  contenders: readonly string[],
  ours: readonly string[],
): string {
  const rows = all.flatMap(({ work, results }) =>
    contenders.flatMap((name) => {
      const result = results.get(name);
      if (result === undefined) return [];
      const title = `${work.title}, ${work.batch} samples`;
      if (result.kind === "failed") return [[title, name, "failed", "", ...ours.map(() => "")]];
      const { rounds, least } = result.timing;
      const ratios = ours.map((mine) => {
        const own = roundsOf(results.get(mine));
        if (own.length === 0) return "";
        if (result.kind === "once") return `${(median(rounds) / median(own)).toFixed(0)}×`;
        return `${medianRatio(rounds, own).toFixed(2)}×`;
      });
      const once = result.kind === "once" ? " (once)" : "";
      return [[title, name, milliseconds(median(rounds)) + once, milliseconds(least), ...ratios]];
    }),
  );
  const head = ["work", "by", "median ms", "least ms", ...ours.map((name) => `speed of ${name}`)];
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
