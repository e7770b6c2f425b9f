import { append } from "../../append.ts";
import { Bands } from "../../data/boxes/bands.ts";
import {
  type Annotations,
  type ByteImage,
  cutOut,
  type DetectionSplit,
  ImageCache,
  type ImagePart,
  type SampleRequest,
} from "../../data/boxes/set.ts";
import { PADDING } from "../augment/draw.ts";
import { area, type Box, boxAt, intersection, type Size } from "../boxes/boxes.ts";
import { type Tile, type TileCut, type TileGrid, tileGrid } from "./tiles.ts";

// A split whose images are the tiles of those of another one: what takes images with objects takes tiles.

/** How the images of a split are cut. */
export interface TileSplitOptions extends TileCut {
  /** Whether each image of more than one tile comes as a whole, too, behind its tiles. */
  readonly fullImage: boolean;
  /** Share of an object's box that must lie in a tile for it to be an object there; less of it is a region that is ignored. */
  readonly visible: number;
  /** Where pixels come from; default: `directParts`. */
  readonly parts?: PartReader;
  /** Whether what an image that is smaller than a tile leaves free of it is grey; default: true. Otherwise the tile is as small. */
  readonly padded?: boolean;
  /** The longer side at most of a whole image that comes behind its tiles, by its size; default: its own. */
  readonly longest?: (size: Size) => number;
}

/** Reads a part of image `image` of a split. */
export type PartReader = (image: number, part: ImagePart) => Promise<ByteImage>;

/** Where a tile is. */
export interface TilePlace {
  /** The number of its image in the split. */
  readonly image: number;
  /** Undefined for the whole image. */
  readonly tile: Tile | undefined;
}

/** The tiles of a split, in the order of its images, of each row by row. */
export interface TileSplit extends DetectionSplit {
  /** Where tile `index` is. */
  place(index: number): TilePlace;
  /** The first tile of an image, and the one after its last. */
  tilesOf(image: number): readonly [first: number, end: number];
  /** The tiles in which an object is to be learnt, or a region is ignored, in order. */
  readonly busy: readonly number[];
  /** Objects of the images, crowds left out. */
  readonly objects: number;
  /** Those of them of which no tile has enough, nor a whole image. */
  readonly nowhere: number;
}

/** Images of more pixels are not held as a whole to cut tiles out of them. */
const LARGE = 4e6;

/** Bytes of tiles of large images that are kept. */
const KEPT = 256e6;

const partOf = ({ left, top, width, height }: Tile): ImagePart => ({ left, top, width, height });

const windowOf = ({ left, top, width, height }: Tile): Box => [left, top, left + width, top + height];

/** A part that is cut out of the whole image, which the split keeps for a while. */
async function fromWhole(split: DetectionSplit, image: number, part: ImagePart): Promise<ByteImage> {
  return cutOut((await split.sample(image)).image, part);
}

/** Parts in any order: of a large image each is decoded apart, and the last ones are kept. */
export function directParts(split: DetectionSplit): PartReader {
  const cache = new ImageCache(KEPT);
  return (image, part) => {
    const { part: read } = split;
    const { width, height } = split.annotations(image);
    if (read === undefined || width * height <= LARGE) return fromWhole(split, image, part);
    return cache.get(`${image} ${part.left} ${part.top}`, () => read(image, {}, part));
  };
}

/** Parts that are asked for from the top of an image down, which is decoded in bands of rows: a small one in one. */
export function bandedParts(split: DetectionSplit): PartReader {
  let current: { readonly image: number; readonly bands: Bands } | undefined;
  let whole: { readonly image: number; readonly sample: ReturnType<DetectionSplit["sample"]> } | undefined;
  return async (image, part) => {
    const { part: read } = split;
    if (read === undefined) {
      // An image that is drawn or decoded as a whole is so once for all of its tiles.
      if (whole?.image !== image) whole = { image, sample: split.sample(image) };
      return cutOut((await whole.sample).image, part);
    }
    if (current?.image !== image) {
      current = { image, bands: new Bands(split.annotations(image), (band) => read(image, {}, band)) };
    }
    return current.bands.part(part);
  };
}

/** A tile of the full side: what an image that is smaller leaves free is grey. */
function padded(image: ByteImage, side: number): ByteImage {
  const { width, height, data } = image;
  if (width === side && height === side) return image;
  const all = new Uint8Array(3 * side * side).fill(PADDING);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) {
      const from = (channel * height + y) * width;
      all.set(data.subarray(from, from + width), (channel * side + y) * side);
    }
  }
  return { width: side, height: side, data: all };
}

