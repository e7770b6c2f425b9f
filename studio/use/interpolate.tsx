import { useSignal } from "@preact/signals";
import { number, t } from "../i18n/index.ts";
import { ClassChoice, flagsOf, given, WayChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { InterpolateRows } from "./interpolate-rows.tsx";
import { literal } from "./literal.ts";
import { PictureSource, Shown } from "./picture.tsx";
import { asNumbers, formOf, type Picture, type PictureForm, type Pictures, picturesOf } from "./pictures.ts";
import { SavePictures } from "./save-pictures.tsx";
import { askRun, PATH_STEPS, type PageProps, useAsking } from "./work.ts";

/** The samples between two samples. */
export function Interpolate({ name, model }: PageProps) {
  const form = formOf(model);
  return form === undefined ? (
    <InterpolateRows name={name} model={model} />
  ) : (
    <InterpolatePictures name={name} model={model} form={form} />
  );
}

/** The pictures between two pictures, along the path between their codes. */
function InterpolatePictures({ name, model, form }: PageProps & { readonly form: PictureForm }) {
  const from = useSignal<Picture | undefined>(undefined);
  const to = useSignal<Picture | undefined>(undefined);
  const path = useSignal<readonly Picture[]>([]);
  const step = useSignal(0);
  const label = useSignal("");
  const asking = useAsking();
  const [first, last] = [from.value, to.value];
  const options = { steps: PATH_STEPS, ...given("label", label.value) };
  const find = (a: Picture, b: Picture): Promise<void> =>
    asking.run(async () => {
      const { samples } = await askRun<{ samples: Pictures }>(name, "interpolate", {
        samples: asNumbers([a, b], form),
        ...options,
      });
      path.value = picturesOf(samples, form);
      step.value = Math.floor(PATH_STEPS / 2);
    });
  const current = path.value[step.value];
  const share = number((100 * step.value) / (PATH_STEPS - 1));
  const end = (text: string, held: typeof from) => (
    <div class="end">
      <PictureSource
        name={name}
        model={model}
        form={form}
        label={text}
        onPicture={(next) => {
          held.value = next;
          path.value = [];
        }}
      />
      {held.value !== undefined && <Shown picture={held.value} form={form} label={text} />}
    </div>
  );
  return (
    <section class="card" aria-labelledby="use-interpolate">
      <h2 id="use-interpolate">{t("use.interpolate")}</h2>
      <div class="ends">
        {end(t("use.from"), from)}
        {end(t("use.to"), to)}
      </div>
      <ClassChoice model={model} label={label} />
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={asking.isBusy.value || first === undefined || last === undefined}
          onClick={() => {
            if (first !== undefined && last !== undefined) void find(first, last);
          }}
        >
          {asking.isBusy.value ? t("use.busy") : t("use.path")}
        </button>
        {first !== undefined && last !== undefined && (
          <SavePictures pictures={{ "from.png": first, "to.png": last }} form={form} />
        )}
        <p role="alert">{asking.said.value}</p>
      </div>
      {current !== undefined && (
        <>
          <WayChoice step={step} last={PATH_STEPS - 1} share={share} />
          <div class="beside">
            <Shown picture={current} form={form} label={t("use.way.picture", { percent: share })} />
          </div>
        </>
      )}
      <Command
        name={name}
        verb="interpolate"
        words={["from.png", "to.png", ...flagsOf(options)]}
        code={[`const path = await run.interpolate(["from.png", "to.png"], ${literal(options)});`]}
      />
    </section>
  );
}
