import { type Frame, type Point, within } from "../points.ts";
import { rgb } from "../raster/palette.ts";
import { type Color, drawStroke, type Raster } from "../raster/raster.ts";
import { drawText, textWidth } from "../raster/text.ts";
import { significant, ticks } from "../statistics.ts";

/** Where a frame of the plane stands in a raster: a square of `size` pixels. */
export interface Square {
  readonly left: number;
  readonly top: number;
  readonly size: number;
}

/** How a dot or line looks; the radius is in pixels. */
export interface Look {
  readonly radius: number;
  readonly color: Color;
  readonly opacity: number;
}

/** The numbers of an axis. */
const numberText = (value: number): string => significant(value, 6);

/** Pixels that the numbers of the upright axis take beside a frame. */
export function numbersWidth(frame: Frame, count: number, scale = 1): number {
  const texts = ticks(...frame.y, count).map(numberText);
  return Math.max(...["0000", ...texts].map((text) => Math.ceil(textWidth(text, scale)) + 4 * scale));
}

/** A square part of a raster in which points of the plane are drawn. */
export class PlaneCanvas {
  private readonly raster: Raster;
  private readonly frame: Frame;
  private readonly square: Square;

  constructor(raster: Raster, frame: Frame, square: Square) {
    this.raster = raster;
    this.frame = frame;
    this.square = square;
  }

  /** The pixel of a point; y points upwards in the plane and downwards in the raster. */
  place([x, y]: Point): Point {
    const { frame, square } = this;
    return [
      square.left + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * square.size,
      square.top + square.size - ((y - frame.y[0]) / (frame.y[1] - frame.y[0])) * square.size,
    ];
  }

  /** A dot; a point outside the frame is not drawn. */
  dot(point: Point, look: Look): void {
    if (within(this.frame, point)) this.stroke(this.place(point), this.place(point), look);
  }

  /** A line between two points, drawn where both lie within the frame. */
  line(from: Point, to: Point, look: Look): void {
    if (within(this.frame, from) && within(this.frame, to))
      this.stroke(this.place(from), this.place(to), look);
  }

  /** The outline of the square. */
  border(radius = 0.5): void {
    const [left, top, right, bottom] = this.sides();
    const look = { radius, color: rgb("border"), opacity: 1 };
    this.stroke([left, top], [right, top], look);
    this.stroke([right, top], [right, bottom], look);
    this.stroke([right, bottom], [left, bottom], look);
    this.stroke([left, bottom], [left, top], look);
  }

  /** Round numbers, about `count` a side, below and to the left of the square, with lines across it or short marks. */
  axes(count: number, lines: "across" | "marks", scale = 1): void {
    const [left, top, right, bottom] = this.sides();
    const { frame } = this;
    const mark = 5;
    const text = { color: rgb("muted"), scale } as const;
    const look = {
      radius: lines === "across" ? 0.5 : 0.6,
      color: rgb(lines === "across" ? "line" : "border"),
      opacity: 1,
    };
    for (const value of ticks(...frame.x, count)) {
      const x = Math.round(this.place([value, frame.y[0]])[0]);
      this.stroke([x, lines === "across" ? top : bottom + mark], [x, bottom], look);
      drawText(this.raster, numberText(value), { ...text, x, y: bottom + 20, align: "middle" });
    }
    for (const value of ticks(...frame.y, count)) {
      const y = Math.round(this.place([frame.x[0], value])[1]);
      this.stroke([lines === "across" ? right : left - mark, y], [left, y], look);
      drawText(this.raster, numberText(value), { ...text, x: left - 10, y, align: "end" });
    }
  }

  private sides(): readonly [left: number, top: number, right: number, bottom: number] {
    const { left, top, size } = this.square;
    return [left, top, left + size, top + size];
  }

  private stroke(from: Point, to: Point, look: Look): void {
    drawStroke(this.raster, { from, to, ...look });
  }
}
