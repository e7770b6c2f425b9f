import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { type Mask, marked } from "./mask.ts";
import { type Picture, type PictureForm, rgbaOf } from "./pictures.ts";

interface BrushProps {
  readonly picture: Picture;
  readonly form: PictureForm;
  /** 1 where the picture is to be drawn anew. */
  readonly mask: Mask;
  /** Pixels of the radius. */
  readonly radius: number;
  readonly onMask: (mask: Mask) => void;
}

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** How much of the color of the brush lies over what is marked. */
const COVER = 0.75;

/** The color of a style sheet as red, green and blue: #0a6a87. */
function rgbOf(color: string): readonly number[] {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) || 0);
}

/** A picture on which a brush marks what is to be drawn anew, by pointer or by keys. */
export function Brush({ picture, form, mask, radius, onMask }: BrushProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const pen = useSignal<{ readonly x: number; readonly y: number; readonly isDown: boolean } | undefined>(
    undefined,
  );
  const last = useRef<{ readonly x: number; readonly y: number } | undefined>(undefined);
  const { width, height } = form;
  const at = pen.value;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (canvas.current === null || context === null || context === undefined) return;
    const rgba = rgbaOf(picture, form);
    const color = rgbOf(getComputedStyle(canvas.current).getPropertyValue("--accent").trim());
    for (const [pixel, isMarked] of mask.entries()) {
      if (isMarked === 0) continue;
      for (const [channel, value] of color.entries())
        rgba[4 * pixel + channel] = COVER * value + (1 - COVER) * (rgba[4 * pixel + channel] ?? 0);
    }
    context.putImageData(new ImageData(rgba, width, height), 0, 0);
    if (at === undefined) return;
    context.strokeStyle = at.isDown ? "#fff" : "#888";
    context.lineWidth = 1;
    context.strokeRect(at.x - 0.5, at.y - 0.5, 2, 2);
  }, [picture, form, mask, at]);
  const draw = (x: number, y: number): void => {
    onMask(marked(mask, { width, height }, { from: last.current ?? { x, y }, to: { x, y }, radius }));
    last.current = { x, y };
  };
  const placeOf = (event: PointerEvent): readonly [number, number] => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * width - 0.5,
      ((event.clientY - box.top) / box.height) * height - 0.5,
    ];
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const { x, y, isDown } = pen.value ?? {
      x: Math.floor(width / 2),
      y: Math.floor(height / 2),
      isDown: false,
    };
    const move = ARROWS[event.key];
    if (move !== undefined) {
      const next = {
        x: Math.max(0, Math.min(width - 1, x + move[0])),
        y: Math.max(0, Math.min(height - 1, y + move[1])),
        isDown,
      };
      pen.value = next;
      if (isDown) draw(next.x, next.y);
    } else if (event.key === " ") {
      pen.value = { x, y, isDown: !isDown };
      last.current = undefined;
      if (!isDown) draw(x, y);
    } else return;
    event.preventDefault();
  };
  const isDrawing = useRef(false);
  const end = (): void => {
    isDrawing.current = false;
    last.current = undefined;
  };
  return (
    <div
      class="brush"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is painted on by keys as well
      tabIndex={0}
      aria-label={t("use.brush.canvas")}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        pen.value = undefined;
        isDrawing.current = true;
        last.current = undefined;
        draw(...placeOf(event));
      }}
      onPointerMove={(event) => {
        if (isDrawing.current) draw(...placeOf(event));
      }}
      onPointerUp={end}
      onPointerCancel={end}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} class="pixels" width={width} height={height} />
    </div>
  );
}
