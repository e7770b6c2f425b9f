import type { Sharp } from "sharp";
import { DataError } from "../../errors.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { importSharp } from "./sharp.node.ts";

/** The largest value of a byte. */
const BYTE = 255;

/** Values of pixels that are no colors. */
export class ValuesError extends DataError {}

/**
 * Brings pixels of other depths to bytes, upright: floats of 0 … 1 are multiplied by 255, and values of 16 bits of which only some are used by
 * the rest. All else stays as it is.
 * @param bits that the values of images of 16 bits have: 10, 12 or 14 of a camera or scanner; default: 16
 * @throws DataError for floats of another range than 0 … 1 and 0 … 255, without a name in front
 * @internal its types are those of an optional package
 */
export async function inBytes(
  image: Sharp,
  { depth }: { readonly depth?: string | undefined },
  bits = 16,
): Promise<Sharp> {
  const factor = await factorOf(image, depth, bits);
  if (factor === 1) return image;
  // Sharp makes bytes of grey values before it multiplies: in one chain nothing would be left of floats below 1.
  const scaled = image.autoOrient().linear(factor, 0).toColorspace("srgb").raw({ depth: "uchar" });
  const { data, info } = await nativeCall(() => scaled.toBuffer({ resolveWithObject: true }));
  const { width, height, channels } = info;
  return (await importSharp())(data, { raw: { width, height, channels } });
}

/** Whether `inBytes` changes pixels of a depth, for which it holds all of an image in memory. */
export function isScaled(depth: string | undefined, bits = 16): boolean {
  return depth === "float" || depth === "double" || (depth === "ushort" && bits < 16);
}

/**
 * The largest value of an image of 16 bits, as a byte that is none too small: 16 for 4095.
 * @internal its types are those of an optional package
 */
export async function largestByte(image: Sharp): Promise<number> {
  const { channels } = await nativeCall(() => image.clone().stats());
  return Math.ceil((Math.max(...channels.map(({ max }) => max)) + 1) / (BYTE + 1));
}

/** What values are multiplied by. */
async function factorOf(image: Sharp, depth: string | undefined, bits: number): Promise<number> {
  if (depth === "ushort") return 2 ** (16 - bits);
  if (depth !== "float" && depth !== "double") return 1;
  const { channels } = await nativeCall(() => image.clone().stats());
  const least = Math.min(...channels.map(({ min }) => min));
  const most = Math.max(...channels.map(({ max }) => max));
  if (least >= 0 && most <= 1) return BYTE;
  if (least >= 0 && most <= BYTE) return 1;
  throw new ValuesError(
    `its values are floats from ${Number(least.toPrecision(4))} to ${Number(most.toPrecision(4))}, where 0 to 1 or 0 to 255 are read; scale them`,
  );
}

/** Images of 16 bits whose values are small, all of them. */
export class DepthWatch {
  /** How many there are. */
  count = 0;
  private most = 0;
  private first = "";

  /** Takes the bytes of a decoded image, or the largest of them. */
  see(name: string, bytes: Uint8Array | number): void {
    if (this.count === 0) this.first = name;
    this.count++;
    if (typeof bytes === "number") this.most = Math.max(this.most, bytes);
    else for (const value of bytes) if (value > this.most) this.most = value;
  }

  /** A line for images that use fewer than 15 of their 16 bits; undefined where there are none. */
  line(): string | undefined {
    if (this.count === 0 || this.most > 64) return undefined;
    // The largest value is rounded, 4095 to 16.
    const bits = 8 + Math.ceil(Math.log2(Math.max(1, this.most)));
    return `${this.count} images of 16 bits (${this.first}${this.count > 1 ? ", …" : ""}) have no value from ${2 ** bits} on, and are dark: --bits ${bits} takes their values as ones of ${bits} bits`;
  }
}
