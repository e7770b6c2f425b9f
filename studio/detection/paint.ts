import type { Frame } from "../ui/frame.ts";
import type { Assigned, CellAnchor, Mark } from "./engine.ts";
import type { RuleLevel } from "./graphs.ts";
import { CORNERS, type Edges, IMAGE_SIDE, type Kind, type SceneObject } from "./scene.ts";
import type { Found } from "./suppression.ts";

// What stands on the canvases of the room: the scene, and what lies over it. Coordinates are pixels of the image.

/** Hues of the objects, one after another, apart from each other for eyes that tell red from green badly, too. */
const HUES = [205, 28, 280, 95, 340, 55] as const;

/** The color of an object. */
export function objectColor(object: number, dark: boolean): string {
  const hue = HUES[object % HUES.length] ?? 0;
  return `hsl(${hue} ${dark ? "80% 66%" : "75% 36%"})`;
}

const unitOf = ({ size }: Frame): number => size / IMAGE_SIDE;

/** Draws the outline of what an object is, in a box; the caller fills and strokes it. */
function outline(context: CanvasRenderingContext2D, kind: Kind, [x1, y1, x2, y2]: Edges): void {
  const at = (x: number, y: number): [number, number] => [x1 + x * (x2 - x1), y1 + y * (y2 - y1)];
  const polygon = (...points: readonly (readonly [number, number])[]): void => {
    for (const [i, [x, y]] of points.entries()) {
      if (i === 0) context.moveTo(...at(x, y));
      else context.lineTo(...at(x, y));
    }
    context.closePath();
  };
  const ellipse = (x: number, y: number, rx: number, ry: number): void => {
    const [cx, cy] = at(x, y);
    context.moveTo(cx + rx * (x2 - x1), cy);
    context.ellipse(cx, cy, rx * (x2 - x1), ry * (y2 - y1), 0, 0, 2 * Math.PI);
  };
  context.beginPath();
  switch (kind) {
    case "house":
      polygon([0, 0.42], [0.5, 0], [1, 0.42], [0.9, 0.42], [0.9, 1], [0.1, 1], [0.1, 0.42]);
      polygon([0.42, 1], [0.42, 0.68], [0.6, 0.68], [0.6, 1]);
      break;
    case "tree":
      polygon([0.42, 1], [0.42, 0.7], [0, 0.7], [0.5, 0], [1, 0.7], [0.58, 0.7], [0.58, 1]);
      break;
    case "ball":
      ellipse(0.5, 0.5, 0.5, 0.5);
      ellipse(0.34, 0.32, 0.1, 0.1);
      break;
    case "bird":
      polygon(
        [0, 0.35],
        [0.3, 0.45],
        [0.25, 0],
        [0.62, 0.4],
        [0.78, 0.22],
        [1, 0.42],
        [0.82, 0.54],
        [0.6, 0.9],
        [0.35, 1],
        [0.2, 0.7],
      );
      break;
  }
}

