import { along, type Box, HANDLES, handleAt, type View } from "./geometry.ts";
import type { Drawn } from "./history.ts";
import { heldOf } from "./store.ts";
import type { Proposal } from "./suspects.ts";

// The photo and its boxes on a canvas.

/** As many colors as the style sheet has for lines. */
export const COLORS = 6;

/** From this scale on a pixel of the photo is seen as a square, and from the second on with lines between. */
const [SQUARES, LINES] = [2, 12];

export interface Scene {
  readonly image: CanvasImageSource;
  readonly width: number;
  readonly height: number;
  readonly view: View;
  readonly marks: readonly Drawn[];
  readonly chosen: number | undefined;
  /** What a run proposes. */
  readonly proposals: readonly Proposal[];
  readonly chosenProposal: Proposal | undefined;
  /** A box that is being drawn. */
  readonly drawn: Box | undefined;
  readonly classes: readonly string[];
  readonly currentClass: string;
}

interface Pen {
  readonly context: CanvasRenderingContext2D;
  readonly ratio: number;
  readonly colors: readonly string[];
  readonly surface: string;
  readonly font: string;
}

function penOf(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D, ratio: number): Pen {
  const style = getComputedStyle(canvas);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    context,
    ratio,
    colors: Array.from({ length: COLORS }, (_, i) => of(`--line-${i + 1}`)),
    surface: of("--surface"),
    font: style.fontFamily,
  };
}

/** A line that is seen on every photo: its color, on a dark and a light ground. */
function outline({ context, ratio, surface }: Pen, color: string, width: number, draw: () => void): void {
  context.strokeStyle = surface;
  context.lineWidth = (width + 2) * ratio;
  draw();
  context.strokeStyle = color;
  context.lineWidth = width * ratio;
  draw();
}

const onScreen = ([x1, y1, x2, y2]: Box, { scale, x, y }: View, ratio: number): Box => [
  (x1 * scale + x) * ratio,
  (y1 * scale + y) * ratio,
  (x2 * scale + x) * ratio,
  (y2 * scale + y) * ratio,
];

function label({ context, ratio, surface, font }: Pen, [x1, y1, x2]: Box, text: string, color: string): void {
  const size = 12 * ratio;
  context.font = `${size}px ${font}`;
  const width = context.measureText(text).width + size * 0.6;
  if (x2 - x1 < size * 1.5) return;
  const top = Math.max(0, y1 - size * 1.4);
  context.fillStyle = color;
  context.fillRect(x1, top, width, size * 1.4);
  context.fillStyle = surface;
  context.textBaseline = "middle";
  context.fillText(text, x1 + size * 0.3, top + size * 0.75);
}

function paintOutlines(pen: Pen, { id, box }: Drawn, view: View, color: string): void {
  const held = heldOf(id);
  if (held?.outlines === undefined || held.box === undefined) return;
  const { context, ratio } = pen;
  const from = held.box;
  const draw = (): void => {
    for (const own of held.outlines ?? []) {
      const points = along(own, from, box);
      context.beginPath();
      for (let i = 0; i + 1 < points.length; i += 2) {
        const [x, y] = onScreen([points[i] ?? 0, points[i + 1] ?? 0, 0, 0], view, ratio);
        if (i === 0) context.moveTo(x, y);
        else context.lineTo(x, y);
      }
      context.closePath();
      context.stroke();
    }
  };
  outline(pen, color, 1, draw);
}

function paintBox(
  pen: Pen,
  box: Box,
  view: View,
  color: string,
  width: number,
  dashes: readonly number[],
): void {
  const { context, ratio } = pen;
  const [x1, y1, x2, y2] = onScreen(box, view, ratio);
  context.setLineDash(dashes.map((length) => length * ratio));
  outline(pen, color, width, () => context.strokeRect(x1, y1, x2 - x1, y2 - y1));
  context.setLineDash([]);
}

function paintPhoto({ context, ratio }: Pen, { image, width, height, view }: Scene): void {
  const { canvas } = context;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const [x1, y1, x2, y2] = onScreen([0, 0, width, height], view, ratio);
  context.imageSmoothingEnabled = view.scale < SQUARES;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x1, y1, x2 - x1, y2 - y1);
  if (view.scale < LINES) return;
  context.strokeStyle = "rgb(128 128 128 / 0.35)";
  context.lineWidth = 1;
  context.beginPath();
  const step = view.scale * ratio;
  for (let x = x1 + Math.max(0, Math.floor(-x1 / step)) * step; x <= Math.min(x2, canvas.width); x += step) {
    context.moveTo(x, Math.max(0, y1));
    context.lineTo(x, Math.min(canvas.height, y2));
  }
  for (let y = y1 + Math.max(0, Math.floor(-y1 / step)) * step; y <= Math.min(y2, canvas.height); y += step) {
    context.moveTo(Math.max(0, x1), y);
    context.lineTo(Math.min(canvas.width, x2), y);
  }
  context.stroke();
}

/** Paints a photo with what is marked on it, and what a run proposes. */
export function paintScene(canvas: HTMLCanvasElement, ratio: number, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const pen = penOf(canvas, context, ratio);
  const { view, marks, chosen, proposals, chosenProposal, classes, drawn, currentClass } = scene;
  const colorOf = (name: string): string => {
    const at = classes.indexOf(name);
    return pen.colors[(at < 0 ? classes.length : at) % COLORS] ?? "";
  };
  paintPhoto(pen, scene);
  for (const mark of marks) {
    const color = colorOf(mark.class);
    paintOutlines(pen, mark, view, color);
    paintBox(pen, mark.box, view, color, mark.id === chosen ? 3 : 2, []);
  }
  for (const proposal of proposals) {
    const isChosen = proposal === chosenProposal;
    paintBox(pen, proposal.box, view, colorOf(proposal.label), isChosen ? 3 : 2, [6, 4]);
  }
  for (const mark of marks) label(pen, onScreen(mark.box, view, ratio), mark.class, colorOf(mark.class));
  for (const { label: name, score, box } of proposals) {
    label(pen, onScreen(box, view, ratio), `${name} ${score.toFixed(2)}`, colorOf(name));
  }
  if (drawn !== undefined) paintBox(pen, drawn, view, colorOf(currentClass), 2, [2, 2]);
  const box = marks.find(({ id }) => id === chosen)?.box ?? chosenProposal?.box;
  if (box === undefined) return;
  const side = 4.5 * ratio;
  for (const handle of HANDLES) {
    const [hx, hy] = handleAt(box, handle);
    const [x, y] = onScreen([hx, hy, 0, 0], view, ratio);
    context.fillStyle = pen.surface;
    context.fillRect(x - side, y - side, 2 * side, 2 * side);
    context.strokeStyle = "rgb(20 20 20)";
    context.lineWidth = ratio;
    context.strokeRect(x - side, y - side, 2 * side, 2 * side);
  }
}
