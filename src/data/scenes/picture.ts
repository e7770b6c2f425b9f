import type { Random } from "../../random.ts";
import type { ByteImage } from "../boxes/set.ts";
import type { Ink, PlacedDigit, SceneColor } from "./layout.ts";

/** Least distance in brightness between a digit and the ground. */
const CONTRAST = 70;

/** Which samples, by which weights, a stretched row of samples is made of. */
interface Taps {
  /** First pixel of the canvas that is touched. */
  readonly first: number;
  /** For each pixel from there on, a weight for every sample. */
  readonly weights: readonly Float32Array[];
}

/**
 * How `length` samples over the span `from` … `to` are seen by pixels: each pixel takes the mean over its width, or over that of a
 * sample where samples are larger, times the share of the pixel that is in the span. So small digits are averaged, large ones
 * smooth, and nothing is drawn outside of the span.
 */
function tapsOf(length: number, from: number, to: number, canvas: number): Taps {
  const scale = (to - from) / length;
  const first = Math.max(0, Math.floor(from));
  const last = Math.min(canvas, Math.ceil(to));
  const weights = Array.from({ length: Math.max(0, last - first) }, (_, i) => {
    const x = first + i;
    const inside = Math.min(x + 1, to) - Math.max(x, from);
    const half = Math.max(1, 1 / scale) / 2;
    const center = (Math.max(x, from) + Math.min(x + 1, to)) / 2 - from;
    const [left, right] = [center / scale - half, center / scale + half];
    return Float32Array.from({ length }, (_, k) => {
      const shared = Math.min(right, k + 1) - Math.max(left, k);
      return shared > 0 ? (shared / (2 * half)) * inside : 0;
    });
  });
  return { first, weights };
}

/** Lays a color on an image wherever there is ink, as thick as the ink is. */
export function stampInk(
  image: ByteImage,
  { ink, box }: PlacedDigit,
  color: SceneColor,
  opacity: number,
): void {
  const { width, height, data } = image;
  const across = tapsOf(ink.width, box[0], box[2], width);
  const down = tapsOf(ink.height, box[1], box[3], height);
  const columns = across.weights.length;
  const rows = new Float32Array(ink.height * columns);
  for (let v = 0; v < ink.height; v++) {
    for (const [i, weights] of across.weights.entries()) {
      let sum = 0;
      for (let u = 0; u < ink.width; u++) sum += (weights[u] ?? 0) * (ink.data[v * ink.width + u] ?? 0);
      rows[v * columns + i] = sum;
    }
  }
  for (const [j, weights] of down.weights.entries()) {
    for (let i = 0; i < columns; i++) {
      let alpha = 0;
      for (let v = 0; v < ink.height; v++) alpha += (weights[v] ?? 0) * (rows[v * columns + i] ?? 0);
      if (alpha <= 0) continue;
      const at = (down.first + j) * width + across.first + i;
      for (let channel = 0; channel < 3; channel++) {
        const position = channel * width * height + at;
        const below = data[position] ?? 0;
        data[position] = Math.round(below + ((color[channel] ?? 0) - below) * alpha * opacity);
      }
    }
  }
}

const drawColor = (random: Random): SceneColor => [
  256 * random.uniform(),
  256 * random.uniform(),
  256 * random.uniform(),
];

const brightness = ([red, green, blue]: SceneColor): number => 0.299 * red + 0.587 * green + 0.114 * blue;

/** A color that differs from the ground. */
function contrasting(random: Random, ground: SceneColor): SceneColor {
  for (;;) {
    const color = drawColor(random);
    if (Math.abs(brightness(color) - brightness(ground)) >= CONTRAST) return color;
  }
}

