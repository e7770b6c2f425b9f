import type { Stroke } from "eidos/data";
import { readLink, writeLink } from "../ui/link.ts";
import { type DataSpec, EXTENT, isPlane } from "./data.ts";
import { initialSettings, isModelKey, MODELS, type ModelKey, type Settings } from "./models.ts";

// What a link to the playground holds, and its text in the address behind #. A link may come from anyone: whatever is not
// understood is left out and named.

export const VIEWS = ["samples", "density", "path", "field"] as const;
export type View = (typeof VIEWS)[number];

export const SPEEDS = ["full", "10", "1"] as const;
export type Speed = (typeof SPEEDS)[number];

/** Models side by side at most. */
export const MOST_MODELS = 6;

export interface PlayState {
  readonly data: DataSpec;
  readonly models: readonly ModelKey[];
  /** Settings of each model that were chosen; others begin with their own. */
  readonly settings: Readonly<Partial<Record<ModelKey, Settings>>>;
  readonly view: View;
  readonly speed: Speed;
  /** Of the noise that samples begin with. */
  readonly seed: number;
  readonly showData: boolean;
}

export const INITIAL: PlayState = {
  data: { kind: "plane", name: "two-moons" },
  models: ["rectified-flow", "spline-flow"],
  settings: {},
  view: "samples",
  speed: "full",
  seed: 1,
  showData: true,
};

const LARGEST_SEED = 999_999;

/** Digits of coordinates and widths: 64 values each. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** Values of a coordinate: two digits. */
const LEVELS = 4096;
/** Corners of a drawing at most, so that its link stays below 3,000 characters. */
export const MOST_CORNERS = 700;
export const BRUSH = { min: 0.05, step: 0.01, levels: 64 } as const;

const quantize = (value: number): number =>
  Math.max(0, Math.min(LEVELS - 1, Math.round(((value + EXTENT) / (2 * EXTENT)) * (LEVELS - 1))));
const unquantize = (level: number): number => (2 * EXTENT * level) / (LEVELS - 1) - EXTENT;

/** The nearest coordinate that a link can hold. */
export function heldCoordinate(value: number): number {
  return unquantize(quantize(value));
}

/** The nearest brush width that a link can hold. */
export function heldWidth(value: number): number {
  return BRUSH.min + BRUSH.step * widthLevel(value);
}

const widthLevel = (value: number): number =>
  Math.max(0, Math.min(BRUSH.levels - 1, Math.round((value - BRUSH.min) / BRUSH.step)));

/** Strokes as text: a digit for the width, then two for each coordinate; a dot between strokes. */
export function encodeStrokes(strokes: readonly Stroke[]): string {
  return strokes
    .map(({ points, deviation }) =>
      [
        DIGITS[widthLevel(deviation)] ?? "",
        ...points.map((value) => {
          const level = quantize(value);
          return `${DIGITS[level >> 6] ?? ""}${DIGITS[level & 63] ?? ""}`;
        }),
      ].join(""),
    )
    .join(".");
}

/** The strokes of a text; undefined where it is none of `encodeStrokes`, or holds too much. */
export function decodeStrokes(text: string): readonly Stroke[] | undefined {
  if (text === "") return [];
  const strokes: Stroke[] = [];
  let corners = 0;
  for (const part of text.split(".")) {
    const values = Array.from(part, (digit) => DIGITS.indexOf(digit));
    const [width = -1, ...digits] = values;
    corners += digits.length / 4;
    if (values.includes(-1) || digits.length === 0 || digits.length % 4 !== 0 || corners > MOST_CORNERS) {
      return undefined;
    }
    const points = Array.from({ length: digits.length / 2 }, (_, i) =>
      unquantize(64 * (digits[2 * i] ?? 0) + (digits[2 * i + 1] ?? 0)),
    );
    strokes.push({ points, deviation: BRUSH.min + BRUSH.step * width });
  }
  return strokes;
}

/** The state as the text behind `?` of the address; what is as at the beginning is left out. */
export function encodeState(state: PlayState): string {
  const entries: [string, string][] = [
    ["data", state.data.kind === "plane" ? state.data.name : `draw:${encodeStrokes(state.data.strokes)}`],
    ["models", state.models.join(",")],
  ];
  if (state.view !== INITIAL.view) entries.push(["view", state.view]);
  if (state.speed !== INITIAL.speed) entries.push(["speed", state.speed]);
  if (state.seed !== INITIAL.seed) entries.push(["seed", String(state.seed)]);
  if (!state.showData) entries.push(["points", "no"]);
  for (const [key, settings] of Object.entries(state.settings)) {
    const initial = isModelKey(key) ? initialSettings(key) : {};
    for (const [option, value] of Object.entries(settings ?? {})) {
      if (value !== initial[option]) entries.push([`${key}.${option}`, String(value)]);
    }
  }
  return writeLink(entries);
}

/** A value of a setting from its text; undefined where the control does not take it. */
function settingOf(key: ModelKey, option: string, text: string): number | string | undefined {
  const control = MODELS[key].controls.find((candidate) => candidate.option === option);
  if (control === undefined) return undefined;
  if (control.kind === "choice") return control.values.includes(text) ? text : undefined;
  const value = Number(text);
  return /^[\d.]+$/.test(text) && value >= control.min && value <= control.max ? value : undefined;
}

function dataOf(text: string): DataSpec | undefined {
  if (text.startsWith("draw:")) {
    const strokes = decodeStrokes(text.slice(5));
    return strokes && { kind: "drawing", strokes };
  }
  return isPlane(text) ? { kind: "plane", name: text } : undefined;
}

function modelsOf(text: string): readonly ModelKey[] | undefined {
  const names = text === "" ? [] : text.split(",");
  const models = names.filter(isModelKey);
  const isSound =
    models.length === names.length && models.length <= MOST_MODELS && new Set(models).size === models.length;
  return isSound ? models : undefined;
}

/** The state of an address, and the parts of the address that were not understood. */
export function decodeState(text: string): {
  readonly state: PlayState;
  readonly dropped: readonly string[];
} {
  return readLink(text, INITIAL, changeOf);
}

/** What one entry changes; undefined where it is not understood. */
function changeOf(state: PlayState, name: string, value: string): Partial<PlayState> | undefined {
  switch (name) {
    case "data": {
      const data = dataOf(value);
      return data && { data };
    }
    case "models": {
      const models = modelsOf(value);
      return models && { models };
    }
    case "view": {
      const view = VIEWS.find((candidate) => candidate === value);
      return view && { view };
    }
    case "speed": {
      const speed = SPEEDS.find((candidate) => candidate === value);
      return speed && { speed };
    }
    case "seed":
      return /^\d{1,6}$/.test(value) && Number(value) <= LARGEST_SEED ? { seed: Number(value) } : undefined;
    case "points":
      return value === "no" ? { showData: false } : undefined;
    default: {
      const [key = "", option = ""] = name.split(".");
      if (!isModelKey(key)) return undefined;
      const setting = settingOf(key, option, value);
      if (setting === undefined) return undefined;
      return { settings: { ...state.settings, [key]: { ...state.settings[key], [option]: setting } } };
    }
  }
}
