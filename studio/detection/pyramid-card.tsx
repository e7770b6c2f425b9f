import { number, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { objectName } from "./names.ts";
import { paintBoxes, paintGrid, paintScene } from "./paint.ts";
import type { Pyramids, Seen } from "./pyramids.ts";
import { LOOKS, MAP_STRIDE } from "./scales.ts";
import { IMAGE_SIDE } from "./scene.ts";
import { pyramids, state } from "./store.ts";
import { NumberRange } from "./suppression-card.tsx";

/** The scene under the cells of a map that looks at it at a scale. */
function Picture({ scale, stride }: { readonly scale: number; readonly stride: number }) {
  return (
    <SquareCanvas
      paint={(frame) => {
        const { objects, chosen } = state.value;
        paintScene(frame, objects);
        // Cells in pixels of the picture at scale 1.
        const side = stride / scale;
        const cells = Math.ceil(IMAGE_SIDE / side);
        paintGrid(frame, { rows: cells, columns: cells, stride: side });
        paintBoxes(frame, objects, chosen);
      }}
    />
  );
}

function look(kind: keyof Pyramids, { scale, stride, size, cells, counts }: Seen): string {
  const values = {
    scale: number(scale, scale < 1 ? 1 : 0),
    stride: number(stride),
    size: number(size),
    cells: number(cells, 1),
  };
  const where = kind === "image" ? t("pyramid.scale", values) : t("pyramid.stride", values);
  const verdict =
    kind === "image"
      ? t(counts ? "pyramid.in-range" : "pyramid.out-of-range")
      : t(counts ? "pyramid.assigned" : "pyramid.not-assigned");
  return `${where} ${t("pyramid.seen", values)} ${verdict}`;
}

/** One pyramid: a picture a scale or map, and what is seen of the chosen object there. */
function Pyramid({ kind, seen }: { readonly kind: keyof Pyramids; readonly seen: readonly Seen[] }) {
  return (
    <div class="pyramid">
      <h3>{t(kind === "image" ? "pyramid.image" : "pyramid.feature")}</h3>
      <p class="hint">
        {kind === "image"
          ? t("pyramid.image.lead", { stride: number(MAP_STRIDE), looks: number(LOOKS, 2) })
          : t("pyramid.feature.lead")}
      </p>
      <div class={`looks ${kind}`}>
        {seen.map(({ scale, stride, counts }) => (
          <div key={`${scale}.${stride}`} class={counts ? "look counts" : "look"}>
            <Picture scale={scale} stride={stride} />
          </div>
        ))}
      </div>
      <ul>
        {seen.map((each) => (
          <li key={`${each.scale}.${each.stride}`} class={each.counts ? "counts" : undefined}>
            {look(kind, each)}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The picture scaled under one map, beside one picture under maps of several strides. */
export function PyramidCard() {
  const { objects, chosen } = state.value;
  const found = pyramids.value;
  return (
    <section class="card pyramids" aria-labelledby="pyramids-title">
      <h2 id="pyramids-title">{t("pyramid.title", { name: objectName(objects, chosen) })}</h2>
      <p class="hint">{t("pyramid.lead")}</p>
      {found === undefined ? (
        <p role="status">{t("assign.loading")}</p>
      ) : (
        <div class="pair">
          <Pyramid kind="image" seen={found.image} />
          <Pyramid kind="feature" seen={found.feature} />
        </div>
      )}
      <div class="controls">
        <NumberRange name="from" label="pyramid.from" />
        <NumberRange name="to" label="pyramid.to" />
      </div>
    </section>
  );
}
