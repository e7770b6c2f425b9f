import { type DataSet, range, storedSplit } from "../src/data/index.ts";
import {
  ddpmDefinition,
  type RectifiedFlow,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
} from "../src/diffusion/index.ts";
import type { DataInfo, FitPreferences, SymbolicBatch, Trainable } from "../src/model/index.ts";
import {
  Conv2d,
  initialState,
  Mlp,
  nameParameters,
  parameterCount,
  TransformerLayer,
  UNet,
} from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import { Session } from "../src/program/program.ts";
import { elementCount, float32, int64, slice, type Tensor } from "../src/tensor/index.ts";
import { batchSourceOf, type FitData } from "../src/train/batches.ts";
import { fitOptions, resolveFitOptions, tracerOf } from "../src/train/options.ts";
import { replicaPool } from "../src/train/replicas.node.ts";
import type { RunConfig } from "../src/train/run-config.ts";
import { initialVectors, Trainer } from "../src/train/trainer.ts";
import { AUTOREGRESSIVE_STEPS, autoregressiveWorks, BENCH_MADE, benchMade } from "./autoregressive-works.ts";
import { BACKBONE_STEPS, backboneImages, benchBackbone, PICTURES } from "./backbone-works.ts";
import { benchScenes, benchYolo, detectionWorks, SCENES, YOLO_PREFERENCES } from "./detection-works.ts";
import { benchDdpm, diffusionWorks } from "./diffusion-works.ts";
import { benchFlow, FLOW_IMAGES, FLOW_ROWS, FLOW_STEPS, flowWorks } from "./flow-works.ts";
import { benchGan, benchVae, LATENT_BITS, LATENT_IMAGES, LATENT_STEPS } from "./latent-works.ts";
import { benchFasterRcnn, FASTER_RCNN_PREFERENCES, regionWorks } from "./region-works.ts";
import { benchEncoder, REPRESENTATION_IMAGES, REPRESENTATION_STEPS } from "./representation-works.ts";
import type { Contender, Prepared } from "./serve.ts";
import { suppressionWorks } from "./suppression-works.ts";
import {
  CONV_CHANNELS,
  DIGIT_CLASSES,
  FLOW_SIZES,
  IMAGE_SIZE,
  IMAGES,
  LARGE_MLP_SIZES,
  MLP_SIZES,
  normals,
  ROWS,
  SEQUENCES,
  TRANSFORMER_SIZES,
  WORKS,
} from "./works.ts";

/** A network fitted by squared errors: the first channels of a sample are its input, the others its target. */
abstract class Regression implements Trainable {
  protected abstract readonly inputs: number;
  protected abstract forward(x: Tensor): Tensor;

  loss({ x }: SymbolicBatch): { readonly total: Tensor } {
    const prediction = this.forward(slice(x, 1, 0, this.inputs));
    return {
      total: prediction
        .sub(slice(x, 1, this.inputs))
        .square()
        .mean(),
    };
  }
}

class MlpRegression extends Regression {
  protected readonly inputs: number;
  readonly network: Mlp;

  constructor(sizes: readonly number[]) {
    super();
    this.inputs = sizes[0] ?? 0;
    this.network = new Mlp(sizes);
  }

  protected forward(x: Tensor): Tensor {
    return this.network.forward(x);
  }
}

class ConvRegression extends Regression {
  protected readonly inputs = CONV_CHANNELS[0];
  readonly layers = CONV_CHANNELS.slice(1).map(
    (size, i) => new Conv2d(CONV_CHANNELS[i] ?? size, size, 3, { padding: 1 }),
  );

  protected forward(x: Tensor): Tensor {
    return this.layers.reduce((h, layer, i) => layer.forward(i === 0 ? h : h.silu()), x);
  }
}

/** A decoder-only Transformer without embeddings, fitted to ones by squared errors. */
class TransformerRegression implements Trainable {
  readonly layers = Array.from(
    { length: TRANSFORMER_SIZES.layers },
    () => new TransformerLayer({ ...TRANSFORMER_SIZES, dropout: 0 }),
  );

  loss({ x }: SymbolicBatch): { readonly total: Tensor } {
    const { positions, width } = TRANSFORMER_SIZES;
    const sequences = x.reshape([-1, positions, width]);
    const predicted = this.layers.reduce((h, layer) => layer.forward(h), sequences);
    return { total: predicted.sub(1).square().mean() };
  }
}

interface Subject {
  readonly model: Trainable;
  readonly data: FitData;
  readonly preferences: FitPreferences;
}

/** A data set in memory whose training split is all of it. */
function dataSet(info: DataInfo, values: Uint8Array | Float32Array, labels?: Uint8Array): DataSet {
  const size = info.sampleShape.reduce((product, length) => product * length, 1);
  const split = storedSplit(values, info.sampleShape, range(0, values.length / size), labels);
  return {
    name: "bench",
    kind: info.kind,
    sampleShape: info.sampleShape,
    splits: { train: split, validation: split, test: split },
    fingerprint: "bench",
    describe: () => [],
  };
}

