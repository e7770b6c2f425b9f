import { FACE_LANDMARKS } from "../../detection/boxes/landmarks.ts";
import {
  type DetectOptions,
  type Detector,
  detectOptionsOf,
  MANY_DETECTIONS,
  MOST_CANDIDATES,
} from "../../detection/models/detector.ts";
import { detectorViews } from "../../detection/models/image-pyramid.ts";
import type { View } from "../../detection/scale/test-time.ts";
import type { ExportedPort } from "../../model/exported.ts";
import { type GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import { exportOnnx } from "../../program/program.ts";
import { input, type Tensor } from "../../tensor/index.ts";
import { looksOf } from "../run/detection-options.ts";
import type { AbilityFile, ExportSubject, NetworkInput } from "./ability.ts";
import { type ImageGraph, imageGraph, letterboxGraph, type PlacedGraph, shrunkTo } from "./resample-graph.ts";

// A detector as a file: an image of any size in, what is found in its pixels out. Resizing, padding, decoding, suppression and thresholds
// are inside, as `eidos detect` has them.

/** What was found: [n, 4], [n], [n] and [n, points · 2]. */
interface FoundGraph {
  readonly boxes: GraphValue;
  readonly scores: GraphValue;
  readonly classes: GraphValue;
  readonly landmarks: GraphValue | undefined;
}

/** What decides which detections count: float32 [1], float32 [1], int64 [1]. */
interface CountingGraph {
  readonly confidence: GraphValue;
  readonly iou: GraphValue;
  readonly maximum: GraphValue;
}

/** A score that is a little lower, so that scores above it are those that are at least the given one. */
const justBelow = (score: GraphValue): GraphValue => score.mul(1 - 2 ** -24);

/** An optional input, empty or of one number. */
function optional(
  graph: GraphWriter,
  port: ExportedPort,
  type: "float32" | "int64",
  usual: number,
): GraphValue {
  const given = graph.input(port.name, type, port.shape);
  return graph.concat([given, graph.constant(type, [usual], [1])], 0).gather(graph.ints([0]));
}

/** Non-maximum suppression within each class: rows [class, place] that stay. @param scores float32 [classes, k] */
function suppressedPairs(boxes: GraphValue, scores: GraphValue, { confidence, iou, maximum }: CountingGraph) {
  const { graph } = boxes;
  const kept = graph.op(
    "NonMaxSuppression",
    [boxes.unsqueeze(0), scores.unsqueeze(0), maximum, iou, justBelow(confidence)],
    "int64",
  );
  return {
    classes: kept.slice(1, 2, 1).squeeze(1),
    places: kept.slice(2, 3, 1).squeeze(1),
    pairs: kept.slice(1, 3, 1),
  };
}

/** Points as rows of x and y, moved and stretched. @param points [k, numbers] */
function inImage(points: GraphValue, numbers: number, placed: PlacedGraph, clipped: boolean): GraphValue {
  const { graph } = points;
  const { left, top, width, height, innerWidth, innerHeight } = placed;
  const pair = (x: GraphValue, y: GraphValue): GraphValue =>
    graph.concat([x.unsqueeze(0), y.unsqueeze(0)], 0);
  const moved = points
    .reshape([-1, numbers / 2, 2])
    .cast("float64")
    .sub(pair(left, top))
    .mul(pair(width.div(innerWidth), height.div(innerHeight)));
  const within = clipped ? moved.maximum(0).minimum(pair(width, height)) : moved;
  return within.cast("float32").reshape([-1, numbers]);
}

/** What one look at the image has found, in its pixels. */
function foundInView(
  detector: Detector,
  view: View,
  placed: PlacedGraph,
  seen: Readonly<Record<string, GraphValue>>,
  counting: CountingGraph,
  numbers: number,
): FoundGraph {
  const { graph } = placed.x;
  const boxes = (seen.boxes as GraphValue).squeeze(0);
  let scores = (seen.scores as GraphValue).squeeze(0).transpose(1, 0);
  if (view.range !== undefined) {
    const corner = (at: number): GraphValue => boxes.slice(at, at + 1, 1).squeeze(1);
    const size = corner(2)
      .sub(corner(0))
      .maximum(0)
      .mul(corner(3).sub(corner(1)).maximum(0))
      .sqrt();
    const { from, to } = view.range;
    const least = size.greaterEqual(from);
    const counts = Number.isFinite(to) ? least.and(size.greater(to).not()) : least;
    scores = scores.where(counts.unsqueeze(0), -1);
  }
  // Of too many candidates the best, as eidos has it.
  const all = scores.reshape([-1]);
  const count = graph.op("Min", [all.size(0), graph.ints([MOST_CANDIDATES])], "int64");
  const [best] = graph.ops("TopK", [all, count], ["float32", "int64"], { axis: { int: 0 } });
  const worst = best.gather(count.sub(1));
  const isMany = all.size(0).greater(MOST_CANDIDATES);
  const confidence = counting.confidence.maximum(worst).where(isMany, counting.confidence);
  const iou = detector.needsSuppression ? counting.iou : graph.constant("float32", [1], [1]);
  const { classes, places, pairs } = suppressedPairs(boxes, scores, { ...counting, confidence, iou });
  const own = boxes.maximum(0).minimum(view.side).gather(places);
  const landmarks = seen.landmarks?.squeeze(0).gather(places);
  const points = landmarks && { values: landmarks, numbers };
  return {
    boxes: inImage(own, 4, placed, true),
    scores: graph.op("GatherND", [scores, pairs]),
    classes,
    landmarks: points && inImage(points.values, points.numbers, placed, false),
  };
}

/** What several looks have found as one set, duplicates taken away. */
function merged(found: readonly FoundGraph[], classes: number, counting: CountingGraph): FoundGraph {
  const [first] = found as readonly [FoundGraph, ...FoundGraph[]];
  if (found.length === 1) return first;
  const { graph } = first.boxes;
  const of = (values: (own: FoundGraph) => GraphValue): GraphValue => graph.concat(found.map(values), 0);
  const [boxes, scores, labels] = [of((own) => own.boxes), of((own) => own.scores), of((own) => own.classes)];
  const numbers = graph.constant(
    "int64",
    Array.from({ length: classes }, (_, i) => i),
    [classes, 1],
  );
  const byClass = scores.unsqueeze(0).where(labels.unsqueeze(0).equal(numbers), -1);
  const nothing = graph.constant("float32", [0], [1]);
  const { places } = suppressedPairs(boxes, byClass, { ...counting, confidence: nothing });
  return {
    boxes: boxes.gather(places),
    scores: scores.gather(places),
    classes: labels.gather(places),
    landmarks: first.landmarks && of((own) => own.landmarks as GraphValue).gather(places),
  };
}

/** The best ones, from the best down. */
function ranked(found: FoundGraph, maximum: GraphValue): FoundGraph {
  const { graph } = found.scores;
  const count = graph.op("Min", [found.scores.size(0), maximum], "int64");
  const [scores, places] = graph.ops("TopK", [found.scores, count], ["float32", "int64"], {
    axis: { int: 0 },
  });
  return {
    scores,
    boxes: found.boxes.gather(places),
    classes: found.classes.gather(places),
    landmarks: found.landmarks?.gather(places),
  };
}

const FOUND = "objects";

/** What the inputs of a detector's file are. */
function inputPorts(detector: Detector, { confidence, iou, maximum }: Required<DetectOptions>) {
  const image: ExportedPort = {
    name: "image",
    type: "uint8",
    shape: ["height", "width", 3],
    what: "an upright RGB image of any size as bytes 0 … 255, row after row of pixels; what is transparent laid on white",
  };
  const common = { shape: ["0 or 1"], optional: true } as const;
  const settings = {
    confidence: {
      ...common,
      name: "confidence",
      type: "float32",
      what: "detections of a lower score are left out, 0 … 1",
      default: confidence,
    },
    iou: {
      ...common,
      name: "iou",
      type: "float32",
      what: "of two detections of a class that overlap by a larger IoU than this the better one stays, 0 … 1",
      default: iou,
    },
    maximum: { ...common, name: "maximum", type: "int64", what: "most detections", default: maximum },
  } satisfies Record<string, ExportedPort>;
  const ports: readonly ExportedPort[] = [
    image,
    settings.confidence,
    ...(detector.needsSuppression ? [settings.iou] : []),
    settings.maximum,
  ];
  return { image, settings, ports };
}

function outputPorts(points: number | undefined): readonly ExportedPort[] {
  const names = points === FACE_LANDMARKS.length ? FACE_LANDMARKS.join(", ") : `${points} points`;
  return [
    {
      name: "boxes",
      type: "float32",
      shape: [FOUND, 4],
      unit: "pixels of the image",
      what: "x1, y1, x2, y2 of each object, from the best down",
    },
    { name: "scores", type: "float32", shape: [FOUND], what: "how sure the detector is, 0 … 1" },
    {
      name: "classes",
      type: "int64",
      shape: [FOUND],
      what: "numbers of classes; classes of model.json names them",
    },
    ...(points === undefined
      ? []
      : [
          {
            name: "landmarks",
            type: "float32" as const,
            shape: [FOUND, points, 2],
            unit: "pixels of the image",
            what: `x and y of ${names}`,
          },
        ]),
  ];
}

/** The detector's network for looks of several sizes as one model, whose weights are there once. */
function networkOf(detector: Detector, views: readonly View[], subject: ExportSubject) {
  const outputs: Record<string, Tensor> = {};
  let points: number | undefined;
  for (const [i, { side }] of views.entries()) {
    const seen = detector.decoded(input(`x${i}`, [1, 3, side, side]));
    outputs[`boxes${i}`] = seen.boxes;
    outputs[`scores${i}`] = seen.scores;
    if (seen.landmarks === undefined) continue;
    outputs[`landmarks${i}`] = seen.landmarks;
    points = Number(seen.landmarks.shape[2]) / 2;
  }
  return { model: exportOnnx(outputs, subject.weights), points };
}

/**
 * A detector as a file, or why there is none.
 * @param options what counts as found by default
 * @throws OptionError where a share does not lie in 0 … 1
 */
export function detectAbility(
  subject: ExportSubject,
  detector: Detector,
  options: DetectOptions,
): AbilityFile | { readonly why: string } {
  const counted = detectOptionsOf(detector, { ...options, maximum: options.maximum ?? MANY_DETECTIONS });
  const { views, sides, tiling } = detectorViews(detector, looksOf(subject.config, {}));
  if (tiling !== undefined) {
    const { side, overlap, fullImage, merge } = tiling;
    const whole = fullImage ? ", and the whole image as one more" : "";
    return {
      why: `it was fitted on tiles of ${side} × ${side} pixels of an image as it is, which share ${overlap} of their side${whole}: they are cut, looked at one after the other, and what is found is merged by ${merge}, in a loop outside of a graph`,
    };
  }
  const { model, points } = networkOf(detector, views, subject);
  const { image, settings, ports } = inputPorts(detector, counted);
  const written = (inner: Uint8Array): Uint8Array => {
    const graph = new GraphWriter();
    const whole = imageGraph(graph.input(image.name, image.type, image.shape));
    const confidence = optional(graph, settings.confidence, "float32", counted.confidence);
    const iou = detector.needsSuppression
      ? optional(graph, settings.iou, "float32", counted.iou)
      : graph.constant("float32", [counted.iou], [1]);
    const maximum = optional(graph, settings.maximum, "int64", counted.maximum);
    const counting: CountingGraph = { confidence, iou, maximum };
    const decoded: ImageGraph = views.length === 1 ? whole : shrunkTo(whole, Math.max(...sides));
    const placed = views.map(({ side }) => letterboxGraph(decoded, whole, side, views.length > 1));
    const seen = graph.include(inner, Object.fromEntries(placed.map(({ x }, i) => [`x${i}`, x])));
    const found = views.map((view, i) => {
      const own = (name: string): GraphValue | undefined => seen[`${name}${i}`];
      const values = { boxes: own("boxes"), scores: own("scores"), landmarks: own("landmarks") };
      const given = Object.fromEntries(
        Object.entries(values).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, value] as const],
        ),
      );
      return foundInView(detector, view, placed[i] as PlacedGraph, given, counting, 2 * (points ?? 0));
    });
    const best = ranked(merged(found, detector.classes, counting), maximum);
    graph.output("boxes", best.boxes, [FOUND, 4]);
    graph.output("scores", best.scores, [FOUND]);
    graph.output("classes", best.classes, [FOUND]);
    if (best.landmarks !== undefined && points !== undefined) {
      graph.output("landmarks", best.landmarks.reshape([-1, points, 2]), [FOUND, points, 2]);
    }
    return graph.bytes();
  };
  return {
    name: "detect",
    bytes: written(model),
    network: {
      bytes: model,
      inputs: views.map(
        ({ side }, i): NetworkInput => ({ name: `x${i}`, shape: [1, 3, side, side], from: "samples" }),
      ),
      fileOf: written,
    },
    note: {
      file: "detect.onnx",
      what: "objects in an image, duplicates taken away, as eidos detect finds them",
      inputs: ports,
      outputs: outputPorts(points),
      notes: [
        `The image is made to fit a square of ${sides.join(", ")} pixels inside: smaller by Lanczos's filter, larger by linear interpolation.`,
        "Decoders of JPEG differ by a few levels of a byte, and eidos reads large JPEG files at a part of their size: with pixels of another decoder scores differ in the third digit. Turn images upright by their EXIF data first.",
      ],
    },
  };
}
