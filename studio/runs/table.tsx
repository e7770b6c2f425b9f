import { signal } from "@preact/signals";
import type { ListedRun } from "eidos/serve";
import { language, number, type TextKey, t } from "../i18n/index.ts";
import { MOST_SHOWN } from "./address.ts";
import { showValue } from "./curves.ts";
import { list, toggleShown, view } from "./store.ts";

/** A column by which runs are sorted: its name, and the value that decides. */
interface Column {
  readonly id: string;
  readonly name: TextKey;
  readonly isNumber?: true;
  value(run: Exclude<ListedRun, { fault: string }>): string | number;
}

const COLUMNS: readonly Column[] = [
  { id: "name", name: "runs.column.name", value: ({ name }) => name },
  { id: "model", name: "runs.column.model", value: ({ model }) => model },
  { id: "data", name: "runs.column.data", value: ({ data }) => data },
  { id: "status", name: "runs.column.status", value: ({ status }) => status },
  { id: "step", name: "runs.column.step", isNumber: true, value: ({ step }) => step },
  { id: "seconds", name: "runs.column.time", isNumber: true, value: ({ seconds }) => seconds },
  {
    id: "best",
    name: "runs.column.best",
    isNumber: true,
    value: ({ best }) => best?.value ?? Number.POSITIVE_INFINITY,
  },
  { id: "created", name: "runs.column.created", value: ({ created }) => created },
];

const STATUS: Readonly<Record<Exclude<ListedRun, { fault: string }>["status"], TextKey>> = {
  finished: "runs.status.finished",
  stopped: "runs.status.stopped",
  "being fitted": "runs.status.fitted",
  "not begun": "runs.status.not-begun",
  imported: "runs.status.imported",
};

const order = signal<{ readonly id: string; readonly down: boolean }>({ id: "created", down: true });

/** Text that runs must hold to be listed. */
const wanted = signal("");

function sortBy(id: string): void {
  order.value = { id, down: order.value.id === id ? !order.value.down : false };
}

function compare(a: ListedRun, b: ListedRun): number {
  // What cannot be read stands at the end.
  if ("fault" in a || "fault" in b) return Number("fault" in a) - Number("fault" in b);
  const column = COLUMNS.find(({ id }) => id === order.value.id);
  const [left, right] = [column?.value(a) ?? 0, column?.value(b) ?? 0];
  const sign =
    typeof left === "number" && typeof right === "number"
      ? left - right
      : String(left).localeCompare(String(right), language.value, { numeric: true });
  return order.value.down ? -sign : sign;
}

function holds(run: ListedRun, words: readonly string[]): boolean {
  const texts =
    "fault" in run ? [run.name] : [run.name, run.model, run.data, ...run.tags, t(STATUS[run.status])];
  const all = texts.join(" ").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** Seconds as h:mm:ss or m:ss. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function Line({ run }: { readonly run: ListedRun }) {
  const at = view.value.shown.indexOf(run.name);
  const isFull = at < 0 && view.value.shown.length >= MOST_SHOWN;
  const isFaulty = "fault" in run;
  return (
    <tr class={at >= 0 ? "shown" : undefined}>
      <th scope="row">
        <label class="choice">
          <input
            type="checkbox"
            checked={at >= 0}
            disabled={isFaulty || isFull}
            onChange={() => toggleShown(run.name)}
          />
          <span class={at >= 0 ? `swatch line-${at + 1}` : "swatch"} aria-hidden="true" />
          <span>{run.name}</span>
        </label>
        {run.tags.map((tag) => (
          <span key={tag} class="tag">
            {tag}
          </span>
        ))}
      </th>
      {"fault" in run ? (
        <td colSpan={COLUMNS.length - 1} class="fault">
          {run.fault}
        </td>
      ) : (
        <>
          <td>{run.model}</td>
          <td>{run.data}</td>
          <td>
            <span class={`status ${run.status.replace(" ", "-")}`}>{t(STATUS[run.status])}</span>
          </td>
          <td class="figure">{number(run.step)}</td>
          <td class="figure">{duration(run.seconds)}</td>
          <td class="figure">
            {run.best === undefined ? "" : `${run.best.name} ${showValue(run.best.value, language.value)}`}
          </td>
          <td class="figure">
            {new Date(run.created).toLocaleString(language.value, { dateStyle: "short", timeStyle: "short" })}
          </td>
        </>
      )}
    </tr>
  );
}

/** All runs of the folder: sorted, filtered, chosen. */
export function RunTable() {
  const all = list.value?.runs ?? [];
  const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((run) => holds(run, words)).toSorted(compare);
  return (
    <section class="card" aria-labelledby="runs-list">
      <div class="tools">
        <h2 id="runs-list">{t("runs.list")}</h2>
        <label class="search">
          <span>{t("runs.filter")}</span>
          <input
            type="search"
            value={wanted.value}
            onInput={(event) => {
              wanted.value = event.currentTarget.value;
            }}
          />
        </label>
        <p class="hint" role="status">
          {t("runs.count", { shown: found.length, all: all.length })}
        </p>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys */}
      <div class="scroll" tabIndex={0}>
        <table>
          <thead>
            <tr>
              {COLUMNS.map(({ id, name, isNumber }) => {
                const { id: sorted, down } = order.value;
                const sort = sorted !== id ? "none" : down ? "descending" : "ascending";
                return (
                  <th key={id} scope="col" aria-sort={sort} class={isNumber && "figure"}>
                    <button type="button" onClick={() => sortBy(id)}>
                      {t(name)}
                      <span aria-hidden="true">{sort === "none" ? "" : down ? " ↓" : " ↑"}</span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {found.map((run) => (
              <Line key={run.name} run={run} />
            ))}
          </tbody>
        </table>
      </div>
      {view.value.shown.length >= MOST_SHOWN && <p class="hint">{t("runs.most", { count: MOST_SHOWN })}</p>}
    </section>
  );
}
