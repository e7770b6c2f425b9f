import { useSignal } from "@preact/signals";
import type { Stroke } from "eidos/data";
import { useEffect, useRef } from "preact/hooks";
import { number, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { Range } from "../ui/fields.tsx";
import { EXTENT } from "./data.ts";
import { paintGround, paintPoints } from "./paint.ts";
import { change, dataPoints } from "./signals.ts";
import { BRUSH } from "./state.ts";
import { beginStroke, extendStroke, hasRoom, lastDrawing } from "./strokes.ts";

/** How far an arrow key moves the pen. */
const KEY_STEP = 0.25;

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-KEY_STEP, 0],
  ArrowRight: [KEY_STEP, 0],
  ArrowUp: [0, KEY_STEP],
  ArrowDown: [0, -KEY_STEP],
};

/** A canvas on which a distribution is drawn, by pointer or by keys. The models learn it when a line ends. */
export function Drawing({ strokes }: { readonly strokes: readonly Stroke[] }) {
  const finished = useSignal(strokes);
  const current = useSignal<Stroke | undefined>(undefined);
  const width = useSignal(0.2);
  const pen = useSignal<{ readonly x: number; readonly y: number } | undefined>(undefined);
  const area = useRef<HTMLDivElement>(null);
  useEffect(() => {
    finished.value = strokes;
  }, [strokes]);

  const put = (next: readonly Stroke[]): void => {
    finished.value = next;
    lastDrawing.value = next;
    change({ data: { kind: "drawing", strokes: next } });
  };
  const end = (): void => {
    const stroke = current.value;
    current.value = undefined;
    if (stroke !== undefined) put([...finished.value, stroke]);
  };
  const extend = (x: number, y: number): void => {
    const stroke = current.value;
    if (stroke === undefined) return;
    current.value = extendStroke(stroke, x, y);
    if (!hasRoom([...finished.value, current.value])) end();
  };
  const at = (event: PointerEvent): readonly [number, number] => {
    const { left, top, width: side } = (event.currentTarget as Element).getBoundingClientRect();
    return [
      EXTENT * ((2 * (event.clientX - left)) / side - 1),
      -EXTENT * ((2 * (event.clientY - top)) / side - 1),
    ];
  };
  const onKey = (event: KeyboardEvent): void => {
    const move = ARROWS[event.key];
    const { x, y } = pen.value ?? { x: 0, y: 0 };
    if (move !== undefined) {
      const clamp = (value: number): number => Math.max(-EXTENT, Math.min(EXTENT, value));
      pen.value = { x: clamp(x + move[0]), y: clamp(y + move[1]) };
      extend(pen.value.x, pen.value.y);
    } else if (event.key === " ") {
      pen.value = { x, y };
      if (current.value !== undefined) end();
      else if (hasRoom(finished.value)) current.value = beginStroke(x, y, width.value);
    } else return;
    event.preventDefault();
  };
  const isFull = !hasRoom(finished.value);
  return (
    <div class="drawing">
      <div
        ref={area}
        class="area"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is drawn on by keys as well
        tabIndex={0}
        aria-label={t("draw.canvas")}
        onPointerDown={(event) => {
          if (event.button !== 0 || isFull) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          pen.value = undefined;
          current.value = beginStroke(...at(event), width.value);
        }}
        onPointerMove={(event) => extend(...at(event))}
        onPointerUp={end}
        onPointerCancel={end}
        onBlur={end}
        onKeyDown={onKey}
      >
        <SquareCanvas
          class="data"
          paint={(frame) => {
            const { context, size, ratio, colors } = frame;
            const unit = size / (2 * EXTENT);
            const place = (value: number): number => (value + EXTENT) * unit;
            paintGround(frame);
            const points = dataPoints.value;
            context.lineCap = "round";
            context.lineJoin = "round";
            context.strokeStyle = colors.accent;
            const drawn = current.value === undefined ? finished.value : [...finished.value, current.value];
            for (const { points: corners, deviation } of drawn) {
              context.globalAlpha = 0.25;
              context.lineWidth = Math.max(2 * ratio, 2.5 * deviation * unit);
              context.beginPath();
              context.moveTo(place(corners[0] ?? 0), place(-(corners[1] ?? 0)));
              for (let i = 0; i < corners.length; i += 2)
                context.lineTo(place(corners[i] ?? 0), place(-(corners[i + 1] ?? 0)));
              context.stroke();
            }
            context.globalAlpha = 1;
            if (points !== undefined && current.value === undefined)
              paintPoints(frame, points, { color: colors.ink, side: 1.5, alpha: 0.6 });
            if (pen.value === undefined) return;
            context.strokeStyle = colors.ink;
            context.lineWidth = (current.value === undefined ? 1 : 3) * ratio;
            context.beginPath();
            context.arc(place(pen.value.x), place(-pen.value.y), 7 * ratio, 0, 2 * Math.PI);
            context.stroke();
          }}
        />
      </div>
      <p class="hint">{t("draw.help")}</p>
      <Range
        label={t("draw.brush")}
        min={BRUSH.min}
        max={BRUSH.min + BRUSH.step * (BRUSH.levels - 1)}
        step={BRUSH.step}
        value={width.value}
        shown={number(width.value, 2)}
        onChange={(value) => {
          width.value = value;
        }}
      />
      <div class="row">
        <button
          type="button"
          disabled={finished.value.length === 0}
          onClick={() => put(finished.value.slice(0, -1))}
        >
          {t("draw.undo")}
        </button>
        <button type="button" disabled={finished.value.length === 0} onClick={() => put([])}>
          {t("draw.clear")}
        </button>
      </div>
      <p class="hint" role="status">
        {isFull ? t("draw.full") : t("draw.count", { count: number(finished.value.length) })}
        {pen.value === undefined ? "" : ` · ${t(current.value === undefined ? "draw.up" : "draw.down")}`}
      </p>
    </div>
  );
}
