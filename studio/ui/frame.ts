/** Colors of the page, as its style sheet has them. */
export interface Colors {
  readonly ground: string;
  readonly line: string;
  readonly muted: string;
  readonly ink: string;
  readonly accent: string;
  readonly dark: boolean;
}

/** A canvas to be painted: a square of so many pixels. */
export interface Frame {
  readonly context: CanvasRenderingContext2D;
  readonly size: number;
  /** Pixels of the canvas to a pixel of the page. */
  readonly ratio: number;
  readonly colors: Colors;
}

export function readColors(element: Element): Colors {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ground: of("--ground"),
    line: of("--line"),
    muted: of("--points"),
    ink: of("--ink"),
    accent: of("--accent"),
    dark: document.documentElement.dataset.theme === "dark",
  };
}
