import { readFile } from "node:fs/promises";
import type { Box } from "../../src/detection/boxes/boxes.ts";
import { toDetections } from "../../src/detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../src/detection/measure/evaluator.ts";
import { Random } from "../../src/random.ts";

/** [x1, y1, x2, y2, class, flag, area]: flag 1 for a crowd, 2 to be ignored; area 0 for that of the box. */
export type ObjectRow = readonly [number, number, number, number, number, number, number];

/** [x1, y1, x2, y2, score, class]. */
export type FoundRow = readonly [number, number, number, number, number, number];

/** What is in an image and what was found in it, as the fixtures of this folder write it. */
export type Scene = readonly [objects: readonly ObjectRow[], found: readonly FoundRow[]];

/** A fixture of test/fixtures/detection. */
export async function readFixture<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(new URL(`../fixtures/detection/${name}.json`, import.meta.url), "utf8"));
}

/** Where there is nothing to find is NaN, in fixtures −1. */
export function orMinusOne(value: number): number {
  return Number.isNaN(value) ? -1 : value;
}

/** An evaluator that has seen all scenes. */
export function evaluated(
  classCount: number,
  scenes: readonly Scene[],
  boxOf: (row: ObjectRow | FoundRow) => Box = ([x1, y1, x2, y2]) => [x1, y1, x2, y2],
): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(Array.from({ length: classCount }, (_, i) => `class ${i}`));
  for (const [objects, found] of scenes) {
    const boxes = Float64Array.from(objects.flatMap(boxOf));
    const area = (row: ObjectRow) => (row[2] - row[0]) * (row[3] - row[1]);
    evaluator.add(toDetections(found.map((row) => ({ box: boxOf(row), score: row[4], class: row[5] }))), {
      boxes,
      classes: objects.map((row) => row[4]),
      crowd: objects.map((row) => Number(row[5] === 1)),
      ignore: objects.map((row) => Number(row[5] === 2)),
      ...(objects.some((row) => row[6] > 0)
        ? { areas: objects.map((row) => (row[6] > 0 ? row[6] : area(row))) }
        : {}),
    });
  }
  return evaluator;
}

/** Many boxes of all sizes, from 1 to 300 pixels, with scores of which some are equal. */
export function crowd(seed: number, count: number, side: number) {
  const random = new Random(seed);
  const boxes = new Float32Array(4 * count);
  for (let i = 0; i < count; i++) {
    const [x, y] = [side * random.uniform(), side * random.uniform()];
    const [width, height] = [300 ** random.uniform(), 300 ** random.uniform()];
    boxes.set([x, y, x + width, y + height], 4 * i);
  }
  return { boxes, scores: Float32Array.from({ length: count }, () => random.integer(500) / 500) };
}
