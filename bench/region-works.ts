import {
  type Detections,
  detections,
  FasterRcnn,
  fasterRcnnDefinition,
  fasterRcnnOptions,
  pickedDetections,
} from "../src/detection/index.ts";
import { nameParameters, parameterCount } from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import type { State } from "../src/program/program.ts";
import { Session } from "../src/program/program.ts";
import { Random } from "../src/random.ts";
import { float32, type NdArray } from "../src/tensor/index.ts";
import { BATCH, checkedBatch, DATA, SIDE, someImages } from "./detection-works.ts";
import type { Prepared } from "./serve.ts";
import { denseWeights, writeChecked } from "./weights.ts";

const FOUND = { confidence: 0.05, iou: 0.5 } as const;

/** As it is by default, but with torchvision's geometry. */
const OPTIONS = fasterRcnnOptions.parse({ anchorOrigin: "corner", aligned: false });

/** Faster R-CNN as a peer can have it. */
export function benchFasterRcnn(options: Partial<typeof OPTIONS> = {}): FasterRcnn {
  return nameParameters(new FasterRcnn({ ...OPTIONS, ...options }, DATA));
}

/** What it prefers to be trained with. */
export const FASTER_RCNN_PREFERENCES = fasterRcnnDefinition.preferences(DATA);

/** Weights with which proposals differ from each other as those of a trained network do, and some are sure enough to be found. */
function fasterRcnnWeights(network: FasterRcnn): State {
  const weights = new Map(denseWeights(network));
  const scaled = (name: string, factor: number): void => {
    const { data, shape } = weights.get(name) ?? float32([], [0]);
    weights.set(
      name,
      float32(
        Float32Array.from(data as Float32Array, (value) => factor * value),
        shape,
      ),
    );
  };
  scaled("head.rpn.objectness.weight", 8);
  scaled("head.rpn.deltas.weight", 2);
  scaled("head.stages.0.classes.weight", 12);
  scaled("head.stages.0.deltas.weight", 8);
  return weights;
}

/** Works of detectors with two stages that are no training steps. */
export function regionWorks(options: NodeRuntimeOptions): Readonly<Record<string, () => Promise<Prepared>>> {
  return { "faster-rcnn-inference": () => inference(options) };
}

async function inference(options: NodeRuntimeOptions): Promise<Prepared> {
  const network = benchFasterRcnn();
  const x = float32(Float32Array.from(someImages(BATCH)), [BATCH, 3, SIDE, SIDE]);
  const session = new Session(await nodeRuntime(options), fasterRcnnWeights(network));
  const run = (): Promise<readonly Detections[]> => detections(network, session, x, FOUND);
  const begun = performance.now();
  await run();
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(network),
    run,
    release: () => session.release(),
  };
}

/** Samples that are so large that nothing is left to chance. */
const ALL = { sampledAnchors: 1_000_000, sampledRegions: 1_000_000, positiveRegions: 1 };

/**
 * Writes the weights that both works are timed with, for a peer to load, with what is found in images, and the losses where all anchors and all
 * regions are learnt from, for it to check itself by.
 */
export async function writeFasterRcnnWeights(file: string): Promise<void> {
  const network = benchFasterRcnn();
  const all = benchFasterRcnn(ALL);
  const batch = checkedBatch();
  const weights = fasterRcnnWeights(network);
  const session = new Session(await nodeRuntime(), weights);
  const seen = await session
    .compiled(network, "check", ["x"], ({ x }) => {
      const { boxes, scores } = network.decoded(x);
      return { decoded: boxes, scores };
    })
    .run({ x: batch.x });
  const losses = await session
    .compiled(all, "losses", ["x", "boxes", "labels"], (inputs) => {
      const { total: _, ...parts } = all.loss(inputs);
      return parts;
    })
    .run(batch, { random: new Random(0) });
  await session.release();
  const found = pickedDetections(
    network,
    { boxes: seen.decoded as NdArray<"float32">, scores: seen.scores as NdArray<"float32"> },
    FOUND,
  ).flatMap(({ boxes }) => [...boxes]);
  await writeChecked(file, weights, {
    ...batch,
    ...losses,
    found: float32(found, [found.length / 4, 4]),
  });
}
