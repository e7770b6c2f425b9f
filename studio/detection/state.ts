import { readLink, writeLink } from "../ui/link.ts";
import {
  completeSettings,
  heldValue,
  isRule,
  RULE_ENTRIES,
  RULES,
  type Rule,
  type RuleSettings,
} from "./rules.ts";
import { type Edges, FIRST_SCENE, heldBox, KINDS, MOST_OBJECTS, type SceneObject } from "./scene.ts";

// What a link to the room holds, and its text in the address behind #. A link may come from anyone: whatever is not understood is left out
// and named.

/** What is drawn over the scene. */
export const SHOWN = ["assigned", "cell"] as const;
export type Shown = (typeof SHOWN)[number];

/** Ways to remove duplicates. */
export const SUPPRESSIONS = ["nms", "diou-nms", "soft-linear", "soft-gaussian", "fusion"] as const;
export type SuppressionKind = (typeof SUPPRESSIONS)[number];

/** Numbers of the room's sliders: their ends, steps and first values. */
export const NUMBERS = {
  /** IoU of the suppression. */
  iou: { min: 0, max: 1, step: 0.05, initial: 0.5 },
  /** σ of the Gaussian. */
  sigma: { min: 0.05, max: 2, step: 0.05, initial: 0.5 },
  /** Least score of what is shown. */
  score: { min: 0, max: 1, step: 0.05, initial: 0.3 },
  /** Made-up detections of an object. */
  each: { min: 1, max: 24, step: 1, initial: 9 },
  seed: { min: 0, max: 9999, step: 1, initial: 1 },
  /** Valid range of the image pyramid, in pixels as seen at a scale. */
  from: { min: 0, max: 240, step: 8, initial: 96 },
  to: { min: 16, max: 640, step: 8, initial: 288 },
} as const;
export type NumberName = keyof typeof NUMBERS;
const NUMBER_NAMES = Object.keys(NUMBERS) as NumberName[];

export interface DetectionState {
  readonly objects: readonly SceneObject[];
  /** The object that is moved, and that figures are of. */
  readonly chosen: number;
  readonly rule: Rule;
  /** Settings of each rule that were chosen. */
  readonly settings: Readonly<Partial<Record<Rule, RuleSettings>>>;
  readonly shown: Shown;
  readonly suppression: SuppressionKind;
  /** Whether boxes of different classes leave each other alone. */
  readonly byClass: boolean;
  readonly numbers: Readonly<Record<NumberName, number>>;
}

export const INITIAL: DetectionState = {
  objects: FIRST_SCENE,
  chosen: 0,
  rule: "retina-net",
  settings: {},
  shown: "assigned",
  suppression: "nms",
  byClass: true,
  numbers: Object.fromEntries(NUMBER_NAMES.map((name) => [name, NUMBERS[name].initial])) as Record<
    NumberName,
    number
  >,
};

/** The nearest value that a slider of the room has. */
export function heldNumber(name: NumberName, value: number): number {
  const { min, max, step } = NUMBERS[name];
  const held = min + step * Math.round((Math.max(min, Math.min(max, value)) - min) / step);
  return Number(held.toFixed(2));
}

/** The settings of a rule as they are. */
export function settingsOf(state: DetectionState, rule: Rule): RuleSettings {
  return completeSettings(rule, state.settings[rule]);
}

const sceneText = (objects: readonly SceneObject[]): string =>
  objects.map(({ kind, box }) => [kind, ...box].join(".")).join(",");

/** The state as the text behind `?` of the address; what is as at the beginning is left out. */
export function encodeState(state: DetectionState): string {
  const entries: [string, string][] = [
    ["scene", sceneText(state.objects)],
    ["object", String(state.chosen + 1)],
    ["rule", state.rule],
  ];
  if (state.shown !== INITIAL.shown) entries.push(["show", state.shown]);
  for (const rule of RULES) {
    const values = settingsOf(state, rule);
    for (const { option, initial } of RULE_ENTRIES[rule].controls) {
      const value = values[option];
      if (value !== undefined && value !== initial) entries.push([`${rule}.${option}`, String(value)]);
    }
  }
  if (state.suppression !== INITIAL.suppression) entries.push(["suppression", state.suppression]);
  if (!state.byClass) entries.push(["classes", "together"]);
  for (const name of NUMBER_NAMES) {
    const value = state.numbers[name];
    if (value !== INITIAL.numbers[name]) entries.push([name, String(value)]);
  }
  return writeLink(entries);
}

const isDecimal = (text: string): boolean => /^\d{1,4}(\.\d{1,2})?$/.test(text);

/** The objects of a text; undefined where it is none of `sceneText`, or has too many. */
function sceneOf(text: string): readonly SceneObject[] | undefined {
  const objects: SceneObject[] = [];
  for (const part of text.split(",")) {
    const [name, ...edges] = part.split(".");
    const kind = KINDS.find((candidate) => candidate === name);
    if (kind === undefined || edges.length !== 4 || !edges.every((edge) => /^\d{1,3}$/.test(edge)))
      return undefined;
    const box = edges.map(Number) as unknown as Edges;
    if (heldBox(box).join() !== box.join()) return undefined;
    objects.push({ kind, box });
  }
  return objects.length <= MOST_OBJECTS ? objects : undefined;
}

/** What one entry changes; undefined where it is not understood. */
function changeOf(state: DetectionState, name: string, value: string): Partial<DetectionState> | undefined {
  switch (name) {
    case "scene": {
      const objects = sceneOf(value);
      return objects && { objects };
    }
    case "object":
      return /^[1-9]$/.test(value) ? { chosen: Number(value) - 1 } : undefined;
    case "rule":
      return isRule(value) ? { rule: value } : undefined;
    case "show": {
      const shown = SHOWN.find((candidate) => candidate === value);
      return shown && { shown };
    }
    case "suppression": {
      const suppression = SUPPRESSIONS.find((candidate) => candidate === value);
      return suppression && { suppression };
    }
    case "classes":
      return value === "together" ? { byClass: false } : undefined;
    default:
      return isDecimal(value) ? numberChange(state, name, Number(value)) : undefined;
  }
}

function numberChange(
  state: DetectionState,
  name: string,
  value: number,
): Partial<DetectionState> | undefined {
  const own = NUMBER_NAMES.find((candidate) => candidate === name);
  if (own !== undefined) {
    const { min, max } = NUMBERS[own];
    if (value < min || value > max) return undefined;
    return { numbers: { ...state.numbers, [own]: heldNumber(own, value) } };
  }
  const [rule = "", option] = name.split(".");
  if (!isRule(rule)) return undefined;
  const control = RULE_ENTRIES[rule].controls.find((candidate) => candidate.option === option);
  const held = control && heldValue(control, value);
  if (control === undefined || held === undefined) return undefined;
  return {
    settings: { ...state.settings, [rule]: { ...state.settings[rule], [control.option]: held } },
  };
}

/** The state of an address, and the parts of the address that were not understood. */
export function decodeState(text: string): {
  readonly state: DetectionState;
  readonly dropped: readonly string[];
} {
  const { state, dropped } = readLink(text, INITIAL, changeOf);
  // An object that is not there: the first one is chosen.
  return { state: { ...state, chosen: state.chosen < state.objects.length ? state.chosen : 0 }, dropped };
}
