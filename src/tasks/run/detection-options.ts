import { z } from "zod";
import { type DetectionOptions, detectionOptionsSchema } from "../../data/boxes/options.ts";
import { augmentSchema, type ResolvedAugmentOptions } from "../../detection/augment/options.ts";
import { smallObjectOptions, smallObjectSchema } from "../../detection/augment/small-objects.ts";
import { type CascadeLookOptions, cascadeLookOptions } from "../../detection/models/mtcnn/options.ts";
import { parseRanges } from "../../detection/scale/ranges.ts";
import { snipOptions } from "../../detection/scale/snip-options.ts";
import { looksByScale, type TestTimeOptions } from "../../detection/scale/test-time.ts";
import { tileFitOptions, tilingOf } from "../../detection/scale/tile-options.ts";
import { trainingScaleOptions } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { parseOptions } from "../../options.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** Default side of the images that a detector of photographs sees. */
export const PHOTO_SIZE = 320;

/** Default probability of mirrored images. */
const USUAL_FLIP = augmentSchema.parse({}).flip;

/** How a detector is fed. */
export const detectionFitOptions = z.strictObject({
  size: z
    .int()
    .min(32)
    .max(2048)
    .multipleOf(32)
    .optional()
    .describe(
      `height and width of the images that the detector sees, a multiple of 32; images are fitted in and padded (default: ${PHOTO_SIZE}; digit-scenes: their own size)`,
    ),
  ...trainingScaleOptions,
  ...snipOptions,
  ...smallObjectOptions,
  ...tileFitOptions,
  augment: z.boolean().default(true).describe("change training images by chance, each time anew"),
  learnDifficult: z.boolean().default(false).describe("learn from objects that are marked as difficult, too"),
});

/** Options of data for detectors: how it is read, how large a detector sees it, how images are changed for training. */
export const detectionDataSchema = z.strictObject({
  ...detectionFitOptions.shape,
  ...augmentSchema.shape,
  flip: augmentSchema.shape.flip
    .unwrap()
    .optional()
    .describe(
      `${augmentSchema.shape.flip.description} (default: ${USUAL_FLIP}; digit-scenes: 0, as mirrored digits are none)`,
    ),
  ...detectionOptionsSchema.shape,
});

const bySizeSchema = z.object(snipOptions);
const tilesSchema = z.object(tileFitOptions);

/** Options of data for detectors, by what they are for. */
export interface DetectionDataOptions {
  readonly size: number | undefined;
  /** Sizes of training images in parts of `size`; undefined for `size` alone. */
  readonly scales: readonly number[] | undefined;
  /** Batches until the next of them; default: 10. */
  readonly scaleEvery: number | undefined;
  /** Which sizes of objects are learnt at which scale: SNIP and SNIPER. */
  readonly bySize: z.output<typeof bySizeSchema>;
  /** What is done for small objects: images that have some come more often, and copies are pasted. */
  readonly small: z.output<typeof smallObjectSchema>;
  /** Whether images are cut into tiles, and how. */
  readonly inTiles: z.output<typeof tilesSchema>;
  /** False where training images are not changed. */
  readonly augment: ResolvedAugmentOptions | false;
  readonly learnDifficult: boolean;
  readonly reading: DetectionOptions;
}

/** Options of images that a cascade, which is trained on crops of images at their own size, takes besides those of reading. */
const OF_CASCADES = ["augment", "flip", "learnDifficult"];

/** Refuses options of data that are without effect on a cascade. @param given those that were given @throws OptionError */
export function checkCascadeOptions(name: string, given: Readonly<Record<string, unknown>>): void {
  const idle = Object.keys(given).find(
    (option) => !OF_CASCADES.includes(option) && !Object.hasOwn(detectionOptionsSchema.shape, option),
  );
  if (idle === undefined) return;
  throw new OptionError(
    `option ${idle}: is without effect on ${name}, which is trained on crops of images at their own size; leave it out`,
  );
}

/** Options of data that were divided before: those of a run are asked for with each image that a server is sent. */
const divided = new WeakMap<object, DetectionDataOptions>();

