// The classes of COCO by the ids of its annotations, as torchvision's detectors number them. Ids of 0 … 90 that no class has are "N/A"
// there; names of classes differ, so that they have their id here.

const IDS = [
  ...["person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"],
  ...["fire hydrant", "", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep"],
  ...["cow", "elephant", "bear", "zebra", "giraffe", "", "backpack", "umbrella", "", "", "handbag", "tie"],
  ...["suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"],
  ...[
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
  ],
  ...["bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut"],
  ...["cake", "chair", "couch", "potted plant", "bed", "", "dining table", "", "", "toilet", "", "tv"],
  ...["laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"],
  ...["refrigerator", "", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"],
];

/** The name of the class of images that have none of the others. */
export const BACKGROUND = "background";

/** Names of the ids 0 … 90: `background`, the 80 classes of COCO, and `N/A 12`, … for ids that stand for none. */
export const COCO_IDS: readonly string[] = [
  BACKGROUND,
  ...IDS.map((name, i) => (name === "" ? `N/A ${i + 1}` : name)),
];

/** The ids of 1 … 90 that stand for no class. */
export const COCO_GAPS: readonly number[] = IDS.flatMap((name, i) => (name === "" ? [i + 1] : []));
