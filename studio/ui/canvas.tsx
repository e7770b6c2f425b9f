import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Frame, readColors } from "./frame.ts";
import { isDark } from "./settings.ts";

interface CanvasProps {
  /** Paints the canvas; it is painted again whenever a signal that this reads changes, or its size, or the colors. */
  readonly paint: (frame: Frame) => void;
  /** What is to be seen, for those who do not see it. Absent: the canvas is decoration. */
  readonly label?: string;
  readonly class?: string;
  readonly onCanvas?: (canvas: HTMLCanvasElement) => void;
}

/** A square canvas as large as its place, sharp on every screen. */
export function SquareCanvas({ paint, label, class: name, onCanvas }: CanvasProps) {
  const ref = useRef<HTMLCanvasElement>(null);
  const painter = useRef(paint);
  painter.current = paint;
  useEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d");
    if (canvas === null || context === null || context === undefined) return;
    onCanvas?.(canvas);
    let request = 0;
    let unwatch: (() => void) | undefined;
    const draw = (): void => {
      unwatch?.();
      // The first run paints; a later one, after a change, asks for the next frame.
      let painted = false;
      unwatch = effect(() => {
        isDark.value;
        if (painted) {
          cancelAnimationFrame(request);
          request = requestAnimationFrame(draw);
          return;
        }
        painted = true;
        const ratio = Math.min(3, devicePixelRatio || 1);
        const size = Math.max(1, Math.round(canvas.clientWidth * ratio));
        // A new canvas is 300 pixels wide and 150 high.
        if (canvas.width !== size || canvas.height !== size) {
          canvas.width = size;
          canvas.height = size;
        }
        painter.current({ context, size, ratio, colors: readColors(canvas) });
      });
    };
    const observer = new ResizeObserver(draw);
    observer.observe(canvas);
    draw();
    return () => {
      observer.disconnect();
      cancelAnimationFrame(request);
      unwatch?.();
    };
  }, []);
  const accessible =
    label === undefined ? { "aria-hidden": true as const } : { role: "img" as const, "aria-label": label };
  return <canvas ref={ref} class={`square ${name ?? ""}`} {...accessible} />;
}
