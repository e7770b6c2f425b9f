import { signal } from "@preact/signals";
import type { AskedFit, FitForm, OfferedData, OfferedModel, StudioFit } from "eidos/serve";
import { ask, send } from "../ui/server.ts";

// Fits that the page begins, and what it offers for them.

/** Fits of this studio. */
export const fits = signal<readonly StudioFit[]>([]);

export const offered = signal<
  | {
      readonly folder: string;
      readonly data: readonly OfferedData[];
      readonly models: readonly OfferedModel[];
    }
  | undefined
>(undefined);

/** @throws ServerError */
export async function readFits(): Promise<void> {
  fits.value = (await ask<{ fits: readonly StudioFit[] }>("fits")).fits;
}

/** @throws ServerError */
export async function readOffer(): Promise<void> {
  const [{ folder, data }, { models }] = await Promise.all([
    ask<{ folder: string; data: readonly OfferedData[] }>("data"),
    ask<{ models: readonly OfferedModel[] }>("models"),
  ]);
  offered.value = { folder, data, models };
}

/** The options of a model. @throws ServerError */
export function readForm(model: string): Promise<FitForm> {
  return ask<FitForm>(`models/${encodeURIComponent(model)}`);
}

/** Puts a fit into the queue. @returns the name of its run @throws ServerError */
export async function beginFit(asked: AskedFit): Promise<string> {
  const { name } = await send<{ name: string }>("POST", "fits", asked);
  await readFits();
  return name;
}

/** Stops a fit, or takes it out of the queue. @throws ServerError */
export async function stopFit(name: string): Promise<void> {
  await send("POST", `runs/${encodeURIComponent(name)}/stop`, {});
  await readFits();
}

/** Goes on with a run that was stopped. @throws ServerError */
export async function resumeFit(name: string): Promise<void> {
  await send("POST", `runs/${encodeURIComponent(name)}/resume`, {});
  await readFits();
}
