import { type AnchorLevel, boxesOfDistances, type CellGrid } from "eidos/detection/boxes";
import {
  type Assignment,
  assignAdaptively,
  assignByOverlap,
  assignCompensated,
  type ObjectRows,
  type RetinaNetTargets,
} from "eidos/detection/loss";
import {
  alignTasks,
  assignAnchors,
  assignBySize,
  assignCells,
  fasterRcnnOptions,
  foundObjects,
  heatTargets,
  regionGeometry,
  retinaAnchors,
  retinaNetOptions,
  sizeRanges,
  yoloV3Anchors,
} from "eidos/detection/models";
import { type FeaturePoints, featurePoints, levelGrids } from "eidos/detection/network";
import { matchBoxes } from "eidos/detection/regions";
import { full, logicalNot, logicalOr, type Tensor, where } from "eidos/tensor";
import type { Rule, RuleSettings } from "./rules.ts";
import { IMAGE_SIDE, KINDS } from "./scene.ts";

// The assignments of the detectors as they stand in their training steps, on the anchors and locations that these have over an image of
// the scene's size.

/** What a rule makes of the objects of a scene. */
export type RuleOutputs =
  /** For each anchor or location 1 + the object that it is assigned to, 0 for background, −1 where it counts for nothing: [1, k]. */
  | { readonly kind: "roles"; readonly roles: Tensor; readonly quality?: Tensor }
  /** For each object its cell or anchor, and whether it has it, [1, m]; and which of all cost nothing, [1, k] (bool). */
  | { readonly kind: "places"; readonly places: Tensor; readonly taken: Tensor; readonly spared?: Tensor }
  /** Heat of each class, [1, classes, rows, columns], and the cell of each object's center, [1, m]. */
  | { readonly kind: "heat"; readonly heat: Tensor; readonly places: Tensor };

/** A map of a detector: its cells, and the anchors of each. */
export interface RuleLevel extends CellGrid {
  /** 1 where there are no anchors. */
  readonly perCell: number;
}

/** A rule over images of the scene's size. */
export interface RuleGraph {
  readonly levels: readonly RuleLevel[];
  /** Anchors of all levels, [k, 4]; absent where the detector has none. */
  readonly anchors?: Tensor;
  /** @param boxes [1, m, 4] @param labels [1, m] (int64), −1 where a row is no object */
  outputs(boxes: Tensor, labels: Tensor): RuleOutputs;
}

const IMAGE = { width: IMAGE_SIDE, height: IMAGE_SIDE };
const CLASSES = KINDS.length;

const gridsOf = (strides: readonly number[]): readonly CellGrid[] =>
  levelGrids(
    IMAGE,
    strides.map((stride) => ({ stride, channels: 1 })),
  );

/** Maps of so many levels, each of twice the stride of the one before. */
const strides = (finest: number, levels: number): readonly number[] =>
  Array.from({ length: levels }, (_, i) => finest * 2 ** i);

const withAnchors = (
  grids: readonly CellGrid[],
  levels: readonly Pick<AnchorLevel, "perCell">[],
): readonly RuleLevel[] => grids.map((grid, i) => ({ ...grid, perCell: levels[i]?.perCell ?? 1 }));

const withoutAnchors = (grids: readonly CellGrid[]): readonly RuleLevel[] =>
  grids.map((grid) => ({ ...grid, perCell: 1 }));

function rolesOf({ positive, owner }: Assignment, spared?: Tensor): Tensor {
  const own = where(positive, owner.cast("float32").add(1), 0);
  return spared === undefined ? own : where(spared, -1, own);
}

/** Anchors of RetinaNet's kind with an assignment of them. */
function retinaGraph(
  options: Readonly<Record<string, unknown>>,
  assign: (placed: ReturnType<typeof retinaAnchors>, boxes: Tensor, labels: Tensor) => RetinaNetTargets,
): RuleGraph {
  const own = retinaNetOptions.parse(options);
  const grids = gridsOf(strides(own.finestStride, own.levels));
  const placed = retinaAnchors(own, grids, IMAGE);
  return {
    levels: withAnchors(grids, placed.levels),
    anchors: placed.anchors,
    outputs: (boxes, labels) => {
      const targets = assign(placed, boxes, labels);
      return { kind: "roles", roles: rolesOf(targets, logicalNot(targets.counted)) };
    },
  };
}

const S3FD = { anchorLayout: "s3fd", finestStride: 4, levels: 4 } as const;

function fasterRcnn({ foreground = 0, background = 0 }: RuleSettings): RuleGraph {
  const own = fasterRcnnOptions.parse({});
  const grids = gridsOf(strides(own.finestStride, own.levels));
  const { all } = regionGeometry(grids, IMAGE, own);
  const perCell = own.anchorSides.length * own.anchorRatios.length;
  return {
    levels: grids.map((grid) => ({ ...grid, perCell })),
    anchors: all,
    outputs: (boxes, labels) => {
      const objects: ObjectRows = { boxes, labels };
      const matches = matchBoxes(all, objects, { foreground, background, lowQuality: true });
      const spared = logicalNot(logicalOr(matches.positive, matches.negative));
      return { kind: "roles", roles: rolesOf(matches, spared) };
    },
  };
}

