import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { DetectionMathematics } from "./mathematics.tsx";
import { PyramidCard } from "./pyramid-card.tsx";
import { Results } from "./results.tsx";
import { RuleChoice } from "./rule-choice.tsx";
import { SceneCard } from "./scene-card.tsx";
import { dropped, failure, openDetection } from "./store.ts";
import { SuppressionCard } from "./suppression-card.tsx";
import "../styles/detection.css";

/** A drawn scene, and what detectors make of it: which anchors and locations learn each object, suppression, pyramids. */
export function Detection() {
  useEffect(openDetection, []);
  return (
    <div class="detection">
      <div class="intro">
        <h1>{t("detection.title")}</h1>
        <p>{t("detection.lead")}</p>
        {dropped.value.length > 0 ? (
          <p class="notice" role="status">
            {t("play.dropped", { parts: dropped.value.join(", ") })}
          </p>
        ) : null}
        {failure.value === undefined ? null : (
          <p class="notice" role="alert">
            {t("detection.failed", { reason: failure.value })}
          </p>
        )}
      </div>
      <SceneCard />
      <RuleChoice />
      <Results />
      <SuppressionCard />
      <PyramidCard />
      <DetectionMathematics />
    </div>
  );
}
