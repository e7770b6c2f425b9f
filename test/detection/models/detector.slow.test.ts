import { describeForms } from "./forms.ts";

// Forms of the detectors that take other ways than those of the quick tests.
describeForms([
  ["yolo", { neck: "fpn", backbone: "resnet", levels: 2, finestStride: 4 }],
  ["fcos", { radius: 0, levels: 4, neck: "none" }],
  ["center-net", { peaks: 20, neck: "pan", stride: 8 }],
  ["retina-net", { anchorSizes: 1, anchorRatios: [1], neck: "pan", focalGamma: 1.5 }],
  [
    "retina-net",
    {
      anchorLayout: "s3fd",
      finestStride: 4,
      assignment: "s3fd",
      maxOut: 3,
      context: "ssh",
      contextAnchors: 1,
    },
  ],
  [
    "retina-net",
    { anchorLayout: "faceboxes", finestStride: 4, assignment: "s3fd", context: "pyramid-box", headGroups: 0 },
  ],
  ["retina-net", { anchorScale: 4, anchorSizes: 1, anchorRatios: [1], assignment: "atss", topDownFrom: 16 }],
  ["yolo-v1", { head: "connected", hidden: 32, stride: 16, predictors: 3 }],
  ["yolo-v3", { levels: 1, finestStride: 32, anchorsPerLevel: 5, objectness: "iou", classLoss: "softmax" }],
  ["sliding-window", { window: 24, depth: 0.25, smallestHeight: 12, octave: 1, ratio: 1.5, negatives: 1 }],
  [
    "faster-rcnn",
    { hidden: 32, neck: "none", levels: 1, finestStride: 16, cascade: [0.5, 0.6, 0.7], bins: 5 },
  ],
  [
    "faster-rcnn",
    { hidden: 32, neck: "none", levels: 1, finestStride: 16, enlarge: true, enlargeSizes: [16, 19] },
  ],
  ["yolo", { trident: "full", levels: 1, finestStride: 16, neck: "none" }],
  ["fcos", { trident: "full", backbone: "resnet", levels: 1, finestStride: 16, neck: "none" }],
  ["center-net", { trident: "full", neck: "none", stride: 8, peaks: 20 }],
  ["center-net", { trident: "fast", neck: "none", stride: 8, peaks: 20 }],
  ["retina-net", { trident: "fast", backbone: "resnet", levels: 1, neck: "none" }],
  ["yolo-v1", { trident: "full" }],
  ["yolo-v3", { trident: "full", tridentRanges: [0, 24, 12, 48, 24, 1e6], levels: 1, neck: "none" }],
  ["faster-rcnn", { trident: "full", hidden: 32, neck: "none", levels: 1, finestStride: 16, bins: 5 }],
]);
