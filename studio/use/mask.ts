// A mask over the pixels of a picture, row by row: 1 where it is to be drawn anew.

export type Mask = Uint8Array<ArrayBuffer>;

interface Spot {
  readonly x: number;
  readonly y: number;
}

/** How far a spot is from a line, in pixels. */
function distanceTo({ x, y }: Spot, from: Spot, to: Spot): number {
  const [across, down] = [to.x - from.x, to.y - from.y];
  const length = across * across + down * down;
  const share = length === 0 ? 0 : ((x - from.x) * across + (y - from.y) * down) / length;
  const along = Math.max(0, Math.min(1, share));
  return Math.hypot(x - from.x - along * across, y - from.y - along * down);
}

/** A mask with a line of the brush in it. @param radius of the brush in pixels; 0 marks the pixel that is hit */
export function marked(
  mask: Mask,
  { width, height }: { readonly width: number; readonly height: number },
  { from, to, radius }: { readonly from: Spot; readonly to: Spot; readonly radius: number },
): Mask {
  const next = mask.slice();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (distanceTo({ x, y }, from, to) <= radius + 0.5) next[y * width + x] = 1;
    }
  }
  return next;
}
