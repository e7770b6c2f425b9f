import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { useLayoutEffect, useRef } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { Drop } from "./drop.tsx";
import { readPicture } from "./picture-files.ts";
import { type Picture, type PictureForm, type Pictures, picturesOf, rgbaOf } from "./pictures.ts";
import { askRun, useAsking } from "./work.ts";

/** A picture of a model, pixel by pixel. */
export function Shown({
  picture,
  form,
  label,
}: {
  readonly picture: Picture;
  readonly form: PictureForm;
  readonly label: string;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = form;
  // With its label, not after it: who reads the label sees this picture.
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    context?.putImageData(new ImageData(rgbaOf(picture, form), width, height), 0, 0);
  }, [picture, form]);
  return <canvas ref={canvas} class="pixels" width={width} height={height} role="img" aria-label={label} />;
}

interface SourceProps {
  readonly name: string;
  readonly model: UsableModel;
  readonly form: PictureForm;
  /** What the picture is for. */
  readonly label: string;
  readonly onPicture: (picture: Picture) => void;
}

/** Where a picture comes from: a file, or the model itself. */
export function PictureSource({ name, model, form, label, onPicture }: SourceProps) {
  const seed = useSignal(0);
  const asking = useAsking();
  const draw = (): Promise<void> =>
    asking.run(async () => {
      const { samples } = await askRun<{ samples: Pictures }>(name, "sample", { count: 1, seed: seed.value });
      const [picture] = picturesOf(samples, form);
      seed.value++;
      if (picture !== undefined) onPicture(picture);
    });
  return (
    <fieldset class="source">
      <legend>{label}</legend>
      <Drop
        text={asking.isBusy.value ? t("use.busy") : t("use.picture")}
        accept="image/*"
        onFiles={([file]) =>
          void asking.run(async () => {
            if (file !== undefined) onPicture(await readPicture(file, form));
          })
        }
      />
      {model.abilities.includes("sample") && (
        <button type="button" disabled={asking.isBusy.value} onClick={() => void draw()}>
          {t("use.draw-one", { seed: number(seed.value) })}
        </button>
      )}
      <p role="alert">{asking.said.value}</p>
    </fieldset>
  );
}

/** Results, one beside the other. */
export function Results({
  pictures,
  form,
  label,
}: {
  readonly pictures: readonly Picture[];
  readonly form: PictureForm;
  readonly label: (i: number) => string;
}) {
  return (
    <ul class="results">
      {pictures.map((picture, i) => (
        <li key={i}>
          <Shown picture={picture} form={form} label={label(i)} />
        </li>
      ))}
    </ul>
  );
}
