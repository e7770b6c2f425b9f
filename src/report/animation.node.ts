import { optional } from "../data/files/optional.node.ts";
import { OptionError, ShapeError } from "../errors.ts";
import type { Raster } from "./raster.ts";

/** Endings of files of moving pictures. */
export const ANIMATION_EXTENSIONS = [".gif", ".webp"] as const;

export interface AnimationOptions {
  readonly extension: (typeof ANIMATION_EXTENSIONS)[number];
  /** Milliseconds that each picture stands. */
  readonly delay: number;
  /** Milliseconds that the last one stands. */
  readonly lastDelay: number;
}

/**
 * Pictures one after the other as the bytes of a GIF or WebP file that begins anew for ever, by sharp. A GIF has 256 colours.
 * @throws ShapeError where there is no picture or they differ in size; MissingPackageError where sharp is not installed
 */
export async function encodeAnimation(
  frames: readonly Raster[],
  { extension, delay, lastDelay }: AnimationOptions,
): Promise<Uint8Array> {
  const [first] = frames;
  if (first === undefined) throw new ShapeError("animation: there are no pictures");
  const { width, height, channels } = first;
  const odd = frames.findIndex(
    (frame) => frame.width !== width || frame.height !== height || frame.channels !== channels,
  );
  if (odd >= 0) throw new ShapeError(`animation: picture ${odd} has another size than the first`);
  const { default: sharp } = await optional("sharp", "writing a moving picture", () => import("sharp"));
  const pixels = new Uint8Array(frames.length * first.data.length);
  for (const [i, { data }] of frames.entries()) pixels.set(data, i * data.length);
  const image = sharp(pixels, {
    raw: { width, height: height * frames.length, channels, pageHeight: height },
  });
  const options = { delay: frames.map((_, i) => (i === frames.length - 1 ? lastDelay : delay)), loop: 0 };
  const encoded = extension === ".gif" ? image.gif(options) : image.webp({ ...options, lossless: true });
  return new Uint8Array(await encoded.toBuffer());
}

/** The ending of a moving picture's file. @throws OptionError where it is another */
export function animationExtension(path: string, option: string): AnimationOptions["extension"] {
  const found = ANIMATION_EXTENSIONS.find((known) => path.toLowerCase().endsWith(known));
  if (found === undefined) {
    throw new OptionError(`${option}: ${path} must end in ${ANIMATION_EXTENSIONS.join(" or ")}`);
  }
  return found;
}
