import { type TextKey, t } from "../i18n/index.ts";
import { Explanation } from "../ui/explanation.tsx";
import { DOCS_OF_MODELS } from "./docs.ts";
import { FORMULAS } from "./formulas.tsx";
import { MODELS, type ModelKey } from "./models.ts";
import { state } from "./signals.ts";

const TEXTS: Readonly<Record<ModelKey, readonly TextKey[]>> = {
  "rectified-flow": ["math.rectified-flow"],
  reflow: ["math.reflow"],
  "score-sde": ["math.score-sde"],
  ddpm: ["math.ddpm"],
  ddim: ["math.ddim"],
  "spline-flow": ["math.flow", "math.coupling"],
  "real-nvp": ["math.flow", "math.coupling"],
  maf: ["math.flow"],
  nice: ["math.flow", "math.coupling"],
  vae: ["math.vae"],
  gan: ["math.gan"],
};

/** What the chosen models do, in formulas, with their pages of the documentation. */
export function Mathematics() {
  const { models } = state.value;
  if (models.length === 0) return null;
  return (
    <section class="card mathematics" aria-labelledby="math-title">
      <h2 id="math-title">{t("math.title")}</h2>
      <div class="columns">
        {models.map((key) => (
          <Explanation
            key={key}
            name={t(MODELS[key].name)}
            formulas={FORMULAS[key]}
            texts={TEXTS[key]}
            page={DOCS_OF_MODELS[key]}
          />
        ))}
      </div>
    </section>
  );
}
