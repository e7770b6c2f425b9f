import { Random } from "../src/random.ts";

/** What every contender does, with how often it is repeated in a round. */
export interface Work {
  readonly name: string;
  readonly title: string;
  /** Samples that one repetition handles. */
  readonly batch: number;
  readonly repetitions: number;
  /** Rounds are fewer where a repetition is long. */
  readonly rounds: number;
}

export const WORKS: readonly Work[] = [
  {
    name: "mlp-step",
    title: "training step, MLP 3→256→256→256→2",
    batch: 256,
    repetitions: 50,
    rounds: 15,
  },
  {
    name: "large-mlp-step",
    title: "training step, MLP 784→1024→1024→10",
    batch: 128,
    repetitions: 10,
    rounds: 11,
  },
  {
    name: "transformer-step",
    title: "training step, causal Transformer, 4 layers, 256 positions × 256",
    batch: 4,
    repetitions: 4,
    rounds: 9,
  },
  {
    name: "conv-step",
    title: "training step, six 3×3 convolutions, 32 channels, 28×28",
    batch: 64,
    repetitions: 4,
    rounds: 11,
  },
  {
    name: "unet-step",
    title: "training step, rectified flow U-Net for digits",
    batch: 64,
    repetitions: 2,
    rounds: 11,
  },
  {
    name: "unet-inference",
    title: "one velocity of the U-Net",
    batch: 64,
    repetitions: 4,
    rounds: 9,
  },
  {
    name: "unet-generation",
    title: "64 digits, 25 steps of Heun's method",
    batch: 64,
    repetitions: 1,
    rounds: 3,
  },
  { name: "ddpm-step", title: "training step, DDPM for digits", batch: 64, repetitions: 2, rounds: 11 },
  { name: "ddim-50", title: "64 digits, 50 steps of DDIM", batch: 64, repetitions: 1, rounds: 5 },
  ...[
    ["maf", "MAF"],
    ["nsf-coupling", "spline flow, couplings"],
    ["nsf-autoregressive", "spline flow, autoregressive"],
  ].flatMap(([name, title]): readonly Work[] => [
    {
      name: `${name}-step`,
      title: `training step, ${title}, 16 columns`,
      batch: 512,
      repetitions: 10,
      rounds: 11,
    },
    {
      name: `${name}-score`,
      title: `log-densities, ${title}, 16 columns`,
      batch: 512,
      repetitions: 10,
      rounds: 11,
    },
  ]),
  {
    name: "maf-sample",
    title: "1,000 rows drawn from MAF, 16 columns",
    batch: 1000,
    repetitions: 5,
    rounds: 9,
  },
  { name: "glow-step", title: "training step, Glow, 28×28", batch: 64, repetitions: 2, rounds: 9 },
  { name: "made-step", title: "training step, MADE, 784 variables", batch: 100, repetitions: 20, rounds: 11 },
  {
    name: "made-sample",
    title: "1,000 samples of 784 variables from MADE",
    batch: 1000,
    repetitions: 1,
    rounds: 3,
  },
  {
    name: "dcgan-step",
    title: "training step, DCGAN, 28×28, discriminator and generator",
    batch: 64,
    repetitions: 4,
    rounds: 11,
  },
  {
    name: "conv-vae-step",
    title: "training step, VAE of convolutions, 28×28",
    batch: 64,
    repetitions: 10,
    rounds: 11,
  },
  {
    name: "deep-infomax-step",
    title: "training step, Deep InfoMax (DIM(L), InfoNCE, uniform prior), 28×28, both players",
    batch: 64,
    repetitions: 8,
    rounds: 11,
  },
  {
    name: "simclr-step",
    title: "training step, SimCLR, 28×28, views included",
    batch: 256,
    repetitions: 4,
    rounds: 11,
  },
  {
    name: "yolo-step",
    title: "training step, anchor-free YOLO, 320×320",
    batch: 8,
    repetitions: 2,
    rounds: 9,
  },
  {
    name: "yolo-inference",
    title: "detection by the anchor-free YOLO, 320×320",
    batch: 8,
    repetitions: 4,
    rounds: 9,
  },
  {
    name: "faster-rcnn-step",
    title: "training step, Faster R-CNN, 320×320",
    batch: 8,
    repetitions: 2,
    rounds: 9,
  },
  {
    name: "faster-rcnn-inference",
    title: "detection by Faster R-CNN, 320×320",
    batch: 8,
    repetitions: 4,
    rounds: 9,
  },
  {
    name: "mobilenet-step",
    title: "training step, MobileNetV2 (17 inverted residuals), 160×160",
    batch: 8,
    repetitions: 2,
    rounds: 9,
  },
  {
    name: "resnet-step",
    title: "training step, ResNet-18, 160×160, all of it trained",
    batch: 8,
    repetitions: 2,
    rounds: 9,
  },
  ...[4, 16].map(
    (batch): Work => ({
      name: `resnet-${batch}-step`,
      title: "training step, ResNet-18, 128×128, all of it trained",
      batch,
      repetitions: 2,
      rounds: 9,
    }),
  ),
  {
    name: "resnet-frozen-step",
    title: "training step, ResNet-18, 160×160, stem and first two stages frozen",
    batch: 8,
    repetitions: 2,
    rounds: 9,
  },
  ...[
    ["crowded", "around 100 objects"],
    ["scattered", "anywhere"],
  ].map(
    ([name, where]): Work => ({
      name: `suppression-${name}`,
      title: `greedy suppression of boxes ${where}`,
      batch: 10_000,
      repetitions: 10,
      rounds: 9,
    }),
  ),
];

/** The flows over rows: elements, transforms, hidden layers of each network, splines, and rows at a time. */
export const FLOW_SIZES = {
  features: 16,
  transforms: 5,
  hidden: [128, 128],
  bins: 8,
  bound: 5,
  batch: 512,
  draws: 1000,
} as const;

export const MLP_SIZES = [3, 256, 256, 256, 2] as const;
export const LARGE_MLP_SIZES = [784, 1024, 1024, 10] as const;
/** Positions of a sequence and numbers of each, layers, heads, and units of a layer's perceptron. */
export const TRANSFORMER_SIZES = { positions: 256, width: 256, layers: 4, heads: 4, hidden: 1024 } as const;
export const CONV_CHANNELS = [1, 32, 32, 32, 32, 32, 1] as const;
export const IMAGE_SIZE = 28;
export const DIGIT_CLASSES = 10;
/** Samples in the made-up training splits. */
export const ROWS = 4096;
export const IMAGES = 1024;
export const SEQUENCES = 64;

/** The same made-up numbers for every contender that is written in JavaScript. */
export function normals(count: number, label: string): Float32Array {
  const values = new Float32Array(count);
  new Random(0).split(label).fillNormal(values);
  return values;
}
