import { existsSync } from "node:fs";
import type { DetectionEvaluation } from "../../src/index.ts";
import { fittedDetector, measuresOf, type Options, opened, share } from "./boxes.ts";
import type { Entry, Row, Suite } from "./run.ts";
import { measuredCascade } from "./small-cascade.ts";

const CELLS = "../shared/data/bccd";
const CARS = "../shared/data/aerial-cars";

/** Data on which ways are compared. */
interface Setting {
  readonly name: string;
  readonly section: string;
  readonly data: string;
  readonly options: Options;
  /** Steps of RetinaNet and of Faster R-CNN. */
  readonly steps: { readonly "retina-net": number; readonly "faster-rcnn": number };
  /** Boundaries between sizes of objects, in pixels of the images as they are. */
  readonly sizes: readonly number[];
  /** The class of small objects that has columns of its own. */
  readonly small?: string;
  /** Side of a tile, in pixels of the images as they are. */
  readonly tile: number;
  /** Seeds of the first row: how far rows differ by chance. */
  readonly seeds: readonly number[];
}

const SETTINGS: readonly Setting[] = [
  {
    name: "scenes",
    section: "digit-scenes of 160 × 160 pixels, half of the digits below 16 pixels, test split of 400 scenes",
    data: "digit-scenes",
    options: { smallLimit: 16, validateEvery: 250 },
    steps: { "retina-net": 1200, "faster-rcnn": 1000 },
    sizes: [8, 16, 32],
    tile: 96,
    seeds: [0, 1, 2],
  },
  {
    name: "cells",
    section: "BCCD: blood cells, of which platelets are small, test split of 72 photographs",
    data: CELLS,
    options: { size: 256, flipVertical: 0.5, zoomOut: 0.8, zoomIn: 1.25, validateEvery: 100 },
    steps: { "retina-net": 500, "faster-rcnn": 400 },
    sizes: [32, 64],
    small: "Platelets",
    tile: 384,
    seeds: [0],
  },
  {
    name: "cars",
    section: "aerial-cars: photographs of 1920 × 1080 pixels from the air, test split of 12",
    data: CARS,
    options: { size: 640, batchSize: 2, flipVertical: 0.5, warmupSteps: 30, validateEvery: 100 },
    steps: { "retina-net": 300, "faster-rcnn": 300 },
    sizes: [48, 64],
    small: "car",
    tile: 640,
    seeds: [0],
  },
];

/** What is done for small objects, beside what a setting has. */
interface Way {
  readonly name: string;
  readonly title: string;
  readonly model: keyof Setting["steps"];
  readonly options: (setting: Setting) => Options;
  /** The settings that it is tried in; default: all. */
  readonly only?: readonly string[];
}

const DENSE = { finestAnchors: [1], anchorDensity: 2 };
const MATCHING = { assignment: "s3fd" };
const CONTEXT = { context: "ssh" };
const COPIES = { copyPaste: 0.5, oversample: 2 };
/** Anchors of a stride, without which small objects are not proposed. */
const REGIONS = { anchorSides: [1, 2, 3] };
const tiles = ({ tile, options: { size = 160 } }: Setting): Options => ({
  tiles: tile,
  size,
  fullImage: true,
});

const WAYS: readonly Way[] = [
  { name: "baseline", title: "RetinaNet", model: "retina-net", options: () => ({}) },
  { name: "dense", title: "+ dense anchors", model: "retina-net", options: () => DENSE },
  { name: "s3fd", title: "+ S³FD matching", model: "retina-net", options: () => MATCHING },
  { name: "context", title: "+ context", model: "retina-net", options: () => CONTEXT },
  { name: "copies", title: "+ copy-paste", model: "retina-net", options: () => COPIES },
  { name: "tiles", title: "+ tiles", model: "retina-net", options: tiles },
  {
    name: "all",
    title: "+ all of these",
    model: "retina-net",
    // In an epoch of tiles each with objects comes once already.
    options: (setting) => ({
      ...DENSE,
      ...MATCHING,
      ...CONTEXT,
      ...COPIES,
      oversample: 1,
      ...tiles(setting),
    }),
  },
  { name: "regions", title: "Faster R-CNN", model: "faster-rcnn", options: () => REGIONS },
  {
    name: "enlarged",
    title: "Faster R-CNN, enlarged first",
    model: "faster-rcnn",
    options: () => ({ ...REGIONS, enlarge: true }),
  },
  // The finer map without the game.
  {
    name: "details",
    title: "Faster R-CNN, enlarged first, without the generator's loss",
    model: "faster-rcnn",
    options: () => ({ ...REGIONS, enlarge: true, enlargeWeight: 0 }),
    only: ["scenes"],
  },
];

