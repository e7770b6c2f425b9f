// How anchors and cells fit the boxes of your data, before anything is trained: the IoU of every object with its best anchor of a
// RetinaNet, for several scales of anchors, and how many objects share a cell of the first YOLO with another one.
//
//     npx tsx examples/anchors-and-cells.ts [data] [size] [finest stride]

import { openDetection } from "eidos";
import { iouMatrix, letterbox, toLetterbox } from "eidos/detection";
import { anchorLevels, anchorShapes } from "eidos/detection/boxes";
import { levelGrids } from "eidos/detection/network";

const [data = "digit-scenes", side, stride = "8"] = process.argv.slice(2);
/** Images that are looked at, the first ones of the training split. */
const MOST = 400;

const { train } = (await openDetection(data)).splits;
const images = Array.from({ length: Math.min(MOST, train.count) }, (_, i) => train.annotations(i));
const size = Number(side ?? Math.max(...images.map(({ width, height }) => Math.max(width, height))));
const canvas = { width: size, height: size };
const boxes = images.map((image) => toLetterbox(image.boxes, letterbox(image, canvas)));
const total = boxes.reduce((sum, { length }) => sum + length / 4, 0);
console.log(`${total} objects in ${images.length} images of ${data} at ${size} pixels`);

/** IoU of each object with the best of all anchors. */
function bestOverlaps(scale: number): readonly number[] {
  const strides = [1, 2, 4].map((times) => ({ stride: times * Number(stride), channels: 1 }));
  const levels = levelGrids(canvas, strides).map((grid) => {
    const sizes = [0, 1, 2].map((i) => grid.stride * scale * 2 ** (i / 3));
    return { ...grid, shapes: anchorShapes(sizes, [0.5, 1, 2]) };
  });
  const anchors = anchorLevels(levels).boxes;
  return boxes.flatMap((ofImage) => {
    const overlaps = iouMatrix(ofImage, anchors);
    const count = anchors.length / 4;
    return Array.from({ length: ofImage.length / 4 }, (_, i) =>
      overlaps.subarray(i * count, (i + 1) * count).reduce((best, value) => Math.max(best, value), 0),
    );
  });
}

console.log(`\nanchors from stride ${stride} on\nscale  mean IoU  below 0.5`);
for (const scale of [1, 1.5, 2, 2.5, 3, 4]) {
  const overlaps = bestOverlaps(scale);
  const mean = overlaps.reduce((sum, value) => sum + value, 0) / total;
  const poor = overlaps.filter((value) => value < 0.5).length / total;
  console.log(
    `${scale.toFixed(1).padStart(5)}${mean.toFixed(2).padStart(10)}${(100 * poor).toFixed(1).padStart(9)} %`,
  );
}

console.log("\ncells of  objects that share one with an object before them");
for (const cell of [32, 16]) {
  const shared = boxes.reduce((sum, ofImage) => {
    const cells = Array.from({ length: ofImage.length / 4 }, (_, i) => {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = ofImage.subarray(4 * i, 4 * i + 4);
      return `${Math.floor((x1 + x2) / 2 / cell)} ${Math.floor((y1 + y2) / 2 / cell)}`;
    });
    return sum + cells.length - new Set(cells).size;
  }, 0);
  console.log(`${String(cell).padStart(8)}  ${shared}`);
}
