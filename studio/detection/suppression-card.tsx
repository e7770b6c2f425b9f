import { number, type TextKey, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { Check, Range, Select } from "../ui/fields.tsx";
import { paintFound, paintScene } from "./paint.ts";
import { NUMBERS, type NumberName, SUPPRESSIONS, type SuppressionKind } from "./state.ts";
import { change, changeNumber, state, suppressed } from "./store.ts";

export const SUPPRESSION_NAMES: Readonly<Record<SuppressionKind, TextKey>> = {
  nms: "suppression.nms",
  "diou-nms": "suppression.diou-nms",
  "soft-linear": "suppression.soft-linear",
  "soft-gaussian": "suppression.soft-gaussian",
  fusion: "suppression.fusion",
};

/** A slider of one of the room's numbers. */
export function NumberRange({ name, label }: { readonly name: NumberName; readonly label: TextKey }) {
  const { min, max, step } = NUMBERS[name];
  const value = state.value.numbers[name];
  return (
    <Range
      label={t(label)}
      min={min}
      max={max}
      step={step}
      value={value}
      shown={number(value, step < 1 ? 2 : 0)}
      onChange={(next) => changeNumber(name, next)}
    />
  );
}

/** Made-up detections of the objects, and what is left of them without duplicates. */
export function SuppressionCard() {
  const { suppression, byClass, numbers } = state.value;
  const found = suppressed.value;
  const counts = {
    before: number(found?.before.length ?? 0),
    after: number(found?.after.length ?? 0),
  };
  return (
    <section class="card suppression" aria-labelledby="suppression-title">
      <h2 id="suppression-title">{t("suppression.title")}</h2>
      <p class="hint">{t("suppression.lead")}</p>
      <div class="pair">
        <SquareCanvas
          class="data"
          label={t("suppression.canvas", counts)}
          paint={(frame) => {
            paintScene(frame, state.value.objects);
            const now = suppressed.value;
            if (now !== undefined) paintFound(frame, now.before, now.after);
          }}
        />
        <div class="settings">
          <Select
            label={t("suppression.kind")}
            value={suppression}
            options={SUPPRESSIONS.map((value) => ({ value, text: t(SUPPRESSION_NAMES[value]) }))}
            onChange={(value) =>
              change({ suppression: SUPPRESSIONS.find((kind) => kind === value) ?? "nms" })
            }
          />
          {suppression === "soft-gaussian" ? (
            <NumberRange name="sigma" label="suppression.sigma" />
          ) : (
            <NumberRange name="iou" label="suppression.iou" />
          )}
          <NumberRange name="score" label="suppression.score" />
          <NumberRange name="each" label="suppression.each" />
          <Check
            label={t("suppression.by-class")}
            checked={byClass}
            onChange={(checked) => change({ byClass: checked })}
          />
          <button
            type="button"
            onClick={() => changeNumber("seed", (numbers.seed + 1) % (NUMBERS.seed.max + 1))}
          >
            {t("suppression.seed")}
          </button>
          <p role="status" data-figure="left">
            {found === undefined ? t("assign.loading") : t("suppression.left", counts)}
          </p>
        </div>
      </div>
    </section>
  );
}
