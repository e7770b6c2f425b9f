import type { SplitName } from "../sources/data-set.ts";
import type { RawImage, RawObject } from "./check.ts";
import type { DetectionFault } from "./set.ts";

// Annotations may have several entries of one image: in several files, or in lists of several splits.

/** An image in two splits would be trained on and tested with: it stays where it is held out. */
const HELD_OUT: readonly (SplitName | undefined)[] = ["test", "validation", "train", undefined];

/** What makes objects of an image the same. */
const keyOf = ({ class: name, box, unit, crowd }: RawObject): string =>
  `${name} ${box.join(" ")} ${unit} ${crowd === true}`;

/** The entries of an image so far, joined: where there is more than one, the keys of its objects are held beside them. */
interface Joined {
  readonly image: Omit<RawImage, "objects">;
  readonly objects: RawObject[];
  /** The lists that were joined: an image that is listed again often has the same list. */
  readonly joined: Set<readonly RawObject[]>;
  keys?: Set<string>;
}

const joinedOf = (image: RawImage): Joined => ({
  image,
  objects: [...image.objects],
  joined: new Set([image.objects]),
});

/**
 * Every image once, in order of names, with the objects of all its entries of one split; what an entry repeats of those before it is left out. An image that is held out in one entry and
 * trained on in another stays held out.
 * @param faults takes what was joined, repeated or in two splits
 */
export function onceEach(images: readonly RawImage[], faults: DetectionFault[]): readonly RawImage[] {
  const byFile = new Map<string, Joined>();
  const trained = new Set<string>();
  const shared: DetectionFault[] = [];
  for (const image of images) {
    const { file } = image;
    if (image.split === "train") trained.add(file);
    const held = byFile.get(file);
    if (held === undefined) {
      byFile.set(file, joinedOf(image));
      continue;
    }
    const { split, source } = held.image;
    if (split === image.split) {
      held.keys ??= new Set(held.objects.map(keyOf));
      const { keys, objects } = held;
      const isKnown = held.joined.has(image.objects);
      const further = isKnown ? [] : image.objects.filter((object) => !keys.has(keyOf(object)));
      held.joined.add(image.objects);
      const again = source === image.source ? "" : ` and ${image.source}`;
      if (further.length === 0) {
        faults.push({ kind: "repeated-image", file, detail: `listed again, in ${source}${again}` });
        continue;
      }
      const detail = `${objects.length} objects, and ${further.length} more in ${image.source}`;
      faults.push({ kind: "merged-annotations", file, detail });
      for (const object of further) {
        objects.push(object);
        keys.add(keyOf(object));
      }
      continue;
    }
    const detail = `in ${split ?? "no split"} and ${image.split ?? "no split"}`;
    shared.push({ kind: "shared-image", file, detail });
    if (HELD_OUT.indexOf(image.split) < HELD_OUT.indexOf(split)) {
      byFile.set(file, joinedOf(image));
    }
  }
  const once = [...byFile.values()]
    .map(({ image, objects }): RawImage => ({ ...image, objects }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  if (trained.size === 0 || once.some(({ split }) => split === "train" || split === undefined)) {
    for (const fault of shared) faults.push(fault);
    return once;
  }
  // All that is to be trained on is held out, too: there would be nothing to learn from.
  for (const { kind: _, ...fault } of shared) faults.push({ kind: "same-splits", ...fault });
  return once.map((image) => (trained.has(image.file) ? { ...image, split: undefined } : image));
}
