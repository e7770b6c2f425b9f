import { type Signal, useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { t } from "../i18n/index.ts";
import { ServerError, send } from "../ui/server.ts";
import { GivenError } from "./given-error.ts";
import { abilityPath } from "./store.ts";

/** What the page of an ability is given. */
export interface PageProps {
  /** The run. */
  readonly name: string;
  readonly model: UsableModel;
}

/** Samples along a path between two, its ends among them: enough that dragging is smooth. */
export const PATH_STEPS = 25;

// What a reader has asked for: whether it is being done, and what is wrong with it.

export interface Asking {
  readonly isBusy: Signal<boolean>;
  /** What was wrong with the last thing that was asked for; empty where nothing was. */
  readonly said: Signal<string>;
  /** Does something; what the server or the reader's file has against it is said. */
  run(task: () => Promise<void>): Promise<void>;
}

export function useAsking(): Asking {
  const isBusy = useSignal(false);
  const said = useSignal("");
  return {
    isBusy,
    said,
    async run(task) {
      isBusy.value = true;
      said.value = "";
      try {
        await task();
      } catch (error) {
        if (error instanceof GivenError) said.value = error.message;
        else if (error instanceof ServerError) said.value = error.message || t("runs.unreachable");
        else throw error;
      } finally {
        isBusy.value = false;
      }
    },
  };
}

/** Asks a run for one of its abilities. @throws ServerError */
export function askRun<T>(name: string, ability: string, body: unknown): Promise<T> {
  return send<T>("POST", abilityPath(name, ability), body);
}

/** Does a task for each item, so many at once, and gives the results in order. */
export async function forEachOf<I, R>(
  items: readonly I[],
  atOnce: number,
  task: (item: I, index: number) => Promise<R>,
): Promise<readonly R[]> {
  const results = new Array<R>(items.length);
  const left = items.entries();
  const work = async (): Promise<void> => {
    for (const [i, item] of left) results[i] = await task(item, i);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  return results;
}
