import type { ByteImage, DetectionSet } from "../../data/boxes/set.ts";
import { drawImage } from "../../detection/augment/draw.ts";
import { type Box, boxAt, type Size } from "../../detection/boxes/boxes.ts";
import {
  type ChipOptions,
  type ImageChip,
  planChips,
  scaledImage,
} from "../../detection/scale/chip-batches.ts";
import { inRange, objectSize } from "../../detection/scale/ranges.ts";
import { counted } from "../../memory.ts";
import { contactSheet, type SheetPicture } from "../../report/boxes/contact-sheet.ts";
import { type Raster, rasterOfBytes } from "../../report/raster/raster.ts";

/** What the colors of the picture stand for. */
const NAMES = ["learnt at this scale", "not learnt at this scale", "chip"] as const;
const [LEARNT, OTHER, CHIP] = [0, 1, 2] as const;

/** Least longer side of an image on the sheet, in pixels. */
const TILE = 320;

/** An image as a detector sees it at a size. */
function drawnAt(image: ByteImage, { width, height }: Size): ByteImage {
  const side = Math.max(width, height);
  const canvas = { side, data: new Float32Array(3 * side * side) };
  const window: Box = [0, 0, width, height];
  drawImage(canvas, image, { left: 0, top: 0, width, height, mirrored: false, flipped: false, window });
  const data = new Uint8Array(3 * width * height);
  for (let row = 0; row < 3 * height; row++) {
    const from = (Math.floor(row / height) * side + (row % height)) * side;
    for (let x = 0; x < width; x++) data[row * width + x] = Math.round(canvas.data[from + x] ?? 0);
  }
  return { width, height, data };
}

/**
 * Images of the training split at each scale, a row each: which objects are learnt there, and the chips that hold them. All are drawn at
 * about the same size, so that the pixels of a coarse scale are seen.
 * @param indices of the images
 */
export async function chipSheet(
  { splits: { train } }: DetectionSet,
  options: ChipOptions,
  indices: readonly number[],
): Promise<Raster> {
  const { scales, ranges, size, side } = options;
  const chips = planChips(train, options).chips;
  const tile = Math.max(TILE, size * Math.max(...scales));
  const pictures: SheetPicture[] = [];
  for (const index of indices) {
    for (const [scale, factor] of scales.entries()) {
      const { longest, width, height } = scaledImage(train.annotations(index), size, factor);
      const sample = await train.sample(index, { longest });
      const [sx, sy] = [width / sample.width, height / sample.height];
      const own = chips.filter((chip: ImageChip) => chip.image === index && chip.scale === scale);
      const frames = own.flatMap(({ left, top }) => [
        left,
        top,
        Math.min(left + side, width),
        Math.min(top + side, height),
      ]);
      const range = ranges[scale];
      const placed = Array.from(sample.labels.keys(), (i): Box => {
        const [x1, y1, x2, y2] = boxAt(sample.boxes, i);
        return [sx * x1, sy * y1, sx * x2, sy * y2];
      });
      const learnt = placed.map((box) => range !== undefined && inRange(objectSize(box), range));
      pictures.push({
        image: rasterOfBytes(drawnAt(sample.image, { width, height })),
        caption: `scale ${factor}, ${longest} pixels: ${counted(own.length, "chip")}`,
        boxes: [...placed.flat(), ...frames],
        labels: [...learnt.map((is) => (is ? LEARNT : OTHER)), ...own.map(() => CHIP)],
        dashed: [...learnt.map((is) => Number(!is)), ...own.map(() => 0)],
        enlarge: Math.max(1, Math.round(tile / longest)),
      });
    }
  }
  return contactSheet(pictures, NAMES, scales.length);
}