/** Divides options of data by what they are for. @throws OptionError naming the option at fault */
export function detectionDataOptions(options: Readonly<Record<string, unknown>>): DetectionDataOptions {
  const known = divided.get(options) ?? divide(options);
  divided.set(options, known);
  return known;
}

function divide(options: Readonly<Record<string, unknown>>): DetectionDataOptions {
  const parsed = parseOptions("data", detectionDataSchema, options);
  const own = (shape: object): Record<string, unknown> =>
    Object.fromEntries(Object.entries(parsed).filter(([name]) => Object.hasOwn(shape, name)));
  return {
    size: parsed.size,
    scales: parsed.scales,
    scaleEvery: parsed.scaleEvery,
    bySize: bySizeSchema.parse(own(snipOptions)),
    small: smallObjectSchema.parse(own(smallObjectOptions)),
    inTiles: tilesSchema.parse(own(tileFitOptions)),
    augment: parsed.augment && augmentSchema.parse(own(augmentSchema.shape)),
    learnDifficult: parsed.learnDifficult,
    reading: own(detectionOptionsSchema.shape),
  };
}

/** Which branches of a detector look, for one that was fitted in branches (TridentNet): all three, or the middle one. */
export const LOOKING = ["full", "fast"] as const;

export type Looking = (typeof LOOKING)[number];

/** The branches of a run's detector that look; undefined where it has none. */
export function lookingOf({ modelOptions }: Pick<RunConfig, "modelOptions">): Looking | undefined {
  return LOOKING.find((mode) => mode === modelOptions.trident);
}

/** A run whose detector looks by the branches asked for: its weights are the same. @throws OptionError where it was fitted without, or one branch cannot look alone */
export function lookingBy(config: RunConfig, trident: Looking | undefined): RunConfig {
  if (trident === undefined) return config;
  if (lookingOf(config) === undefined) {
    throw new OptionError(
      `option trident: this run of ${config.model} was fitted without branches; leave it out, or fit a detector with --trident full`,
    );
  }
  if (trident === "fast" && config.modelOptions.tridentRanges !== undefined) {
    throw new OptionError(
      "option trident: this run was fitted with ranges of sizes, so that no branch has learnt objects of all sizes; choose full",
    );
  }
  return { ...config, modelOptions: { ...config.modelOptions, trident } };
}

/** How a run's cascade looks at images; undefined where it is none. */
export function cascadeLookOf({
  modelOptions,
}: Pick<RunConfig, "modelOptions">): CascadeLookOptions | undefined {
  const { minimumSize, factor, thresholds } = modelOptions;
  const look = cascadeLookOptions.safeParse({ minimumSize, factor, thresholds });
  return look.success && look.data.minimumSize !== undefined ? look.data : undefined;
}

