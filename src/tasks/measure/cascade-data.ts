import type { DetectionSet, DetectionSplit } from "../../data/boxes/set.ts";
import { landmarkCount } from "../../data/boxes/set.ts";
import { boxAt, iou } from "../../detection/boxes/boxes.ts";
import { DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import {
  CROPS_OF_IMAGE,
  type CropBatch,
  CropBatches,
  type CropSource,
  type MinedCrops,
} from "../../detection/models/mtcnn/crop-batches.ts";
import { type CropImage, type CropRules, cropImage } from "../../detection/models/mtcnn/crops.ts";
import {
  addRecall,
  minedCrops,
  type Recall,
  recallOf,
  recallShare,
  windowBoxes,
} from "../../detection/models/mtcnn/mining.ts";
import type { Mtcnn } from "../../detection/models/mtcnn/mtcnn.ts";
import { INPUT_SIZES, STAGES, type Stage } from "../../detection/models/mtcnn/networks.ts";
import { OptionError } from "../../errors.ts";
import { counted, showCount } from "../../memory.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import type { BatchedData, BatchShape, Rows } from "../../train/batches.ts";
import type { StagedBatches, StageEntering, StageEntry, StageShare } from "../../train/stages.ts";
import { evaluationOptions, truthOf } from "./evaluator.ts";

// Images with boxes as a cascade is fitted to them: batches of crops for one network after the other, of what the ones before let through.

/** Images with boxes, as a fit of a cascade sees them. */
export interface CascadeData extends BatchedData {
  readonly set: DetectionSet;
}

/** Which crops a cascade is fitted to. */
export interface CascadeDataOptions {
  /** Probability of mirrored crops. */
  readonly flip: number;
  /** Whether objects that are marked as difficult are learnt from. */
  readonly learnDifficult: boolean;
}

/** How the networks are called in messages. */
const NAMES: Readonly<Record<Stage, string>> = { pnet: "P-Net", rnet: "R-Net", onet: "O-Net" };

/** Recall that the proposal network is to reach before the refinement network is trained. */
const LEAST_RECALL = 0.95;

/** A lower score, with which it is found out why it does not. */
const LOWER_SCORE = 0.1;

/** Crops of a batch of validation, most of these batches, and most images in which the cascade as a whole is measured meanwhile. */
const VALIDATED = 64;
const MOST_BATCHES = 16;
const MOST_LOOKED = 100;

/** Windows of a kind that are kept of all images, of one at most and at least. */
const KEPT = { all: 200_000, most: 64, least: 8 } as const;

/** Steps of which it is counted how many crops are blank. */
const COUNTED_STEPS = 8;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** A split of which crops are taken, at the images' own size. */
function sourceOf(
  split: DetectionSplit,
  rules: CropRules,
): CropSource & { readonly images: readonly CropImage[]; file(index: number): string } {
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
function someOf(source: ReturnType<typeof sourceOf>, most: number): ReturnType<typeof sourceOf> {
  if (source.count <= most) return source;
  const chosen = spread(source.count, most);
  const at = (index: number): number => chosen[index] ?? source.count;
  return {
    count: chosen.length,
    images: chosen.flatMap((index) => source.images[index] ?? []),
    image: (index) => source.image(at(index)),
    pixels: (index) => source.pixels(at(index)),
    file: (index) => source.file(at(index)),
  };
}

const objectsOf = (images: readonly CropImage[]): number =>
  images.reduce((sum, { objects }) => sum + objects.length, 0);

/** Images evenly spread over a split, at most so many. */
function spread(count: number, most: number): readonly number[] {
  const taken = Math.min(count, most);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken));
}

/** The network under way and its batches. */
interface StageBatches {
  readonly stage: number;
  readonly train: CropBatches;
  readonly held: CropBatches | undefined;
}

/**
 * A set as a cascade is fitted to it, network by network.
 * @throws OptionError where no training object is as large as the smallest that the cascade looks for
 */
