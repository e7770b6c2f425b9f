import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { number, type TextKey, t } from "../i18n/index.ts";
import { Select } from "../ui/fields.tsx";
import { photoPath } from "./address.ts";
import { columnsIn, rowsSeen } from "./rows.ts";
import { openPhoto, photos, view } from "./store.ts";

// All photos of the folder as small pictures: those alone are on the page that are seen, however many there are.

/** Sides of a cell on the screen. */
const [WIDTH, HEIGHT] = [112, 118];

const FILTERS = {
  all: "mark.filter.all",
  open: "mark.filter.open",
  marked: "mark.filter.marked",
} as const satisfies Readonly<Record<string, TextKey>>;

const filter = signal<keyof typeof FILTERS>("all");

const ARROWS: Readonly<Record<string, (columns: number) => number>> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
  Home: () => Number.NEGATIVE_INFINITY,
  End: () => Number.POSITIVE_INFINITY,
};

export function Grid() {
  const list = useRef<HTMLDivElement>(null);
  const size = useSignal({ width: 300, height: 400 });
  const top = useSignal(0);
  useEffect(() => {
    const element = list.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      size.value = { width: element.clientWidth, height: element.clientHeight };
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const all = photos.value;
  const own = all.filter(
    ({ objects }) => filter.value === "all" || (objects === undefined) === (filter.value === "open"),
  );
  const columns = columnsIn(size.value.width, WIDTH);
  const { from, to, rows } = rowsSeen(own.length, columns, HEIGHT, top.value, size.value.height);
  const current = own.findIndex(({ path }) => path === view.value.photo);
  useEffect(() => {
    const element = list.current;
    if (element === null || current < 0) return;
    const row = Math.floor(current / columns) * HEIGHT;
    if (row < element.scrollTop) element.scrollTop = row;
    else if (row + HEIGHT > element.scrollTop + element.clientHeight)
      element.scrollTop = row + HEIGHT - element.clientHeight;
  }, [current, columns, own.length]);
  const marked = all.filter(({ objects }) => objects !== undefined).length;
  return (
    <section class="card grid-card" aria-labelledby="mark-photos">
      <h2 id="mark-photos">{t("mark.photos")}</h2>
      <Select
        label={t("mark.filter")}
        value={filter.value}
        options={Object.entries(FILTERS).map(([value, key]) => ({ value, text: t(key) }))}
        onChange={(value) => {
          filter.value = value === "open" || value === "marked" ? value : "all";
        }}
      />
      <p class="hint" role="status">
        {t("mark.count", { marked: number(marked), all: number(all.length) })}
      </p>
      <div
        ref={list}
        class="photo-grid"
        role="listbox"
        tabIndex={0}
        aria-labelledby="mark-photos"
        aria-activedescendant={current < 0 ? undefined : `photo-${current}`}
        onScroll={(event) => {
          top.value = event.currentTarget.scrollTop;
        }}
        onKeyDown={(event) => {
          const by = ARROWS[event.key]?.(columns);
          if (by === undefined) return;
          event.preventDefault();
          const next = own[Math.max(0, Math.min(own.length - 1, Math.max(0, current) + by))];
          if (next !== undefined) void openPhoto(next.path);
        }}
      >
        {/* A list box holds options alone; the space of those that are not seen is that of this element. */}
        <div role="presentation" class="room" style={{ height: `${rows * HEIGHT}px` }}>
          {own.slice(from, to).map(({ path, objects }, i) => {
            const at = from + i;
            const state =
              objects === undefined ? t("mark.not-marked") : t("mark.objects", { count: number(objects) });
            return (
              <div
                key={path}
                id={`photo-${at}`}
                role="option"
                tabIndex={-1}
                aria-selected={path === view.value.photo}
                aria-setsize={own.length}
                aria-posinset={at + 1}
                aria-label={`${path}: ${state}`}
                title={path}
                class={objects === undefined ? "cell open" : "cell"}
                style={{
                  left: `${(at % columns) * WIDTH}px`,
                  top: `${Math.floor(at / columns) * HEIGHT}px`,
                }}
                onClick={() => void openPhoto(path)}
                onKeyDown={undefined}
              >
                <img
                  src={
                    new URL(`api/${photoPath("thumbnail", view.value.folder, path)}`, document.baseURI).href
                  }
                  alt=""
                  loading="lazy"
                  decoding="async"
                />
                <span>{objects === undefined ? "–" : number(objects)}</span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}
