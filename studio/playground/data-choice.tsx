import { type TextKey, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { PLANES } from "./data.ts";
import { Drawing } from "./drawing.tsx";
import { paintDensity, paintGround, paintPoints, peakOf } from "./paint.ts";
import { change, dataPoints, state, thumbnails, truth } from "./signals.ts";
import { lastDrawing } from "./strokes.ts";

const NAMES: Readonly<Record<(typeof PLANES)[number], TextKey>> = {
  "two-moons": "data.two-moons",
  "eight-gaussians": "data.eight-gaussians",
  checkerboard: "data.checkerboard",
  spiral: "data.spiral",
  rings: "data.rings",
  pinwheel: "data.pinwheel",
};

/** The distribution that models learn: one that eidos has, or one that is drawn. */
export function DataChoice() {
  const { data } = state.value;
  const chosen = data.kind === "plane" ? data.name : "drawing";
  const name = t(data.kind === "plane" ? NAMES[data.name] : "data.drawing");
  return (
    <section class="card" aria-labelledby="data-title">
      <h2 id="data-title">{t("data.title")}</h2>
      <fieldset class="thumbnails">
        <legend class="unseen">{t("data.choose")}</legend>
        {PLANES.map((plane) => (
          <label key={plane}>
            <input
              type="radio"
              name="data"
              checked={chosen === plane}
              onChange={() => change({ data: { kind: "plane", name: plane } })}
            />
            <SquareCanvas
              paint={(frame) => {
                const points = thumbnails.value.get(plane);
                frame.context.clearRect(0, 0, frame.size, frame.size);
                if (points !== undefined)
                  paintPoints(frame, points, { color: frame.colors.ink, side: 1, alpha: 0.75 });
              }}
            />
            <span>{t(NAMES[plane])}</span>
          </label>
        ))}
        <label class="wide">
          <input
            type="radio"
            name="data"
            checked={chosen === "drawing"}
            onChange={() => change({ data: { kind: "drawing", strokes: lastDrawing.value } })}
          />
          <span>{t("data.drawing")}</span>
        </label>
      </fieldset>
      {data.kind === "drawing" ? (
        <Drawing strokes={data.strokes} />
      ) : (
        <SquareCanvas
          class="data"
          label={t("data.canvas", { name })}
          paint={(frame) => {
            const [points, density] = [dataPoints.value, truth.value];
            const { view } = state.value;
            paintGround(frame);
            if (view === "density" && density !== undefined)
              paintDensity(frame, density, peakOf(density.logDensities));
            else if (points !== undefined)
              paintPoints(frame, points, { color: frame.colors.ink, side: 1.5, alpha: 0.6 });
          }}
        />
      )}
      {state.value.view === "density" && data.kind === "plane" ? <p class="hint">{t("view.truth")}</p> : null}
    </section>
  );
}
