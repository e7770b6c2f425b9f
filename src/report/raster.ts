/** Pixels in rows from the top left, `channels` bytes each: 1 is grey, 3 is RGB. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Red, green and blue, 0 … 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** An RGB raster of one colour. */
export function blankRaster(width: number, height: number, [red, green, blue]: Colour): Raster {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i += 3) {
    data[i] = red;
    data[i + 1] = green;
    data[i + 2] = blue;
  }
  return { width, height, channels: 3, data };
}

/** A stroke with round ends; a dot where both ends are the same point. Pixel centres lie at whole numbers. */
export interface Stroke {
  readonly from: readonly [x: number, y: number];
  readonly to: readonly [x: number, y: number];
  /** Half the width in pixels. */
  readonly radius: number;
  readonly colour: Colour;
  /** 0 is invisible, 1 covers what is below. */
  readonly opacity: number;
}

/**
 * Draws an anti-aliased stroke into an RGB raster, in place; what lies outside is cut off. A pixel is covered by
 * `radius + ½ − distance` of its area, clamped to 0 … 1: exact for straight edges along an axis.
 */
export function drawStroke(raster: Raster, { from, to, radius, colour, opacity }: Stroke): void {
  const [x1, y1] = from;
  const [dx, dy] = [to[0] - x1, to[1] - y1];
  const lengthSquared = dx * dx + dy * dy;
  const reach = radius + 0.5;
  const left = Math.max(0, Math.ceil(Math.min(x1, to[0]) - reach));
  const right = Math.min(raster.width - 1, Math.floor(Math.max(x1, to[0]) + reach));
  const top = Math.max(0, Math.ceil(Math.min(y1, to[1]) - reach));
  const bottom = Math.min(raster.height - 1, Math.floor(Math.max(y1, to[1]) + reach));
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = lengthSquared === 0 ? 0 : ((x - x1) * dx + (y - y1) * dy) / lengthSquared;
      const nearest = Math.min(1, Math.max(0, along));
      const distance = Math.hypot(x - x1 - nearest * dx, y - y1 - nearest * dy);
      const alpha = opacity * Math.min(1, Math.max(0, reach - distance));
      if (alpha > 0) blend(raster.data, (y * raster.width + x) * 3, colour, alpha);
    }
  }
}

function blend(data: Uint8Array, offset: number, colour: Colour, alpha: number): void {
  for (const [channel, value] of colour.entries()) {
    const below = data[offset + channel] ?? 0;
    data[offset + channel] = Math.round(below + (value - below) * alpha);
  }
}
