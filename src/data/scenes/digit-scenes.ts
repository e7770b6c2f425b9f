import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { type DetectionOptions, resolveDetectionOptions, SMALL_LIMIT } from "../boxes/options.ts";
import type { Annotations, DetectionSet } from "../boxes/set.ts";
import { ImageCache, lazySplit } from "../boxes/set.ts";
import { describeObjects } from "../boxes/statistics.ts";
import type { DataSet, SplitName } from "../sources/data-set.ts";
import { Fingerprint } from "../sources/data-set.ts";
import { type Ink, inkOf, type PlacedDigit, placeDigits } from "./layout.ts";
import { drawScene } from "./picture.ts";

export const DIGIT_SCENES = "digit-scenes";

function annotationsOf(file: string, side: number, digits: readonly PlacedDigit[]): Annotations {
  const boxes = Float32Array.from(digits.flatMap(({ box }) => [...box]));
  return {
    file,
    width: side,
    height: side,
    boxes,
    labels: Int32Array.from(digits, ({ ink }) => ink.label),
    difficult: new Uint8Array(digits.length),
    crowd: new Uint8Array(digits.length),
    areas: Float32Array.from(digits, ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1)),
  };
}

/**
 * Handwritten digits scattered at many scales over colored canvases, among pieces of digits, lines and spots: a detection set
 * that needs no files, with a controlled share of small objects. Scene i of a split depends on the seed, the split, i and the
 * options alone, and is drawn when it is asked for. Scenes for training, validation and test are made of different digits.
 * Boxes are tight: edges of the ink, and no digit has ink outside of its box. Runs in Node and in a browser.
 * @param digits of `loadDigits`
 * @throws OptionError for bad options
 */
export function digitScenes(digits: DataSet, options: DetectionOptions = {}): DetectionSet {
  const { classes } = digits;
  if (classes === undefined) throw new DataError(`${digits.name}: has no classes; scenes are made of digits`);
  const resolved = resolveDetectionOptions(options);
  const {
    scenes,
    canvas,
    objects,
    smallest,
    largest,
    smallShare,
    smallLimit,
    clutter,
    digitOverlap,
    splitSeed,
  } = resolved;
  const drawn = { scenes, canvas, objects, smallest, largest, smallShare, smallLimit, clutter, digitOverlap };
  const cache = new ImageCache(resolved.cache * 1e6);
  // Fingerprints name the options as they did when there were fewer: scenes of the usual limit have the one that they had.
  const { smallLimit: limit, digitOverlap: overlap, ...others } = drawn;
  const unlimited = { ...others, overlap };
  const held = Math.max(1, Math.floor(scenes / 5));
  const open = (name: SplitName, count: number) => {
    const source = digits.splits[name];
    const seeds = new Random(splitSeed).split(DIGIT_SCENES).split(name);
    const inks = new Map<number, Ink>();
    const inkAt = (index: number): Ink => {
      const ink = inks.get(index) ?? inkOf(source, index);
      inks.set(index, ink);
      return ink;
    };
    const layouts: (readonly PlacedDigit[] | undefined)[] = new Array(count);
    const layout = (index: number) => {
      const digits =
        layouts[index] ?? placeDigits(seeds.split(index).split("layout"), source.count, inkAt, drawn);
      layouts[index] = digits;
      return digits;
    };
    return lazySplit(
      name,
      count,
      (index) => annotationsOf(`${name}/${String(index).padStart(6, "0")}.png`, canvas, layout(index)),
      async (index) => {
        const random = seeds.split(index).split("picture");
        const pieces = random.split("pieces");
        return drawScene(random, canvas, layout(index), clutter, () => inkAt(pieces.integer(source.count)));
      },
      cache,
    );
  };
  const splits = {
    train: open("train", scenes),
    validation: open("validation", held),
    test: open("test", held),
  };
  const set: DetectionSet = {
    name: DIGIT_SCENES,
    classes,
    splits,
    faults: [],
    fingerprint: new Fingerprint()
      .text(
        JSON.stringify([
          DIGIT_SCENES,
          splitSeed,
          limit === SMALL_LIMIT ? unlimited : { ...unlimited, smallLimit: limit },
          digits.fingerprint,
        ]),
      )
      .toString(),
    describe: () => [
      `digit-scenes: ${canvas} × ${canvas} pixels, digits of size ${smallest} to ${largest}; ${describeObjects(set)}`,
      `${splits.train.count} training, ${splits.validation.count} validation and ${counted(splits.test.count, "test image")}, drawn with seed ${splitSeed}`,
    ],
  };
  return set;
}
