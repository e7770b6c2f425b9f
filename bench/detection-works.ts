import { batchIndices } from "../src/data/sources/data-set.ts";
import {
  type DetectionInfo,
  type Detections,
  detections,
  pickedDetections,
  type Yolo,
  yoloDefinition,
  yoloOptions,
} from "../src/detection/index.ts";
import { nameParameters, parameterCount } from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import type { State } from "../src/program/program.ts";
import { Session } from "../src/program/program.ts";
import { Random } from "../src/random.ts";
import { float32, type NdArray, type Parameter } from "../src/tensor/index.ts";
import type { BatchedData, BatchFeeds, BatchShape } from "../src/train/batches.ts";
import type { Prepared } from "./serve.ts";
import { denseWeights, writeChecked } from "./weights.ts";
import { normals } from "./works.ts";

/** Images, classes, places for objects and their sizes as in a fit to BCCD with the usual options. */
export const SIDE = 320;
const CLASSES = 3;
const PLACES = 64;
export const SCENES = 64;
export const BATCH = 8;
/** Pairs of a place and a class in an image that are sure enough to be looked at for duplicates. */
const CANDIDATES = 300;
/** Standard deviation of the logits of classes. */
const SPREAD = 2;
const CONFIDENCE = 0.05;

export const DATA: DetectionInfo = { sampleShape: [3, SIDE, SIDE], classes: CLASSES };

/** The anchor-free YOLO as it is by default. */
export function benchYolo(): Yolo {
  return nameParameters(yoloDefinition.build(yoloOptions.parse({}), DATA) as Yolo);
}

/** What it prefers to be trained with. */
export const YOLO_PREFERENCES = yoloDefinition.preferences(DATA);

/** Side of the patches that images are made of. */
const PATCH = 16;

/** Images as bytes: patches of chance colors, so that places differ from each other. */
export function someImages(count: number): Uint8Array {
  const row = SIDE / PATCH;
  const colors = normals(count * 3 * row ** 2, "scenes");
  return Uint8Array.from({ length: count * 3 * SIDE ** 2 }, (_, i) => {
    const [line, x] = [Math.floor(i / SIDE), i % SIDE];
    const [channel, y] = [Math.floor(line / SIDE), line % SIDE];
    const color = colors[(channel * row + Math.floor(y / PATCH)) * row + Math.floor(x / PATCH)] ?? 0;
    return Math.min(255, Math.max(0, 128 + 40 * color));
  });
}

/** Boxes and labels of one image, in the places that a batch has for them. */
interface Objects {
  readonly boxes: Float32Array;
  readonly labels: BigInt64Array;
}

function someObjects(random: Random): Objects {
  const boxes = new Float32Array(4 * PLACES);
  const labels = new BigInt64Array(PLACES).fill(-1n);
  const count = 6 + random.integer(24);
  for (let i = 0; i < count; i++) {
    const [width, height] = [30 + 40 * random.uniform(), 30 + 40 * random.uniform()];
    const [x, y] = [(SIDE - width) * random.uniform(), (SIDE - height) * random.uniform()];
    boxes.set([x, y, x + width, y + height], 4 * i);
    labels[i] = BigInt(random.integer(CLASSES));
  }
  return { boxes, labels };
}

/** A batch of annotated images, as a peer checks itself by. */
export function checkedBatch() {
  const random = new Random(0).split("check");
  const objects = Array.from({ length: BATCH }, (_, i) => someObjects(random.split(i)));
  return batchOf(someImages(BATCH), objects, [...objects.keys()]);
}

function batchOf(images: Uint8Array, objects: readonly Objects[], indices: ArrayLike<number>) {
  const [n, size] = [indices.length, 3 * SIDE ** 2];
  const x = float32(new Float32Array(n * size), [n, 3, SIDE, SIDE]);
  const boxes = float32(new Float32Array(n * PLACES * 4), [n, PLACES, 4]);
  const labels: NdArray<"int64"> = {
    dtype: "int64",
    shape: [n, PLACES],
    data: new BigInt64Array(n * PLACES),
  };
  for (const [row, index] of Array.from(indices).entries()) {
    x.data.set(images.subarray(index * size, (index + 1) * size), row * size);
    boxes.data.set(objects[index]?.boxes ?? [], row * PLACES * 4);
    labels.data.set(objects[index]?.labels ?? [], row * PLACES);
  }
  return { x, boxes, labels };
}

