import type { TextKey } from "../i18n/index.ts";

// Detectors of the room by the rule by which their anchors or locations learn objects, as far as the page knows them.

/** Rules in the order in which they are offered. */
export const RULES = [
  "faster-rcnn",
  "retina-net",
  "s3fd",
  "atss",
  "faceboxes",
  "fcos",
  "yolo",
  "yolo-v3",
  "yolo-v1",
  "center-net",
] as const;

export type Rule = (typeof RULES)[number];

export function isRule(name: string): name is Rule {
  return (RULES as readonly string[]).includes(name);
}

/** A number that a reader may change. */
export interface RuleControl {
  readonly option: string;
  readonly label: TextKey;
  readonly initial: number;
  /** A slider's ends and steps, or the few values that there are. */
  readonly values:
    | { readonly kind: "range"; readonly min: number; readonly max: number; readonly step: number }
    | { readonly kind: "choice"; readonly of: readonly number[] };
}

export interface RuleEntry {
  readonly name: TextKey;
  readonly summary: TextKey;
  /** What learns an object. */
  readonly unit: "anchors" | "locations" | "cells";
  readonly controls: readonly RuleControl[];
  /** What the mathematics of the rule is, in words. */
  readonly text: TextKey;
  /** Its page of the documentation. */
  readonly page: string;
}

const share = (option: string, label: TextKey, initial: number): RuleControl => ({
  option,
  label,
  initial,
  values: { kind: "range", min: 0.05, max: 0.95, step: 0.05 },
});

const foreground = (initial: number): RuleControl => share("foreground", "assign.foreground", initial);
const background = (initial: number): RuleControl => share("background", "assign.background", initial);

const count = (option: string, label: TextKey, initial: number, max: number): RuleControl => ({
  option,
  label,
  initial,
  values: { kind: "range", min: 1, max, step: 1 },
});

const ANCHORS_PAGE = "detection/anchors-and-matching";

export const RULE_ENTRIES: Readonly<Record<Rule, RuleEntry>> = {
  "faster-rcnn": {
    name: "rule.faster-rcnn",
    summary: "rule.faster-rcnn.summary",
    unit: "anchors",
    controls: [foreground(0.7), background(0.3)],
    text: "assign.math.overlap",
    page: "detection/faster-rcnn",
  },
  "retina-net": {
    name: "rule.retina-net",
    summary: "rule.retina-net.summary",
    unit: "anchors",
    controls: [foreground(0.5), background(0.4)],
    text: "assign.math.overlap",
    page: "detection/retina-net",
  },
  s3fd: {
    name: "rule.s3fd",
    summary: "rule.s3fd.summary",
    unit: "anchors",
    controls: [share("first", "assign.first", 0.35), share("least", "assign.least", 0.1)],
    text: "assign.math.s3fd",
    page: ANCHORS_PAGE,
  },
  atss: {
    name: "rule.atss",
    summary: "rule.atss.summary",
    unit: "anchors",
    controls: [count("nearest", "assign.nearest", 9, 25)],
    text: "assign.math.atss",
    page: ANCHORS_PAGE,
  },
  faceboxes: {
    name: "rule.faceboxes",
    summary: "rule.faceboxes.summary",
    unit: "anchors",
    controls: [
      {
        option: "density",
        label: "assign.density",
        initial: 4,
        values: { kind: "range", min: 0, max: 4, step: 1 },
      },
      foreground(0.35),
      background(0.35),
    ],
    text: "assign.math.faceboxes",
    page: ANCHORS_PAGE,
  },
  fcos: {
    name: "rule.fcos",
    summary: "rule.fcos.summary",
    unit: "locations",
    controls: [
      {
        option: "radius",
        label: "assign.radius",
        initial: 1.5,
        values: { kind: "range", min: 0, max: 4, step: 0.5 },
      },
    ],
    text: "assign.math.fcos",
    page: "detection/fcos",
  },
  yolo: {
    name: "rule.yolo",
    summary: "rule.yolo.summary",
    unit: "locations",
    controls: [count("candidates", "assign.candidates", 10, 20)],
    text: "assign.math.yolo",
    page: "detection/yolo",
  },
  "yolo-v3": {
    name: "rule.yolo-v3",
    summary: "rule.yolo-v3.summary",
    unit: "anchors",
    controls: [share("ignore", "assign.ignore", 0.5)],
    text: "assign.math.yolo-v3",
    page: "detection/yolo-v3",
  },
  "yolo-v1": {
    name: "rule.yolo-v1",
    summary: "rule.yolo-v1.summary",
    unit: "cells",
    controls: [
      { option: "stride", label: "assign.stride", initial: 32, values: { kind: "choice", of: [16, 32] } },
    ],
    text: "assign.math.yolo-v1",
    page: "detection/yolo-v1",
  },
  "center-net": {
    name: "rule.center-net",
    summary: "rule.center-net.summary",
    unit: "cells",
    controls: [
      { option: "stride", label: "assign.stride", initial: 4, values: { kind: "choice", of: [4, 8, 16] } },
    ],
    text: "assign.math.center-net",
    page: "detection/center-net",
  },
};

/** Values of a rule's controls by option. */
export type RuleSettings = Readonly<Record<string, number>>;

/** A value as a control has it; undefined where the control does not take it. */
export function heldValue({ values }: RuleControl, value: number): number | undefined {
  if (!Number.isFinite(value)) return undefined;
  if (values.kind === "choice") return values.of.includes(value) ? value : undefined;
  if (value < values.min - 1e-9 || value > values.max + 1e-9) return undefined;
  const steps = Math.round((value - values.min) / values.step);
  return Number((values.min + steps * values.step).toFixed(2));
}

/** The settings of a rule, those that are not given as they are at first. No IoU of background is above that of foreground. */
export function completeSettings(rule: Rule, given: RuleSettings = {}): RuleSettings {
  const all: Record<string, number> = {};
  for (const { option, initial } of RULE_ENTRIES[rule].controls) all[option] = given[option] ?? initial;
  for (const [low, high] of [
    ["background", "foreground"],
    ["least", "first"],
  ] as const) {
    const [below, above] = [all[low], all[high]];
    if (below !== undefined && above !== undefined && below > above) all[low] = above;
  }
  return all;
}
