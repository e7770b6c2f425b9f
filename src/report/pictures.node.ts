import { optional } from "../data/files/optional.node.ts";
import type { Column } from "../data/sources/columns.ts";
import { plottedTable } from "../data/table/codec/index.ts";
import { MissingPackageError, OptionError, ShapeError } from "../errors.ts";
import { nativeCall } from "../program/native-calls.node.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Picture } from "./page/page.ts";
import { scatterRaster } from "./plane/panel.ts";
import { bitPlot } from "./plots/bits.ts";
import { tableMarginals } from "./plots/tables.ts";
import { imageGrid } from "./raster/grid.ts";
import { encodePng, type Raster } from "./raster/raster.ts";
import { outlineTexts } from "./text/outline-svg.ts";

/** Samples of a model as data sets hold them, with data to compare them with where the picture can show both. */
export type SamplesToDraw =
  | { readonly kind: "image"; readonly samples: NdArray<"float32"> }
  | { readonly kind: "points"; readonly samples: NdArray<"float32">; readonly data?: NdArray<"float32"> }
  | { readonly kind: "binary"; readonly samples: NdArray<"float32">; readonly data: NdArray<"float32"> }
  | {
      readonly kind: "table";
      readonly samples: NdArray<"float32">;
      readonly data: NdArray<"float32">;
      readonly columns: readonly Column[];
    };

/**
 * The picture of some samples: a grid of images, a scatter plot of points over data, the histograms of a table's columns,
 * or rows of zeros and ones beside those of the data (`bitPlot`). Images and points need no optional package; a table is
 * a PNG where sharp is installed and an SVG elsewhere.
 * @param description What it shows; kept in PNG files of images and points.
 * @throws ShapeError where the samples do not have the shape of their kind.
 */
export async function drawSamples(drawn: SamplesToDraw, description?: string): Promise<Picture> {
  switch (drawn.kind) {
    case "image":
      return { format: "png", bytes: await encodePng(imageGrid(drawn.samples), description) };
    case "points":
      return { format: "png", bytes: await encodePng(scatterRaster(drawn), description), onPaper: true };
    case "table": {
      const { columns } = drawn;
      return asPixels(
        await tableMarginals({
          columns,
          data: plottedTable(columns, drawn.data),
          samples: plottedTable(columns, drawn.samples),
        }),
      );
    }
    case "binary":
      return asPixels(await bitPlot(drawn));
  }
}

/** A plot as PNG where sharp is installed, otherwise as it is. */
async function asPixels(text: string): Promise<Picture> {
  try {
    return { format: "png", bytes: await rasterize(text), onPaper: true };
  } catch (error) {
    if (error instanceof MissingPackageError) return { format: "svg", text };
    throw error;
  }
}

/**
 * An SVG document as the bytes of a PNG file, twice its size in pixels, by sharp. Its texts are drawn in the fonts of this library: those
 * of the machine may be none.
 * @throws MissingPackageError where sharp is not installed.
 */
export async function rasterize(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await optional("sharp", "writing a plot as PNG", () => import("sharp"));
  const png = sharp(Buffer.from(outlineTexts(svg)), { density: 144 }).png();
  return new Uint8Array(await nativeCall(() => png.toBuffer()));
}

/** Endings of files of moving pictures. */
const ANIMATION_EXTENSIONS = [".gif", ".webp"] as const;

export interface AnimationOptions {
  readonly extension: (typeof ANIMATION_EXTENSIONS)[number];
  /** Milliseconds that each picture stands. */
  readonly delay: number;
  /** Milliseconds that the last one stands. */
  readonly lastDelay: number;
}

/**
 * Pictures one after the other as the bytes of a GIF or WebP file that begins anew for ever, by sharp. A GIF has 256 colors.
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
  return new Uint8Array(await nativeCall(() => encoded.toBuffer()));
}

/** The ending of a moving picture's file. @throws OptionError where it is another */
export function animationExtension(path: string, option: string): AnimationOptions["extension"] {
  const found = ANIMATION_EXTENSIONS.find((known) => path.toLowerCase().endsWith(known));
  if (found === undefined) {
    throw new OptionError(`${option}: ${path} must end in ${ANIMATION_EXTENSIONS.join(" or ")}`);
  }
  return found;
}
