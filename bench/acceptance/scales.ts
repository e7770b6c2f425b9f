import { existsSync } from "node:fs";
import type { DetectionEvaluation, Run } from "../../src/index.ts";
import {
  type DetectorTrial,
  fittedDetector,
  measuresOf,
  type Options,
  opened,
  share,
  validationAp50,
} from "./boxes.ts";
import type { Entry, Row, Suite } from "./run.ts";

const CELLS = "../shared/data/bccd";
const SCENES = "digit-scenes";

/** How a fitted detector looks at the test split: the name of the row, and options. */
interface Look {
  readonly title: string;
  readonly trident?: "full" | "fast";
  readonly testing?: { readonly testScales?: readonly number[] };
}

/** A fit, and the rows that it gives. */
interface Trial extends DetectorTrial {
  readonly looks: readonly Look[];
}

/** Fits afresh and measures the best weights on the test split, once for each way to look at it. */
function measured(
  trial: Trial,
  more: (run: Run) => Promise<Row> = async () => ({}),
): Promise<readonly Row[]> {
  return fittedDetector(trial, async (folder) => {
    const rows: Row[] = [];
    for (const { title, trident, testing } of trial.looks) {
      const row = await opened(folder, { ...(trident && { trident }) }, async (run): Promise<Row> => {
        const evaluation: DetectionEvaluation = await run.evaluateBoxes(undefined, testing);
        const { size, parameters, steps, seconds, ...quality } = measuresOf(evaluation);
        return {
          detector: title,
          size,
          seed: String(trial.seed ?? 0),
          parameters,
          steps,
          seconds,
          ...(await more(run)),
          "validation AP50": share(await validationAp50(run)),
          ...quality,
        };
      });
      rows.push(row);
    }
    return rows;
  });
}

/** FCOS with one map of stride 16, the plain detector of this comparison. */
const ONE_MAP = { neck: "none", levels: 1, finestStride: 16 };

/** What is compared, by the name of its fit. */
const WAYS: readonly {
  readonly name: string;
  readonly options: Options;
  readonly looks: readonly Look[];
  /** Seeds of the fits of equal steps: more than one where rows are close. Default: 0. */
  readonly seeds?: readonly number[];
  /** Whether it is fitted for equal steps alone. */
  readonly stepsAlone?: boolean;
}[] = [
  {
    name: "one-map",
    options: ONE_MAP,
    seeds: [0, 1, 2],
    looks: [
      { title: "one map" },
      { title: "one map, tested on a pyramid of 1, 2", testing: { testScales: [1, 2] } },
    ],
  },
  {
    name: "trident",
    options: { ...ONE_MAP, trident: "full" },
    seeds: [0, 1, 2],
    looks: [
      { title: "one map, Trident", trident: "full" },
      { title: "one map, Trident Fast", trident: "fast" },
    ],
  },
  {
    name: "trident-ranges",
    options: { ...ONE_MAP, trident: "full", tridentRanges: [0, 24, 12, 48, 30, 1000] },
    stepsAlone: true,
    looks: [{ title: "one map, Trident, each branch for its sizes" }],
  },
  {
    name: "fpn",
    options: { neck: "fpn", finestStride: 8 },
    seeds: [0, 1, 2],
    looks: [{ title: "three maps, FPN" }],
  },
  {
    name: "multi-scale",
    seeds: [0, 1, 2],
    options: { ...ONE_MAP, scales: [1, 1.5, 2] },
    looks: [
      { title: "one map, trained at 1, 1.5, 2" },
      { title: "the same, tested on a pyramid of 1, 2", testing: { testScales: [1, 2] } },
    ],
  },
];

/** Budgets of the comparison: the same seconds for all, and the same steps for all. */
const BUDGETS = [
  { name: "seconds", title: "400 seconds each", limit: { seconds: 400 } },
  { name: "steps", title: "2,500 steps each", limit: { steps: 2500 } },
] as const;