const shapeOf = (rows: number): BatchShape => ({
  x: [rows, 3, SIDE, SIDE],
  labeled: false,
  others: {
    boxes: { shape: [rows, PLACES, 4], dtype: "float32" },
    labels: { shape: [rows, PLACES], dtype: "int64" },
  },
});

/** Annotated images of the detector's size in memory: files, decoding and changes by chance are not what is timed. */
export function benchScenes(): BatchedData {
  const images = someImages(SCENES);
  const random = new Random(0).split("objects");
  const objects = Array.from({ length: SCENES }, (_, i) => someObjects(random.split(i)));
  const rowsFrom = (indices: ArrayLike<number>): BatchFeeds => batchOf(images, objects, indices);
  return {
    kind: "batches",
    name: "bench",
    fingerprint: "bench",
    describe: () => [],
    validation: { count: 0, shape: shapeOf, feeds: () => rowsFrom([]) },
    batches({ batchSize, seed }) {
      const order = new Random(seed).split("order");
      return {
        count: SCENES,
        batchSize,
        random: new Random(seed),
        shape: shapeOf,
        feeds(step, { first, count } = { first: 0, count: batchSize }) {
          return rowsFrom(batchIndices(SCENES, batchSize, step, order).subarray(first, first + count));
        },
        names: () => [],
      };
    },
  };
}

/**
 * Weights with which the detector is as sure of as many places as a trained one: otherwise there would be no duplicates to take
 * away, or nothing else.
 */
async function yoloWeights(yolo: Yolo, x: NdArray<"float32">): Promise<State> {
  const weights = new Map(denseWeights(yolo));
  const session = new Session(await nodeRuntime(), weights);
  const { scores } = await session
    .compiled(yolo, "scores", ["x"], ({ x }) => ({ scores: yolo.decoded(x).scores }))
    .run({ x });
  await session.release();
  const logits = Float32Array.from(scores.data as Float32Array, (score) => Math.log(score / (1 - score)));
  const mean = logits.reduce((sum, logit) => sum + logit, 0) / logits.length;
  const variance = logits.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / logits.length;
  const factor = SPREAD / Math.sqrt(variance);
  const least = logits.sort()[logits.length - CANDIDATES * (x.shape[0] ?? 1)] ?? 0;
  const shift = Math.log(CONFIDENCE / (1 - CONFIDENCE)) - factor * least;
  const change = (parameter: Parameter | undefined, added: number): void => {
    if (parameter === undefined) return;
    const { data } = weights.get(parameter.name) ?? float32([], [0]);
    const changed = Float32Array.from(data as Float32Array, (value) => factor * value + added);
    weights.set(parameter.name, float32(changed, parameter.shape));
  };
  for (const { output } of yolo.head.classes) {
    change(output.weight, 0);
    change(output.bias, shift);
  }
  return weights;
}

/** Works of detectors that are no training steps. */
export function detectionWorks(
  options: NodeRuntimeOptions,
): Readonly<Record<string, () => Promise<Prepared>>> {
  return { "yolo-inference": () => inference(options) };
}

async function inference(options: NodeRuntimeOptions): Promise<Prepared> {
  const yolo = benchYolo();
  const x = float32(Float32Array.from(someImages(BATCH)), [BATCH, 3, SIDE, SIDE]);
  const session = new Session(await nodeRuntime(options), await yoloWeights(yolo, x));
  const run = (): Promise<readonly Detections[]> => detections(yolo, session, x, { confidence: CONFIDENCE });
  const begun = performance.now();
  await run();
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(yolo),
    run,
    release: () => session.release(),
  };
}

/**
 * Writes the weights that detection is timed with, for a peer to load, and images with boxes, scores, losses and what is found at
 * last, for it to check itself by.
 */
export async function writeYoloWeights(file: string): Promise<void> {
  const yolo = benchYolo();
  const batch = checkedBatch();
  const weights = await yoloWeights(yolo, batch.x);
  const session = new Session(await nodeRuntime(), weights);
  const compiled = session.compiled(yolo, "check", ["x", "boxes", "labels"], (inputs) => {
    const { boxes, scores } = yolo.decoded(inputs.x);
    return { decoded: boxes, scores, ...yolo.loss(inputs) };
  });
  const results = await compiled.run(batch);
  await session.release();
  const found = pickedDetections(
    yolo,
    { boxes: results.decoded as NdArray<"float32">, scores: results.scores as NdArray<"float32"> },
    { confidence: CONFIDENCE },
  ).flatMap(({ boxes }) => [...boxes]);
  await writeChecked(file, weights, { ...batch, ...results, found: float32(found, [found.length / 4, 4]) });
}