export function cascadeData(set: DetectionSet, model: Mtcnn, options: CascadeDataOptions): CascadeData {
  const { minimumSize, stageShares, minedImages } = model.options;
  const { train, validation } = set.splits;
  const rules: CropRules = { smallest: minimumSize, difficult: options.learnDifficult };
  const source = sourceOf(train, rules);
  const held = sourceOf(validation, rules);
  // What the second and the third network learn from, and the first two are measured on.
  const looked = someOf(source, minedImages);
  const heldLooked = someOf(held, minedImages);
  const marked = landmarkCount(set) > 0;
  const learnt = objectsOf(source.images);
  const small = source.images.reduce((sum, { others }) => sum + others.length, 0);
  if (learnt === 0) {
    throw new OptionError(
      `option minimumSize: ${small === 0 ? "there is no training object" : `${small === 1 ? "the only training object is" : `all ${showCount(small)} training objects are`} smaller than ${minimumSize} pixels; choose a smaller size`}`,
    );
  }
  let batchSize = VALIDATED;
  let seed = 0;
  let stage = 0;
  let entered: StageBatches | undefined;

  const pointsAt = (at: number): number => {
    const hasHead = STAGES[at] === "onet" || model.options.earlyLandmarks;
    return marked && hasHead ? model.options.landmarks : 0;
  };
  const shape = (rows: number): BatchShape => {
    const side = INPUT_SIZES[STAGES[stage] ?? "onet"];
    const numbers = 2 * pointsAt(stage);
    return {
      x: [rows, 3, side, side],
      labeled: false,
      others: {
        kinds: { shape: [rows], dtype: "int64" },
        offsets: { shape: [rows, 4], dtype: "float32" },
        ...(numbers > 0 && {
          landmarks: { shape: [rows, numbers], dtype: "float32" },
          marked: { shape: [rows, numbers], dtype: "float32" },
        }),
      },
    };
  };
  const batchesAt = (
    at: number,
    mined: readonly MinedCrops[] | undefined,
    heldMined?: readonly MinedCrops[],
  ) => {
    const common = {
      size: INPUT_SIZES[STAGES[at] ?? "onet"],
      points: pointsAt(at),
      smallest: minimumSize,
    };
    const made: StageBatches = {
      stage: at,
      train: new CropBatches(at === 0 ? source : looked, {
        ...common,
        batchSize,
        seed,
        flip: options.flip,
        mined,
      }),
      held:
        held.count === 0
          ? undefined
          : new CropBatches(at === 0 ? held : heldLooked, {
              ...common,
              batchSize: VALIDATED,
              seed: 0,
              flip: 0,
              mined: heldMined,
            }),
    };
    return made;
  };

  /** What the network before lets through of all images of a split. */
  const mine = async (
    images: typeof source,
    before: number,
    { session, shouldStop }: StageEntering,
    onImage: () => void,
  ): Promise<
    | { readonly mined: readonly MinedCrops[]; readonly recall: Recall; readonly limited: readonly string[] }
    | undefined
  > => {
    const last = STAGES[before] ?? "rnet";
    const most = Math.max(KEPT.least, Math.min(KEPT.most, Math.floor(KEPT.all / Math.max(1, images.count))));
    const mined: MinedCrops[] = [];
    const limited: string[] = [];
    let recall: Recall = { objects: 0, found: 0 };
    for (let index = 0; index < images.count; index++) {
      if (shouldStop()) return undefined;
      const onWindowLimit = (most: number) =>
        limited.push(`${images.file(index)}, where more than ${showCount(most)}`);
      const found = await model.stages(session, await images.pixels(index), { onWindowLimit }, last);
      const windows = last === "pnet" ? found.proposals : found.refined;
      const image = images.image(index);
      mined.push(minedCrops(windows, image, most));
      recall = addRecall(recall, recallOf(windowBoxes(windows), image));
      onImage();
    }
    return { mined, recall, limited };
  };

  /** A line on the crops of a network that are blank; none where there are none. */
  const blankLines = (at: number, train: CropBatches, images: typeof source): readonly string[] => {
    const { rows, blank, example } = train.blankRows(COUNTED_STEPS);
    if (blank === 0 || example === undefined) return [];
    return [
      `${showCount(blank)} of the first ${showCount(rows)} crops that ${NAMES[STAGES[at] ?? "onet"]} is trained on ${blank === 1 ? "is blank and teaches" : "are blank and teach"} nothing: no ${example.kind} crop was found for ${images.file(example.index)}, for example`,
    ];
  };

  /** A line on images of which not all windows that pass P-Net are kept; none where there are none. */
  const windowLines = ([first, ...others]: readonly string[]): readonly string[] =>
    first === undefined
      ? []
      : [
          `of windows that pass P-Net the best are kept: in ${counted(others.length + 1, "image")}, as in ${first} pass; a higher first one of thresholds passes fewer`,
        ];

  /** Why the proposal network finds too few objects. */
  const why = async (session: Session, recall: Recall): Promise<string> => {
    const images = held.count > 0 ? held : source;
    let lower: Recall = { objects: 0, found: 0 };
    for (const index of spread(images.count, MOST_LOOKED)) {
      const windows = await model.proposals(session, await images.pixels(index), LOWER_SCORE);
      lower = addRecall(lower, recallOf(windowBoxes(windows), images.image(index)));
    }
    const whose = held.count > 0 ? "validation" : "training";
    const [threshold] = model.options.thresholds;
    return `P-Net finds ${percent(recallShare(recall))} of ${showCount(recall.objects)} ${whose} ${recall.objects === 1 ? "object" : "objects"}, where ${percent(LEAST_RECALL)} are wanted; from a score of ${LOWER_SCORE} on in place of ${threshold} it would be ${percent(recallShare(lower))}: ${recallShare(lower) >= LEAST_RECALL ? "lower the first of thresholds, or train longer" : "train longer, or give it a larger part of stageShares"}. R-Net goes on from what it finds`;
  };

  const enter = async (at: number, entering: StageEntering): Promise<StageEntry | undefined> => {
    stage = at;
    entered = undefined;
    if (at === 0) {
      entered = batchesAt(0, undefined);
      return { measures: {}, warnings: blankLines(0, entered.train, source) };
    }
    let done = 0;
    const onImage = (): void => entering.onShare(++done / (looked.count + heldLooked.count));
    const ofTrain = await mine(looked, at - 1, entering, onImage);
    const ofHeld = ofTrain && (await mine(heldLooked, at - 1, entering, onImage));
    if (ofTrain === undefined || ofHeld === undefined) return undefined;
    const before = STAGES[at - 1] ?? "rnet";
    const recall = ofHeld.recall.objects > 0 ? ofHeld.recall : ofTrain.recall;
    entered = batchesAt(at, ofTrain.mined, ofHeld.mined);
    const isLow = before === "pnet" && recallShare(recall) < LEAST_RECALL;
    return {
      measures: { [`${before}Recall`]: recallShare(recall) },
      warnings: [
        ...(isLow ? [await why(entering.session, recall)] : []),
        ...windowLines([...ofTrain.limited, ...ofHeld.limited]),
        ...blankLines(at, entered.train, looked),
      ],
    };
  };

  const open = (): StageBatches => {
    if (entered?.stage !== stage) throw new RangeError(`the crops of ${STAGES[stage]} are not made yet`);
    return entered;
  };
  const stages = STAGES.map((name, i): StageShare => ({ name: NAMES[name], share: stageShares[i] ?? 1 }));

  return {
    kind: "batches",
    name: set.name,
    fingerprint: set.fingerprint,
    set,
    describe: () => [
      ...set.describe(),
      `${showCount(learnt)} training ${learnt === 1 ? "object is" : "objects are"} cut out for ${stages.map(({ name }) => name).join(", ")}, one after the other`,
      ...(looked === source
        ? []
        : [
            `R-Net and O-Net learn from ${showCount(looked.count)} of the ${showCount(source.count)} training images (minedImages)`,
          ]),
      ...(small === 0
        ? []
        : [
            `${showCount(small)} training ${small === 1 ? "object is" : "objects are"} smaller than minimumSize, ${minimumSize} pixels: neither learnt nor counted in recall`,
          ]),
    ],
    validation: {
      count: held.count === 0 ? 0 : VALIDATED * Math.min(MOST_BATCHES, Math.ceil(held.count / 2)),
      batchSize: VALIDATED,
      shape,
      async feeds({ first, count }: Rows) {
        const batch = await open().held?.batch(Math.floor(first / VALIDATED), [0, count]);
        if (batch === undefined) throw new RangeError("there are no validation images");
        return feedsOf(batch);
      },
      whole: {
        criterion: "AP",
        measures: async (session) => (stage < STAGES.length - 1 ? {} : measured(set, model, session, held)),
      },
    },
    batches(given): StagedBatches {
      ({ batchSize, seed } = given);
      const [first = { name: "", share: 1 }, ...others] = stages;
      return {
        count: source.count * CROPS_OF_IMAGE,
        batchSize,
        random: new Random(seed),
        shape,
        async feeds(step, { first: from, count } = { first: 0, count: batchSize }) {
          return feedsOf(await open().train.batch(step, [from, from + count]));
        },
        names: (step) => [`crops of step ${step}`],
        stages: [first, ...others],
        enter,
      };
    },
  };
}

