import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { language, number, t } from "../i18n/index.ts";
import { saveFile } from "../playground/download.ts";
import { showValue } from "../runs/curves.ts";
import { Check, Range } from "../ui/fields.tsx";
import { ClassChoice, CountChoice, flagsOf, given, SeedChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { TableDrop } from "./drop.tsx";
import { Grid, type GridCell } from "./grid.tsx";
import { literal } from "./literal.ts";
import { type Cell, csvOf, type Table, type TableRow } from "./tables.ts";
import { askRun, useAsking } from "./work.ts";

const MOST_DRAWS = 50;

/** Rows that are shown at most; all of them are filled in. */
const SHOWN = 200;

/** Rows that are drawn as an example. */
const EXAMPLE = 12;

/** A table with gaps, and what was drawn for them. */
interface Gapped {
  readonly table: Table;
  /** Cells that the reader has made gaps, as `row column`, beside those of the table. */
  readonly hidden: ReadonlySet<string>;
  /** Each row once for each draw; undefined before anything was drawn. */
  readonly filled?: { readonly draws: number; readonly rows: readonly TableRow[] };
}

const placeOf = (row: number, column: string): string => `${row} ${column}`;

const shown = (cell: Cell): string =>
  typeof cell === "number" ? showValue(cell, language.value) : String(cell ?? "");

/** The missing cells of a table, drawn given the other cells of their rows. */
export function Impute({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const gapped = useSignal<Gapped | undefined>(undefined);
  const draws = useSignal(5);
  const seed = useSignal(0);
  const label = useSignal("");
  const draw = useSignal(0);
  const isGapsOnly = useSignal(true);
  const reading = useAsking();
  const filling = useAsking();
  const now = gapped.value;
  const known = new Set(
    model.sample.kind === "rows" ? model.sample.columns.map((column) => column.name) : [],
  );
  const begin = (table: Table): void => {
    gapped.value = { table, hidden: new Set() };
  };
  const isGap = ({ table, hidden }: Gapped, row: number, column: string): boolean =>
    known.has(column) && ((table.rows[row]?.[column] ?? null) === null || hidden.has(placeOf(row, column)));
  const hasGap = (held: Gapped, row: number): boolean =>
    held.table.columns.some((column) => isGap(held, row, column));
  const options = { draws: draws.value, seed: seed.value, ...given("label", label.value) };
  const fill = (held: Gapped): Promise<void> =>
    filling.run(async () => {
      const { table } = held;
      const rows = table.rows.map((row, i) =>
        Object.fromEntries(
          table.columns.map((column) => [column, isGap(held, i, column) ? null : (row[column] ?? null)]),
        ),
      );
      const made = await askRun<{ rows: readonly TableRow[] }>(name, "impute", { rows, ...options });
      draw.value = 0;
      gapped.value = { ...held, filled: { draws: options.draws, rows: made.rows } };
    });
  const all = now?.table.rows.map((_, row) => row) ?? [];
  const withGaps = now === undefined ? [] : all.filter((row) => hasGap(now, row));
  const rows = (isGapsOnly.value && withGaps.length > 0 ? withGaps : all).slice(0, SHOWN);
  const gaps =
    now === undefined
      ? 0
      : withGaps.reduce(
          (sum, row) => sum + now.table.columns.filter((column) => isGap(now, row, column)).length,
          0,
        );
  const cellOf =
    (held: Gapped) =>
    (row: number, column: string): GridCell => {
      if (!isGap(held, row, column)) return { value: held.table.rows[row]?.[column] ?? null, isGap: false };
      const { filled } = held;
      if (filled === undefined) return { value: null, isGap: true };
      const drawn = Array.from(
        { length: filled.draws },
        (_, i) => filled.rows[row * filled.draws + i]?.[column] ?? null,
      );
      return {
        value: drawn[draw.value] ?? null,
        isGap: true,
        note: t("use.draws-of", { column, values: drawn.map(shown).join(", ") }),
      };
    };
  const file = now?.table.name ?? "gaps.csv";
  return (
    <section class="card" aria-labelledby="use-impute">
      <h2 id="use-impute">{t("use.impute")}</h2>
      <TableDrop
        model={model}
        isBusy={reading.isBusy.value}
        onTable={(read) => void reading.run(async () => begin(await read()))}
      />
      <div class="row">
        {model.abilities.includes("sample") && model.given.length === 0 && (
          <button
            type="button"
            disabled={reading.isBusy.value}
            onClick={() =>
              void reading.run(async () => {
                const drawn = await askRun<{ rows: readonly TableRow[] }>(name, "sample", {
                  count: EXAMPLE,
                  seed: seed.value,
                });
                begin({ name: "gaps.csv", columns: Object.keys(drawn.rows[0] ?? {}), rows: drawn.rows });
                isGapsOnly.value = false;
              })
            }
          >
            {t("use.example")}
          </button>
        )}
        <p role="alert">{reading.said.value || filling.said.value}</p>
      </div>
      <div class="controls">
        <CountChoice count={draws} label={t("use.draws")} most={MOST_DRAWS} />
        <SeedChoice seed={seed} />
        <ClassChoice model={model} label={label} />
      </div>
      {now !== undefined && (
        <>
          <p role="status">
            {t("use.gaps", {
              gaps: number(gaps),
              rows: number(withGaps.length),
              all: number(now.table.rows.length),
            })}
          </p>
          <div class="row">
            <button
              type="button"
              class="primary"
              disabled={filling.isBusy.value || gaps === 0}
              onClick={() => void fill(now)}
            >
              {filling.isBusy.value ? t("use.busy") : t("use.fill")}
            </button>
            <Check
              label={t("use.gaps-only")}
              checked={isGapsOnly.value}
              onChange={(checked) => {
                isGapsOnly.value = checked;
              }}
            />
            {now.filled !== undefined && (
              <button
                type="button"
                onClick={() => {
                  const { filled } = now;
                  if (filled === undefined) return;
                  const columns = [...now.table.columns, "draw"];
                  const lines = filled.rows.map((row) => columns.map((column) => row[column]));
                  saveFile("filled.csv", csvOf(columns, lines));
                }}
              >
                {t("use.save-csv")}
              </button>
            )}
          </div>
          {now.filled !== undefined && now.filled.draws > 1 && (
            <Range
              label={t("use.shown-draw")}
              min={1}
              max={now.filled.draws}
              step={1}
              value={draw.value + 1}
              shown={number(draw.value + 1)}
              onChange={(value) => {
                draw.value = value - 1;
              }}
            />
          )}
          <p class="hint">{t("use.grid-help")}</p>
          <Grid
            label={t("use.grid", { name: file })}
            columns={now.table.columns}
            rows={rows}
            cell={cellOf(now)}
            onToggle={(row, column) => {
              if (!known.has(column) || model.given.includes(column)) return;
              if ((now.table.rows[row]?.[column] ?? null) === null) return;
              const hidden = new Set(now.hidden);
              const place = placeOf(row, column);
              if (!hidden.delete(place)) hidden.add(place);
              gapped.value = { table: now.table, hidden };
            }}
          />
        </>
      )}
      <Command
        name={name}
        verb="impute"
        words={[file, ...flagsOf(options), "--out", "filled.csv"]}
        code={[`const { names, rows } = await run.impute(${literal(file)}, ${literal(options)});`]}
      />
    </section>
  );
}