const DIGITS: DataInfo = {
  kind: "image",
  sampleShape: [1, IMAGE_SIZE, IMAGE_SIZE],
  classes: DIGIT_CLASSES,
};

function digitsFlow(): RectifiedFlow {
  return rectifiedFlowDefinition.build(rectifiedFlowOptions.parse({}), DIGITS) as RectifiedFlow;
}

/** What the peers must know to build the same U-Net. */
export interface UNetShape {
  /** Channels of each level. */
  readonly channels: readonly number[];
  /** Size of the condition vector, and of the sinusoids it is made from. */
  readonly condition: number;
  readonly features: number;
}

export function unetShape(): UNetShape {
  const { network } = digitsFlow();
  if (!(network instanceof UNet)) throw new Error("the network for digits is no U-Net");
  const [condition = 0, features = 0] = network.condition.fc1.weight.shape;
  const channels = network.down.map(({ blocks }) => blocks[0]?.residual.conv1.weight.shape[0] ?? 0);
  return { channels, condition, features };
}

/** Model, data and preferences of a training step. */
export function subjectOf(work: string): Subject {
  const batchSize = WORKS.find(({ name }) => name === work)?.batch ?? 1;
  const preferences: FitPreferences = { optimizer: "adam", learningRate: 1e-3, batchSize, averageDecay: 0 };
  switch (work) {
    case "mlp-step":
    case "large-mlp-step": {
      const sizes = work === "mlp-step" ? MLP_SIZES : LARGE_MLP_SIZES;
      const sampleShape = [sizes[0] + (sizes.at(-1) ?? 0)];
      const values = normals(ROWS * (sampleShape[0] ?? 0), work);
      return {
        model: new MlpRegression(sizes),
        data: dataSet({ kind: "table", sampleShape }, values),
        preferences,
      };
    }
    case "transformer-step": {
      const sampleShape = [TRANSFORMER_SIZES.positions * TRANSFORMER_SIZES.width];
      const values = normals(SEQUENCES * (sampleShape[0] ?? 0), work);
      return {
        model: new TransformerRegression(),
        data: dataSet({ kind: "table", sampleShape }, values),
        preferences,
      };
    }
    case "conv-step": {
      const sampleShape = [2, IMAGE_SIZE, IMAGE_SIZE];
      const values = normals(IMAGES * 2 * IMAGE_SIZE ** 2, work);
      return {
        model: new ConvRegression(),
        data: dataSet({ kind: "image", sampleShape }, values),
        preferences,
      };
    }
    case "unet-step":
    case "ddpm-step": {
      const bytes = Uint8Array.from(normals(IMAGES * IMAGE_SIZE ** 2, work), (value) => 128 + 40 * value);
      const labels = Uint8Array.from({ length: IMAGES }, (_, i) => i % DIGIT_CLASSES);
      const [model, definition] =
        work === "ddpm-step" ? [benchDdpm(), ddpmDefinition] : [digitsFlow(), rectifiedFlowDefinition];
      const data = dataSet(DIGITS, bytes, labels);
      return { model, data, preferences: definition.preferences?.(DIGITS) ?? preferences };
    }
    case "glow-step": {
      const bytes = Uint8Array.from(normals(IMAGES * IMAGE_SIZE ** 2, work), (value) => 128 + 40 * value);
      return { model: benchFlow(work), data: dataSet(FLOW_IMAGES, bytes), preferences };
    }
    case "made-step": {
      const size = elementCount(BENCH_MADE.sampleShape);
      const values = normals(ROWS * size, work).map((value) => Number(value > 0.84));
      return {
        model: benchMade(),
        data: dataSet(BENCH_MADE, values),
        preferences: { ...preferences, batchSize: 100 },
      };
    }
    case "dcgan-step": {
      const bytes = Uint8Array.from(normals(IMAGES * IMAGE_SIZE ** 2, work), (value) => 128 + 40 * value);
      return { model: benchGan(), data: dataSet(LATENT_IMAGES, bytes), preferences };
    }
    case "deep-infomax-step":
    case "simclr-step": {
      const bytes = Uint8Array.from(normals(IMAGES * IMAGE_SIZE ** 2, work), (value) => 128 + 40 * value);
      return { model: benchEncoder(work), data: dataSet(REPRESENTATION_IMAGES, bytes), preferences };
    }
    case "conv-vae-step": {
      const values = normals(IMAGES * IMAGE_SIZE ** 2, work).map((value) => Number(value > 0.84));
      return { model: benchVae(), data: dataSet(LATENT_BITS, values), preferences };
    }
    case "yolo-step":
      return { model: benchYolo(), data: benchScenes(), preferences: YOLO_PREFERENCES };
    case "faster-rcnn-step":
      return { model: benchFasterRcnn(), data: benchScenes(), preferences: FASTER_RCNN_PREFERENCES };
    case "mobilenet-step":
    case "resnet-step":
    case "resnet50-step":
    case "resnet-4-step":
    case "resnet-16-step":
    case "resnet-frozen-step": {
      const images = backboneImages(work);
      const size = PICTURES * elementCount(images.sampleShape);
      const bytes = Uint8Array.from(normals(size, "pictures"), (value) => 128 + 40 * value);
      return { model: benchBackbone(work), data: dataSet(images, bytes), preferences };
    }
    default: {
      const values = normals(ROWS * FLOW_SIZES.features, work);
      return { model: benchFlow(work), data: dataSet(FLOW_ROWS, values), preferences };
    }
  }
}

