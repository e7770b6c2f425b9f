import { computed, signal } from "@preact/signals";
import { dataKey } from "./data.ts";
import type { Picture } from "./engine.ts";
import { initialSettings, type ModelKey, type Settings } from "./models.ts";
import { INITIAL, MOST_MODELS, type PlayState, type View } from "./state.ts";

// The state of the playground: what the address holds, and what lasts as long as the page.

/** What a link holds. */
export const state = signal<PlayState>(INITIAL);

/** Parts of the address that were not understood. */
export const dropped = signal<readonly string[]>([]);

export const playing = signal(false);

/** Time of paths and fields: 1 is noise, 0 is data. */
export const time = signal(0);

/** The time at which a view begins: a path is seen half way, a field near the data. */
export function beginView(view: View): void {
  time.value = view === "path" ? 0.5 : view === "field" ? 0.3 : time.value;
}

/** Points of the data, for the pictures. */
export const dataPoints = signal<Float32Array | undefined>(undefined);

/** The true density; its peak is the brightest color of every density. */
export const truth = signal<Extract<Picture, { kind: "density" }> | undefined>(undefined);

/** The data as text: it changes with them alone. */
export const dataText = computed(() => dataKey(state.value.data));

/** Whether there is something to learn: a drawing may be empty. */
export const hasData = computed(
  () => state.value.data.kind === "plane" || state.value.data.strokes.length > 0,
);

/** Points of each distribution for its button. */
export const thumbnails = signal<ReadonlyMap<string, Float32Array>>(new Map());

export function change(values: Partial<PlayState>): void {
  state.value = { ...state.value, ...values };
}

export function settingsOf(key: ModelKey): Settings {
  return { ...initialSettings(key), ...state.value.settings[key] };
}

export function changeSetting(key: ModelKey, option: string, value: number | string): void {
  const { settings } = state.value;
  change({ settings: { ...settings, [key]: { ...settings[key], [option]: value } } });
}

export function toggleModel(key: ModelKey): void {
  const { models } = state.value;
  if (models.includes(key)) change({ models: models.filter((other) => other !== key) });
  else if (models.length < MOST_MODELS) change({ models: [...models, key] });
}
