import type { DetectionSet } from "../data/boxes/set.ts";
import type { SplitName } from "../data/sources/data-set.ts";
import { Random } from "../random.ts";
import { contactSheet, type SheetPicture } from "../report/boxes/contact-sheet.ts";
import { encodePng, rasterOfBytes } from "../report/raster/raster.ts";

/** Longer side of an image on a sheet, in pixels. */
const TILE = 320;

/** Some images of a set, by chance, in proportion to its splits and in their order. */
function chosen(set: DetectionSet, count: number, seed: number) {
  const all = (Object.keys(set.splits) as SplitName[]).flatMap((split) =>
    Array.from({ length: set.splits[split].count }, (_, index) => ({ split, index })),
  );
  const order = new Random(seed).split("contact sheet").permutation(all.length).subarray(0, count).sort();
  return Array.from(order, (place) => all[place]).filter((item) => item !== undefined);
}

/**
 * A contact sheet of a detection set as the bytes of a PNG file: some of its images with their boxes, broken lines around what
 * need not be found.
 * @param count of images, at most
 * @throws DataError where an image can no longer be read
 */
export async function detectionSheet(set: DetectionSet, count: number, seed = 0): Promise<Uint8Array> {
  const pictures: SheetPicture[] = [];
  for (const { split, index } of chosen(set, count, seed)) {
    const sample = await set.splits[split].sample(index, { longest: TILE });
    const { image, boxes, labels, difficult, crowd, file } = sample;
    pictures.push({
      image: rasterOfBytes(image),
      caption: `${split}  ${file.slice(file.lastIndexOf("/") + 1)}`,
      boxes,
      labels,
      dashed: difficult.map((value, i) => value | (crowd[i] ?? 0)),
      enlarge: Math.max(1, Math.floor(TILE / Math.max(image.width, image.height))),
    });
  }
  const sheet = contactSheet(pictures, set.classes);
  return encodePng(sheet, `${pictures.length} of the images of ${set.name} with their boxes`);
}
