import { number, type TextKey, t } from "../i18n/index.ts";
import { Range, Segments, Select } from "../ui/fields.tsx";
import { KIND_NAMES, objectName, unitTexts } from "./names.ts";
import { RULE_ENTRIES } from "./rules.ts";
import { type Edges, IMAGE_SIDE, KINDS, MOST_OBJECTS, newObject, SHORTEST, withSides } from "./scene.ts";
import { SceneArea } from "./scene-area.tsx";
import { SHOWN } from "./state.ts";
import { addObject, answer, change, choose, chosenObject, putBox, removeObject, state } from "./store.ts";

const SHOWN_NAMES: Readonly<Record<(typeof SHOWN)[number], TextKey>> = {
  assigned: "assign.show.assigned",
  cell: "assign.show.cell",
};

/** What the chosen object is given, in words. */
function summary(): string {
  const { objects, chosen, rule } = state.value;
  const [x1, y1, x2, y2] = objects[chosen]?.box ?? [0, 0, 0, 0];
  const place = t("scene.place", {
    name: objectName(objects, chosen),
    width: number(x2 - x1),
    height: number(y2 - y1),
    x: number(x1),
    y: number(y1),
  });
  const assigned = answer.value;
  const count = assigned?.counts[chosen];
  if (assigned === undefined || count === undefined) return place;
  const levels = assigned.levels
    .map(({ stride }, i) =>
      t("assign.at", { count: number(count.positives[i] ?? 0), stride: number(stride) }),
    )
    .join(t("list.separator"));
  const given = t(unitTexts(rule).given, { count: number(count.total), levels });
  return `${place} ${given}`;
}

/** Width and height of the chosen object. */
function Sides() {
  const box = chosenObject.value?.box ?? [0, 0, 0, 0];
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  const side = (label: TextKey, value: number, put: (value: number) => Edges) => (
    <Range
      label={t(label)}
      min={SHORTEST}
      max={IMAGE_SIDE}
      step={1}
      value={value}
      shown={number(value)}
      onChange={(next) => putBox(put(next))}
    />
  );
  return (
    <div class="sides">
      {side("scene.width", width, (next) => withSides(box, next, height))}
      {side("scene.height", height, (next) => withSides(box, width, next))}
    </div>
  );
}

/** The scene and what is chosen in it. */
export function SceneCard() {
  const { objects, chosen, shown } = state.value;
  const hasAnchors = RULE_ENTRIES[state.value.rule].unit === "anchors";
  return (
    <section class="card scene" aria-labelledby="scene-title">
      <h2 id="scene-title">{t("scene.title")}</h2>
      <SceneArea />
      <p id="scene-summary" class="summary" role="status">
        {summary()}
      </p>
      <p class="hint">{t("scene.help")}</p>
      <div class="row">
        <Select
          label={t("scene.chosen")}
          value={String(chosen)}
          options={objects.map((_, i) => ({ value: String(i), text: objectName(objects, i) }))}
          onChange={(value) => choose(Number(value))}
        />
        <button type="button" disabled={objects.length < 2} onClick={removeObject}>
          {t("scene.remove")}
        </button>
      </div>
      <Sides />
      <div class="row">
        {KINDS.map((kind) => (
          <button
            key={kind}
            type="button"
            disabled={objects.length >= MOST_OBJECTS}
            onClick={() => addObject(newObject(kind, objects.length))}
          >
            {t("scene.add", { kind: t(KIND_NAMES[kind]) })}
          </button>
        ))}
      </div>
      <Segments
        label={t("assign.show")}
        name="show"
        value={shown}
        options={SHOWN.map((value) => ({ value, text: t(SHOWN_NAMES[value]) }))}
        onChange={(value) => change({ shown: SHOWN.find((candidate) => candidate === value) ?? "assigned" })}
      />
      {shown === "cell" && !hasAnchors ? <p class="notice">{t("assign.no-anchors")}</p> : null}
    </section>
  );
}
