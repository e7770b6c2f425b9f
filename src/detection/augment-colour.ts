import type { Random } from "../random.ts";
import type { ResolvedAugmentOptions } from "./augment-options.ts";

/**
 * A change of colours: (r, g, b) becomes the three rows of `matrix` times it, plus `shift`, cut off at 0 and 255. Brightness,
 * contrast, saturation and hue are all such maps, and so is one after the other.
 */
export interface ColourMap {
  /** Three rows of three. */
  readonly matrix: readonly number[];
  readonly shift: number;
}

export interface ColourChange {
  /** Factor of all colours; 1 changes nothing. */
  readonly brightness: number;
  /** Factor of the distance from middle grey. */
  readonly contrast: number;
  /** Factor of the distance from the grey of the same luma. */
  readonly saturation: number;
  /** Turns of the colour circle. */
  readonly hue: number;
}

/** Luma of ITU-R BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const;

const MIDDLE = 127.5;

/**
 * The map that changes hue and saturation with luma held, then brightness, then contrast. Hues turn in the plane of I and Q, the
 * colour part of the YIQ space, whose axes are given by the standard's rounded numbers.
 */
export function colourMap({ brightness, contrast, saturation, hue }: ColourChange): ColourMap {
  const [cos, sin] = [Math.cos(2 * Math.PI * hue), Math.sin(2 * Math.PI * hue)];
  const i = [0.5959, -0.2746, -0.3213] as const;
  const q = [0.2115, -0.5227, 0.3112] as const;
  // What a unit of I and of Q adds to red, green and blue: the inverse of the rows above.
  const fromI = [0.956, -0.272, -1.106] as const;
  const fromQ = [0.619, -0.647, 1.703] as const;
  const matrix = [0, 1, 2].flatMap((row) =>
    [0, 1, 2].map((column) => {
      const own = row === column ? 1 : 0;
      const luma = LUMA[column] ?? 0;
      const [ic, qc] = [i[column] ?? 0, q[column] ?? 0];
      // Written as a change, so that no turn leaves colours exactly as they are in spite of rounded numbers.
      const turned =
        (fromI[row] ?? 0) * ((cos - 1) * ic - sin * qc) + (fromQ[row] ?? 0) * (sin * ic + (cos - 1) * qc);
      return contrast * brightness * (luma + saturation * (own - luma + turned));
    }),
  );
  return { matrix, shift: (1 - contrast) * MIDDLE };
}

/** A change by chance, as large as the options allow; undefined where they allow none. */
export function drawColourMap(
  random: Random,
  { brightness, contrast, saturation, hue }: ResolvedAugmentOptions,
): ColourMap | undefined {
  const change = (most: number) => most * (2 * random.uniform() - 1);
  const drawn = {
    brightness: 1 + change(brightness),
    contrast: 1 + change(contrast),
    saturation: 1 + change(saturation),
    hue: change(hue),
  };
  return brightness + contrast + saturation + hue === 0 ? undefined : colourMap(drawn);
}
