import { t } from "../i18n/index.ts";
import { MODEL_KEYS, MODELS } from "./models.ts";
import { state, toggleModel } from "./signals.ts";
import { MOST_MODELS } from "./state.ts";

/** The models of the playground, of which up to six are chosen. */
export function ModelChoice() {
  const { models } = state.value;
  const isFull = models.length >= MOST_MODELS;
  return (
    <section class="card" aria-labelledby="models-title">
      <h2 id="models-title">{t("models.title")}</h2>
      <p class="hint" id="models-hint" role="status">
        {isFull ? t("models.most") : t("models.choose")}
      </p>
      <ul class="models" aria-describedby="models-hint">
        {MODEL_KEYS.map((key) => {
          const isChosen = models.includes(key);
          return (
            <li key={key}>
              <label>
                <input
                  type="checkbox"
                  checked={isChosen}
                  disabled={isFull && !isChosen}
                  onChange={() => toggleModel(key)}
                />
                <span class="name">{t(MODELS[key].name)}</span>
                <span class="summary">{t(MODELS[key].summary)}</span>
              </label>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