/** Locations of the three maps that anchor-free detectors have by default. */
function locations(): {
  readonly grids: readonly CellGrid[];
  readonly levels: readonly RuleLevel[];
  readonly points: FeaturePoints;
} {
  const grids = gridsOf(strides(8, 3));
  return { grids, levels: withoutAnchors(grids), points: featurePoints(grids) };
}

/** Distance to each edge, in strides, of the first boxes of an untrained network. */
const FIRST_DISTANCE = 2;

/** The score that an untrained network has for every class: it is the same everywhere, so that it decides nothing. */
const FIRST_SCORE = 0.01;

/**
 * Width and height of YOLOv3's anchors for COCO, in pixels of images of 416 (Redmon and Farhadi 2018, "YOLOv3", section 2.3): three a map,
 * from the finest on.
 */
const YOLO_V3_ANCHORS = [
  [
    [10, 13],
    [16, 30],
    [33, 23],
  ],
  [
    [30, 61],
    [62, 45],
    [59, 119],
  ],
  [
    [116, 90],
    [156, 198],
    [373, 326],
  ],
] as const;

function yoloV3({ ignore = 0 }: RuleSettings): RuleGraph {
  const levels = gridsOf(strides(8, YOLO_V3_ANCHORS.length)).map((grid, i) => ({
    ...grid,
    shapes: (YOLO_V3_ANCHORS[i] ?? []).map(([width, height]) => ({ width, height })),
  }));
  const anchors = yoloV3Anchors(levels);
  return {
    levels: levels.map(({ shapes, ...grid }) => ({ ...grid, perCell: shapes.length })),
    anchors: anchors.boxes,
    outputs: (boxes, labels) => {
      const { places, weights } = assignAnchors(boxes, labels, levels);
      // An untrained network predicts the anchors themselves.
      const spared = foundObjects(anchors.boxes.unsqueeze(0), { boxes, labels }, ignore);
      return { kind: "places", places, taken: weights, spared };
    },
  };
}

/** The grid of a detector with one map. */
function oneGrid(stride: number): CellGrid {
  return { rows: Math.ceil(IMAGE_SIDE / stride), columns: Math.ceil(IMAGE_SIDE / stride), stride };
}

/** The graph of a rule. */
export function ruleGraph(rule: Rule, settings: RuleSettings): RuleGraph {
  const value = (option: string): number => settings[option] ?? 0;
  const thresholds = { foreground: value("foreground"), background: value("background") };
  switch (rule) {
    case "faster-rcnn":
      return fasterRcnn(settings);
    case "retina-net":
      return retinaGraph({}, ({ anchors }, boxes, labels) =>
        assignByOverlap(anchors, boxes, labels, CLASSES, thresholds),
      );
    case "s3fd":
      return retinaGraph(S3FD, ({ anchors }, boxes, labels) =>
        assignCompensated(anchors, boxes, labels, CLASSES, {
          foreground: value("first"),
          least: value("least"),
        }),
      );
    case "atss":
      return retinaGraph(S3FD, (placed, boxes, labels) =>
        assignAdaptively(placed, boxes, labels, CLASSES, value("nearest")),
      );
    case "faceboxes":
      return retinaGraph(
        { anchorLayout: "faceboxes", anchorDensity: value("density") },
        ({ anchors }, boxes, labels) => assignByOverlap(anchors, boxes, labels, CLASSES, thresholds),
      );
    case "fcos": {
      const { grids, levels, points } = locations();
      return {
        levels,
        outputs: (boxes, labels) => {
          const targets = assignBySize(points, sizeRanges(grids), value("radius"), boxes, labels, CLASSES);
          return { kind: "roles", roles: rolesOf(targets), quality: targets.centerness };
        },
      };
    }
    case "yolo": {
      const { levels, points } = locations();
      const predictions = {
        scores: full([1, points.count, CLASSES], FIRST_SCORE),
        boxes: boxesOfDistances(full([1, points.count, 4], FIRST_DISTANCE), points.centers, points.strides),
      };
      return {
        levels,
        outputs: (boxes, labels) => {
          const targets = alignTasks(predictions, points, boxes, labels, value("candidates"));
          return { kind: "roles", roles: rolesOf(targets), quality: targets.weights };
        },
      };
    }
    case "yolo-v3":
      return yoloV3(settings);
    case "yolo-v1": {
      const grid = oneGrid(value("stride"));
      return {
        levels: withoutAnchors([grid]),
        outputs: (boxes, labels) => {
          const { places, weights } = assignCells(boxes, labels, grid);
          return { kind: "places", places, taken: weights };
        },
      };
    }
    case "center-net": {
      const grid = oneGrid(value("stride"));
      return {
        levels: withoutAnchors([grid]),
        outputs: (boxes, labels) => {
          const { heat, places } = heatTargets(boxes, labels, grid, CLASSES);
          return { kind: "heat", heat, places };
        },
      };
    }
  }
}