/** One color that runs into another, in a direction by chance. */
function drawGround(random: Random, side: number, from: SceneColor): ByteImage {
  const to = from.map((value) => value + 60 * (random.uniform() - 0.5));
  const angle = 2 * Math.PI * random.uniform();
  const [dx, dy] = [Math.cos(angle) / (2 * side), Math.sin(angle) / (2 * side)];
  const data = new Uint8Array(3 * side * side);
  for (let channel = 0, at = 0; channel < 3; channel++) {
    const [start, end] = [from[channel] ?? 0, to[channel] ?? 0];
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++, at++) {
        const share = 0.5 + (x - side / 2) * dx + (y - side / 2) * dy;
        data[at] = Math.min(255, Math.max(0, Math.round(start + (end - start) * share)));
      }
    }
  }
  return { width: side, height: side, data };
}

/** A square of a digit, as in cluttered MNIST (Mnih et al. 2014, "Recurrent models of visual attention", section 4.1). */
function pieceOf(random: Random, ink: Ink): Ink {
  const side = Math.max(2, Math.floor(Math.min(ink.width, ink.height) * (0.35 + 0.2 * random.uniform())));
  const left = random.integer(ink.width - side + 1);
  const top = random.integer(ink.height - side + 1);
  const data = Float32Array.from(
    { length: side * side },
    (_, i) => ink.data[(top + Math.floor(i / side)) * ink.width + left + (i % side)] ?? 0,
  );
  return { label: ink.label, width: side, height: side, data };
}

/** A disc of ink. */
function spot(): Ink {
  const side = 16;
  const data = Float32Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [(i % side) - 7.5, Math.floor(i / side) - 7.5];
    return Math.min(1, Math.max(0, 7.5 - Math.hypot(x, y)));
  });
  return { label: -1, width: side, height: side, data };
}

/** A line from border to border, one or two pixels wide. */
function drawLine(random: Random, image: ByteImage, color: SceneColor, opacity: number): void {
  const { width: side, data } = image;
  const [a, b] = [random.uniform() * side, random.uniform() * side];
  const upright = random.uniform() < 0.5;
  const half = 0.5 + 0.5 * random.uniform();
  for (let along = 0; along < side; along++) {
    const middle = a + ((b - a) * (along + 0.5)) / side;
    for (let across = Math.floor(middle - half); across <= Math.floor(middle + half); across++) {
      if (across < 0 || across >= side) continue;
      const alpha = Math.min(1, Math.max(0, half + 0.5 - Math.abs(across + 0.5 - middle))) * opacity;
      const at = upright ? along * side + across : across * side + along;
      for (let channel = 0; channel < 3; channel++) {
        const position = channel * side * side + at;
        const below = data[position] ?? 0;
        data[position] = Math.round(below + ((color[channel] ?? 0) - below) * alpha);
      }
    }
  }
}

/**
 * The picture of a scene: a ground, clutter on it, digits over it, and a little noise.
 * @param pieceAt some digit to cut a piece of clutter from
 */
export function drawScene(
  random: Random,
  side: number,
  digits: readonly PlacedDigit[],
  clutter: number,
  pieceAt: () => Ink,
): ByteImage {
  const ground = drawColor(random);
  const image = drawGround(random, side, ground);
  for (let i = 0; i < clutter; i++) {
    const color = drawColor(random);
    const kind = random.uniform();
    const opacity = 0.4 + 0.5 * random.uniform();
    if (kind < 0.15) {
      drawLine(random, image, color, opacity);
      continue;
    }
    const ink = kind < 0.3 ? spot() : pieceOf(random, pieceAt());
    const size = 3 * 8 ** random.uniform();
    const [x, y] = [random.uniform() * side - size / 2, random.uniform() * side - size / 2];
    stampInk(image, { ink, box: [x, y, x + size, y + size] }, color, opacity);
  }
  for (const digit of digits) stampInk(image, digit, contrasting(random, ground), 1);
  const strength = 24 * random.uniform();
  for (let i = 0; i < image.data.length; i++) {
    const value = (image.data[i] ?? 0) + strength * (random.uniform() - random.uniform());
    image.data[i] = value < 0 ? 0 : value > 255 ? 255 : Math.round(value);
  }
  return image;
}
