import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { showValue } from "../runs/curves.ts";
import type { Cell } from "./tables.ts";

/** A cell as a grid shows it. */
export interface GridCell {
  readonly value: Cell;
  /** A gap of the table, which `value` fills where it is not null. */
  readonly isGap: boolean;
  /** What else is to be known of it. */
  readonly note?: string;
}

interface GridProps {
  readonly label: string;
  readonly columns: readonly string[];
  /** Numbers of the rows in the table, from 0. */
  readonly rows: readonly number[];
  readonly cell: (row: number, column: string) => GridCell;
  /** Makes a cell a gap, or fills in what stood there before. */
  readonly onToggle: (row: number, column: string) => void;
}

const MOVES: Readonly<Record<string, readonly [down: number, right: number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Cells in rows and columns, of which one has the focus: arrow keys move it, Enter and Space make its cell a gap. */
export function Grid({ label, columns, rows, cell, onToggle }: GridProps) {
  const at = useSignal<readonly [row: number, column: number]>([0, 0]);
  const table = useRef<HTMLTableElement>(null);
  const go = (row: number, column: number): void => {
    const to = [
      Math.max(0, Math.min(rows.length - 1, row)),
      Math.max(0, Math.min(columns.length - 1, column)),
    ] as const;
    at.value = to;
    table.current?.querySelector<HTMLElement>(`[data-at="${to.join()}"]`)?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const [row, column] = at.value;
    const move = MOVES[event.key];
    if (move !== undefined) go(row + move[0], column + move[1]);
    else if (event.key === "Home") go(row, 0);
    else if (event.key === "End") go(row, columns.length - 1);
    else if (event.key === "Enter" || event.key === " " || event.key === "Delete") {
      const [number, name] = [rows[row], columns[column]];
      if (number !== undefined && name !== undefined) onToggle(number, name);
    } else return;
    event.preventDefault();
  };
  const [focused, inColumn] = at.value;
  const current = `${Math.min(focused, rows.length - 1)},${Math.min(inColumn, columns.length - 1)}`;
  return (
    <div class="scroll">
      {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: its cells are walked through and changed by keys */}
      <table ref={table} role="grid" class="cells" aria-label={label} onKeyDown={onKeyDown}>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((number, row) => (
            <tr key={number}>
              {columns.map((name, column) => {
                const { value, isGap, note } = cell(number, name);
                const text =
                  typeof value === "number" ? showValue(value, language.value) : String(value ?? "");
                const place = `${row},${column}`;
                return (
                  // biome-ignore lint/a11y/useKeyWithClickEvents: the table takes the keys of all its cells
                  <td
                    key={name}
                    // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a cell of a grid
                    role="gridcell"
                    data-at={place}
                    tabIndex={place === current ? 0 : -1}
                    class={`${typeof value === "number" ? "figure" : ""}${isGap ? (value === null ? " gap" : " made") : ""}`}
                    title={note}
                    onClick={() => {
                      at.value = [row, column];
                      onToggle(number, name);
                    }}
                    onFocus={() => {
                      at.value = [row, column];
                    }}
                  >
                    {isGap && value === null ? t("use.gap") : text}
                    {isGap && value !== null && <span class="unseen">{t("use.made")}</span>}
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
