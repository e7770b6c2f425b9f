import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { language, number, type TextKey, t } from "../i18n/index.ts";
import { readColors } from "../ui/frame.ts";
import { plotAxis, wholeNumbers } from "../ui/plot.ts";
import { isDark } from "../ui/settings.ts";
import { MODELS } from "./models.ts";
import type { Runner } from "./runner.ts";

const HEIGHT = 84;

/** Milliseconds between two drawings of a chart at least. */
const EVERY = 200;

const NAMES: Readonly<Record<string, TextKey>> = {
  total: "panel.loss.total",
  generator: "panel.loss.generator",
  discriminator: "panel.loss.discriminator",
};

function series(runner: Runner, element: Element): uPlot.Series[] {
  const { muted, ink, accent } = readColors(element);
  const { losses } = MODELS[runner.key];
  const line = (label: TextKey, stroke: string, width: number): uPlot.Series => ({
    label: t(label),
    stroke,
    width,
    points: { show: false },
  });
  if (losses.length > 1)
    return losses.map((name, i) => line(NAMES[name] ?? "panel.loss.total", i === 0 ? accent : ink, 1.5));
  return [line("panel.loss.total", muted, 1), line("panel.loss.smooth", accent, 2)];
}

function columns({ losses }: Runner): uPlot.AlignedData {
  return losses.losses.length > 1
    ? [losses.steps, ...losses.losses]
    : [losses.steps, losses.losses[0] ?? [], losses.smooth];
}

/** The loss by steps: of one loss its values and their running mean, of a game that of each player. */
export function LossChart({ runner }: { readonly runner: Runner }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    let plot: uPlot | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let drawnAt = 0;
    const build = (): void => {
      const axis = plotAxis(element);
      plot?.destroy();
      plot = new uPlot(
        {
          width: Math.max(80, element.clientWidth),
          height: HEIGHT,
          legend: { show: false },
          cursor: { show: false },
          padding: [6, 8, 0, 0],
          scales: { x: { time: false } },
          axes: [
            {
              ...axis,
              size: 18,
              gap: 2,
              space: 70,
              values: wholeNumbers,
            },
            {
              ...axis,
              size: 40,
              gap: 3,
              space: 24,
              values: (_, values) => values.map((value) => number(value, Math.abs(value) < 10 ? 1 : 0)),
            },
          ],
          series: [{}, ...series(runner, element)],
        },
        columns(runner),
        element,
      );
    };
    const stopColors = effect(() => {
      isDark.value;
      language.value;
      build();
    });
    const update = (): void => {
      timer = undefined;
      drawnAt = performance.now();
      plot?.setData(columns(runner));
    };
    const stopData = effect(() => {
      runner.lossCount.value;
      timer ??= setTimeout(update, Math.max(0, drawnAt + EVERY - performance.now()));
    });
    const observer = new ResizeObserver(() => {
      plot?.setSize({ width: Math.max(80, element.clientWidth), height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      stopColors();
      stopData();
      clearTimeout(timer);
      observer.disconnect();
      plot?.destroy();
    };
  }, [runner]);
  runner.lossCount.value;
  const last = runner.losses.smooth.at(-1);
  const names =
    MODELS[runner.key].losses.length > 1
      ? ([
          ["panel.loss.generator", "accent"],
          ["panel.loss.discriminator", "ink"],
        ] as const)
      : ([
          ["panel.loss.total", "muted"],
          ["panel.loss.smooth", "accent"],
        ] as const);
  return (
    <div class="loss">
      <p class="legend">
        {names.map(([name, color]) => (
          <span key={name} class={`key ${color}`}>
            {t(name)}
          </span>
        ))}
      </p>
      <div
        ref={ref}
        class="chart"
        role="img"
        aria-label={t("panel.loss.canvas", { value: last === undefined ? "…" : number(last, 3) })}
      />
    </div>
  );
}
