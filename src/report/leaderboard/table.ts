import { append } from "../../append.ts";
import type { MeanLikelihood } from "../../metrics/index.ts";
import { significant } from "../statistics.ts";
import type { Better, Leaderboard, LeaderboardMeasure, LeaderboardRow } from "./input.ts";

/** What stands where there is no value. */
const ABSENT = "—";

/** A cell as it is shown. */
export interface TableCell {
  readonly text: string;
  /** Whether no other model has a better value, as far as the digits show. */
  readonly best: boolean;
}

/** A column: its head, with an arrow to the good values, and a cell for each finished row and each control. */
export interface TableColumn {
  readonly head: string;
  /** What the head leaves out: unit, direction. */
  readonly title: string;
  readonly rows: readonly TableCell[];
  readonly controls: readonly string[];
}

export type FinishedRow = Extract<LeaderboardRow, { readonly status: "finished" }>;

/** The rows of a leaderboard that have numbers. */
export function finishedRows({ rows }: Pick<Leaderboard, "rows">): readonly FinishedRow[] {
  return rows.filter((row) => row.status === "finished");
}

const ARROWS = { lower: "↓", higher: "↑", none: "" } as const;

function arrow(better: Better): string {
  return better.kind === "near" ? `→ ${better.value}` : ARROWS[better.kind];
}

/** Larger is better. */
function goodness(value: number, better: Better): number | undefined {
  switch (better.kind) {
    case "lower":
      return -value;
    case "higher":
      return value;
    case "near":
      return -Math.abs(value - better.value);
    case "none":
      return undefined;
  }
}

/** Decimals that leave about four digits of the largest of the values, and one at least, since others are smaller. */
function decimalsOf(values: readonly number[]): number {
  const largest = Math.max(...values.filter(Number.isFinite).map(Math.abs), 0);
  if (largest === 0) return 2;
  return Math.min(5, Math.max(1, 3 - Math.floor(Math.log10(largest))));
}

