import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { Check, Range } from "../ui/fields.tsx";
import { ask } from "../ui/server.ts";
import { Command } from "./command.tsx";
import { above, counts, type Found, type FoundIn } from "./detections.ts";
import { Drop } from "./drop.tsx";
import { GivenError } from "./given-error.ts";
import { literal } from "./literal.ts";
import { abilityPath } from "./store.ts";
import { useWebcam } from "./webcam.ts";
import { useAsking } from "./work.ts";

/** Objects below this score are not asked for. */
const LEAST = 0.05;

/** As many colors as the style sheet has for lines. */
const COLORS = 6;

/** A photo or a picture of the webcam, as the page holds it, and what was found in it. */
interface Looked {
  readonly name: string;
  readonly image: ImageBitmap;
  readonly found: FoundIn;
}

/** Draws the photo with boxes. */
function paint(canvas: HTMLCanvasElement, { image, found }: Looked, objects: readonly Found[]): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  canvas.width = image.width;
  canvas.height = image.height;
  context.drawImage(image, 0, 0);
  const [scaleX, scaleY] = [image.width / found.width, image.height / found.height];
  const side = Math.max(image.width, image.height);
  const [line, letters] = [Math.max(1, side / 320), Math.max(9, side / 48)];
  const style = getComputedStyle(canvas);
  context.lineWidth = line;
  context.font = `${letters}px ${style.fontFamily}`;
  context.textBaseline = "bottom";
  // The surest stands on top.
  for (const { label, class: index, score, box } of objects.toReversed()) {
    const color = style.getPropertyValue(`--line-${(index % COLORS) + 1}`).trim();
    const [x, y] = [box[0] * scaleX, box[1] * scaleY];
    context.strokeStyle = color;
    context.strokeRect(x, y, (box[2] - box[0]) * scaleX, (box[3] - box[1]) * scaleY);
    const text = `${label} ${number(score, 2)}`;
    const top = Math.max(y, letters * 1.3);
    context.fillStyle = color;
    context.fillRect(x, top - letters * 1.3, context.measureText(text).width + letters * 0.6, letters * 1.3);
    context.fillStyle = style.getPropertyValue("--surface").trim();
    context.fillText(text, x + letters * 0.3, top - letters * 0.1);
  }
}

/** Finds objects in a photo of the reader's, or in what a webcam sees; the threshold is moved while one looks. */
export function Detect({ name }: { readonly name: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const least = useSignal(0.4);
  const looked = useSignal<Looked | undefined>(undefined);
  const hidden = useSignal<ReadonlySet<string>>(new Set());
  /** Least scores of classes that have one of their own. */
  const own = useSignal<ReadonlyMap<string, number>>(new Map());
  const asking = useAsking();
  const show = (next: Looked): void => {
    looked.value?.image.close();
    looked.value = next;
  };
  const find = (body: Blob): Promise<FoundIn> =>
    ask<FoundIn>(abilityPath(name, "detect", { confidence: LEAST }), {
      method: "POST",
      headers: { "content-type": "application/octet-stream", accept: "application/json" },
      body,
    });
  const webcam = useWebcam(async (image, picture) => {
    show({ name: t("use.webcam"), image, found: await find(picture) });
  });
  const look = (file: File | undefined): Promise<void> =>
    asking.run(async () => {
      if (file === undefined) return;
      webcam.stop();
      const image = await createImageBitmap(file).catch(() => undefined);
      if (image === undefined) throw new GivenError(t("use.no-image", { name: file.name }));
      show({ name: file.name, image, found: await find(file) });
    });
  const now = looked.value;
  const threshold = least.value;
  const left = hidden.value;
  const leastOf = (label: string): number => own.value.get(label) ?? threshold;
  const all = above(now?.found.objects ?? [], leastOf);
  const found = all.filter(({ label }) => !left.has(label));
  useEffect(() => {
    if (canvas.current !== null && now !== undefined) paint(canvas.current, now, found);
  }, [now, threshold, own.value, left]);
  useEffect(() => () => looked.peek()?.image.close(), []);
  const summary = counts(found)
    .map(([label, count]) => `${label} ${number(count)}`)
    .join(", ");
  const photo = now === undefined || webcam.isOn.value ? "photo.jpg" : now.name;
  // The command has one for all classes: the lowest, so that nothing shown is lacking.
  const confidence = Number(Math.min(threshold, ...own.value.values()).toFixed(2));
  return (
    <section class="card" aria-labelledby="use-detect">
      <h2 id="use-detect">{t("use.detect")}</h2>
      <Drop
        text={asking.isBusy.value ? t("use.busy") : t("use.photo")}
        accept="image/*"
        onFiles={([file]) => void look(file)}
      />
      <div class="row">
        <button
          type="button"
          aria-pressed={webcam.isOn.value}
          onClick={() => (webcam.isOn.value ? webcam.stop() : void webcam.start())}
        >
          {webcam.isOn.value ? t("use.webcam.stop") : t("use.webcam")}
        </button>
        {webcam.isOn.value && (
          <p class="hint">{t("use.webcam.rate", { rate: number(webcam.rate.value, 1) })}</p>
        )}
        <p role="alert">{asking.said.value || webcam.said.value}</p>
      </div>
      {now !== undefined && (
        <>
          <Range
            label={t("use.threshold")}
            min={LEAST}
            max={1}
            step={0.01}
            value={threshold}
            shown={number(threshold, 2)}
            onChange={(value) => {
              least.value = value;
              own.value = new Map();
            }}
          />
          <p role={webcam.isOn.value ? undefined : "status"}>
            {found.length === 0 ? t("use.none-found") : summary}
          </p>
          {counts(now.found.objects).length > 1 && (
            <fieldset class="classes">
              <legend>{t("use.classes")}</legend>
              {counts(now.found.objects).map(([label]) => (
                <div key={label}>
                  <Check
                    label={t("use.class.count", {
                      name: label,
                      count: number(all.filter((one) => one.label === label).length),
                    })}
                    checked={!left.has(label)}
                    onChange={() => {
                      const next = new Set(left);
                      if (!next.delete(label)) next.add(label);
                      hidden.value = next;
                    }}
                  />
                  <Range
                    label={t("use.class.threshold", { name: label })}
                    min={LEAST}
                    max={1}
                    step={0.01}
                    value={leastOf(label)}
                    shown={number(leastOf(label), 2)}
                    onChange={(value) => {
                      own.value = new Map(own.value).set(label, value);
                    }}
                  />
                </div>
              ))}
            </fieldset>
          )}
          <canvas
            ref={canvas}
            class="photo"
            role="img"
            aria-label={t("use.found", { name: now.name, what: summary || t("use.none-found") })}
          />
        </>
      )}
      <Command
        name={name}
        verb="detect"
        words={[photo, "--confidence", confidence]}
        code={[`const { objects } = await run.detect(${literal(photo)}, ${literal({ confidence })});`]}
      />
    </section>
  );
}
