import { createHash } from "node:crypto";
import { DataError } from "../../errors.ts";
import { isMissing, readBytes } from "../files/files.node.ts";
import { optional } from "../files/optional.node.ts";
import { checkedImage } from "../sources/gather.ts";
import type { PhotoImage } from "../sources/memory.ts";
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

/** Sharp, or an error that names what to install. @throws MissingPackageError @internal */
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

/** An image to read: the path of a file, the bytes of one, or pixels. */
export type ImageInput = string | PhotoImage;

type Sharp = Awaited<ReturnType<typeof importSharp>>;

/** Reads an image with sharp. */
function reader(sharp: Sharp, image: ImageInput, limitInputPixels?: number | false) {
  const limit = limitInputPixels === undefined ? {} : { limitInputPixels };
  if (typeof image === "string" || image instanceof Uint8Array) return sharp(image, limit);
  const { width, height, data } = image;
  return sharp(data, { ...limit, raw: { width, height, channels: 4 } });
}

/** The bytes of an image: of its file, or its pixels. @throws DataError where there is no such file, FileError */
async function bytesOf(image: ImageInput): Promise<Uint8Array> {
  if (typeof image === "string") return readBytes(image);
  return image instanceof Uint8Array
    ? image
    : new Uint8Array(image.data.buffer, image.data.byteOffset, image.data.byteLength);
}

/** Reads the header of an image, and its pixels where asked, without keeping them. @throws MissingPackageError */
export async function examineImage(
  image: ImageInput,
  { pixelLimit, verify }: ImageChecks,
): Promise<ImageFinding> {
  const sharp = await importSharp();
  let bytes: Uint8Array;
  try {
    bytes = await bytesOf(image);
  } catch (error) {
    if (error instanceof DataError) {
      return { ok: false, kind: "missing-image", detail: "there is no such file" };
    }
    return { ok: false, kind: "unreadable-image", detail: reasonOf(error) };
  }
  const read = typeof image === "string" ? bytes : image;
  try {
    const { width, height, orientation = 1 } = await reader(sharp, read, false).metadata();
    if (width * height > pixelLimit) {
      const detail = `${width} × ${height} pixels, more than the limit of ${pixelLimit}`;
      return { ok: false, kind: "huge-image", detail };
    }
    if (verify) await reader(sharp, read).resize(16, 16, { fit: "fill" }).raw().toBuffer();
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
function sizeWithin({ width, height }: PixelSize, longest: number | undefined): PixelSize {
  const factor = Math.min(1, (longest ?? Number.POSITIVE_INFINITY) / Math.max(width, height));
  const scaled = (side: number) => Math.max(1, Math.round(side * factor));
  return { width: scaled(width), height: scaled(height) };
}

/**
 * Decodes an image, upright, what is transparent laid on white, made smaller where it is larger than `longest`.
 * @param name of the image, for errors
 * @throws DataError where it is no readable image, or no longer of the size that its header gave
 */
export async function decodeRgb(
  image: ImageInput,
  name: string,
  header: ImageHeader,
  { longest, pixelLimit }: { readonly longest?: number | undefined; readonly pixelLimit: number },
): Promise<ByteImage> {
  const sharp = await importSharp();
  const { width, height } = sizeWithin(uprightSize(header), longest);
  try {
    const upright = reader(sharp, image, pixelLimit).autoOrient().flatten({ background: "white" });
    const colored = upright.resize(width, height, { fit: "fill" }).toColorspace("srgb");
    const { data, info } = await colored.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    return { width, height, data: toPlanes(data, width * height, info.channels) };
  } catch (error) {
    const reason = isMissing(error) ? "there is no such file" : damageOf(error);
    throw new DataError(`${name}: no longer a readable image (${reason})`, { cause: error });
  }
}

/** A photo that was looked at: its size, and its pixels when they are asked for. */
export interface OpenPhoto extends PixelSize {
  /** The photo with its longer side at most so long. @throws DataError where it cannot be decoded */
  decode(longest?: number): Promise<ByteImage>;
}

/**
 * Looks at a photo, a file or one in memory: its size when it is turned upright.
 * @param name what messages call it
 * @throws DataError where it is no readable image, or has more pixels than the limit; MissingPackageError
 */
export async function openPhoto(
  image: ImageInput,
  name: string,
  { pixelLimit }: Pick<ImageChecks, "pixelLimit">,
): Promise<OpenPhoto> {
  const checked = typeof image === "string" ? image : checkedImage(image, name);
  const finding = await examineImage(checked, { pixelLimit, verify: false });
  if (!finding.ok) throw new DataError(`${name}: ${finding.detail}`);
  const { header } = finding;
  return {
    ...uprightSize(header),
    decode: (longest) => decodeRgb(checked, name, header, { longest, pixelLimit }),
  };
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
