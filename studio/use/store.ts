import { batch, effect, signal } from "@preact/signals";
import type { ListedRun, RunList, ServedAbility, UsableModel } from "eidos/serve";
import { ask, ServerError } from "../ui/server.ts";

// The run that is used, and what its model can do.

/** Runs that have weights, as far as the list tells. */
export const usable = signal<readonly ListedRun[]>([]);

export const folder = signal("");

/** The run that is used; empty before one is chosen. */
export const chosen = signal("");

/** What the run is used for; undefined: what comes first. */
export const wanted = signal<string | undefined>(undefined);

/** What a model is first used for. */
export function firstAbility({ abilities }: UsableModel): ServedAbility | undefined {
  return abilities.find((ability) => ability === "detect" || ability === "sample") ?? abilities[0];
}

export type Opening =
  | { readonly kind: "none" }
  | { readonly kind: "opening" }
  | { readonly kind: "open"; readonly model: UsableModel }
  | { readonly kind: "failed"; readonly reason: string };

export const opening = signal<Opening>({ kind: "none" });

const ROOM = "#/use";

const hasWeights = (run: ListedRun): boolean => "status" in run && run.status !== "not begun";

/** The address of an ability of the run. */
export function abilityPath(
  name: string,
  ability: string,
  options: Readonly<Record<string, string | number>> = {},
): string {
  const query = new URLSearchParams(Object.entries(options).map(([key, value]) => [key, String(value)]));
  return `runs/${encodeURIComponent(name)}/use/${ability}?${query}`;
}

function readAddress(): void {
  const at = location.hash.indexOf("?");
  const entries = new URLSearchParams(at < 0 ? "" : location.hash.slice(at + 1));
  const name = entries.get("run");
  if (name === null) return;
  batch(() => {
    chosen.value = name;
    wanted.value = entries.get("for") ?? undefined;
  });
}

async function openRun(name: string): Promise<void> {
  opening.value = { kind: "opening" };
  try {
    const model = await ask<UsableModel>(`runs/${encodeURIComponent(name)}/use`);
    if (name === chosen.peek()) opening.value = { kind: "open", model };
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    if (name === chosen.peek()) opening.value = { kind: "failed", reason: error.message };
  }
}

/** Opens the room; the returned function leaves it. */
export function enterUse(): () => void {
  readAddress();
  ask<RunList>("runs").then(
    (list) => {
      folder.value = list.folder;
      usable.value = list.runs.filter(hasWeights);
    },
    (error: unknown) => {
      if (!(error instanceof ServerError)) throw error;
      opening.value = { kind: "failed", reason: error.message };
    },
  );
  const stop = effect(() => {
    const name = chosen.value;
    if (name === "") {
      opening.value = { kind: "none" };
      return;
    }
    void openRun(name);
  });
  const keep = effect(() => {
    if (chosen.value === "") return;
    const entries = { run: chosen.value, ...(wanted.value !== undefined && { for: wanted.value }) };
    const address = `${ROOM}?${new URLSearchParams(entries)}`;
    if (address !== location.hash) history.replaceState(null, "", address);
  });
  const onHash = (): void => {
    if (location.hash.startsWith(ROOM)) readAddress();
  };
  addEventListener("hashchange", onHash);
  return () => {
    stop();
    keep();
    removeEventListener("hashchange", onHash);
  };
}
