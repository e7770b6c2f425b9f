import { existsSync } from "node:fs";
import { fittedDetector, measuresOf, type Options, opened, share, validationAp50 } from "./boxes.ts";
import type { Entry, Row, Suite } from "./run.ts";

const CELLS = "../shared/data/bccd";
const SCENES = "digit-scenes";

interface Trial {
  readonly name: string;
  readonly title: string;
  readonly model: string;
  readonly data: string;
  readonly seconds: number;
  readonly options: Options;
}

/** Fits afresh with seed 0 and measures the best weights on the test split, once. */
function measured({ title, seconds, ...trial }: Trial): Promise<Row> {
  const { options } = trial;
  return fittedDetector({ ...trial, limit: { seconds } }, (folder) =>
    opened(folder, {}, async (run) => {
      const { size, parameters, steps, seconds: spent, ...others } = measuresOf(await run.evaluateBoxes());
      return {
        model: title,
        options: Object.entries(options)
          .filter(([name]) => name !== "size" && name !== "validateEvery")
          .map(([name, value]) => `${name} ${value}`)
          .join(", "),
        size,
        seed: "0",
        parameters,
        steps,
        seconds: spent,
        "validation AP50": share(await validationAp50(run)),
        ...others,
      };
    }),
  );
}

/** The six detectors on photographs of blood cells. */
const CELL_TRIALS: readonly (readonly [title: string, model: string])[] = [
  ["YOLO", "yolo"],
  ["FCOS", "fcos"],
  ["CenterNet", "center-net"],
  ["RetinaNet", "retina-net"],
  ["YOLOv3", "yolo-v3"],
  ["YOLO v1", "yolo-v1"],
];

/** A smear has no up, and all photographs are of one magnification. */
const CELL_OPTIONS = { size: 256, flipVertical: 0.5, zoomOut: 0.8, zoomIn: 1.25, validateEvery: 100 };

const cells = CELL_TRIALS.map(([title, model]): Entry => {
  const name = `detection-bccd-${model}`;
  const trial = { name, title, model, data: CELLS, seconds: 700, options: CELL_OPTIONS };
  return { name, section: "BCCD: blood cells, test split of 72 images", measure: () => measured(trial) };
});

/**
 * The same detector with a pyramid and without, as in table 1 of the paper on FPN: one map alone, maps without ways between them, and the
 * pyramid.
 */
const SCENE_TRIALS: readonly (readonly [title: string, name: string, options: Options])[] = [
  ["FCOS, one map", "one-map", { neck: "none", levels: 1, finestStride: 16 }],
  ["FCOS, three maps by themselves", "none-8", { neck: "none", finestStride: 8 }],
  ["FCOS with FPN", "fpn-8", { neck: "fpn", finestStride: 8 }],
  ["FCOS, three maps by themselves", "none", { neck: "none", finestStride: 4 }],
  ["FCOS with FPN", "fpn", { neck: "fpn", finestStride: 4 }],
];

const scenes = SCENE_TRIALS.map(([title, which, options]): Entry => {
  const name = `detection-scenes-fcos-${which}`;
  const trial = { name, title, model: "fcos", data: SCENES, seconds: 400, options };
  return {
    name,
    section: "digit-scenes: digits of 6 to 96 pixels, test split of 400 scenes",
    measure: () => measured(trial),
  };
});

export const detection: Suite = {
  file: "bench/ACCEPTANCE-DETECTION.md",
  title: "Acceptance runs of the detectors",
  command: "npm run acceptance detection",
  introduction:
    "Each detector is trained from random weights with seed 0; options are the defaults but for those named (BCCD is validated every 100 steps). The weights are those with " +
    "the highest AP on the validation split (its AP50 is the column `validation AP50`), and all else is of the test split, measured " +
    "once: AP and AP50 as COCO defines them, AP of small (below 32² pixels), medium (below 96²) and large objects in pixels of the " +
    "images as they are, and images a second that the detector looks at with decoding and suppression, four at once. BCCD are 364 photographs of " +
    "640 × 480 pixels with red and white cells and platelets in the splits that come with it, 205 / 87 / 72.",
  entries: existsSync(CELLS) ? [...cells, ...scenes] : scenes,
};
