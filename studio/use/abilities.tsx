import type { ServedAbility, UsableModel } from "eidos/serve";
import type { ComponentType } from "preact";
import { type TextKey, t } from "../i18n/index.ts";
import { Segments } from "../ui/fields.tsx";
import { isHandedOut } from "../ui/server.ts";
import { Detect } from "./detect.tsx";
import { Draw } from "./draw.tsx";
import { Edit } from "./edit.tsx";
import { Embed } from "./embed.tsx";
import { Export } from "./export.tsx";
import { Impute } from "./impute.tsx";
import { Inpaint } from "./inpaint.tsx";
import { Interpolate } from "./interpolate.tsx";
import { Score } from "./score.tsx";
import { firstAbility, wanted } from "./store.ts";

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
export function Abilities({ name, model }: { readonly name: string; readonly model: UsableModel }) {
  const all = isHandedOut() ? model.abilities : ([...model.abilities, "export"] as const);
  const ability = all.find((one) => one === wanted.value) ?? firstAbility(model) ?? "export";
  const View = PAGES[ability].view;
  return (
    <>
      {all.length > 1 && (
        <Segments
          label={t("use.for")}
          name="use-for"
          value={ability}
          options={all.map((value) => ({ value, text: t(PAGES[value].text) }))}
          onChange={(value) => {
            wanted.value = value;
          }}
        />
      )}
      <View key={`${name} ${ability}`} name={name} model={model} />
    </>
  );
}
