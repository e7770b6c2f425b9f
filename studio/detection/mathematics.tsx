import { type TextKey, t } from "../i18n/index.ts";
import { Explanation } from "../ui/explanation.tsx";
import { PAGES } from "./docs.ts";
import { OVERLAP, PYRAMID, RULE_FORMULAS, SUPPRESSION_FORMULAS } from "./formulas.tsx";
import { RULE_ENTRIES } from "./rules.ts";
import type { SuppressionKind } from "./state.ts";
import { state } from "./store.ts";
import { SUPPRESSION_NAMES } from "./suppression-card.tsx";

const SUPPRESSION_TEXTS: Readonly<Record<SuppressionKind, TextKey>> = {
  nms: "suppression.math.nms",
  "diou-nms": "suppression.math.diou-nms",
  "soft-linear": "suppression.math.soft",
  "soft-gaussian": "suppression.math.soft",
  fusion: "suppression.math.fusion",
};

/** What the room shows, in formulas, with the pages of the documentation. */
export function DetectionMathematics() {
  const { rule, suppression } = state.value;
  const own = RULE_ENTRIES[rule];
  return (
    <section class="card mathematics" aria-labelledby="math-title">
      <h2 id="math-title">{t("math.title")}</h2>
      <div class="columns">
        <Explanation
          key={rule}
          name={t(own.name)}
          formulas={RULE_FORMULAS[rule]}
          texts={[own.text]}
          page={own.page}
        />
        <Explanation
          name={t("assign.math.iou.title")}
          formulas={OVERLAP}
          texts={["assign.math.iou"]}
          page={PAGES.overlap}
        />
        <Explanation
          key={suppression}
          name={t(SUPPRESSION_NAMES[suppression])}
          formulas={SUPPRESSION_FORMULAS[suppression]}
          texts={[SUPPRESSION_TEXTS[suppression]]}
          page={PAGES.suppression}
        />
        <Explanation
          name={t("pyramid.math.title")}
          formulas={PYRAMID}
          texts={["pyramid.math"]}
          page={PAGES.pyramids}
        />
      </div>
    </section>
  );
}
