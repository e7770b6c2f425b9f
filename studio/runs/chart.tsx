import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { language, t } from "../i18n/index.ts";
import { Check, Segments, Select } from "../ui/fields.tsx";
import { plotAxis, wholeNumbers } from "../ui/plot.ts";
import { isDark } from "../ui/settings.ts";
import { AXES } from "./address.ts";
import { curveOf, lastOf, measuresOf, NO_ROWS, showValue } from "./curves.ts";
import { changeView, measure, rowsByRun, shown, view } from "./store.ts";

const HEIGHT = 320;

const AXIS_NAMES = { step: "runs.over.step", seconds: "runs.over.seconds" } as const;

/** The color of the line at a place, as the style sheet has it. */
const lineColor = (element: Element, at: number): string =>
  getComputedStyle(element)
    .getPropertyValue(`--line-${at + 1}`)
    .trim();

/** Draws the curves into an element until the returned function is called. */
function drawCurves(element: HTMLElement): () => void {
  let plot: uPlot | undefined;
  const width = (): number => Math.max(160, element.clientWidth);
  const draw = (): void => {
    isDark.value;
    const name = measure.value;
    const { axis: over, isLog } = view.value;
    const curves = shown.value.map((run, i) => ({
      run,
      at: view.value.shown.indexOf(run.name) >= 0 ? view.value.shown.indexOf(run.name) : i,
      ...curveOf(rowsByRun.value.get(run.name) ?? NO_ROWS, over, name ?? ""),
    }));
    const axis = plotAxis(element);
    const show = (value: number): string => showValue(value, language.value);
    plot?.destroy();
    // The logarithm of what is not above 0 does not exist.
    const isPositive = curves.every(({ y }) => y.every((value) => value > 0));
    const drawn = curves.filter(({ x }) => x.length > 0);
    plot = new uPlot(
      {
        width: width(),
        height: HEIGHT,
        legend: { show: false },
        cursor: { points: { size: 6 }, y: false },
        padding: [10, 16, 0, 0],
        scales: { x: { time: false }, y: isLog && isPositive ? { distr: 3 } : {} },
        axes: [
          { ...axis, size: 26, gap: 4, space: 80, values: wholeNumbers },
          {
            ...axis,
            size: 64,
            gap: 4,
            space: 36,
            values: (_, values) => values.map((value) => (value === null ? "" : show(value))),
          },
        ],
        series: [
          {},
          ...drawn.map(
            ({ run, at, x }): uPlot.Series => ({
              label: run.name,
              stroke: lineColor(element, at),
              width: 2,
              spanGaps: true,
              points: { show: x.length < 3 },
            }),
          ),
        ],
      },
      drawn.length === 0
        ? [[], []]
        : uPlot.join(drawn.map(({ x, y }): uPlot.AlignedData => [[...x], [...y]])),
      element,
    );
  };
  const stop = effect(draw);
  const observer = new ResizeObserver(() => plot?.setSize({ width: width(), height: HEIGHT }));
  observer.observe(element);
  return () => {
    stop();
    observer.disconnect();
    plot?.destroy();
  };
}

/** Curves of the chosen runs over steps or seconds, all of one measure. */
export function Curves() {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = ref.current;
    return element === null ? undefined : drawCurves(element);
  }, []);
  const all = shown.value.map(({ name }) => rowsByRun.value.get(name) ?? NO_ROWS);
  const names = measuresOf(all);
  const chosen = measure.value ?? "";
  const latest = shown.value
    .map((run, i) => {
      const value = lastOf(all[i] ?? NO_ROWS, chosen);
      return `${run.name} ${value === undefined ? "–" : showValue(value, language.value)}`;
    })
    .join(", ");
  return (
    <section class="card" aria-labelledby="runs-curves">
      <div class="tools">
        <h2 id="runs-curves">{t("runs.curves")}</h2>
        <Select
          label={t("runs.measure")}
          value={chosen}
          options={(names.includes(chosen) || chosen === "" ? names : [chosen, ...names]).map((value) => ({
            value,
            text: value,
          }))}
          onChange={(value) => changeView({ measure: value })}
        />
        <Segments
          label={t("runs.over")}
          name="over"
          value={view.value.axis}
          options={AXES.map((value) => ({ value, text: t(AXIS_NAMES[value]) }))}
          onChange={(value) => changeView({ axis: AXES.find((axis) => axis === value) ?? "step" })}
        />
        <Check
          label={t("runs.log")}
          checked={view.value.isLog}
          onChange={(checked) => changeView({ isLog: checked })}
        />
      </div>
      <ul class="legend">
        {shown.value.map((run, i) => {
          const value = lastOf(all[i] ?? NO_ROWS, chosen);
          return (
            <li key={run.name}>
              <span class={`swatch line-${view.value.shown.indexOf(run.name) + 1}`} aria-hidden="true" />
              {run.name}
              {value !== undefined && <strong>{showValue(value, language.value)}</strong>}
            </li>
          );
        })}
      </ul>
      <div ref={ref} class="curves" role="img" aria-label={t("runs.canvas", { measure: chosen, latest })} />
    </section>
  );
}