/** Average precision by size, and of the class of small objects. */
function ofSmall({ coco }: DetectionEvaluation, small: string | undefined): Row {
  const own = coco.classes.find(({ name }) => name === small);
  return {
    ...(own !== undefined && {
      [`AP of ${own.name}`]: share(own.ap),
      [`AP50 of ${own.name}`]: share(own.ap50),
    }),
    ...Object.fromEntries((coco.sizes ?? []).map(({ name, ap }) => [`AP, ${name} pixels`, share(ap)])),
  };
}

/** Fits afresh and measures the best weights on the test split, once. */
function measured(name: string, setting: Setting, way: Way, seed: number): Promise<Row> {
  const trial = {
    name,
    model: way.model,
    data: setting.data,
    limit: { steps: setting.steps[way.model] },
    options: { ...setting.options, ...way.options(setting) },
    seed,
  };
  return fittedDetector(trial, (folder) =>
    opened(folder, {}, async (run): Promise<Row> => {
      const evaluation = await run.evaluateBoxes(undefined, { sizes: setting.sizes });
      const { parameters, steps, seconds, AP, AP50, "images/s": speed } = measuresOf(evaluation);
      return {
        detector: way.title,
        seed: String(seed),
        parameters,
        steps,
        seconds,
        AP,
        AP50,
        ...ofSmall(evaluation, setting.small),
        "images/s": speed,
      };
    }),
  );
}

const entries = SETTINGS.filter(({ data }) => data === "digit-scenes" || existsSync(data)).flatMap(
  (setting) =>
    WAYS.filter(({ only }) => only?.includes(setting.name) ?? true).flatMap((way) =>
      (way.name === "baseline" ? setting.seeds : [0]).map((seed): Entry => {
        const name = `small-${setting.name}-${way.name}${seed === 0 ? "" : `-${seed}`}`;
        return { name, section: setting.section, measure: () => measured(name, setting, way, seed) };
      }),
    ),
);

/** All digits as one class. The pyramid begins at objects of 6 pixels, the smallest there are. */
const cascade: Entry = {
  name: "small-scenes-mtcnn",
  section: "digit-scenes, all digits as one class: MTCNN, recall by network",
  measure: () =>
    measuredCascade("small-scenes-mtcnn", {
      data: "digit-scenes",
      seconds: 300,
      options: { smallLimit: 16, minimumSize: 6 },
    }),
};

export const smallObjects: Suite = {
  file: "bench/ACCEPTANCE-SMALL-OBJECTS.md",
  title: "Acceptance runs of the ways to small objects",
  command: "npm run acceptance small-objects",
  introduction:
    "RetinaNet and Faster R-CNN with three maps from stride 8 on are trained from random weights, all rows of a detector in a section for the same number of steps; each row with a + has one change " +
    "beside RetinaNet's first row. Options: scenes `--small-limit 16`; BCCD `--size 256 --flip-vertical 0.5 --zoom-out 0.8 --zoom-in 1.25`; cars `--size 640 --batch-size 2 --flip-vertical 0.5`; dense " +
    "anchors `--finest-anchors 1 --anchor-density 2`, matching `--assignment s3fd`, context `--context ssh`, copy-paste `--copy-paste 0.5 --oversample 2`, tiles `--tiles 96` (cells 384, cars 640) " +
    "`--full-image`, Faster R-CNN `--anchor-sides 1,2,3`, enlarged first `--enlarge`. The weights are those with the highest AP on the validation split, and all numbers are of the test split, measured once; sizes are square roots of areas in " +
    "pixels of the images as they are. The first rows, of three seeds, are how far rows differ by chance. MTCNN: `--small-limit 16 --minimum-size 6`, for 300 seconds; the recall of a network is the share of the objects " +
    "that have a window with an IoU of ½ or more among those that it passes on, both as squares.",
  entries: [...entries, cascade],
};
