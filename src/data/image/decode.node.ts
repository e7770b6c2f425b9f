import type { Sharp } from "sharp";
import { DataError } from "../../errors.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { FILE_KINDS, readRegularFile } from "../files/files.node.ts";
import type { ImageChanges } from "./changes.node.ts";
import { inBytes, ValuesError } from "./depth.node.ts";
import type { ImageFormat, Original, PixelValues, ValueReading } from "./format.ts";
import { decodePlainPng } from "./plain-png.node.ts";
import { importSharp, MOST_PIXELS, refuseDrawing } from "./sharp.node.ts";

/** A decoded image, and what its file holds. */
export interface Decoded {
  /** `[channels, size, size]`. */
  readonly pixels: Uint8Array;
  readonly original: Original;
}

/** What an image is looked at for. */
interface Looking {
  /** Whether its channels are compared, which may take as long as decoding it. */
  readonly colors: boolean;
  readonly reading?: ValueReading | undefined;
}

/** Pixels of a side that are compared at most; of larger images every so many-th. */
const COMPARED = 256;

/**
 * Decodes one image to `[channels, size, size]` bytes: turned upright by its EXIF data, the central square cut out,
 * resized, transparency laid on white.
 * @param image the path of a file, or its bytes
 * @param name what messages call it (default: the path)
 * @throws DataError naming the file where it is no readable image or larger than the limits, MissingPackageError where sharp is not
 * installed.
 */
export async function decodeImage(
  image: string | Uint8Array,
  format: ImageFormat,
  name = typeof image === "string" ? image : "image in memory",
): Promise<Uint8Array> {
  return decodeLike(image, format, name);
}

/**
 * As `decodeImage`, for images like some others: what that takes is told to `changes`.
 * @throws as `decodeImage`
 */
export async function decodeLike(
  image: string | Uint8Array,
  format: ImageFormat,
  name: string,
  changes?: ImageChanges,
): Promise<Uint8Array> {
  // Bytes are decoded and never a path: for a path, the decoder may keep what the file held before.
  const bytes =
    typeof image === "string" ? await readRegularFile(image, { ...FILE_KINDS.image, name }) : image;
  const isCompared = changes !== undefined && format.channels === "grey";
  const { pixels, original } = await decodeOriginal(bytes, format, name, isCompared);
  changes?.see(name, original, format, pixels);
  return pixels;
}

/**
 * Decodes the bytes of an image as `decodeImage` does.
 * @param colors whether the channels of the original are compared
 * @throws as `decodeImage`
 */
export async function decodeOriginal(
  bytesOfFile: Uint8Array,
  { size, channels, bits, valueRange }: ImageFormat,
  name: string,
  colors = false,
): Promise<Decoded> {
  const sharp = await importSharp();
  const planes = channels === "grey" ? 1 : 3;
  const plain = plainPixels(bytesOfFile, { size, channels });
  if (plain !== undefined) return plain;
  return readable(name, async () => {
    const opened = sharp(bytesOfFile, { limitInputPixels: MOST_PIXELS });
    const header = await nativeCall(() => opened.metadata());
    refuseDrawing(header.format);
    const reading = { bits, valueRange };
    const { image, values } = await inBytes(opened, header, reading);
    const upright = image.autoOrient().flatten({ background: "white" });
    const square = upright.resize(size, size, { fit: "cover", position: "centre" });
    const colored = channels === "grey" ? square.greyscale() : square.toColorspace("srgb");
    const raw = colored.raw({ depth: "uchar" });
    const { data, info } = await nativeCall(() => raw.toBuffer({ resolveWithObject: true }));
    const pixels = new Uint8Array(planes * size * size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      for (let plane = 0; plane < planes; plane++) {
        // A grey file may come with one channel where three were asked for.
        pixels[plane * size * size + pixel] =
          data[pixel * info.channels + Math.min(plane, info.channels - 1)] ?? 0;
      }
    }
    return { pixels, original: await originalOf(bytesOfFile, header, values, { colors, reading }) };
  });
}

/** What the bytes of an image file hold. @throws DataError, MissingPackageError as `decodeImage` */
export async function lookAtImage(bytes: Uint8Array, name: string, looking: Looking): Promise<Original> {
  const sharp = await importSharp();
  const plain = decodePlainPng(bytes);
  if (plain !== undefined) {
    const { width, height, channels, data } = plain;
    return { width, height, values: "bytes", colored: differs(data, channels) };
  }
  return readable(name, async () => {
    const header = await nativeCall(() => sharp(bytes, { limitInputPixels: MOST_PIXELS }).metadata());
    refuseDrawing(header.format);
    return originalOf(bytes, header, header.depth === "ushort" ? "deep" : "bytes", looking);
  });
}

/** Reads an image. @throws DataError that begins with its name, where that fails */
async function readable<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ValuesError) throw new ValuesError(error.extent, name);
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new DataError(`${name}: not a readable image (${reason})`, { cause: error });
  }
}

type Header = Awaited<ReturnType<Sharp["metadata"]>>;

async function originalOf(
  bytes: Uint8Array,
  header: Header,
  values: PixelValues,
  { colors, reading }: Looking,
): Promise<Original> {
  const { width, height } = header.autoOrient;
  const colored = header.channels <= 2 ? false : colors ? await isColored(bytes, header, reading) : undefined;
  return { width, height, values, colored };
}

/** Whether the channels of an image differ; undefined where its pixels cannot be read by themselves. */
async function isColored(
  bytes: Uint8Array,
  header: Header,
  reading: ValueReading | undefined,
): Promise<boolean | undefined> {
  try {
    const opened = (await importSharp())(bytes, { limitInputPixels: MOST_PIXELS });
    const { image } = await inBytes(opened, header, reading);
    const whole = image.flatten({ background: "white" });
    // Pixels as they are: a mean of several could make grey of colors.
    const fewer = whole.resize(COMPARED, COMPARED, {
      fit: "inside",
      kernel: "nearest",
      withoutEnlargement: true,
    });
    const raw = fewer.toColorspace("srgb").raw({ depth: "uchar" });
    const { data, info } = await nativeCall(() => raw.toBuffer({ resolveWithObject: true }));
    return differs(data, info.channels);
  } catch {
    return undefined;
  }
}

/** Whether red, green and blue differ in any pixel. */
function differs(data: Uint8Array, channels: number): boolean {
  if (channels < 3) return false;
  for (let i = 0; i + 2 < data.length; i += channels) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return true;
  }
  return false;
}

/** A plain PNG that comes out as it is, channels apart; undefined for every other image. */
function plainPixels(file: Uint8Array, { size, channels }: ImageFormat): Decoded | undefined {
  const plain = decodePlainPng(file);
  if (plain === undefined || plain.width !== size || plain.height !== size) return undefined;
  const colored = differs(plain.data, plain.channels);
  const original: Original = { width: size, height: size, values: "bytes", colored };
  if (channels === "grey") return plain.channels === 1 ? { pixels: plain.data, original } : undefined;
  const planes = new Uint8Array(3 * size * size);
  for (let pixel = 0; pixel < size * size; pixel++) {
    for (let plane = 0; plane < 3; plane++) {
      const from = plain.channels === 1 ? pixel : 3 * pixel + plane;
      planes[plane * size * size + pixel] = plain.data[from] ?? 0;
    }
  }
  return { pixels: planes, original };
}
