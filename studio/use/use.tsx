import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { Select } from "../ui/fields.tsx";
import { Abilities } from "./abilities.tsx";
import { chosen, enterUse, opening, usable } from "./store.ts";

/** The room in which a run is used, for whatever its model can do. */
export function Use() {
  useEffect(enterUse, []);
  const state = opening.value;
  const name = chosen.value;
  const names = usable.value.map((run) => run.name);
  return (
    <div class="runs use">
      <div class="intro">
        <h1>{t("use.title")}</h1>
        <p class="hint">{t("use.lead")}</p>
      </div>
      <section class="card">
        <Select
          label={t("use.run")}
          value={name}
          options={[
            ...(name === "" || !names.includes(name) ? [{ value: name, text: name || t("use.choose") }] : []),
            ...names.map((value) => ({ value, text: value })),
          ]}
          onChange={(value) => {
            chosen.value = value;
          }}
        />
        {state.kind === "opening" && <p role="status">{t("use.opening")}</p>}
        {state.kind === "failed" && <p role="alert">{state.reason || t("runs.unreachable")}</p>}
        {state.kind === "open" && (
          <p class="hint" role="status">
            {t("use.about", { model: state.model.model, version: state.model.version ?? "–" })}
          </p>
        )}
      </section>
      {state.kind === "open" && <Abilities key={name} name={name} model={state.model} />}
    </div>
  );
}