const feedsOf = (batch: CropBatch): Readonly<Record<string, CropBatch["x"] | CropBatch["kinds"]>> => ({
  ...batch,
});

/** Average precision of the cascade as a whole, and the recall of the output network, over some validation images. */
async function measured(
  { classes, splits: { validation } }: DetectionSet,
  model: Mtcnn,
  session: Session,
  held: CropSource,
): Promise<Readonly<Record<string, number>>> {
  const evaluator = new DetectionEvaluator(classes);
  let recall: Recall = { objects: 0, found: 0 };
  for (const index of spread(held.count, MOST_LOOKED)) {
    const found = await model.find(session, await held.pixels(index), evaluationOptions({}, model));
    evaluator.add(found, truthOf(validation, index), validation.annotations(index).file);
    const sure = Array.from(found.scores.keys())
      .filter((i) => (found.scores[i] ?? 0) >= model.usual.confidence)
      .map((i) => boxAt(found.boxes, i));
    const { objects } = held.image(index);
    const hit = objects.filter(({ box }) => sure.some((other) => iou(box, other) >= 0.5));
    recall = addRecall(recall, { objects: objects.length, found: hit.length });
  }
  const { ap, ap50 } = evaluator.coco();
  return { AP: ap, AP50: ap50, onetRecall: recallShare(recall) };
}
