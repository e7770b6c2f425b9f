import type { Random } from "../../random.ts";
import type { SceneOptions } from "../boxes/options.ts";
import type { Split } from "../sources/data-set.ts";

/** A digit cut out at the edges of its ink: rows of shares from 0 to 1. */
export interface Ink {
  readonly label: number;
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

export type SceneColor = readonly [red: number, green: number, blue: number];

/** A digit and its location: its ink stretched over the box. */
export interface PlacedDigit {
  readonly ink: Ink;
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
}

/** Bytes from here on are ink; fainter ones are what is left of smoothing. */
const INK = 40;
const SIDE = 28;
/** Locations tried for a digit before it is left out. */
const TRIES = 40;

/** Cuts digit `index` of a split out of its image, grey bytes of 28 × 28. */
export function inkOf(split: Split, index: number): Ink {
  const { x, label } = split.batch([index]);
  let [left, top, right, bottom] = [SIDE, SIDE, 0, 0];
  for (const [position, value] of x.data.entries()) {
    if (value < INK) continue;
    const [column, row] = [position % SIDE, Math.floor(position / SIDE)];
    [left, top] = [Math.min(left, column), Math.min(top, row)];
    [right, bottom] = [Math.max(right, column + 1), Math.max(bottom, row + 1)];
  }
  const [width, height] = [right - left, bottom - top];
  const data = Float32Array.from(
    { length: width * height },
    (_, i) => (x.data[(top + Math.floor(i / width)) * SIDE + left + (i % width)] ?? 0) / 255,
  );
  if (label === undefined) throw new RangeError("the digits have no labels");
  return { label: Number(label.data[0]), width, height, data };
}

/** A size for a digit: small with the share asked for, and uniform in its logarithm on either side of the limit. */
function drawSize(random: Random, { smallest, largest, smallShare, smallLimit }: SceneOptions): number {
  const wantsSmall = random.uniform() < smallShare;
  const small = smallest < smallLimit && (wantsSmall || largest < smallLimit);
  const from = small ? smallest : Math.max(smallLimit, smallest);
  const to = small ? Math.min(smallLimit, largest) : Math.max(largest, from);
  return from * (to / from) ** random.uniform();
}

/** The larger share of one of two boxes that the other covers. */
function covered(a: PlacedDigit["box"], b: PlacedDigit["box"]): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const area = (box: PlacedDigit["box"]) => (box[2] - box[0]) * (box[3] - box[1]);
  return width > 0 && height > 0 ? (width * height) / Math.min(area(a), area(b)) : 0;
}

/**
 * Scatters digits over a canvas, the largest first, so that small ones are on top. Boxes are within the canvas; a digit for which
 * no location is found is left out.
 * @param inkAt one of the digits that scenes of this split are made of
 */
export function placeDigits(
  random: Random,
  count: number,
  inkAt: (index: number) => Ink,
  options: SceneOptions,
): readonly PlacedDigit[] {
  const { canvas, objects, digitOverlap } = options;
  const wanted = Array.from({ length: 1 + random.integer(objects) }, () => ({
    size: drawSize(random, options),
    ink: inkAt(random.integer(count)),
  })).sort((a, b) => b.size - a.size);
  const placed: PlacedDigit[] = [];
  for (const { size, ink } of wanted) {
    const { width, height } = ink;
    const longest = Math.min(canvas, options.largest);
    const scale = Math.min(size / Math.sqrt(width * height), longest / Math.max(width, height));
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const x1 = random.uniform() * (canvas - width * scale);
      const y1 = random.uniform() * (canvas - height * scale);
      const box = [x1, y1, x1 + width * scale, y1 + height * scale] as const;
      if (placed.some((other) => covered(other.box, box) > digitOverlap)) continue;
      placed.push({ ink, box });
      break;
    }
  }
  return placed;
}
