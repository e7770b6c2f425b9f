import { optional } from "../data/files/optional.node.ts";
import { type Column, decodeTable } from "../data/sources/columns.ts";
import { MissingPackageError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { bitPlot } from "./bits.ts";
import { imageGrid } from "./grid.ts";
import type { Picture } from "./page.ts";
import { encodePng } from "./png.ts";
import { scatterRaster } from "./scatter-raster.ts";
import { tableMarginals } from "./tables.ts";

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
      return { format: "png", bytes: await encodePng(scatterRaster(drawn), description) };
    case "table": {
      const { columns } = drawn;
      return asPixels(
        await tableMarginals({
          columns,
          data: decodeTable(columns, drawn.data),
          samples: decodeTable(columns, drawn.samples),
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
    return { format: "png", bytes: await rasterise(text) };
  } catch (error) {
    if (error instanceof MissingPackageError) return { format: "svg", text };
    throw error;
  }
}

/**
 * An SVG document as the bytes of a PNG file, twice its size in pixels, by sharp.
 * @throws MissingPackageError where sharp is not installed.
 */
export async function rasterise(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await optional("sharp", "writing a plot as PNG", () => import("sharp"));
  return new Uint8Array(await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer());
}
