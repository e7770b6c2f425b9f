import { dateText, escapeHtml, PictureWriter, renderPage, section, table } from "../page/page.ts";
import { VIRIDIS } from "../raster/heat.ts";
import { significant } from "../statistics.ts";
import type { Leaderboard, LeaderboardGallery, LeaderboardRow } from "./input.ts";
import {
  distanceColumns,
  finishedRows,
  leaderboardColumns,
  leaderboardNotes,
  type TableColumn,
} from "./table.ts";

/** Rules besides those of all pages. Numbers stand close, pictures in a grid of equal columns. */
const STYLE = `
main { max-width: 1240px; }
.board th, .board td { padding: 8px 10px; white-space: nowrap; }
.board thead th { vertical-align: bottom; }
.board tbody th { font-weight: 600; }
.board tbody th small, .board td.why { color: var(--muted); font-size: 13px; font-weight: 400; }
.board tbody th small { display: block; white-space: normal; }
.board td.why { white-space: normal; }
.board a { color: inherit; text-decoration: underline; text-decoration-color: var(--muted); text-underline-offset: 3px; }
.board .best { color: var(--accent); font-weight: 700; }
.board .control th, .board .control td { color: var(--muted); font-style: italic; font-weight: 400; }
.board .control + .control th, .board .control + .control td { border-top-style: dotted; }
.note { color: var(--muted); font-size: 14px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(256px, 1fr)); gap: 14px; }
.panels.few { grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); }
.panels.broad { grid-template-columns: 1fr; }
.panels figure { margin: 0; padding: 10px 12px 12px; }
.panels figcaption { margin: 0 0 8px; display: flex; justify-content: space-between; gap: 10px; align-items: baseline; }
.panels figcaption b { font-size: 14px; }
.panels figcaption span { white-space: nowrap; }
.panels img { width: 100%; }
.scale { display: flex; align-items: center; gap: 10px; margin: 14px 0 0; color: var(--muted); font-size: 13px; }
.scale i { width: 220px; height: 12px; border-radius: 3px; background: linear-gradient(to right, ${VIRIDIS.map(
  (color) => `rgb(${color.join()})`,
).join(", ")}); }
`;

/**
 * A comparison of models as one HTML page with its style and pictures inside, that loads nothing, runs no script and reads
 * well in light and dark. All text is escaped. The same input gives the same page.
 */
export function renderLeaderboard(board: Leaderboard): string {
  const pictures = new PictureWriter();
  const measured = finishedRows(board).length > 0;
  return renderPage({
    title: `Models on ${board.data}`,
    version: board.version,
    style: STYLE,
    sections: [
      header(board),
      section("Leaderboard", leaderboardTable(board) + notes(leaderboardNotes(board).map(escapeHtml))),
      ...board.galleries.map((gallery) => section(gallery.title, galleryOf(gallery, pictures))),
      section("All distances", measured && board.measures.length > 0 ? distances(board) : ""),
      section("Data", board.dataDescription.map((text) => `<p>${escapeHtml(text)}</p>`).join("\n")),
      section("Again, or on", `<pre><code>${escapeHtml(board.command)}</code></pre>`),
    ],
  });
}

function header(board: Leaderboard): string {
  const { data, dataOptions, budget, seed, split, splitCount, date, version, machine, rows } = board;
  const facts = [
    ["Models", significant(rows.length, 9), ""],
    ["Budget", budget, "each, one after the other"],
    ["Seed", String(seed), "of training, samples and measurements"],
    ["Measured on", split, `${significant(splitCount, 9)} samples`],
  ] as const;
  const cards = facts.map(
    ([name, value, detail]) =>
      `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}<small>${escapeHtml(detail)}</small></dd></div>`,
  );
  const remarks = [
    dateText(date),
    ...(dataOptions === undefined ? [] : [escapeHtml(dataOptions)]),
    `eidos ${escapeHtml(version)}`,
    escapeHtml(machine),
  ];
  return `<header>
<h1>Models <span>on</span> ${escapeHtml(data)}</h1>
<p>${remarks.join(" · ")}</p>
</header>
<dl class="figures">\n${cards.join("\n")}\n</dl>`;
}

