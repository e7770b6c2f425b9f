import { batch, computed, effect, signal } from "@preact/signals";
import type { ListedRun, RunDetails, RunList, RunNotes } from "eidos/serve";
import { ask, ServerError, send } from "../ui/server.ts";
import { decodeView, encodeView, INITIAL_VIEW, MOST_SHOWN, type RunsView } from "./address.ts";
import { firstMeasure, NO_ROWS, type Rows, withRows } from "./curves.ts";
import { readFits } from "./fits.ts";

// The runs that the page knows of, kept up to date while they are looked at.

/** Milliseconds between two looks at the runs. */
const EVERY = 1000;

/** The list as it came last; undefined before. */
export const list = signal<RunList | undefined>(undefined);

/** Why the server did not answer; empty where it cannot be reached. */
export const failure = signal<string | undefined>(undefined);

export const view = signal<RunsView>(INITIAL_VIEW);

export const rowsByRun = signal<ReadonlyMap<string, Rows>>(new Map());

export const detailsByRun = signal<ReadonlyMap<string, RunDetails>>(new Map());

/** Runs that are shown, as far as the list has them. */
export const shown = computed(() =>
  view.value.shown.flatMap((name) => list.value?.runs.find((run) => run.name === name) ?? []),
);

/** The measure of the curves. */
export const measure = computed(
  () =>
    view.value.measure ?? firstMeasure(shown.value.flatMap(({ name }) => rowsByRun.value.get(name) ?? [])),
);

export function changeView(values: Partial<RunsView>): void {
  view.value = { ...view.value, ...values };
}

/** Shows a run, or no longer. */
export function toggleShown(name: string): void {
  const names = view.value.shown;
  if (names.includes(name)) changeView({ shown: names.filter((other) => other !== name) });
  else if (names.length < MOST_SHOWN) changeView({ shown: [...names, name] });
}

function put<V>(to: { value: ReadonlyMap<string, V> }, name: string, value: V): void {
  to.value = new Map([...to.value, [name, value]]);
}

async function readDetails(name: string): Promise<void> {
  put(detailsByRun, name, await ask<RunDetails>(`runs/${encodeURIComponent(name)}`));
}

/** Reads the rows that are new. */
async function readRows(name: string): Promise<void> {
  for (;;) {
    const known = rowsByRun.peek().get(name) ?? NO_ROWS;
    const from = known.rows.length;
    const found = await ask<Parameters<typeof withRows>[1]>(
      `runs/${encodeURIComponent(name)}/metrics?from=${from}`,
    );
    const rows = withRows(known, found);
    put(rowsByRun, name, rows ?? NO_ROWS);
    if (rows !== undefined && rows.rows.length >= found.total) return;
    // What is gone is not asked for for ever.
    if (rows !== undefined && found.rows.length === 0) return;
  }
}

/** How a run stood when its rows were read. */
const seen = new Map<string, string>();

const standing = (run: ListedRun): string =>
  "fault" in run ? run.fault : `${run.created} ${run.status} ${run.step} ${run.bytes}`;

async function look(): Promise<void> {
  try {
    const found = await ask<RunList>("runs");
    await readFits();
    batch(() => {
      list.value = found;
      failure.value = undefined;
    });
    for (const run of shown.peek()) {
      if ("fault" in run || seen.get(run.name) === standing(run)) continue;
      const now = standing(run);
      await readRows(run.name);
      await readDetails(run.name);
      seen.set(run.name, now);
    }
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    failure.value = error.message;
  }
}

/** Writes notes, and shows them. @throws ServerError */
export async function saveNotes(name: string, notes: RunNotes): Promise<void> {
  await send("PUT", `runs/${encodeURIComponent(name)}/notes`, notes);
  await readDetails(name);
  await look();
}

/** Moves a run into the trash. @returns where it is now @throws ServerError */
export async function discardRun(name: string): Promise<string> {
  const { place } = await send<{ place: string }>("POST", `runs/${encodeURIComponent(name)}/trash`, {});
  changeView({ shown: view.value.shown.filter((other) => other !== name) });
  await look();
  return place;
}

const ROOM = "#/runs";

function readAddress(): void {
  const at = location.hash.indexOf("?");
  view.value = decodeView(at < 0 ? "" : location.hash.slice(at + 1));
}

/** Watches the runs until the returned function is called. */
export function watchRuns(): () => void {
  readAddress();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  let looking: Promise<void> = Promise.resolve();
  const again = (): void => {
    clearTimeout(timer);
    looking = looking.then(async () => {
      if (isOver) return;
      // A page that is not seen asks for nothing.
      if (document.visibilityState === "visible") await look();
      clearTimeout(timer);
      if (!isOver) timer = setTimeout(again, EVERY);
    });
  };
  const stopChosen = effect(() => {
    view.value.shown;
    again();
  });
  const stopAddress = effect(() => {
    const text = encodeView(view.value);
    const address = text === "" ? ROOM : `${ROOM}?${text}`;
    if (address !== location.hash) history.replaceState(null, "", address);
  });
  const onHash = (): void => {
    if (location.hash.startsWith(ROOM)) readAddress();
  };
  addEventListener("hashchange", onHash);
  return () => {
    isOver = true;
    clearTimeout(timer);
    stopChosen();
    stopAddress();
    removeEventListener("hashchange", onHash);
  };
}