/** A run whose cascade looks at images as asked for: its weights are the same. @throws OptionError where it is none, or an option is not acceptable */
export function cascadeLookingBy(config: RunConfig, given: CascadeLookOptions = {}): RunConfig {
  const look = Object.fromEntries(
    Object.entries(parseOptions("detections", cascadeLookOptions, given)).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const [first] = Object.keys(look);
  if (first === undefined) return config;
  if (cascadeLookOf(config) === undefined) {
    throw new OptionError(
      `option ${first}: is of cascades, and this run of ${config.model} is none; leave it out`,
    );
  }
  return { ...config, modelOptions: { ...config.modelOptions, ...look } };
}

/** The least score of a detection that is asked for: `confidence`, or the last of the thresholds that a cascade was opened with; undefined where neither is. */
export function askedConfidence(
  confidence: number | undefined,
  cascade: CascadeLookOptions | undefined,
): number | undefined {
  return confidence ?? cascade?.thresholds?.[2];
}

/** Refuses two least scores of a cascade in one command. @throws OptionError where both are given and differ */
export function checkConfidence(
  confidence: number | undefined,
  { thresholds }: Pick<CascadeLookOptions, "thresholds">,
): void {
  const last = thresholds?.[2];
  if (confidence === undefined || last === undefined || confidence === last) return;
  throw new OptionError(
    `options confidence and thresholds: the last threshold of a cascade is its least score, and ${last} and ${confidence} are given for it; leave confidence out, or give the same`,
  );
}

/** How a run looks at images that was fitted by sizes: at its own scales, each for the objects that were learnt there. */
interface OwnLooks extends Required<Pick<TestTimeOptions, "testScales" | "testRanges">> {
  /** By which option it was fitted so. */
  readonly fittedBy: "snip" | "sniper";
}

/** What of a run says how it was fitted. */
type FittedRun = Pick<RunConfig, "dataOptions" | "dataInfo">;

/** The tiles that a run was fitted on, as options of looking; undefined of one that was fitted on whole images. */
export function ownTiles({
  dataOptions,
}: Pick<RunConfig, "dataOptions">):
  | Required<Pick<TestTimeOptions, "tiles" | "overlap" | "fullImage">>
  | undefined {
  const { tiles, overlap, fullImage } = detectionDataOptions(dataOptions).inTiles;
  const tiling = tilingOf({ tiles, overlap, fullImage });
  return tiling && { tiles: tiling.side, overlap: tiling.overlap, fullImage: tiling.fullImage };
}

/** The looks of a detector's run that was fitted with SNIP or SNIPER; undefined of others. @throws OptionError where its ranges are missing */
export function ownLooks({ dataOptions, dataInfo: { sampleShape } }: FittedRun): OwnLooks | undefined {
  const { scales = [1], bySize } = detectionDataOptions(dataOptions);
  if (!bySize.snip && !bySize.sniper) return undefined;
  const fittedBy = bySize.snip ? "snip" : "sniper";
  if (bySize.validRanges === undefined) {
    throw new OptionError(`option validRanges: the run was fitted with ${fittedBy} and has none; fit again`);
  }
  const ranges = parseRanges(bySize.validRanges, scales.length);
  return { fittedBy, ...looksByScale(sampleShape[2] ?? Number.NaN, scales, ranges) };
}

/**
 * How a detector's run looks at images: as is asked for, or, where no scales are given, at the scales that it was fitted at with SNIP or
 * SNIPER, each for the objects that were learnt there, or for those of the ranges that are given; and where no tiles are given, at tiles as it
 * was fitted on.
 * @throws OptionError where the run's own ranges are missing
 */
export function looksOf<O extends TestTimeOptions>(config: FittedRun, given: O): O {
  const tiles = given.tiles === undefined ? ownTiles(config) : undefined;
  const tiled = tiles === undefined ? given : { ...given, ...tiles, ...definite(given) };
  const own = given.testScales === undefined ? ownLooks(config) : undefined;
  if (own === undefined) return tiled;
  return { ...tiled, testScales: own.testScales, testRanges: given.testRanges ?? own.testRanges };
}

/** The options that have a value: one that is there and `undefined` is not given. */
function definite<O extends object>(options: O): Partial<O> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<O>;
}

/** A line for a person where a run looks at images in its own way, since no scales are given. */
export function looksNote(config: FittedRun, given: TestTimeOptions): string | undefined {
  const notes = [tilesNote(config, given), scalesNote(config, given)].filter((note) => note !== undefined);
  return notes.length === 0 ? undefined : notes.join("; ");
}

function tilesNote(config: FittedRun, given: TestTimeOptions): string | undefined {
  const own = given.tiles === undefined ? ownTiles(config) : undefined;
  if (own === undefined) return undefined;
  return `looks at tiles of ${own.tiles} pixels, as it was fitted with --tiles; --tiles 0 looks at whole images`;
}

function scalesNote(config: FittedRun, given: TestTimeOptions): string | undefined {
  const own = given.testScales === undefined ? ownLooks(config) : undefined;
  if (own === undefined) return undefined;
  const { fittedBy, testScales, testRanges } = own;
  const why = `as it was fitted with --${fittedBy}`;
  return testScales.length === 1
    ? `looks for objects of sizes ${given.testRanges ?? testRanges} alone, ${why}; --test-scales 1 looks for all`
    : `looks at scales ${testScales.join(", ")}, ${why}; --test-scales 1 looks once`;
}

/** Whether a model is fitted to images with boxes. */
export function takesBoxes({ dataKinds }: Pick<ModelDefinition, "dataKinds">): boolean {
  return dataKinds.includes("detection");
}