const scenes = BUDGETS.flatMap((budget) =>
  WAYS.filter(({ stepsAlone = false }) => budget.name === "steps" || !stepsAlone).flatMap(
    ({ name, options, looks, seeds = [0] }) =>
      (budget.name === "steps" ? seeds : [0]).map((seed): Entry => {
        const trial = {
          name: `scales-${budget.name}-${name}${seed === 0 ? "" : `-${seed}`}`,
          model: "fcos",
          data: SCENES,
          limit: budget.limit,
          options: { ...options, validateEvery: 250 },
          looks,
          seed,
        };
        return {
          name: trial.name,
          section: `digit-scenes, digits of 6 to 96 pixels, FCOS, ${budget.title}`,
          measure: () => measured(trial),
        };
      }),
  ),
);

/** Large scenes with few objects, most of whose pixels are background. */
const LARGE = { canvas: 640, scenes: 400, objects: 4, ...ONE_MAP };

/** Pixels that training has looked at, in millions. */
async function trainingPixels(run: Run): Promise<Row> {
  const { config, folder } = run.loaded;
  const steps = (await folder.readMetrics()).at(-1)?.step ?? 0;
  const side = Number(config.dataOptions.chip ?? config.dataOptions.size);
  return { megapixels: ((steps * config.fit.batchSize * side ** 2) / 1e6).toFixed(0) };
}

const large = [
  {
    name: "full",
    title: "whole scenes",
    limit: { steps: 1500 },
    options: { ...LARGE, batchSize: 4, validateEvery: 250 },
  },
  // A chip has 1/16 of a scene's pixels: 4,000 steps with 8 chips look at a third of the pixels of 1,500 steps with 4 scenes.
  {
    name: "sniper",
    title: "SNIPER",
    limit: { steps: 4000 },
    options: { ...LARGE, sniper: true, scales: [1, 0.5], chip: 160, batchSize: 8, validateEvery: 500 },
  },
].flatMap(({ name, title, ...fit }) =>
  [0, 1, 2].map((seed): Entry => {
    const trial = {
      name: `scales-large-${name}${seed === 0 ? "" : `-${seed}`}`,
      model: "fcos",
      data: SCENES,
      ...fit,
      looks: [{ title }],
      seed,
    };
    return {
      name: trial.name,
      section: "digit-scenes of 640 × 640 pixels, FCOS with one map: chips against whole scenes",
      measure: () => measured(trial, trainingPixels),
    };
  }),
);

const cells: Entry = {
  name: "scales-bccd-faster-rcnn",
  section: "BCCD: blood cells, test split of 72 images",
  measure: () =>
    measured({
      name: "scales-bccd-faster-rcnn",
      model: "faster-rcnn",
      data: CELLS,
      limit: { seconds: 700 },
      // As the other detectors have it in bench/ACCEPTANCE-DETECTION.md.
      options: { size: 256, flipVertical: 0.5, zoomOut: 0.8, zoomIn: 1.25, validateEvery: 100 },
      looks: [{ title: "Faster R-CNN" }],
    }),
};

export const scales: Suite = {
  file: "bench/ACCEPTANCE-SCALES.md",
  title: "Acceptance runs of the ways to scale",
  command: "npm run acceptance scales",
  introduction:
    "Detectors are trained from random weights; options are the defaults but for those named, and scenes are validated every 250 steps. The weights are those with the highest AP on the " +
    "validation split (its AP50 is the column `validation AP50`), and all else is of the test split: AP and AP50 as COCO defines them, AP of small (below 32² pixels), medium (below 96²) and " +
    "large objects in pixels of the images as they are, and images a second that the detector looks at, with decoding and suppression. Several rows of one fit are the same weights that look at the " +
    "images in several ways.",
  entries: existsSync(CELLS) ? [...scenes, ...large, cells] : [...scenes, ...large],
};
