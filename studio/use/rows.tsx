import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { useId } from "preact/hooks";
import { language, number, t } from "../i18n/index.ts";
import { showValue } from "../runs/curves.ts";
import { Select } from "../ui/fields.tsx";
import { askRun, useAsking } from "./work.ts";

// Samples that are rows of named columns: points of a plane among them.

export type Cell = string | number | null;

export type Row = Readonly<Record<string, Cell>>;

type Column = Extract<UsableModel["sample"], { kind: "rows" }>["columns"][number];

/** The columns of a model's rows; none where its samples are pictures. */
export function columnsOf({ sample }: UsableModel): readonly Column[] {
  return sample.kind === "rows" ? sample.columns : [];
}

/** The two columns by which rows are points of a plane. */
export function planeOf(model: UsableModel): readonly [x: string, y: string] | undefined {
  const [x, y, ...others] = columnsOf(model);
  if (x?.kind !== "numeric" || y?.kind !== "numeric" || others.length > 0) return undefined;
  return [x.name, y.name];
}

const shown = (cell: Cell): string =>
  cell === null ? "" : typeof cell === "number" ? showValue(cell, language.value) : cell;

/** Rows as a table. @param chosen the row that stands out */
export function RowsTable({ rows, chosen }: { readonly rows: readonly Row[]; readonly chosen?: number }) {
  const names = Object.keys(rows[0] ?? {});
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys
    <div class="scroll" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {names.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i} aria-current={i === chosen ? "true" : undefined}>
              {names.map((name) => {
                const cell = row[name] ?? null;
                return (
                  <td key={name} class={typeof cell === "number" ? "figure" : undefined}>
                    {shown(cell)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface PlaneProps {
  readonly label: string;
  readonly plane: readonly [x: string, y: string];
  readonly rows: readonly Row[];
  /** Rows that stand out. */
  readonly marked?: readonly Row[];
  /** What has its place in the picture beside them, so that it stays the same from one state to the next. */
  readonly room?: readonly Row[];
}

/** Sides of a picture of points, and what is left free at its edge. */
const [SIDE, EDGE] = [100, 4];

/** Rows as points of a plane, the second column upwards. */
export function Plane({ label, plane: [x, y], rows, marked = [], room = [] }: PlaneProps) {
  const all = [...rows, ...marked, ...room];
  const along = (name: string): ((row: Row) => number | undefined) => {
    const values = all.flatMap((row) => (typeof row[name] === "number" ? [row[name]] : []));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const span = most - least || 1;
    return (row) => {
      const value = row[name];
      return typeof value === "number" ? EDGE + ((value - least) / span) * (SIDE - 2 * EDGE) : undefined;
    };
  };
  const [across, up] = [along(x), along(y)];
  const point = (row: Row, kind: string, key: number) => {
    const [left, height] = [across(row), up(row)];
    if (left === undefined || height === undefined) return null;
    return (
      <circle
        key={`${kind}${key}`}
        class={kind}
        cx={left}
        cy={SIDE - height}
        r={kind === "marked" ? 1.6 : 0.9}
      />
    );
  };
  return (
    <svg class="plane" viewBox={`0 0 ${SIDE} ${SIDE}`} role="img" aria-label={label}>
      {rows.map((row, i) => point(row, "point", i))}
      {marked.map((row, i) => point(row, "marked", i))}
    </svg>
  );
}

interface SourceProps {
  readonly name: string;
  readonly model: UsableModel;
  /** What the row is for. */
  readonly label: string;
  readonly row: Row | undefined;
  readonly onRow: (row: Row) => void;
}

/** Where a row comes from: typed in, cell by cell, or drawn by the model. */
export function RowSource({ name, model, label, row, onRow }: SourceProps) {
  const seed = useSignal(0);
  /** Cells as they were typed, which a number does not keep: "7.", "1e". */
  const typed = useSignal<Readonly<Record<string, string>>>({});
  const asking = useAsking();
  const id = useId();
  const columns = columnsOf(model);
  const draw = (): Promise<void> =>
    asking.run(async () => {
      const { rows } = await askRun<{ rows: readonly Row[] }>(name, "sample", { count: 1, seed: seed.value });
      const [drawn] = rows;
      seed.value++;
      typed.value = {};
      if (drawn !== undefined) onRow(drawn);
    });
  const change = (column: string, cell: Cell): void => {
    const empty = Object.fromEntries(columns.map((one): [string, Cell] => [one.name, null]));
    onRow({ ...empty, ...row, [column]: cell });
  };
  return (
    <fieldset class="source">
      <legend>{label}</legend>
      {model.abilities.includes("sample") && (
        <button type="button" disabled={asking.isBusy.value} onClick={() => void draw()}>
          {t("use.draw-row", { seed: number(seed.value) })}
        </button>
      )}
      <div class="controls cells">
        {columns.map((column) => {
          const cell = row?.[column.name] ?? null;
          if (column.kind === "categorical") {
            return (
              <Select
                key={column.name}
                label={column.name}
                value={cell === null ? "" : String(cell)}
                options={["", ...column.categories].map((value) => ({ value, text: value }))}
                onChange={(value) => change(column.name, value === "" ? null : value)}
              />
            );
          }
          const field = `${id}-${column.name}`;
          return (
            <div key={column.name} class="field">
              <label for={field}>{column.name}</label>
              <input
                id={field}
                type="text"
                value={typed.value[column.name] ?? cell ?? ""}
                onInput={(event) => {
                  typed.value = { ...typed.value, [column.name]: event.currentTarget.value };
                  const text = event.currentTarget.value.trim();
                  // Dates and the like are texts, which the server reads.
                  const value = Number(text);
                  change(column.name, text === "" ? null : Number.isNaN(value) ? text : value);
                }}
              />
            </div>
          );
        })}
      </div>
      <p role="alert">{asking.said.value}</p>
    </fieldset>
  );
}
