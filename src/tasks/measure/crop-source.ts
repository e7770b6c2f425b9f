import type { DetectionSplit } from "../../data/boxes/set.ts";
import type { CropSource } from "../../detection/models/mtcnn/crop-batches.ts";
import { type CropImage, type CropRules, cropImage } from "../../detection/models/mtcnn/crops.ts";

// Images that a cascade's crops are taken from: those of a split, or some of them, evenly spread.

/** Images of a split of which crops are taken. */
export interface Source extends CropSource {
  readonly images: readonly CropImage[];
  file(index: number): string;
}

/** A split of which crops are taken, at the images' own size. */
export function sourceOf(split: DetectionSplit, rules: CropRules): Source {
  const images = Array.from({ length: split.count }, (_, index) =>
    cropImage(split.annotations(index), rules),
  );
  return {
    count: split.count,
    images,
    image(index) {
      const image = images[index];
      if (image === undefined) throw new RangeError(`image ${index} asked of ${split.count}`);
      return image;
    },
    pixels: async (index) => (await split.sample(index)).image,
    file: (index) => split.annotations(index).file,
  };
}

/** Some images of a source, evenly spread. */
export function someOf(source: Source, most: number): Source {
  return source.count <= most ? source : chosenOf(source, spread(source.count, most));
}

/** These images of a source. */
export function chosenOf(source: Source, chosen: readonly number[]): Source {
  const at = (index: number): number => chosen[index] ?? source.count;
  return {
    count: chosen.length,
    images: chosen.flatMap((index) => source.images[index] ?? []),
    image: (index) => source.image(at(index)),
    pixels: (index) => source.pixels(at(index)),
    file: (index) => source.file(at(index)),
  };
}

/**
 * Images 0 to `count` in an order of which every beginning is evenly spread: the bits of the positions are reversed (van der Corput), so that
 * looking may end anywhere.
 */
export function spreadOrder(count: number): readonly number[] {
  const bits = Math.max(1, Math.ceil(Math.log2(count)));
  const reversed = (position: number): number => {
    let at = 0;
    for (let bit = 0; bit < bits; bit++) if ((position >> bit) & 1) at |= 1 << (bits - 1 - bit);
    return at;
  };
  return Array.from({ length: 2 ** bits }, (_, position) => reversed(position)).filter((at) => at < count);
}

/** Images evenly spread over a split, at most so many. */
export function spread(count: number, most: number): readonly number[] {
  const taken = Math.min(count, most);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken));
}
