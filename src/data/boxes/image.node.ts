import { createHash } from "node:crypto";
import { DataError } from "../../errors.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { FILE_KINDS, readRegularFile, UnreadFileError, type UnreadReason } from "../files/files.node.ts";
import { inBytes, isScaled, largestByte, ValuesError } from "../image/depth.node.ts";
import type { PixelValues, ValueReading } from "../image/format.ts";
import { importSharp, refuseDrawing } from "../image/sharp.node.ts";
import { checkedImage } from "../sources/gather.ts";
import type { PhotoImage } from "../sources/memory.ts";
import { LOOK, type Look } from "../sources/twins.ts";
import type { ImageHeader, Orientation, PixelSize } from "./check.ts";
import { uprightSize } from "./check.ts";
import type { ByteImage, FaultKind, ImagePart } from "./set.ts";

/** What is found out of an image file, or what is wrong with it. */
export type ImageFinding =
  | {
      readonly ok: true;
      readonly header: ImageHeader;
      /** How numbers are stored: uchar, ushort, float. */
      readonly depth: string | undefined;
      /** Length of the file. */
      readonly bytes: number;
      /** SHA-256 of the file, taken when it is asked for. */
      readonly hash: string;
      /** A small look at its pixels, as stored, where they were decoded. */
      readonly look?: Look;
      /** The largest value of an image of 16 bits, as a byte, where all of them are taken as bits of values and pixels were decoded. */
      readonly most?: number;
      /** What its values were, where pixels were decoded. */
      readonly values?: PixelValues;
      /** Whether parts of it can be decoded without holding all of it: it is stored upright, from the top down or in tiles. */
      readonly inParts: boolean;
    }
  | { readonly ok: false; readonly kind: FaultKind; readonly detail: string };

export interface ImageChecks extends ValueReading {
  /** Images of more pixels are not decoded. */
  readonly pixelLimit: number;
  /** Whether all pixels are decoded, to find files that are cut off, or the header alone is read. */
  readonly verify: boolean;
}

/** The first line of an error's message. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}

/** What is wrong with an image that sharp cannot decode. */
function damageOf(error: unknown): string {
  const reason = reasonOf(error);
  if (/unsupported image format/.test(reason)) return "it is no image file, or of a format that is not read";
  return /^Warning treated as error/.test(reason) ? "damaged, or cut off" : reason;
}

/** An image file of a folder, which knows where it may be read. */
export interface ImageFile {
  /** @throws DataError where it cannot be read */
  read(): Promise<Uint8Array>;
}

/** An image to read: the path of a file, a file of a folder, the bytes of one, or pixels. */
export type ImageInput = string | ImageFile | PhotoImage;

type Sharp = Awaited<ReturnType<typeof importSharp>>;

const isFile = (image: ImageInput): image is string | ImageFile =>
  typeof image === "string" || "read" in image;

/** The bytes of an image's file, or its pixels: files are decoded from bytes, as a decoder may keep what a path held before. */
async function contentsOf(image: ImageInput): Promise<PhotoImage> {
  if (typeof image === "string") return readRegularFile(image, FILE_KINDS.image);
  return "read" in image ? image.read() : image;
}

/** Opens an image with sharp. */
function reader(sharp: Sharp, image: PhotoImage, limitInputPixels: number | false) {
  if (image instanceof Uint8Array) return sharp(image, { limitInputPixels });
  const { width, height, data } = image;
  return sharp(data, { limitInputPixels, raw: { width, height, channels: 4 } });
}

function hashOf(image: PhotoImage): string {
  const bytes = image instanceof Uint8Array ? image : image.data;
  return createHash("sha256").update(bytes).digest("hex");
}

/** The fault of an image whose file is not read. */
function unread(error: unknown): ImageFinding {
  if (!(error instanceof UnreadFileError)) {
    return { ok: false, kind: "unreadable-image", detail: reasonOf(error) };
  }
  const kinds: Partial<Record<UnreadReason, FaultKind>> = { missing: "missing-image", outside: "outside" };
  const detail = error.reason === "missing" ? "there is no such file" : error.detail;
  return { ok: false, kind: kinds[error.reason] ?? "unreadable-image", detail };
}

