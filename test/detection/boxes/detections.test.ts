import { expect, test } from "vitest";
import { listDetections, pickDetections, toDetections } from "../../../src/detection/boxes/detections.ts";

const eye = {
  box: [1, 2, 5, 8],
  score: 0.5,
  class: 0,
  landmarks: [
    [2, 3],
    [4, 3],
  ],
} as const;
const nose = {
  box: [0, 0, 3, 3],
  score: 0.25,
  class: 1,
  landmarks: [
    [1, 1],
    [2, 2],
  ],
} as const;

test("landmarks go through arrays and back, and are picked with their boxes", () => {
  const both = toDetections([eye, nose]);
  expect(listDetections(both)).toEqual([eye, nose]);
  expect(listDetections(pickDetections(both, [1]))).toEqual([nose]);
  expect(listDetections(pickDetections(both, []))).toEqual([]);
});

test("detections without landmarks have none, one without takes away those of all", () => {
  const { landmarks, ...plain } = nose;
  expect(toDetections([plain])).not.toHaveProperty("landmarks");
  expect(listDetections(toDetections([plain]))).toEqual([plain]);
  expect(toDetections([eye, plain])).not.toHaveProperty("landmarks");
});