/** With this many decimals and 1,000s parted; what rounds to 0 has no sign. */
function decimal(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return significant(value);
  const text = value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return /^-[0.]*$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

interface ColumnValues {
  readonly head: string;
  readonly title: string;
  readonly better: Better;
  readonly rows: readonly (number | undefined)[];
  readonly controls: readonly (number | undefined)[];
  readonly show: (value: number) => string;
}

/** Cells with the best ones marked: those that show the digits of the best value, unless all of several do. */
function columnOf({ head, title, better, rows, controls, show }: ColumnValues): TableColumn {
  const text = (value: number | undefined): string => (value === undefined ? ABSENT : show(value));
  const ranked = rows.flatMap((value) => {
    const good = value === undefined || !Number.isFinite(value) ? undefined : goodness(value, better);
    return value === undefined || good === undefined ? [] : [{ value, good }];
  });
  const [best] = ranked.toSorted((a, b) => b.good - a.good);
  const shown = ranked.map(({ value }) => show(value));
  const alike = shown.length > 1 && new Set(shown).size === 1;
  const mark = arrow(better);
  return {
    head: mark === "" ? head : `${head} ${mark}`,
    title,
    rows: rows.map((value) => ({
      text: text(value),
      best: !alike && best !== undefined && value !== undefined && show(value) === show(best.value),
    })),
    controls: controls.map(text),
  };
}

/** A column of a measure. */
function measureColumn(
  { key, name, short, better, decimals }: LeaderboardMeasure,
  board: Leaderboard,
): TableColumn {
  const rows = finishedRows(board).map(({ distances }) => distances[key]);
  const controls = board.controls.map(({ distances }) => distances[key]);
  const digits = decimals ?? decimalsOf([...rows, ...controls].filter((value) => value !== undefined));
  const show = (value: number): string => decimal(value, digits);
  return columnOf({ head: short, title: name, better, rows, controls, show });
}

/** The number of a likelihood, whether exact or a bound. */
function numberOf(likelihood: MeanLikelihood, inBits: boolean): number | undefined {
  if (likelihood.kind === "exact") return inBits ? likelihood.bitsPerDimension : likelihood.nats;
  return inBits ? likelihood.atMostBitsPerDimension : likelihood.atLeastNats;
}

/** True where likelihoods are given in bits per dimension. */
function isInBits(board: Leaderboard): boolean {
  return finishedRows(board).some(({ likelihood }) =>
    likelihood === undefined ? false : numberOf(likelihood, true) !== undefined,
  );
}

/** Likelihoods, bounds marked as such; undefined where no model has a density. */
function likelihoodColumn(board: Leaderboard): TableColumn | undefined {
  const likelihoods = [...finishedRows(board), ...board.controls].map(({ likelihood }) => likelihood);
  const finished = likelihoods.slice(0, finishedRows(board).length);
  if (finished.every((likelihood) => likelihood === undefined)) return undefined;
  const inBits = isInBits(board);
  const values = likelihoods.map((likelihood) => likelihood && numberOf(likelihood, inBits));
  const digits = inBits ? 3 : Math.min(3, decimalsOf(values.filter((value) => value !== undefined)));
  const column = columnOf({
    head: inBits ? "bits / dim" : "log-likelihood",
    title: inBits ? "bits per dimension" : "mean log-likelihood, nats a sample",
    better: { kind: inBits ? "lower" : "higher" },
    rows: values.slice(0, finished.length),
    controls: values.slice(finished.length),
    show: (value) => decimal(value, digits),
  });
  const sign = inBits ? "≤" : "≥";
  return {
    ...column,
    rows: column.rows.map((cell, i) => ({
      ...cell,
      text: finished[i]?.kind === "bound" ? `${sign} ${cell.text}` : cell.text,
    })),
  };
}

/** Columns that are no measures of samples: of the training, of time and size. */
function plainColumns(board: Leaderboard): readonly TableColumn[] {
  const rows = finishedRows(board);
  const controls = board.controls.map(() => undefined);
  const cold = rows.map(({ sampling }) => sampling?.warm === false);
  const sampling = columnOf({
    head: "s / 1,000 samples",
    title: "seconds for 1,000 samples, after a draw of the same size that is not counted",
    better: { kind: "lower" },
    rows: rows.map((row) => row.sampling?.seconds),
    controls,
    show: (value) => significant(value, 2),
  });
  return [
    columnOf({
      head: "training (s)",
      title: "seconds of training",
      better: { kind: "none" },
      rows: rows.map(({ trainingSeconds }) => trainingSeconds),
      controls,
      show: (value) => decimal(value, 1),
    }),
    columnOf({
      head: "steps",
      title: "steps of training",
      better: { kind: "none" },
      rows: rows.map(({ steps }) => steps),
      controls,
      show: (value) => significant(value, 9),
    }),
    {
      ...sampling,
      rows: sampling.rows.map((cell, i) => (cold[i] ? { ...cell, text: `${cell.text}*` } : cell)),
    },
    columnOf({
      head: "parameters",
      title: "trainable numbers",
      better: { kind: "lower" },
      rows: rows.map(({ parameters }) => parameters),
      controls,
      show: (value) => significant(value, 9),
    }),
  ];
}

/** The columns of the leaderboard: likelihood, the distances to look at first, time and size. */
export function leaderboardColumns(board: Leaderboard): readonly TableColumn[] {
  const likelihood = likelihoodColumn(board);
  return [
    ...(likelihood === undefined ? [] : [likelihood]),
    ...board.measures.filter(({ headline }) => headline).map((measure) => measureColumn(measure, board)),
    ...plainColumns(board),
  ];
}

/** The columns of all distances. */
export function distanceColumns(board: Leaderboard): readonly TableColumn[] {
  return board.measures.map((measure) => measureColumn(measure, board));
}

/** What likelihoods are of, each given once with the models it holds for. */
function likelihoodDetails(rows: readonly FinishedRow[]): readonly string[] {
  const names = new Map<string, string[]>();
  for (const { name, likelihoodDetail: detail } of rows) {
    if (detail !== undefined) append(names, detail, name);
  }
  return [...names].map(([detail, models]) => `${models.join(", ")}: ${detail}`);
}

/** What a reader must know of the leaderboard, a sentence each. */
export function leaderboardNotes(board: Leaderboard): readonly string[] {
  const rows = finishedRows(board);
  const bound = rows.some(({ likelihood }) => likelihood?.kind === "bound");
  const without = rows.some(({ likelihood }) => likelihood === undefined);
  const inBits = isInBits(board);
  const details = likelihoodDetails(rows);
  return [
    board.rule,
    `All numbers are of the ${board.split} split (${significant(board.splitCount, 9)} samples); weights were chosen by the validation split, or are the last ones where a model's loss does not measure how good it is.`,
    ...(bound
      ? [
          inBits
            ? "≤ marks a bound: the model's code is that short or shorter."
            : "≥ marks a bound: the model's log-likelihood is that high or higher.",
        ]
      : []),
    ...(details.length > 0 ? [`Likelihoods: ${details.join("; ")}.`] : []),
    ...(without
      ? [`${ABSENT} stands where a model has no such value: one without a density has no likelihood.`]
      : []),
    "Time for 1,000 samples is measured after a draw of the same size, so that compiling is not in it.",
    ...(rows.some(({ sampling }) => sampling?.warm === false)
      ? ["* One draw only, since it took long: compiling is in it."]
      : []),
    "The best of each column is marked; training time and steps follow from the budget and are not.",
  ];
}