export interface EidosOptions extends NodeRuntimeOptions {
  readonly replicas: number;
}

/** Steps of the trainer that `eidos fit` uses: batches, noise, losses and all. */
async function trainingStep(work: string, replicas: number, options: NodeRuntimeOptions): Promise<Prepared> {
  const { model, data, preferences } = subjectOf(work);
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const fit = resolveFitOptions(
    fitOptions.parse({ replicas, ...threads }),
    preferences,
    data.kind === "batches" ? SCENES : data.splits.train.count,
  );
  const tracer = tracerOf(model, fit);
  const source = batchSourceOf(data, fit);
  const runtime = await nodeRuntime(options);
  const begun = performance.now();
  // Workers read nothing of a configuration but these two.
  const config = { model: work, fit } as RunConfig;
  const pool =
    replicas > 1
      ? await replicaPool(tracer, source, config, new URL("./replica.ts", import.meta.url))
      : undefined;
  const vectors = initialVectors(tracer, source.random);
  const trainer = await Trainer.create(tracer, source, runtime, { step: 0, vectors }, pool);
  const seconds = (performance.now() - begun) / 1000;
  return {
    seconds,
    parameters: parameterCount(model),
    run: () => trainer.train(fit.learningRate),
    release: () => trainer.release(),
  };
}

/** The flow with fresh weights in a session. */
async function digitsSession(
  options: NodeRuntimeOptions,
): Promise<{ readonly flow: RectifiedFlow; readonly session: Session }> {
  const flow = nameParameters(digitsFlow());
  return { flow, session: new Session(await nodeRuntime(options), initialState(flow, 0)) };
}

async function inference(options: NodeRuntimeOptions): Promise<Prepared> {
  const { flow, session } = await digitsSession(options);
  const batch = 64;
  const velocity = session.compiled(flow, "velocity", ["x", "t", "label"], ({ x, t, label }) => ({
    velocity: flow.network.forward(x, t, label),
  }));
  const feeds = {
    x: float32(normals(batch * IMAGE_SIZE ** 2, "inference"), [batch, 1, IMAGE_SIZE, IMAGE_SIZE]),
    t: float32(new Float32Array(batch).fill(0.5), [batch]),
    label: int64(
      Array.from({ length: batch }, (_, i) => i % DIGIT_CLASSES),
      [batch],
    ),
  };
  const begun = performance.now();
  await velocity.run(feeds);
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(flow),
    run: () => velocity.run(feeds),
    release: () => session.release(),
  };
}

async function generation(options: NodeRuntimeOptions): Promise<Prepared> {
  const { flow, session } = await digitsSession(options);
  const begun = performance.now();
  await flow.sample(session, { count: 64, seed: 0, steps: 1, solver: "euler", guidance: 1 });
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(flow),
    run: () => flow.sample(session, { count: 64, seed: 0, steps: 25, solver: "heun", guidance: 1 }),
    release: () => session.release(),
  };
}

/** All works of this library. Replicas only divide training. */
export function eidosWorks({ replicas, ...options }: EidosOptions): Contender["works"] {
  const steps =
    replicas > 1
      ? ["conv-step", "unet-step", "glow-step", "yolo-step"]
      : [
          "mlp-step",
          "large-mlp-step",
          "transformer-step",
          "conv-step",
          "unet-step",
          "ddpm-step",
          ...FLOW_STEPS,
          ...AUTOREGRESSIVE_STEPS,
          ...LATENT_STEPS,
          ...REPRESENTATION_STEPS,
          "yolo-step",
          "faster-rcnn-step",
          ...BACKBONE_STEPS,
        ];
  return {
    ...Object.fromEntries(steps.map((work) => [work, () => trainingStep(work, replicas, options)])),
    ...(replicas === 1 && {
      "unet-inference": () => inference(options),
      "unet-generation": () => generation(options),
      ...diffusionWorks(options),
      ...flowWorks(options),
      ...autoregressiveWorks(options),
      ...detectionWorks(options),
      ...regionWorks(options),
      ...suppressionWorks(),
    }),
  };
}
