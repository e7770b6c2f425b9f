import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { number, t } from "../i18n/index.ts";
import { saveFile } from "../playground/download.ts";
import { Range } from "../ui/fields.tsx";
import { Brush } from "./brush.tsx";
import { ClassChoice, CountChoice, flagsOf, given, SeedChoice, StepsChoice } from "./choices.tsx";
import { Command } from "./command.tsx";
import { literal } from "./literal.ts";
import type { Mask } from "./mask.ts";
import { PictureSource, Results } from "./picture.tsx";
import { fileOfPicture } from "./picture-files.ts";
import { asNumbers, formOf, type Picture, type PictureForm, type Pictures, picturesOf } from "./pictures.ts";
import { askRun, useAsking } from "./work.ts";

const MOST_DRAWS = 8;

interface PageProps {
  readonly name: string;
  readonly model: UsableModel;
}

/** What a brush marks in a picture is drawn anew, given the rest of it. */
export function Inpaint({ name, model }: PageProps) {
  const form = formOf(model);
  return form === undefined ? null : <InpaintPicture name={name} model={model} form={form} />;
}

function InpaintPicture({ name, model, form }: PageProps & { readonly form: PictureForm }) {
  const { width, height } = form;
  const picture = useSignal<Picture | undefined>(undefined);
  const mask = useSignal<Mask>(new Uint8Array(width * height));
  const radius = useSignal(Math.max(1, Math.round(width / 14)));
  const drawn = useSignal<readonly Picture[]>([]);
  const draws = useSignal(4);
  const seed = useSignal(0);
  const label = useSignal("");
  const steps = useSignal("");
  const asking = useAsking();
  const now = picture.value;
  const isMarked = mask.value.includes(1);
  const options = {
    draws: draws.value,
    seed: seed.value,
    ...given("label", label.value),
    ...given("steps", steps.value),
  };
  const fill = (held: Picture): Promise<void> =>
    asking.run(async () => {
      const { samples } = await askRun<{ samples: Pictures }>(name, "inpaint", {
        samples: asNumbers([held], form),
        unknown: { shape: [height, width], data: [...mask.value] },
        ...options,
      });
      drawn.value = picturesOf(samples, form);
    });
  const save = async (held: Picture): Promise<void> => {
    saveFile("picture.png", await fileOfPicture(held, form));
    const white = Float32Array.from(mask.value, (value) => 255 * value);
    saveFile("mask.png", await fileOfPicture(white, { channels: 1, width, height, isBinary: false }));
  };
  return (
    <section class="card" aria-labelledby="use-inpaint">
      <h2 id="use-inpaint">{t("use.inpaint")}</h2>
      <PictureSource
        name={name}
        model={model}
        form={form}
        label={t("use.picture-of")}
        onPicture={(next) => {
          picture.value = next;
          drawn.value = [];
        }}
      />
      {now !== undefined && (
        <>
          <div class="painting">
            <Brush
              picture={now}
              form={form}
              mask={mask.value}
              radius={radius.value}
              onMask={(next) => {
                mask.value = next;
              }}
            />
            <div class="settings">
              <p class="hint">{t("use.brush.help")}</p>
              <Range
                label={t("draw.brush")}
                min={0}
                max={Math.max(2, Math.round(width / 5))}
                step={1}
                value={radius.value}
                shown={number(2 * radius.value + 1)}
                onChange={(value) => {
                  radius.value = value;
                }}
              />
              <CountChoice count={draws} label={t("use.draws")} most={MOST_DRAWS} />
              <SeedChoice seed={seed} />
              {model.sampleOptions.includes("steps") && <StepsChoice steps={steps} />}
              <ClassChoice model={model} label={label} />
              <div class="row">
                <button
                  type="button"
                  class="primary"
                  disabled={asking.isBusy.value || !isMarked}
                  onClick={() => void fill(now)}
                >
                  {asking.isBusy.value ? t("use.busy") : t("use.inpaint")}
                </button>
                <button
                  type="button"
                  disabled={!isMarked}
                  onClick={() => {
                    mask.value = new Uint8Array(width * height);
                  }}
                >
                  {t("draw.clear")}
                </button>
                <button type="button" onClick={() => void save(now)}>
                  {t("use.save-mask")}
                </button>
              </div>
              <p role="alert">{asking.said.value}</p>
            </div>
          </div>
          <p class="hint" role="status">
            {drawn.value.length === 0 ? "" : t("use.drawn", { count: number(drawn.value.length) })}
          </p>
          <Results
            pictures={drawn.value}
            form={form}
            label={(i) => t("use.completion", { number: number(i + 1) })}
          />
        </>
      )}
      <Command
        name={name}
        verb="inpaint"
        words={["picture.png", "--mask", "mask.png", ...flagsOf(options)]}
        code={[
          'const unknown = { kind: "mask", path: "mask.png" };',
          `const drawn = await run.inpaint("picture.png", { unknown, ${literal(options).slice(2)});`,
        ]}
      />
    </section>
  );
}
