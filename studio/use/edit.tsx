import { useSignal } from "@preact/signals";
import { number, t } from "../i18n/index.ts";
import {
  ClassChoice,
  CountChoice,
  flagsOf,
  given,
  SeedChoice,
  StepsChoice,
  StrengthChoice,
} from "./choices.tsx";
import { Command } from "./command.tsx";
import { EditRow } from "./edit-rows.tsx";
import { literal } from "./literal.ts";
import { PictureSource, Results, Shown } from "./picture.tsx";
import { asNumbers, formOf, type Picture, type PictureForm, type Pictures, picturesOf } from "./pictures.ts";
import { SavePictures } from "./save-pictures.tsx";
import { askRun, type PageProps, useAsking } from "./work.ts";

const MOST_DRAWS = 8;

/** Variants of a sample. */
export function Edit({ name, model }: PageProps) {
  const form = formOf(model);
  return form === undefined ? (
    <EditRow name={name} model={model} />
  ) : (
    <EditPicture name={name} model={model} form={form} />
  );
}

/** Variants of a picture: so much noise is added, and taken away again. */
function EditPicture({ name, model, form }: PageProps & { readonly form: PictureForm }) {
  const picture = useSignal<Picture | undefined>(undefined);
  const edited = useSignal<readonly Picture[]>([]);
  const strength = useSignal(0.5);
  const draws = useSignal(4);
  const seed = useSignal(0);
  const label = useSignal("");
  const steps = useSignal("");
  const asking = useAsking();
  const now = picture.value;
  const options = {
    strength: strength.value,
    draws: draws.value,
    seed: seed.value,
    ...given("label", label.value),
    ...given("steps", steps.value),
  };
  const edit = (held: Picture): Promise<void> =>
    asking.run(async () => {
      const { samples } = await askRun<{ samples: Pictures }>(name, "edit", {
        samples: asNumbers([held], form),
        ...options,
      });
      edited.value = picturesOf(samples, form);
    });
  return (
    <section class="card" aria-labelledby="use-edit">
      <h2 id="use-edit">{t("use.edit")}</h2>
      <PictureSource
        name={name}
        model={model}
        form={form}
        label={t("use.picture-of")}
        onPicture={(next) => {
          picture.value = next;
          edited.value = [];
        }}
      />
      <div class="controls">
        <StrengthChoice strength={strength} />
        <CountChoice count={draws} label={t("use.draws")} most={MOST_DRAWS} />
        <SeedChoice seed={seed} />
        {model.sampleOptions.includes("steps") && <StepsChoice steps={steps} />}
        <ClassChoice model={model} label={label} />
      </div>
      {now !== undefined && (
        <>
          <div class="row">
            <button
              type="button"
              class="primary"
              disabled={asking.isBusy.value}
              onClick={() => void edit(now)}
            >
              {asking.isBusy.value ? t("use.busy") : t("use.edit")}
            </button>
            <SavePictures pictures={{ "picture.png": now }} form={form} />
            <p role="alert">{asking.said.value}</p>
          </div>
          <div class="beside">
            <Shown picture={now} form={form} label={t("use.picture-of")} />
            <Results
              pictures={edited.value}
              form={form}
              label={(i) => t("use.variant", { number: number(i + 1) })}
            />
          </div>
        </>
      )}
      <Command
        name={name}
        verb="edit"
        words={["picture.png", ...flagsOf(options)]}
        code={[`const edited = await run.edit("picture.png", ${literal(options)});`]}
      />
    </section>
  );
}
