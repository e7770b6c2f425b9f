import { type TextKey, t } from "../i18n/index.ts";
import { RULE_ENTRIES, type Rule } from "./rules.ts";
import type { Kind, SceneObject } from "./scene.ts";

export const KIND_NAMES: Readonly<Record<Kind, TextKey>> = {
  house: "scene.house",
  tree: "scene.tree",
  ball: "scene.ball",
  bird: "scene.bird",
};

/** What an object of the scene is called: its kind and its number. */
export function objectName(objects: readonly SceneObject[], object: number): string {
  const kind = objects[object]?.kind ?? "ball";
  return t("scene.object", { kind: t(KIND_NAMES[kind]), number: object + 1 });
}

const UNITS = {
  anchors: { given: "assign.given.anchors", all: "assign.total.anchors" },
  locations: { given: "assign.given.locations", all: "assign.total.locations" },
  cells: { given: "assign.given.cells", all: "assign.total.cells" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, TextKey>>>>;

/** Texts about what learns an object by a rule: anchors, locations or cells. */
export function unitTexts(rule: Rule): (typeof UNITS)[keyof typeof UNITS] {
  return UNITS[RULE_ENTRIES[rule].unit];
}
