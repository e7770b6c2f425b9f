import { useSignal } from "@preact/signals";
import type { OddRow, UsableModel } from "eidos/serve";
import { Fragment } from "preact";
import { language, number, t } from "../i18n/index.ts";
import { saveFile } from "../playground/download.ts";
import { showValue } from "../runs/curves.ts";
import { Command } from "./command.tsx";
import { TableDrop } from "./drop.tsx";
import { oddestFirst, type Scored } from "./oddest.ts";
import { ScorePictures } from "./score-pictures.tsx";
import { type Cell, csvOf, type Table } from "./tables.ts";
import { askRun, useAsking } from "./work.ts";

/** Rows that are shown at first, and more of them each time. */
const SHOWN = 100;

/** A table whose rows are ranked. */
interface Ranked {
  readonly table: Table;
  /** Nats of each row; null where it is impossible. */
  readonly scores: readonly (number | null)[];
  /** Positions of rows, the oddest first. */
  readonly order: readonly number[];
}

const shown = (cell: Cell): string =>
  cell === null
    ? t("use.missing")
    : typeof cell === "number"
      ? showValue(cell, language.value)
      : String(cell);

/** Cells that are told of a row, at most. */
const MOST_REASONS = 5;

/** Why a row is odd: a bar for each cell that adds something. */
function Reasons({ reasons }: Pick<OddRow, "reasons">) {
  const told = reasons.filter(({ nats }) => nats === null || nats > 0).slice(0, MOST_REASONS);
  const most = Math.max(1, ...told.map(({ nats }) => nats ?? 0));
  if (told.length === 0) return <p>{t("use.reasons.none")}</p>;
  return (
    <ul class="reasons">
      {told.map(({ column, cell, nats, usual }) => (
        <li key={column}>
          <span class="nats" style={{ inlineSize: `${nats === null ? 100 : (100 * nats) / most}%` }} />
          <span>
            {nats === null
              ? t("use.reason.impossible", { column, cell: shown(cell), usual: shown(usual) })
              : t("use.reason", { column, cell: shown(cell), nats: number(nats, 1), usual: shown(usual) })}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** What a row is asked for. */
type Why =
  | { readonly kind: "asked"; readonly row: number }
  | { readonly kind: "told"; readonly row: number; readonly reasons: OddRow["reasons"] };

function Ranking({
  name,
  model,
  ranked,
}: {
  readonly name: string;
  readonly model: UsableModel;
  readonly ranked: Ranked;
}) {
  const { table, scores, order } = ranked;
  const most = useSignal(SHOWN);
  const why = useSignal<Why | undefined>(undefined);
  const asking = useAsking();
  const ask = (row: number): void => {
    if (why.value?.row === row) {
      why.value = undefined;
      return;
    }
    why.value = { kind: "asked", row };
    void asking.run(async () => {
      const rows = [table.rows[row]];
      const [told] = (await askRun<Scored>(name, "score", { rows, why: 1 })).why ?? [];
      if (told !== undefined && why.value?.row === row)
        why.value = { kind: "told", row, reasons: told.reasons };
    });
  };
  const told = why.value;
  return (
    <>
      <p role="alert">{asking.said.value}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys */}
      <section class="scroll" tabIndex={0} aria-label={t("use.ranking", { name: table.name })}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("use.rank")}</th>
              <th scope="col">{t("use.nats")}</th>
              {table.columns.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {order.slice(0, most.value).map((row, rank) => (
              <Fragment key={row}>
                <tr
                  class={told?.row === row ? "shown" : undefined}
                  onClick={model.reasons ? () => ask(row) : undefined}
                >
                  <td>
                    {model.reasons ? (
                      <button
                        type="button"
                        class="quiet"
                        aria-expanded={told?.row === row}
                        aria-label={t("use.why", { rank: number(rank + 1), row: number(row + 1) })}
                      >
                        {number(rank + 1)}
                      </button>
                    ) : (
                      number(rank + 1)
                    )}
                  </td>
                  <td class="figure">
                    {scores[row] === null ? "−∞" : showValue(scores[row] ?? 0, language.value)}
                  </td>
                  {table.columns.map((column) => {
                    const cell = table.rows[row]?.[column] ?? null;
                    const isOdd =
                      told?.kind === "told" && told.row === row && told.reasons[0]?.column === column;
                    return (
                      <td
                        key={column}
                        class={`${typeof cell === "number" ? "figure" : ""}${isOdd ? " odd" : ""}`}
                      >
                        {cell === null ? "" : shown(cell)}
                      </td>
                    );
                  })}
                </tr>
                {told?.row === row && (
                  <tr class="shown">
                    <td colSpan={2 + table.columns.length} class="why">
                      {told.kind === "told" ? (
                        <Reasons reasons={told.reasons} />
                      ) : (
                        <p role="status">{t("use.busy")}</p>
                      )}
                    </td>
                  </tr>
                )}
              </Fragment>
            ))}
          </tbody>
        </table>
      </section>
      <div class="row">
        {most.value < order.length && (
          <button
            type="button"
            onClick={() => {
              most.value += SHOWN;
            }}
          >
            {t("use.more")}
          </button>
        )}
        <button
          type="button"
          onClick={() => {
            const columns = ["rank", "logLikelihood", ...table.columns];
            const lines = order.map((row, rank) => [
              rank + 1,
              scores[row],
              ...table.columns.map((column) => table.rows[row]?.[column]),
            ]);
            saveFile("ranking.csv", csvOf(columns, lines));
          }}
        >
          {t("use.save-csv")}
        </button>
      </div>
    </>
  );
}

function ScoreTable({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const ranked = useSignal<Ranked | undefined>(undefined);
  const asking = useAsking();
  const now = ranked.value;
  const file = now?.table.name ?? "rows.csv";
  return (
    <>
      <TableDrop
        model={model}
        isBusy={asking.isBusy.value}
        onTable={(read) =>
          void asking.run(async () => {
            const table = await read();
            const { logLikelihood } = await askRun<Scored>(name, "score", { rows: table.rows });
            ranked.value = { table, scores: logLikelihood, order: oddestFirst(logLikelihood) };
          })
        }
      />
      <p role="alert">{asking.said.value}</p>
      {now !== undefined && (
        <>
          <p role="status">
            {t(model.reasons ? "use.ranked" : "use.ranked.plain", {
              name: file,
              count: number(now.order.length),
            })}
          </p>
          <Ranking key={now.table.name} name={name} model={model} ranked={now} />
        </>
      )}
      <Command
        name={name}
        verb="score"
        words={[file, "--anomaly"]}
        code={[`const { order, why } = await run.anomalies(${JSON.stringify(file)}, { why: 20 });`]}
      />
    </>
  );
}

/** Rows of a table, or pictures, from the oddest to the most usual. */
export function Score({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  return (
    <section class="card" aria-labelledby="use-score">
      <h2 id="use-score">{t("use.score")}</h2>
      {model.sample.kind === "rows" ? (
        <ScoreTable name={name} model={model} />
      ) : (
        <ScorePictures name={name} />
      )}
    </section>
  );
}
