import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { number, type TextKey, t } from "../i18n/index.ts";
import { Check, Range, Segments, Select } from "../ui/fields.tsx";
import { reducedMotion } from "../ui/settings.ts";
import { COMPUTES, type Compute, compute, offersGpu } from "./compute.ts";
import { DataChoice } from "./data-choice.tsx";
import { Mathematics } from "./mathematics.tsx";
import { ModelChoice } from "./model-choice.tsx";
import { Panel } from "./panel.tsx";
import { beginView, change, dropped, hasData, playing, state, time } from "./signals.ts";
import { SPEEDS, VIEWS } from "./state.ts";
import { computeBy, openPlayground, restart, runners, stepAll } from "./store.ts";

const VIEW_NAMES: Readonly<Record<(typeof VIEWS)[number], TextKey>> = {
  samples: "view.samples",
  density: "view.density",
  path: "view.path",
  field: "view.field",
};

const SPEED_NAMES: Readonly<Record<(typeof SPEEDS)[number], TextKey>> = {
  full: "play.speed.full",
  "10": "play.speed.10",
  "1": "play.speed.1",
};

const COMPUTE_NAMES: Readonly<Record<Compute, TextKey>> = {
  wasm: "play.compute.wasm",
  webgpu: "play.compute.webgpu",
};

/** Whether the path runs by itself. */
const running = signal(false);

/** Seconds in which a path runs from noise to data. */
const PATH_SECONDS = 4;

let before = 0;

function advancePath(now: number): void {
  if (!running.value) return;
  const passed = before === 0 ? 0 : (now - before) / 1000;
  before = now;
  time.value = Math.max(0, time.value - passed / PATH_SECONDS);
  if (time.value === 0) running.value = false;
  else requestAnimationFrame(advancePath);
}

function runPath(): void {
  if (running.value) {
    running.value = false;
    return;
  }
  // With less motion the path goes on by a tenth at each press.
  if (reducedMotion.value) {
    time.value = time.value < 0.05 ? 1 : Math.max(0, time.value - 0.1);
    return;
  }
  if (time.value === 0) time.value = 1;
  before = 0;
  running.value = true;
  requestAnimationFrame(advancePath);
}

function togglePlaying(): void {
  if (hasData.value && state.value.models.length > 0) playing.value = !playing.value;
}

/** Keys of the playground, but where a reader writes or a control has its own. */
function onKey(event: KeyboardEvent): void {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return;
  if (event.key === "k") togglePlaying();
  else if (event.key === "s") stepAll();
  else if (event.key === "r") restart();
}

function Transport() {
  const isReady = hasData.value && state.value.models.length > 0;
  return (
    <section class="transport" aria-label={t("play.controls")}>
      <button type="button" class="primary" disabled={!isReady} aria-keyshortcuts="k" onClick={togglePlaying}>
        <span class={playing.value ? "icon pause" : "icon play"} aria-hidden="true" />
        {playing.value ? t("play.pause") : t("play.play")}
      </button>
      <button type="button" disabled={!isReady} aria-keyshortcuts="s" onClick={stepAll}>
        {t("play.step")}
      </button>
      <button type="button" disabled={!isReady} aria-keyshortcuts="r" onClick={restart}>
        {t("play.restart")}
      </button>
      <Select
        label={t("play.speed")}
        value={state.value.speed}
        options={SPEEDS.map((value) => ({ value, text: t(SPEED_NAMES[value]) }))}
        onChange={(value) => change({ speed: SPEEDS.find((speed) => speed === value) ?? "full" })}
      />
      {offersGpu.value && (
        <Select
          label={t("play.compute")}
          value={compute.value}
          options={COMPUTES.map((value) => ({ value, text: t(COMPUTE_NAMES[value]) }))}
          onChange={(value) => computeBy(COMPUTES.find((one) => one === value) ?? "wasm")}
        />
      )}
    </section>
  );
}

function ViewChoice() {
  const { view } = state.value;
  const percent = Math.round(100 * (1 - time.value));
  return (
    <section class="view" aria-label={t("view.title")}>
      <Segments
        label={t("view.title")}
        name="view"
        value={view}
        options={VIEWS.map((value) => ({ value, text: t(VIEW_NAMES[value]) }))}
        onChange={(value) => {
          const next = VIEWS.find((candidate) => candidate === value) ?? "samples";
          if (next !== view) beginView(next);
          change({ view: next });
        }}
      />
      <Check
        label={t("view.data")}
        checked={state.value.showData}
        onChange={(checked) => change({ showData: checked })}
      />
      <button
        type="button"
        class="quiet"
        onClick={() => change({ seed: (state.value.seed + 1) % 1_000_000 })}
      >
        {t("view.seed")}
      </button>
      {view === "path" || view === "field" ? (
        <div class="scrubber">
          <Range
            label={t("view.time")}
            min={0}
            max={100}
            step={1}
            value={percent}
            shown={t("view.time.value", { percent: number(percent) })}
            onChange={(value) => {
              running.value = false;
              time.value = 1 - value / 100;
            }}
          />
          <button type="button" onClick={runPath}>
            {running.value ? t("view.stop") : t("view.run")}
          </button>
        </div>
      ) : null}
      {view === "path" ? <p class="hint">{t("view.path.help")}</p> : null}
    </section>
  );
}

/** Models that learn side by side on the same points. */
export function Playground() {
  useEffect(openPlayground, []);
  useEffect(() => {
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  const { models } = state.value;
  return (
    <div class="playground">
      <div class="intro">
        <h1>{t("play.title")}</h1>
        <p>{t("play.lead")}</p>
        <p class="hint keys">{t("play.keys")}</p>
        {dropped.value.length > 0 ? (
          <p class="notice" role="status">
            {t("play.dropped", { parts: dropped.value.join(", ") })}
          </p>
        ) : null}
      </div>
      <div class="rail">
        <DataChoice />
        <ModelChoice />
      </div>
      <div class="stage">
        <div class="bar">
          <Transport />
          <ViewChoice />
        </div>
        {hasData.value ? null : <p class="notice">{t("draw.empty")}</p>}
        {models.length === 0 ? <p class="notice">{t("models.none")}</p> : null}
        <div class="panels" data-count={models.length}>
          {runners.value.map((runner) => (
            <Panel key={runner.id} runner={runner} />
          ))}
        </div>
        <Mathematics />
      </div>
    </div>
  );
}
