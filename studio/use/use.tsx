import type { ServedAbility, UsableModel } from "eidos/serve";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { type TextKey, t } from "../i18n/index.ts";
import { Segments, Select } from "../ui/fields.tsx";
import { Detect } from "./detect.tsx";
import { Draw } from "./draw.tsx";
import { Edit } from "./edit.tsx";
import { Embed } from "./embed.tsx";
import { Export } from "./export.tsx";
import { Impute } from "./impute.tsx";
import { Inpaint } from "./inpaint.tsx";
import { Interpolate } from "./interpolate.tsx";
import { Score } from "./score.tsx";
import { chosen, enterUse, firstAbility, opening, usable, wanted } from "./store.ts";

/** A page of each ability, and of what every run is for. */
const PAGES: Readonly<
  Record<
    ServedAbility | "export",
    {
      readonly text: TextKey;
      readonly view: ComponentType<{ readonly name: string; readonly model: UsableModel }>;
    }
  >
> = {
  detect: { text: "use.detect", view: Detect },
  score: { text: "use.score", view: Score },
  impute: { text: "use.impute", view: Impute },
  sample: { text: "use.draw", view: Draw },
  embed: { text: "use.embed", view: Embed },
  inpaint: { text: "use.inpaint", view: Inpaint },
  edit: { text: "use.edit", view: Edit },
  interpolate: { text: "use.interpolate", view: Interpolate },
  export: { text: "use.export", view: Export },
};

/** What a run is used for: a choice, and the page of what is chosen. */
function Abilities({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const all = [...model.abilities, "export"] as const;
  const ability = all.find((one) => one === wanted.value) ?? firstAbility(model) ?? "export";
  const View = PAGES[ability].view;
  return (
    <>
      <Segments
        label={t("use.for")}
        name="use-for"
        value={ability}
        options={all.map((value) => ({ value, text: t(PAGES[value].text) }))}
        onChange={(value) => {
          wanted.value = value;
        }}
      />
      <View key={`${name} ${ability}`} name={name} model={model} />
    </>
  );
}

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