/** The picture: ground, horizon, and the objects. */
export function paintScene(frame: Frame, objects: readonly SceneObject[]): void {
  const { context, size, ratio, colors } = frame;
  const unit = unitOf(frame);
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, size, size);
  context.fillStyle = colors.line;
  context.globalAlpha = 0.35;
  context.fillRect(0, 0.62 * size, size, 0.38 * size);
  for (const [i, { kind, box }] of objects.entries()) {
    const color = objectColor(i, colors.dark);
    outline(context, kind, box.map((edge) => edge * unit) as unknown as Edges);
    context.globalAlpha = 0.22;
    context.fillStyle = color;
    context.fill("evenodd");
    context.globalAlpha = 0.7;
    context.strokeStyle = color;
    context.lineWidth = ratio;
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** The cells of a map. */
export function paintGrid(
  frame: Frame,
  { rows, columns, stride }: Pick<RuleLevel, "rows" | "columns" | "stride">,
): void {
  const { context, ratio, colors } = frame;
  const unit = unitOf(frame);
  context.strokeStyle = colors.muted;
  context.globalAlpha = stride * unit < 5 * ratio ? 0.25 : 0.5;
  context.lineWidth = Math.max(0.5, ratio / 2);
  context.beginPath();
  const [width, height] = [columns * stride * unit, rows * stride * unit];
  for (let column = 0; column <= columns; column++) {
    context.moveTo(column * stride * unit, 0);
    context.lineTo(column * stride * unit, height);
  }
  for (let row = 0; row <= rows; row++) {
    context.moveTo(0, row * stride * unit);
    context.lineTo(width, row * stride * unit);
  }
  context.stroke();
  context.globalAlpha = 1;
}

interface BoxStyle {
  readonly color: string;
  readonly width: number;
  readonly alpha: number;
  readonly dash?: readonly number[];
}

function strokeBox(
  frame: Frame,
  [x1, y1, x2, y2]: Edges,
  { color, width, alpha, dash = [] }: BoxStyle,
): void {
  const { context, ratio } = frame;
  const unit = unitOf(frame);
  context.strokeStyle = color;
  context.lineWidth = width * ratio;
  context.globalAlpha = alpha;
  context.setLineDash(dash.map((length) => length * ratio));
  context.strokeRect(x1 * unit, y1 * unit, (x2 - x1) * unit, (y2 - y1) * unit);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/** Boxes of the objects; the chosen one stands out. */
export function paintBoxes(frame: Frame, objects: readonly SceneObject[], chosen: number): void {
  for (const [i, { box }] of objects.entries()) {
    const color = objectColor(i, frame.colors.dark);
    strokeBox(frame, box, { color, width: i === chosen ? 3 : 1.5, alpha: 1 });
  }
}

/** Handles at the corners of a box; those of a small one are small, so that it is seen between them. */
export function paintHandles(frame: Frame, [x1, y1, x2, y2]: Edges, color: string): void {
  const { context, ratio, colors } = frame;
  const unit = unitOf(frame);
  const side = Math.max(5 * ratio, Math.min(9 * ratio, 0.4 * unit * Math.min(x2 - x1, y2 - y1)));
  const edges = [x1, y1, x2, y2] as const;
  context.fillStyle = colors.ground;
  context.strokeStyle = color;
  context.lineWidth = 2 * ratio;
  for (const [h, v] of CORNERS) {
    const [left, top] = [edges[h] * unit - side / 2, edges[v] * unit - side / 2];
    context.fillRect(left, top, side, side);
    context.strokeRect(left, top, side, side);
  }
}

/** Heat of a map, as far as there is any. */
function paintHeat(frame: Frame, heat: Float32Array, { columns, stride }: RuleLevel): void {
  const { context, colors } = frame;
  const side = stride * unitOf(frame);
  context.fillStyle = colors.accent;
  for (const [i, value] of heat.entries()) {
    if (value < 0.02) continue;
    context.globalAlpha = 0.85 * value;
    context.fillRect((i % columns) * side, Math.floor(i / columns) * side, side, side);
  }
  context.globalAlpha = 1;
}

/** Anchors, locations and cells that objects have, those of the chosen object before all others. */
export function paintAssigned(frame: Frame, { levels, marks, heat }: Assigned, chosen: number): void {
  const [first] = levels;
  if (heat !== undefined && first !== undefined) paintHeat(frame, heat, first);
  const others = marks.filter(({ object, role }) => object !== chosen && role === "positive");
  const ignored = marks.filter(({ object, role }) => object === chosen && role === "ignored");
  const own = marks.filter(({ object, role }) => object === chosen && role === "positive");
  for (const mark of others) paintMark(frame, mark, levels, 0.3);
  for (const mark of ignored) paintMark(frame, mark, levels, 0.55);
  for (const mark of own) paintMark(frame, mark, levels, 0.95);
}

function paintMark(frame: Frame, mark: Mark, levels: readonly RuleLevel[], alpha: number): void {
  const { context, ratio, colors } = frame;
  const { box, role, object, level, row, column, quality } = mark;
  const color = role === "ignored" ? colors.muted : objectColor(object, colors.dark);
  if (box !== undefined) {
    strokeBox(frame, box, { color, width: 1.25, alpha, ...(role === "ignored" && { dash: [3, 4] }) });
    return;
  }
  const unit = unitOf(frame);
  const stride = levels[level]?.stride ?? 1;
  const side = stride * unit;
  context.fillStyle = color;
  context.globalAlpha = alpha * (0.35 + 0.65 * (quality ?? 1)) * 0.8;
  const inset = Math.min(2 * ratio, side / 6);
  context.fillRect(column * side + inset, row * side + inset, side - 2 * inset, side - 2 * inset);
  context.globalAlpha = 1;
}

/** All anchors of the cells in which the chosen object's center lies. */
export function paintCellAnchors(frame: Frame, anchors: readonly CellAnchor[], chosen: number): void {
  const { colors } = frame;
  const own = objectColor(chosen, colors.dark);
  const order = { background: 0, ignored: 1, positive: 2 } as const;
  for (const { box, role } of anchors.toSorted((a, b) => order[a.role] - order[b.role])) {
    strokeBox(frame, box, {
      color: role === "positive" ? own : role === "ignored" ? colors.ink : colors.muted,
      width: role === "positive" ? 2 : 1,
      alpha: role === "background" ? 0.6 : 0.95,
      ...(role === "ignored" && { dash: [3, 4] }),
    });
  }
}

/** A map by itself: its cells, filled where an anchor or location of theirs is an object's or counts for nothing. */
export function paintLevel(
  frame: Frame,
  level: RuleLevel,
  marks: readonly Mark[],
  heat?: Float32Array,
): void {
  const { context, size, colors } = frame;
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, size, size);
  if (heat !== undefined) paintHeat(frame, heat, level);
  paintGrid(frame, level);
  const side = level.stride * unitOf(frame);
  // A cell with anchors of both kinds shows the object.
  for (const wanted of ["ignored", "positive"] as const) {
    for (const { role, row, column, object } of marks) {
      if (role !== wanted) continue;
      context.fillStyle = role === "ignored" ? colors.muted : objectColor(object, colors.dark);
      const part = role === "ignored" ? 0.4 : 1;
      const inset = (side * (1 - part)) / 2;
      context.fillRect(column * side + inset, row * side + inset, part * side, part * side);
    }
  }
}

/** Detections before suppression, thin, and those that are left, in the color of their place among the objects. */
export function paintFound(frame: Frame, before: readonly Found[], after: readonly Found[]): void {
  const { context, ratio, colors } = frame;
  const unit = unitOf(frame);
  for (const { box, score } of before)
    strokeBox(frame, box, { color: colors.muted, width: 1, alpha: 0.25 + 0.5 * score });
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const { box, score } of after) {
    strokeBox(frame, box, { color: colors.accent, width: 2.5, alpha: 0.95 });
    const text = score.toFixed(2);
    const [x, y] = [box[0] * unit, Math.max(14 * ratio, box[1] * unit - 2 * ratio)];
    context.fillStyle = colors.ground;
    context.fillRect(x, y - 12 * ratio, context.measureText(text).width + 4 * ratio, 13 * ratio);
    context.fillStyle = colors.ink;
    context.fillText(text, x + 2 * ratio, y);
  }
}