function heads(columns: readonly TableColumn[]): string {
  return [
    '<th class="number">#</th><th>model</th>',
    ...columns.map(
      ({ head, title }) => `<th class="number" title="${escapeHtml(title)}">${escapeHtml(head)}</th>`,
    ),
  ].join("");
}

function nameOf(row: LeaderboardRow): string {
  const name = escapeHtml(row.name);
  if (row.status !== "finished") return name;
  const linked =
    row.report === undefined ? name : `<a href="${escapeHtml(encodeURI(row.report))}">${name}</a>`;
  return row.options === undefined ? linked : `${linked}<small>${escapeHtml(row.options)}</small>`;
}

/** Rows of the models that have numbers, and of the controls. */
function measuredRows(board: Leaderboard, columns: readonly TableColumn[]): readonly string[] {
  const models = finishedRows(board).map((row, i) => {
    const cells = columns.map(({ rows }) => {
      const { text = "", best = false } = rows[i] ?? {};
      return `<td class="number${best ? " best" : ""}">${escapeHtml(text)}</td>`;
    });
    return `<tr><td class="number">${row.rank ?? ""}</td><th scope="row">${nameOf(row)}</th>${cells.join("")}</tr>`;
  });
  const controls = board.controls.map(({ name, meaning }, i) => {
    const cells = columns.map(
      ({ controls: texts }) => `<td class="number">${escapeHtml(texts[i] ?? "")}</td>`,
    );
    return `<tr class="control"><td></td><th scope="row" title="${escapeHtml(meaning)}">${escapeHtml(name)}</th>${cells.join("")}</tr>`;
  });
  return [...models, ...controls];
}

function leaderboardTable(board: Leaderboard): string {
  const columns = leaderboardColumns(board);
  const lost = board.rows.flatMap((row) => {
    if (row.status === "finished") return [];
    const why = row.status === "failed" ? row.reason : "not done yet";
    return [
      `<tr><td></td><th scope="row">${nameOf(row)}</th><td class="why" colspan="${columns.length}">${escapeHtml(why)}</td></tr>`,
    ];
  });
  return boardTable(columns, [...measuredRows(board, columns), ...lost]);
}

function boardTable(columns: readonly TableColumn[], rows: readonly string[]): string {
  return `<div class="board">${table(heads(columns), rows)}</div>`;
}

function distances(board: Leaderboard): string {
  const columns = distanceColumns(board);
  const meanings = [
    ...board.measures.map(
      ({ name, meaning, basis }) =>
        `<b>${escapeHtml(name)}</b>: ${escapeHtml(meaning)}${basis === undefined ? "" : ` (${escapeHtml(basis)})`}`,
    ),
    ...board.controls.map(({ name, meaning }) => `<b>${escapeHtml(name)}</b>: ${escapeHtml(meaning)}`),
  ];
  return boardTable(columns, measuredRows(board, columns)) + notes(meanings);
}

/** A list of remarks, in HTML. */
function notes(items: readonly string[]): string {
  return `\n<ul class="notes">\n${items.map((item) => `<li>${item}</li>`).join("\n")}\n</ul>`;
}

function galleryOf({ note, panels, top, wide }: LeaderboardGallery, pictures: PictureWriter): string {
  if (panels.length === 0) return "";
  const figures = panels.map(({ name, caption, picture }) => {
    const text = `<figcaption><b>${escapeHtml(name)}</b><span>${escapeHtml(caption)}</span></figcaption>`;
    return `<figure>${text}${pictures.picture(picture, `${name}. ${caption}`)}</figure>`;
  });
  const layout = wide ? " broad" : panels.length <= 3 ? " few" : "";
  const scale =
    top === undefined
      ? ""
      : `\n<p class="scale">0 <i></i> ${significant(top, 2)} and above, per unit area</p>`;
  return `<p class="note">${escapeHtml(note)}</p>\n<div class="panels${layout}">\n${figures.join("\n")}\n</div>${scale}`;
}
