import { decodeImage } from "../../data/image/decode.node.ts";
import { OptionError } from "../../errors.ts";
import type { InpaintOptions } from "../../model/capabilities.ts";
import type { DataKind } from "../../model/data-info.ts";
import { imageGrid, type Raster } from "../../report/index.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";
import { asWritten, checkExtension, toBytes, writeForms } from "../run/outputs.node.ts";
import { type ChosenSamples, checkImages } from "../run/samples.node.ts";

/** What of each image is unknown. */
export type Region =
  | { readonly kind: "half"; readonly half: "top" | "bottom" | "left" | "right" }
  /** In pixels of the images as the model sees them, from the top left. */
  | {
      readonly kind: "box";
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
    }
  /** An image file that is bright where it is unknown, cut and resized as the run's images are. */
  | { readonly kind: "mask"; readonly path: string };

/**
 * Which elements of the images of a run are known, [1, channels, height, width]: 0 in the region, 1 outside.
 * @throws OptionError where the region lies outside the image, or holds nothing; DataError where the mask cannot be read
 */
export async function knownMask(run: LoadedRun, region: Region): Promise<NdArray<"float32">> {
  checkImages(run);
  const [channels = 1, height = 1, width = 1] = run.config.dataInfo.sampleShape;
  const isUnknown = await unknownPixels(region, height, width);
  const plane = Float32Array.from({ length: height * width }, (_, i) =>
    Number(!isUnknown(i % width, Math.floor(i / width))),
  );
  if (!plane.includes(0)) throw new OptionError("inpaint: nothing is unknown; there is nothing to fill in");
  const known = new Float32Array(channels * plane.length);
  for (let channel = 0; channel < channels; channel++) known.set(plane, channel * plane.length);
  return float32(known, [1, channels, height, width]);
}

async function unknownPixels(
  region: Region,
  height: number,
  width: number,
): Promise<(x: number, y: number) => boolean> {
  switch (region.kind) {
    case "half":
      switch (region.half) {
        case "top":
          return (_, y) => 2 * y < height;
        case "bottom":
          return (_, y) => 2 * y >= height;
        case "left":
          return (x) => 2 * x < width;
        case "right":
          return (x) => 2 * x >= width;
      }
      break;
    case "box": {
      const { x: left, y: top } = region;
      const [right, bottom] = [left + region.width, top + region.height];
      if (left < 0 || top < 0 || right > width || bottom > height) {
        throw new OptionError(
          `option box: ${left},${top},${region.width},${region.height} lies outside images of ${width} × ${height} pixels`,
        );
      }
      return (x, y) => x >= left && x < right && y >= top && y < bottom;
    }
    case "mask": {
      if (height !== width) throw new OptionError("option mask: the run's images are not square");
      const mask = await decodeImage(region.path, { size: height, channels: "grey" });
      return (x, y) => (mask[y * width + x] ?? 0) >= 128;
    }
  }
}

/**
 * Completions of images, [n, draws, channels, height, width], not rounded.
 * @throws OptionError where the model cannot complete samples
 */
export async function inpaintRun(
  run: LoadedRun,
  { x, labels }: ChosenSamples,
  options: Omit<InpaintOptions, "x">,
): Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.inpaint === undefined) return refuse(run, "fill in images");
  checkResult(run, "inpaint", { count: x.shape[0] ?? 1, draws: options.draws });
  const label = options.label ?? labels;
  return model.inpaint(session, { ...options, x, ...(label !== undefined && { label }) });
}

/** Grey value of unknown pixels. */
const UNKNOWN = 128;

/** Images, what is known of them, and completions, in the units of the data. */
export type Inpainting = Readonly<Record<"x" | "known" | "drawn", NdArray<"float32">>>;

/** A row for each image: the original, what is known of it, the draws, and their mean. */
export function inpaintingStrips({ x, known, drawn }: Inpainting, kind: DataKind): Raster {
  const [count = 0, draws = 1] = drawn.shape;
  const sample = x.shape.slice(1);
  const size = elementCount(sample);
  const originals = toBytes(x, kind).data;
  const bytes = toBytes(drawn, kind).data;
  const columns = draws + 3;
  const tiles = new Float32Array(count * columns * size);
  for (let i = 0; i < count; i++) {
    const original = originals.subarray(i * size, (i + 1) * size);
    const own = bytes.subarray(i * draws * size, (i + 1) * draws * size);
    const mean = original.map((_, k) => {
      let sum = 0;
      for (let draw = 0; draw < draws; draw++) sum += own[draw * size + k] ?? 0;
      return sum / draws;
    });
    // One mask for all images, or one for each.
    const mask = known.data.subarray((i * size) % known.data.length);
    const masked = original.map((value, k) => (mask[k] === 1 ? value : UNKNOWN));
    const start = i * columns * size;
    tiles.set(original, start);
    tiles.set(masked, start + size);
    tiles.set(own, start + 2 * size);
    tiles.set(mean, start + (draws + 2) * size);
  }
  return imageGrid(float32(tiles, [count * columns, ...sample]), { columns });
}

/** Checks before any work that completions can be written under this name. @throws OptionError */
export function checkInpaintingPath(path: string): void {
  checkExtension(path, [".png", ".npy"]);
}

/**
 * Writes strips (.png), or all completions as the data is, [n, draws, channels, height, width] (.npy): bytes, or zeros and
 * ones.
 * @throws OptionError, FileError
 */
export async function writeInpainting(
  { config }: LoadedRun,
  path: string,
  inpainting: Inpainting,
): Promise<void> {
  checkInpaintingPath(path);
  const { dataInfo } = config;
  return writeForms(path, {
    raster: () => inpaintingStrips(inpainting, dataInfo.kind),
    array: () => asWritten(dataInfo, inpainting.drawn),
  });
}
