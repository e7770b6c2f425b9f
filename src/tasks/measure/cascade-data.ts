import type { DetectionSet } from "../../data/boxes/set.ts";
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
import type { CropImage, CropRules } from "../../detection/models/mtcnn/crops.ts";
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
import {
  LOOKING,
  type StagedBatches,
  type StageEntering,
  type StageEntry,
  type StageShare,
} from "../../train/stages.ts";
import { chosenOf, type Source, someOf, sourceOf, spread, spreadOrder } from "./crop-source.ts";
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

/** Images that are looked through for the next network, however little time there is. */
const LEAST_LOOKED = 8;

/** Windows of a kind that are kept of all images, of one at most and at least. */
const KEPT = { all: 200_000, most: 64, least: 8 } as const;

/** Steps of which it is counted how many crops are blank. */
const COUNTED_STEPS = 8;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const objectsOf = (images: readonly CropImage[]): number =>
  images.reduce((sum, { objects }) => sum + objects.length, 0);

/** What a network lets through of the images of a split. */
interface Looked {
  /** Those that were looked through: all, or as many as the time allowed. */
  readonly images: Source;
  readonly mined: readonly MinedCrops[];
  readonly recall: Recall;
  /** Images of which not all windows are kept. */
  readonly limited: readonly string[];
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
    ofTrain: Pick<Looked, "images"> & Partial<Looked>,
    ofHeld: Pick<Looked, "images"> & Partial<Looked>,
  ) => {
    const common = {
      size: INPUT_SIZES[STAGES[at] ?? "onet"],
      points: pointsAt(at),
      smallest: minimumSize,
    };
    const made: StageBatches = {
      stage: at,
      train: new CropBatches(ofTrain.images, {
        ...common,
        batchSize,
        seed,
        flip: options.flip,
        mined: ofTrain.mined,
      }),
      held:
        held.count === 0
          ? undefined
          : new CropBatches(ofHeld.images, {
              ...common,
              batchSize: VALIDATED,
              seed: 0,
              flip: 0,
              mined: ofHeld.mined,
            }),
    };
    return made;
  };

  /**
   * What the network before lets through of the images of a split: of as many as the seconds allow, or of just so many.
   * @returns undefined where the fit is stopped
   */
  const mine = async (
    images: Source,
    before: number,
    { session, shouldStop }: StageEntering,
    { seconds, count = images.count }: { readonly seconds: number; readonly count?: number | undefined },
    onImage: () => void,
  ): Promise<Looked | undefined> => {
    const last = STAGES[before] ?? "rnet";
    const most = Math.max(KEPT.least, Math.min(KEPT.most, Math.floor(KEPT.all / Math.max(1, images.count))));
    const until = performance.now() + 1000 * seconds;
    const mined = new Map<number, MinedCrops>();
    const limited = new Map<number, string>();
    let recall: Recall = { objects: 0, found: 0 };
    for (const index of spreadOrder(images.count)) {
      if (shouldStop()) return undefined;
      if (mined.size >= count || (mined.size >= LEAST_LOOKED && performance.now() >= until)) break;
      const onWindowLimit = (most: number) => {
        limited.set(index, `${images.file(index)}, where more than ${showCount(most)}`);
      };
      const found = await model.stages(session, await images.pixels(index), { onWindowLimit }, last);
      const windows = last === "pnet" ? found.proposals : found.refined;
      const image = images.image(index);
      mined.set(index, minedCrops(windows, image, most));
      recall = addRecall(recall, recallOf(windowBoxes(windows), image));
      onImage();
    }
    const chosen = [...mined.keys()].toSorted((a, b) => a - b);
    return {
      images: chosen.length === images.count ? images : chosenOf(images, chosen),
      mined: chosen.flatMap((index) => mined.get(index) ?? []),
      recall,
      limited: chosen.flatMap((index) => limited.get(index) ?? []),
    };
  };

  /** A line on images for which there was no time; none where all were looked through. */
  const timeLines = (at: number, ofTrain: Source, ofHeld: Source): readonly string[] => {
    const [before, name] = [STAGES[at - 1] ?? "pnet", STAGES[at] ?? "onet"].map((stage) => NAMES[stage]);
    if (ofTrain.count === looked.count && ofHeld.count === heldLooked.count) return [];
    return [
      `${name} learns from what ${before} lets through of ${showCount(ofTrain.count)} of ${counted(looked.count, "training image")}, and is validated on that of ${showCount(ofHeld.count)} of ${showCount(heldLooked.count)}: looking through them takes at most ${percent(LOOKING)} of the time that is left; give the fit more time for more of them`,
    ];
  };

  /** A line on the crops of a network that are blank; none where there are none. */
  const blankLines = (at: number, train: CropBatches, images: Source): readonly string[] => {
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
  const why = async (session: Session, { images, recall }: Looked, whose: string): Promise<string> => {
    let lower: Recall = { objects: 0, found: 0 };
    for (const index of spread(images.count, MOST_LOOKED)) {
      const windows = await model.proposals(session, await images.pixels(index), LOWER_SCORE);
      lower = addRecall(lower, recallOf(windowBoxes(windows), images.image(index)));
    }
    const [threshold] = model.options.thresholds;
    return `P-Net finds ${percent(recallShare(recall))} of ${showCount(recall.objects)} ${whose} ${recall.objects === 1 ? "object" : "objects"}, where ${percent(LEAST_RECALL)} are wanted; from a score of ${LOWER_SCORE} on in place of ${threshold} it would be ${percent(recallShare(lower))}: ${recallShare(lower) >= LEAST_RECALL ? "lower the first of thresholds, or train longer" : "train longer, or give it a larger part of stageShares"}. R-Net goes on from what it finds`;
  };

  const enter = async (at: number, entering: StageEntering): Promise<StageEntry | undefined> => {
    stage = at;
    entered = undefined;
    if (at === 0) {
      entered = batchesAt(0, { images: source }, { images: held });
      return { measures: {}, warnings: blankLines(0, entered.train, source) };
    }
    const { seconds, samples } = entering;
    const all = looked.count + heldLooked.count;
    const begun = performance.now();
    let done = 0;
    const onImage = (): void =>
      entering.onShare(Math.min(1, Math.max(++done / all, (performance.now() - begun) / 1000 / seconds)));
    const part = (images: Source, count?: number) => ({ seconds: (seconds * images.count) / all, count });
    const ofTrain = await mine(looked, at - 1, entering, part(looked, samples?.train), onImage);
    const ofHeld =
      ofTrain && (await mine(heldLooked, at - 1, entering, part(heldLooked, samples?.validation), onImage));
    if (ofTrain === undefined || ofHeld === undefined) return undefined;
    const before = STAGES[at - 1] ?? "rnet";
    const isHeld = ofHeld.recall.objects > 0;
    const judged = isHeld ? ofHeld : ofTrain;
    const share = recallShare(judged.recall);
    entered = batchesAt(at, ofTrain, ofHeld);
    const short = timeLines(at, ofTrain.images, ofHeld.images);
    const isLow = before === "pnet" && share < LEAST_RECALL;
    return {
      measures: { [`${before}Recall`]: share },
      warnings: [
        ...(isLow ? [await why(entering.session, judged, isHeld ? "validation" : "training")] : []),
        ...short,
        ...windowLines([...ofTrain.limited, ...ofHeld.limited]),
        ...blankLines(at, entered.train, ofTrain.images),
      ],
      ...(short.length > 0 && {
        samples: { train: ofTrain.images.count, validation: ofHeld.images.count },
      }),
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
