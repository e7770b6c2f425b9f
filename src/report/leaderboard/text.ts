import { printable } from "../../printable.ts";
import { significant } from "../statistics.ts";
import type { Leaderboard, LeaderboardGallery, LeaderboardRow } from "./input.ts";
import {
  distanceColumns,
  finishedRows,
  leaderboardColumns,
  leaderboardNotes,
  type TableColumn,
} from "./table.ts";

/** Pictures in a row of a Markdown table. */
const PANELS_A_ROW = 4;

/** Text that Markdown shows as it is, on one line. */
function plain(text: string): string {
  return printable(text.replaceAll(/\s*\n\s*/g, " ")).replaceAll(
    /[\\|*_[\]<>`]/g,
    (character) => `\\${character}`,
  );
}

/** A path as the target of a link. */
function target(path: string): string {
  return encodeURI(path).replaceAll(/[()]/g, (bracket) => (bracket === "(" ? "%28" : "%29"));
}

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

function nameCell(row: LeaderboardRow): string {
  const name = plain(row.name);
  if (row.status !== "finished") return name;
  const options = row.options === undefined ? "" : ` (${plain(row.options)})`;
  return `${row.report === undefined ? name : `[${name}](${target(row.report)})`}${options}`;
}

/** A table with the models, in order of rank, and the controls below. */
function markdownTable(board: Leaderboard, columns: readonly TableColumn[]): readonly string[] {
  const rows = finishedRows(board).map((row, i) =>
    line([
      String(row.rank ?? ""),
      nameCell(row),
      ...columns.map(({ rows: cells }) => {
        const { text = "", best = false } = cells[i] ?? {};
        return best ? `**${text}**` : text;
      }),
    ]),
  );
  const controls = board.controls.map(({ name }, i) =>
    line(["", `*${plain(name)}*`, ...columns.map(({ controls: cells }) => cells[i] ?? "")]),
  );
  return [
    line(["#", "model", ...columns.map(({ head }) => plain(head))]),
    `|--:|---|${columns.map(() => "--:|").join("")}`,
    ...rows,
    ...controls,
  ];
}

/** What has no numbers, and why. */
function withoutNumbers({ rows }: Leaderboard): readonly string[] {
  return rows.flatMap((row) => {
    if (row.status === "finished") return [];
    const why = row.status === "failed" ? plain(row.reason) : "not done yet";
    return [`- **${plain(row.name)}**: ${why}`];
  });
}

function gallery({ title, note, panels, wide }: LeaderboardGallery): readonly string[] {
  const rows: string[] = [];
  const width = wide ? 1 : PANELS_A_ROW;
  for (let first = 0; first < panels.length; first += width) {
    const part = panels.slice(first, first + width);
    rows.push(
      "",
      line(part.map(({ name }) => plain(name))),
      `|${part.map(() => ":-:|").join("")}`,
      line(part.map(({ name, file }) => `![${plain(name)}](${target(file)})`)),
      line(part.map(({ caption }) => plain(caption))),
    );
  }
  return ["", `## ${plain(title)}`, "", plain(note), ...rows];
}

/** A leaderboard as a page of Markdown, which refers to the files of its pictures. */
export function leaderboardMarkdown(board: Leaderboard): string {
  const { data, budget, seed, date, version, machine, dataOptions, command } = board;
  const lost = withoutNumbers(board);
  const conditions = [
    `${budget} each`,
    `seed ${seed}`,
    `${board.split} split of ${significant(board.splitCount, 9)} samples`,
    ...(dataOptions === undefined ? [] : [plain(dataOptions)]),
    date.toISOString().slice(0, 10),
    `eidos ${version}`,
    plain(machine),
  ];
  return `${[
    `# Models on ${plain(data)}`,
    "",
    conditions.join(" · "),
    "",
    ...(finishedRows(board).length === 0 ? [] : markdownTable(board, leaderboardColumns(board))),
    ...(lost.length === 0 ? [] : ["", ...lost]),
    "",
    ...leaderboardNotes(board).map((note) => `- ${plain(note)}`),
    ...(finishedRows(board).length === 0 || board.measures.length === 0
      ? []
      : [
          "",
          "## All distances",
          "",
          ...markdownTable(board, distanceColumns(board)),
          "",
          ...meanings(board),
        ]),
    ...board.galleries.flatMap(gallery),
    "",
    "## Data",
    "",
    ...board.dataDescription.map((text) => `- ${plain(text)}`),
    "",
    "## Again",
    "",
    `    ${command.replaceAll("\n", " ")}`,
  ].join("\n")}\n`;
}

function meanings({ measures, controls }: Leaderboard): readonly string[] {
  return [
    ...measures.map(
      ({ name, meaning, basis }) =>
        `- ${plain(name)}: ${plain(meaning)}${basis === undefined ? "" : ` (${plain(basis)})`}`,
    ),
    ...controls.map(({ name, meaning }) => `- *${plain(name)}*: ${plain(meaning)}`),
  ];
}

/** The leaderboard as texts of one width a column, the controls below: for a terminal. */
export function leaderboardLines(board: Leaderboard): {
  readonly names: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const columns = leaderboardColumns(board).map(({ head, rows, controls }) => {
    const cells = [head, ...rows.map(({ text }) => text), ...controls];
    const width = Math.max(...cells.map((cell) => cell.length));
    return cells.map((cell) => cell.padStart(width));
  });
  const models = finishedRows(board).map(({ rank, name }) => [String(rank ?? ""), name]);
  const heads = [["#", "model"], ...models, ...board.controls.map(({ name }) => ["", name])];
  const [names = [], ...rows] = heads.map((head, i) => [...head, ...columns.map((cells) => cells[i] ?? "")]);
  return { names, rows: models.length === 0 ? [] : rows };
}

/** Names of columns, and rows of numbers that are not rounded: a leaderboard for a spreadsheet. Null is a missing one. */
export interface LeaderboardCells {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** A leaderboard as cells: models in order of rank, then the controls. */
export function leaderboardCells({
  rows,
  controls,
  measures,
  data,
  split,
  seed,
}: Leaderboard): LeaderboardCells {
  const keys = measures.map(({ key }) => key);
  const names = [
    ...["rank", "model", "status", "reason", "data", "split", "seed"],
    ...["likelihood", "nats", "bitsPerDimension", ...keys],
    ...["trainingSeconds", "steps", "weightsStep", "secondsPer1000Samples", "samplingWarm", "parameters"],
  ];
  type Entry = Pick<Extract<LeaderboardRow, { readonly status: "finished" }>, "likelihood" | "distances">;
  const measured = ({ likelihood, distances }: Partial<Entry>) => [
    likelihood?.kind ?? null,
    (likelihood?.kind === "bound" ? likelihood.atLeastNats : likelihood?.nats) ?? null,
    (likelihood?.kind === "bound" ? likelihood.atMostBitsPerDimension : likelihood?.bitsPerDimension) ?? null,
    ...keys.map((key) => distances?.[key] ?? null),
  ];
  const none = [null, null, null, null, null, null];
  return {
    names,
    rows: [
      ...rows.map((row) => [
        row.status === "finished" ? (row.rank ?? null) : null,
        row.name,
        row.status,
        row.status === "failed" ? row.reason : null,
        ...[data, split, seed],
        ...measured(row.status === "finished" ? row : {}),
        ...(row.status === "finished"
          ? [
              row.trainingSeconds,
              row.steps,
              row.weightsStep,
              row.sampling?.seconds ?? null,
              row.sampling === undefined ? null : String(row.sampling.warm),
              row.parameters,
            ]
          : none),
      ]),
      ...controls.map((control) => [
        ...[null, control.name, "control", null, data, split, seed],
        ...measured(control),
        ...none,
      ]),
    ],
  };
}
