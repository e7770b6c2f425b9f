import { useComputed } from "@preact/signals";
import { useRef, useState } from "preact/hooks";
import { number, type TextKey, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { Range, Select } from "../ui/fields.tsx";
import { type Frame, readColors } from "../ui/frame.ts";
import { animation } from "./animation.ts";
import { saveFile } from "./download.ts";
import type { Picture } from "./engine.ts";
import { LossChart } from "./loss-chart.tsx";
import { type Control, drawsNoise, isMeasuredAtRest, MODELS } from "./models.ts";
import { paintDensity, paintField, paintGround, paintPath, paintPoints, peakOf } from "./paint.ts";
import { programOf } from "./program.ts";
import type { Runner } from "./runner.ts";
import { changeSetting, dataPoints, settingsOf, state, time, toggleModel, truth } from "./signals.ts";

const WHY: Readonly<Record<Extract<Picture, { kind: "none" }>["why"], TextKey>> = {
  "no-density": "panel.no-density",
  "noisy-density": "panel.noisy-density",
  "no-path": "panel.no-path",
  "no-field": "panel.no-field",
  "paused-density": "panel.paused-density",
};

const VIEW_NAMES: Readonly<Record<string, TextKey>> = {
  samples: "view.samples",
  density: "view.density",
  path: "view.path",
  field: "view.field",
};

/** Particles whose way is drawn: random ways cross so often that more would hide everything. */
const TRAILS = { straight: 90, random: 14 } as const;

/** What the canvas of a model shows. @param at the time of a path */
function paintPicture(frame: Frame, runner: Runner, at?: number): void {
  const picture = runner.picture.value;
  const { colors } = frame;
  const points = state.value.showData ? dataPoints.value : undefined;
  const density = truth.value;
  paintGround(frame);
  if (picture?.kind === "density") {
    paintDensity(frame, picture, peakOf((density ?? picture).logDensities));
    if (points !== undefined)
      paintPoints(frame, points.subarray(0, 600), { color: colors.ink, side: 1.2, alpha: 0.35 });
    return;
  }
  if (points !== undefined) paintPoints(frame, points, { color: colors.muted, side: 1.6, alpha: 0.6 });
  if (picture?.kind === "samples")
    paintPoints(frame, picture.points, { color: colors.accent, side: 2.6, alpha: 0.9 });
  if (picture?.kind === "path")
    paintPath(frame, picture.states, {
      time: at ?? time.value,
      trails: TRAILS[drawsNoise(runner.key, settingsOf(runner.key)) ? "random" : "straight"],
    });
  if (picture?.kind === "field") paintField(frame, picture);
}

function Setting({ runner, control }: { readonly runner: Runner; readonly control: Control }) {
  const value = settingsOf(runner.key)[control.option];
  if (control.kind === "choice") {
    return (
      <Select
        label={t(control.label)}
        value={String(value)}
        options={control.values.map((name) => ({ value: name, text: name }))}
        onChange={(next) => changeSetting(runner.key, control.option, next)}
      />
    );
  }
  const { min, max, step } = control;
  return (
    <Range
      label={t(control.label)}
      min={min}
      max={max}
      step={step}
      value={Number(value)}
      shown={number(Number(value), step < 0.1 ? 2 : step < 1 ? 1 : 0)}
      onChange={(next) => changeSetting(runner.key, control.option, Number(next.toFixed(2)))}
    />
  );
}

function FigureList({ runner }: { readonly runner: Runner }) {
  const figures = runner.figures.value;
  const status = runner.status.value;
  const entry = MODELS[runner.key];
  const { density, bound } = entry;
  const likelihood =
    figures?.logLikelihood !== undefined && status.kind === "ready"
      ? t("panel.likelihood.value", {
          value: number(figures.logLikelihood, 2),
          truth: number(status.prepared.truth, 2),
        })
      : density === "none"
        ? t("panel.likelihood.none")
        : isMeasuredAtRest(entry)
          ? t("panel.likelihood.paused")
          : "…";
  return (
    <dl class="figures">
      <div title={t("panel.energy.help")}>
        <dt>{t("panel.energy")}</dt>
        <dd data-figure="energy">{figures === undefined ? "…" : number(figures.energyDistance, 4)}</dd>
      </div>
      <div title={t("panel.likelihood.help")}>
        <dt>{t(bound ? "panel.bound" : "panel.likelihood")}</dt>
        <dd>{likelihood}</dd>
      </div>
    </dl>
  );
}

// What changes many times a second is read in leaves alone. A vnode that its parent does not draw anew is kept as it first was, and a component that draws itself
// anew above others that do would be kept with all that it ever drew.

function Steps({ runner }: { readonly runner: Runner }) {
  return <span data-figure="step">{t("panel.steps", { step: number(runner.step.value) })}</span>;
}

/** What is said over the picture; undefined where there is nothing to say. */
function messageOf(runner: Runner): string | undefined {
  const status = runner.status.value;
  const picture = runner.picture.value;
  if (status.kind === "loading") return t("panel.loading");
  if (status.kind === "failed") {
    return status.reason === "not-finite"
      ? t("panel.not-finite")
      : t("panel.failed", { reason: status.reason });
  }
  if (runner.busy.value) return t("panel.computing");
  return picture?.kind === "none" ? t(WHY[picture.why]) : undefined;
}

function Plane({
  runner,
  canvas,
}: {
  readonly runner: Runner;
  readonly canvas: { current: HTMLCanvasElement | undefined };
}) {
  const name = t(MODELS[runner.key].name);
  const view = t(VIEW_NAMES[state.value.view] ?? "view.samples");
  const message = messageOf(runner);
  return (
    <div class="plane">
      <SquareCanvas
        label={t("panel.picture", { view, name, step: number(runner.step.value) })}
        paint={(frame) => paintPicture(frame, runner)}
        onCanvas={(element) => {
          canvas.current = element;
        }}
      />
      {message === undefined ? null : (
        <p class="message" role="status">
          {message}
        </p>
      )}
    </div>
  );
}

function Downloads({
  runner,
  canvas,
}: {
  readonly runner: Runner;
  readonly canvas: { readonly current: HTMLCanvasElement | undefined };
}) {
  const [isDrawing, setDrawing] = useState(false);
  const hasPath = useComputed(() => runner.picture.value?.kind === "path").value;
  const isReady = useComputed(() => runner.status.value.kind === "ready").value;
  const { key } = runner;
  const file = (extension: string): string => `${key}-${runner.step.peek()}.${extension}`;
  const saveAnimation = async (): Promise<void> => {
    if (canvas.current === undefined) return;
    setDrawing(true);
    try {
      const paint = (frame: Frame, at: number): void => paintPicture(frame, runner, at);
      saveFile(file("gif"), await animation(readColors(canvas.current), paint));
    } finally {
      setDrawing(false);
    }
  };
  return (
    <details>
      <summary>{t("panel.downloads")}</summary>
      <div class="row">
        <button
          type="button"
          disabled={!isReady}
          onClick={async () => saveFile(file("safetensors"), await runner.file())}
        >
          {t("panel.weights")}
        </button>
        <button
          type="button"
          disabled={!isReady}
          onClick={async () => saveFile(file("onnx"), await runner.onnx())}
        >
          {t("panel.onnx")}
        </button>
        <button
          type="button"
          onClick={() => canvas.current?.toBlob((blob) => blob !== null && saveFile(file("png"), blob))}
        >
          {t("panel.png")}
        </button>
        <button
          type="button"
          disabled={!hasPath || isDrawing}
          title={hasPath ? undefined : t("panel.gif.path")}
          onClick={saveAnimation}
        >
          {t("panel.gif")}
        </button>
        <button
          type="button"
          onClick={() =>
            saveFile(
              file("ts"),
              programOf({
                key,
                data: runner.data,
                settings: settingsOf(key),
                steps: Math.max(1, runner.step.peek()),
                seed: state.value.seed,
              }),
            )
          }
        >
          {t("panel.program")}
        </button>
      </div>
    </details>
  );
}

/** One model: what it has learnt, how well, and what can be taken along. */
export function Panel({ runner }: { readonly runner: Runner }) {
  const canvas = useRef<HTMLCanvasElement | undefined>(undefined);
  const { key } = runner;
  const entry = MODELS[key];
  const name = t(entry.name);
  const status = runner.status.value;
  return (
    <article class="card panel" data-model={key} data-status={status.kind} aria-labelledby={`panel-${key}`}>
      <header>
        <h2 id={`panel-${key}`}>{name}</h2>
        <p class="steps">
          <Steps runner={runner} />
          {status.kind === "ready" ? (
            <span>{t("panel.parameters", { count: number(status.prepared.parameters) })}</span>
          ) : null}
        </p>
        <button
          type="button"
          class="remove"
          aria-label={t("models.remove", { name })}
          onClick={() => toggleModel(key)}
        >
          <span aria-hidden="true">×</span>
        </button>
      </header>
      <Plane runner={runner} canvas={canvas} />
      <FigureList runner={runner} />
      <LossChart runner={runner} />
      <details open>
        <summary>{t("panel.sampling")}</summary>
        <div class="settings">
          {entry.controls.map((control) => (
            <Setting key={control.option} runner={runner} control={control} />
          ))}
        </div>
      </details>
      <Downloads runner={runner} canvas={canvas} />
    </article>
  );
}
