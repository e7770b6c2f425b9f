import { createHash } from "node:crypto";
import { DataError } from "../../errors.ts";
import { isMissing, readBytes } from "../files/files.node.ts";
import { optional } from "../files/optional.node.ts";
import type { ImageHeader, Orientation, PixelSize } from "./check.ts";
import { uprightSize } from "./check.ts";
import type { ByteImage, FaultKind } from "./set.ts";

/** What is found out of an image file, or what is wrong with it. */
export type ImageFinding =
  | {
      readonly ok: true;
      readonly header: ImageHeader;
      /** Length of the file. */
      readonly bytes: number;
      /** SHA-256 of the file. */
      readonly hash: string;
    }
  | { readonly ok: false; readonly kind: FaultKind; readonly detail: string };

export interface ImageChecks {
  /** Images of more pixels are not decoded. */
  readonly pixelLimit: number;
  /** Whether all pixels are decoded, to find files that are cut off, or the header alone is read. */
  readonly verify: boolean;
}

/** Sharp, or an error that says what to install. @throws MissingPackageError */
export function importSharp() {
  return optional("sharp", "reading images", async () => (await import("sharp")).default);
}

/** The first line of an error's message. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}

/** What is wrong with an image that sharp cannot decode. */
function damageOf(error: unknown): string {
  const reason = reasonOf(error);
  return /^Warning treated as error/.test(reason) ? "damaged, or cut off" : reason;
}

/** Reads the header of an image, and its pixels where asked, without keeping them. @throws MissingPackageError */
export async function examineImage(path: string, { pixelLimit, verify }: ImageChecks): Promise<ImageFinding> {
  const sharp = await importSharp();
  let bytes: Uint8Array;
  try {
    bytes = await readBytes(path);
  } catch (error) {
    if (error instanceof DataError)
      return { ok: false, kind: "missing-image", detail: "there is no such file" };
    return { ok: false, kind: "unreadable-image", detail: reasonOf(error) };
  }
  try {
    const { width, height, orientation = 1 } = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (width * height > pixelLimit) {
      const detail = `${width} × ${height} pixels, more than the limit of ${pixelLimit}`;
      return { ok: false, kind: "huge-image", detail };
    }
    if (verify) await sharp(bytes).resize(16, 16, { fit: "fill" }).raw().toBuffer();
    return {
      ok: true,
      header: { stored: { width, height }, orientation: orientation as Orientation },
      bytes: bytes.length,
      hash: createHash("sha256").update(bytes).digest("hex"),
    };
  } catch (error) {
    return { ok: false, kind: "unreadable-image", detail: damageOf(error) };
  }
}

/** The size at which an image has the longer side asked for; its own where it is no larger. */
export function sizeWithin({ width, height }: PixelSize, longest: number | undefined): PixelSize {
  const factor = Math.min(1, (longest ?? Number.POSITIVE_INFINITY) / Math.max(width, height));
  const scaled = (side: number) => Math.max(1, Math.round(side * factor));
  return { width: scaled(width), height: scaled(height) };
}

/**
 * Decodes an image, upright, what is transparent laid on white, made smaller where it is larger than `longest`.
 * @param name of the file, for errors
 * @throws DataError where it is no readable image, or no longer of the size that its header said
 */
export async function decodeRgb(
  path: string,
  name: string,
  header: ImageHeader,
  { longest, pixelLimit }: { readonly longest?: number | undefined; readonly pixelLimit: number },
): Promise<ByteImage> {
  const sharp = await importSharp();
  const { width, height } = sizeWithin(uprightSize(header), longest);
  try {
    const upright = sharp(path, { limitInputPixels: pixelLimit })
      .autoOrient()
      .flatten({ background: "white" });
    const colored = upright.resize(width, height, { fit: "fill" }).toColorspace("srgb");
    const { data, info } = await colored.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    return { width, height, data: toPlanes(data, width * height, info.channels) };
  } catch (error) {
    const reason = isMissing(error) ? "there is no such file" : damageOf(error);
    throw new DataError(`${name}: no longer a readable image (${reason})`, { cause: error });
  }
}

/** Pixel after pixel to channel after channel; a grey image may come with one channel where three were asked for. */
function toPlanes(pixels: Uint8Array, count: number, channels: number): Uint8Array {
  const planes = new Uint8Array(3 * count);
  const [green, blue] = channels >= 3 ? [1, 2] : [0, 0];
  for (let i = 0, at = 0; i < count; i++, at += channels) {
    planes[i] = pixels[at] ?? 0;
    planes[count + i] = pixels[at + green] ?? 0;
    planes[2 * count + i] = pixels[at + blue] ?? 0;
  }
  return planes;
}
