import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { nextInDirection, type Place } from "./features.ts";

interface MapProps {
  readonly label: string;
  readonly places: readonly Place[];
  /** What each is called, and its picture where it has one. */
  readonly names: readonly string[];
  readonly pictures: readonly (string | undefined)[];
  readonly chosen: number;
  /** Items that are near the chosen one. */
  readonly near: ReadonlySet<number>;
  readonly onChoose: (item: number) => void;
}

const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const ZOOM = { least: 1, most: 40, step: 1.5 } as const;

/** The part of the plane that is seen: its middle, and how often it is enlarged. */
interface Window {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

const WHOLE: Window = { x: 0.5, y: 0.5, zoom: 1 };

/** Share of the map that stays free at its edge, so that pictures at the edge are seen. */
const EDGE = 0.06;

/** A map to walk in: dragged and enlarged, or walked through by arrow keys from one item to the next. */
export function FeatureMap({ label, places, names, pictures, chosen, near, onChoose }: MapProps) {
  const view = useSignal<Window>(WHOLE);
  const area = useRef<HTMLDivElement>(null);
  const drag = useRef<{ readonly x: number; readonly y: number; readonly from: Window } | undefined>(
    undefined,
  );
  const { x, y, zoom } = view.value;
  const at = (place: number, middle: number): number =>
    0.5 + (EDGE + (1 - 2 * EDGE) * place - (EDGE + (1 - 2 * EDGE) * middle)) * zoom;
  const enlarge = (factor: number, about?: Place): void => {
    const next = Math.max(ZOOM.least, Math.min(ZOOM.most, zoom * factor));
    if (next === ZOOM.least) {
      view.value = WHOLE;
      return;
    }
    // What lies under the pointer stays there.
    const keep = about ?? places[chosen] ?? { x, y };
    const share = zoom / next;
    view.value = { x: keep.x + (x - keep.x) * share, y: keep.y + (y - keep.y) * share, zoom: next };
  };
  const choose = (item: number): void => {
    onChoose(item);
    const place = places[item];
    // What is chosen is seen.
    if (place === undefined) return;
    const [left, top] = [at(place.x, x), at(place.y, y)];
    if (left < 0 || left > 1 || top < 0 || top > 1) view.value = { x: place.x, y: place.y, zoom };
  };
  return (
    <div class="map-frame">
      <div class="row">
        <button type="button" disabled={zoom >= ZOOM.most} onClick={() => enlarge(ZOOM.step)}>
          {t("use.map.in")}
        </button>
        <button type="button" disabled={zoom <= ZOOM.least} onClick={() => enlarge(1 / ZOOM.step)}>
          {t("use.map.out")}
        </button>
        <button type="button" disabled={zoom <= ZOOM.least} onClick={() => enlarge(0)}>
          {t("use.map.all")}
        </button>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is of a form */}
      <div
        ref={area}
        class="map"
        role="group"
        aria-label={label}
        onWheel={(event) => {
          // A map that is seen whole lets the page be turned.
          if (event.deltaY > 0 && zoom <= ZOOM.least) return;
          event.preventDefault();
          const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
          const unit = (1 - 2 * EDGE) * zoom;
          const about = {
            x: x + ((event.clientX - left) / width - 0.5) / unit,
            y: y + ((event.clientY - top) / height - 0.5) / unit,
          };
          enlarge(event.deltaY < 0 ? 1.2 : 1 / 1.2, about);
        }}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          drag.current = { x: event.clientX, y: event.clientY, from: view.value };
        }}
        onPointerMove={(event) => {
          const begun = drag.current;
          if (begun === undefined || event.buttons === 0) return;
          const { width, height } = event.currentTarget.getBoundingClientRect();
          const unit = (1 - 2 * EDGE) * begun.from.zoom;
          view.value = {
            ...begun.from,
            x: begun.from.x - (event.clientX - begun.x) / width / unit,
            y: begun.from.y - (event.clientY - begun.y) / height / unit,
          };
        }}
        onPointerUp={() => {
          drag.current = undefined;
        }}
        onKeyDown={(event) => {
          const direction = DIRECTIONS[event.key];
          if (direction !== undefined) {
            const next = nextInDirection(places, chosen, direction);
            if (next !== undefined) {
              choose(next);
              area.current?.querySelectorAll<HTMLElement>("button")[next]?.focus();
            }
          } else if (event.key === "+") enlarge(ZOOM.step);
          else if (event.key === "-") enlarge(1 / ZOOM.step);
          else return;
          event.preventDefault();
        }}
      >
        {places.map((place, item) => {
          const [left, top] = [at(place.x, x), at(place.y, y)];
          const picture = pictures[item];
          const kind = `${picture === undefined ? " dot" : ""}${near.has(item) ? " near" : ""}`;
          return (
            <button
              key={item}
              type="button"
              class={`item${kind}${item === chosen ? " chosen" : ""}`}
              style={{ left: `${100 * left}%`, top: `${100 * top}%` }}
              tabIndex={item === chosen ? 0 : -1}
              aria-pressed={item === chosen}
              aria-label={names[item]}
              onClick={() => choose(item)}
            >
              {picture !== undefined && <img src={picture} alt="" draggable={false} />}
            </button>
          );
        })}
      </div>
      <p class="hint">{t("use.map.help")}</p>
    </div>
  );
}