/** Reads the header of an image, and its pixels where asked, without keeping them. @throws MissingPackageError */
export async function examineImage(image: ImageInput, checks: ImageChecks): Promise<ImageFinding> {
  let contents: PhotoImage;
  try {
    contents = await contentsOf(image);
  } catch (error) {
    return unread(error);
  }
  return examine(contents, checks);
}

/** Formats of which a decoder gives rows from the top down, or tiles, unless they are progressive or interlaced. */
const IN_PARTS = ["jpeg", "png", "tiff", "raw"] as const;

/** Looks at what a file holds, or at pixels. */
async function examine(
  contents: PhotoImage,
  { pixelLimit, verify, bits, valueRange }: ImageChecks,
): Promise<ImageFinding> {
  const sharp = await importSharp();
  const reading = { bits, valueRange };
  try {
    const opened = reader(sharp, contents, false);
    const header = await nativeCall(() => opened.metadata());
    const { width, height, orientation = 1, format } = header;
    if (contents instanceof Uint8Array) refuseDrawing(format);
    if (width * height > pixelLimit) {
      const detail = `${width} × ${height} pixels, more than the limit of ${pixelLimit}`;
      return { ok: false, kind: "huge-image", detail };
    }
    let look: Look | undefined;
    let most: number | undefined;
    let values: PixelValues | undefined;
    if (verify) {
      const whole = reader(sharp, contents, pixelLimit);
      if (header.depth === "ushort" && bits === undefined) most = await largestByte(whole);
      const read = await inBytes(whole, header, reading);
      values = read.values;
      const tiny = read.image
        .resize(LOOK, LOOK, { fit: "fill" })
        .flatten({ background: "white" })
        .toColorspace("b-w")
        .raw({ depth: "uchar" });
      const { data, info } = await nativeCall(() => tiny.toBuffer({ resolveWithObject: true }));
      look = Uint8Array.from({ length: LOOK * LOOK }, (_, i) => data[i * info.channels] ?? 0);
    }
    return {
      ok: true,
      ...(look !== undefined && { look }),
      ...(most !== undefined && { most }),
      ...(values !== undefined && { values }),
      header: { stored: { width, height }, orientation: orientation as Orientation },
      depth: header.depth,
      bytes: contents instanceof Uint8Array ? contents.length : contents.data.length,
      get hash() {
        return hashOf(contents);
      },
      inParts:
        orientation === 1 &&
        (IN_PARTS as readonly string[]).includes(format) &&
        !header.isProgressive &&
        !isScaled(header.depth, reading),
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
 * Decodes an image as it is now, upright, what is transparent laid on white, made smaller where it is larger than `longest`.
 * @param name of the image, for errors
 * @param part of the image as it would be decoded (default: all of it); the rest is never held in memory
 * @throws DataError where it is no readable image, or no longer of the size that its header gave
 */
export async function decodeRgb(
  image: ImageInput,
  name: string,
  header: ImageHeader,
  {
    longest,
    pixelLimit,
    depth,
    ...reading
  }: ValueReading & {
    readonly longest?: number | undefined;
    readonly pixelLimit: number;
    /** Of an image in memory whose header was just read; it is not read again. */
    readonly depth?: string | undefined;
  },
  part?: ImagePart,
): Promise<ByteImage> {
  const sharp = await importSharp();
  const all = sizeWithin(uprightSize(header), longest);
  const { width, height } = part ?? all;
  try {
    const opened = reader(sharp, await contentsOf(image), pixelLimit);
    const isSeen = depth !== undefined && !isFile(image);
    const now = isSeen ? { depth } : await nativeCall(() => opened.metadata());
    if (isFile(image) && "width" in now) refuseOther(header, now);
    const bytes = await inBytes(opened, now, reading);
    const upright = bytes.image.autoOrient().flatten({ background: "white" });
    const colored = upright.resize(all.width, all.height, { fit: "fill" }).toColorspace("srgb");
    const raw = (part === undefined ? colored : colored.extract({ ...part })).raw({ depth: "uchar" });
    const { data, info } = await nativeCall(() => raw.toBuffer({ resolveWithObject: true }));
    return { width, height, data: toPlanes(data, width * height, info.channels) };
  } catch (error) {
    if (error instanceof ValuesError) throw new ValuesError(error.extent, name);
    const reason = error instanceof UnreadFileError ? error.detail : damageOf(error);
    throw new DataError(`${name}: no longer a readable image (${reason})`, { cause: error });
  }
}

/** @throws DataError for a file that was replaced by an image of another size, or by what is none */
function refuseOther(
  { stored, orientation }: ImageHeader,
  now: PixelSize & { readonly orientation?: number | undefined; readonly format?: string | undefined },
): void {
  refuseDrawing(now.format);
  const isSame =
    now.width === stored.width && now.height === stored.height && (now.orientation ?? 1) === orientation;
  if (!isSame) {
    throw new DataError(
      `${now.width} × ${now.height} pixels, where it had ${stored.width} × ${stored.height}; open the data again`,
    );
  }
}

/** A photo that was looked at: its size, and its pixels when they are asked for. */
export interface OpenPhoto extends PixelSize {
  /** The photo with its longer side at most so long. @throws DataError where it cannot be decoded */
  decode(longest?: number): Promise<ByteImage>;
  /** A part of it, in its pixels; the bytes of its file are held until `release`. @throws DataError where it cannot be decoded */
  part(part: ImagePart): Promise<ByteImage>;
  /** Forgets the bytes of its file, which are read again where they are asked for. */
  release(): void;
}

/** How large a photo may be, and how its values are read. */
export interface PhotoLimits extends ValueReading, Pick<ImageChecks, "pixelLimit"> {
  /**
   * Most pixels of one that can be decoded in parts alone, and is: upright JPEG and PNG that are neither progressive nor interlaced, and
   * TIFF. Default: `pixelLimit`.
   */
  readonly partsLimit?: number;
}

/**
 * Looks at a photo, a file or one in memory: its size when it is turned upright.
 * @param name what messages call it
 * @throws DataError where it is no readable image, or has more pixels than the limit; MissingPackageError
 */
export async function openPhoto(
  image: ImageInput,
  name: string,
  { pixelLimit, partsLimit = pixelLimit, ...reading }: PhotoLimits,
): Promise<OpenPhoto> {
  const checked = isFile(image) ? image : checkedImage(image, name);
  let contents: PhotoImage | undefined;
  try {
    contents = await contentsOf(checked);
  } catch (error) {
    const finding = unread(error);
    throw new DataError(`${name}: ${finding.ok ? reasonOf(error) : finding.detail}`, { cause: error });
  }
  const most = Math.max(pixelLimit, partsLimit);
  const finding = await examine(contents, { pixelLimit: most, verify: false, ...reading });
  if (!finding.ok) throw new DataError(`${name}: ${finding.detail}`);
  const { header, depth, inParts } = finding;
  // What is in memory stays as it is.
  const hash = isFile(checked) ? finding.hash : undefined;
  const size = uprightSize(header);
  if (size.width * size.height > pixelLimit && !inParts) {
    throw new DataError(
      `${name}: ${size.width} × ${size.height} pixels, more than the limit of ${pixelLimit} for images that are decoded as a whole; store it upright, as a JPEG that is not progressive, a PNG that is not interlaced, or a TIFF`,
    );
  }
  const held = async (): Promise<PhotoImage> => {
    const again = contents ?? (await contentsOf(checked));
    if (contents === undefined && isFile(checked) && hashOf(again) !== hash) {
      throw new DataError(`${name}: the file was replaced since it was looked at; look at it again`);
    }
    return again;
  };
  const release = (): void => {
    if (isFile(checked)) contents = undefined;
  };
  return {
    ...size,
    async decode(longest) {
      // The first time it is decoded from the bytes that were looked at; they are not kept longer, as there may be many photos.
      const again = await held();
      release();
      return decodeRgb(again, name, header, { longest, pixelLimit: most, depth, ...reading });
    },
    async part(part) {
      contents = await held();
      return decodeRgb(contents, name, header, { pixelLimit: most, depth, ...reading }, part);
    },
    release,
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