/** The annotations of a tile: boxes are cut off at its edges, and those of which too little is left are regions that are ignored. */
function annotationsIn(
  whole: Annotations,
  indices: readonly number[],
  tile: Tile,
  { side, visible, padded: isPadded = true }: Pick<TileSplitOptions, "side" | "visible" | "padded">,
): Annotations {
  const { left, top, width, height } = tile;
  const seen = indices.map((i) => shareWithin(whole, i, windowOf(tile)));
  const points = (whole.landmarks?.length ?? 0) / Math.max(1, whole.labels.length);
  return {
    file: `${whole.file} (${left}, ${top})`,
    ...(isPadded ? { width: side, height: side } : { width, height }),
    boxes: Float32Array.from(
      indices.flatMap((i) => {
        const [x1, y1, x2, y2] = boxAt(whole.boxes, i);
        return [
          Math.max(0, x1 - left),
          Math.max(0, y1 - top),
          Math.min(width, x2 - left),
          Math.min(height, y2 - top),
        ];
      }),
    ),
    labels: Int32Array.from(indices, (i) => whole.labels[i] ?? 0),
    difficult: Uint8Array.from(indices, (i) => whole.difficult[i] ?? 0),
    crowd: Uint8Array.from(indices, (i, k) => (whole.crowd[i] === 1 || (seen[k] ?? 0) < visible ? 1 : 0)),
    ...(whole.landmarks && {
      landmarks: Float32Array.from(
        indices.flatMap((i) =>
          Array.from(
            whole.landmarks?.subarray(i * points, (i + 1) * points) ?? [],
            (value, k) => value - (k % 2 === 0 ? left : top),
          ),
        ),
      ),
    }),
    areas: Float32Array.from(indices, (i, k) => (whole.areas[i] ?? 0) * (seen[k] ?? 0)),
  };
}

/** The share of the box of object i that lies within a window. */
function shareWithin({ boxes }: Pick<Annotations, "boxes">, i: number, window: Box): number {
  const box = boxAt(boxes, i);
  const all = area(box);
  return all > 0 ? intersection(box, window) / all : 0;
}

/**
 * The tiles of a split as a split: tile after tile of its images, each an image of `side` × `side` pixels with what lies in it. An image that
 * is smaller than a tile lies in its top left corner, so that all objects have their own size.
 */
export function tileSplit(split: DetectionSplit, options: TileSplitOptions): TileSplit {
  const { side, fullImage, visible, parts = directParts(split), padded: isPadded = true, longest } = options;
  const grids: TileGrid[] = [];
  const starts: number[] = [0];
  const objects = new Map<number, number[]>();
  let [all, nowhere] = [0, 0];
  for (let image = 0; image < split.count; image++) {
    const whole = split.annotations(image);
    const grid = tileGrid(whole, options);
    const first = starts[image] ?? 0;
    const hasWhole = fullImage && grid.count > 1;
    for (const i of whole.labels.keys()) {
      let isSeen = hasWhole;
      for (const tile of grid.touched(boxAt(whole.boxes, i))) {
        append(objects, first + tile, i);
        isSeen ||= shareWithin(whole, i, windowOf(grid.at(tile))) >= visible;
      }
      if (whole.crowd[i] === 1) continue;
      all++;
      if (!isSeen) nowhere++;
    }
    if (hasWhole && whole.labels.length > 0) objects.set(first + grid.count, [...whole.labels.keys()]);
    grids.push(grid);
    starts.push(first + grid.count + (hasWhole ? 1 : 0));
  }
  const count = starts.at(-1) ?? 0;
  const imageOf = (index: number): number => {
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new RangeError(`tile ${index} asked of a split that has ${count}`);
    }
    let [low, high] = [0, grids.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? Number.POSITIVE_INFINITY) <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const place = (index: number): TilePlace => {
    const image = imageOf(index);
    const [grid, own] = [grids[image], index - (starts[image] ?? 0)];
    return { image, tile: grid !== undefined && own < grid.count ? grid.at(own) : undefined };
  };
  const annotations = (index: number): Annotations => {
    const { image, tile } = place(index);
    const whole = split.annotations(image);
    return tile === undefined ? whole : annotationsIn(whole, objects.get(index) ?? [], tile, options);
  };
  return {
    count,
    annotations,
    place,
    tilesOf: (image) => [starts[image] ?? count, starts[image + 1] ?? count],
    busy: [...objects.keys()].sort((a, b) => a - b),
    objects: all,
    nowhere,
    async sample(index: number, request: SampleRequest = {}) {
      const { image, tile } = place(index);
      if (tile === undefined) {
        const most = longest?.(split.annotations(image));
        return split.sample(image, most === undefined ? request : { longest: most, ...request });
      }
      const cut = await parts(image, partOf(tile));
      return { ...annotations(index), image: isPadded ? padded(cut, side) : cut };
    },
  };
}
