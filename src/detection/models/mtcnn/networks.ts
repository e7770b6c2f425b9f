import { Conv2d } from "../../../nn/convolution.ts";
import { constant } from "../../../nn/initializers.ts";
import { Linear } from "../../../nn/linear.ts";
import { dimAt, sizeAt } from "../../../tensor/graph.ts";
import { maxPool2d, Parameter, type Tensor } from "../../../tensor/index.ts";

/** Height and width in pixels of what each of the three networks looks at. */
export const INPUT_SIZES = { pnet: 12, rnet: 24, onet: 48 } as const;

/** The three networks, in the order in which they look. */
export const STAGES = ["pnet", "rnet", "onet"] as const;

/** A network of the cascade. */
export type Stage = (typeof STAGES)[number];

/** Pixels between neighboring windows of the proposal network. */
export const PROPOSAL_STRIDE = 2;

/** What a network of the cascade predicts of windows. */
export interface CascadeOutputs {
  /** Logits of background and of the object, in this order: [n, 2], or [n, 2, rows, columns] of a map. */
  readonly logits: Tensor;
  /** How the edges x1, y1, x2, y2 of the object lie beside those of the window, in parts of its side: [n, 4, …]. */
  readonly offsets: Tensor;
  /** All x of the landmarks, then all y, from the top left corner of the window in parts of its side: [n, 2 points, …]. */
  readonly landmarks?: Tensor;
}

/** Bytes 0 … 255 as the networks take them: (x − 127.5) / 128. */
export function normalizedPixels(x: Tensor): Tensor {
  return x.sub(127.5).mul(1 / 128);
}

/**
 * x where positive, elsewhere aₖ · x with a slope aₖ for each channel that is learnt (He et al. 2015, "Delving deep into rectifiers",
 * section 2.1): [n, channels, …] → the same. Slopes start at 0.25, as in PyTorch.
 */
export class PReLU {
  readonly weight: Parameter;

  constructor(channels: number) {
    this.weight = new Parameter([channels], constant(0.25));
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const slopes = this.weight.reshape([1, -1, ...Array.from({ length: x.rank - 2 }, () => 1)]);
    return x.relu().sub(x.neg().relu().mul(slopes));
  }
}

/**
 * Maximum pooling of stride 2 whose last windows may reach beyond the map, as Caffe has it: [n, c, H, W] → [n, c, ⌈(H − kernel) / 2⌉ + 1, …].
 * @throws ShapeError
 */
export function ceilMaxPool(x: Tensor, kernel: 2 | 3): Tensor {
  const missing = (axis: number): number => (sizeAt("ceilMaxPool", x, axis) - kernel) % 2;
  return maxPool2d(x, { kernel, stride: 2, padding: [0, 0, missing(2), missing(3)] });
}

/**
 * A map as rows of features in the order of the published weights, which are from Caffe's MATLAB interface: columns first, then rows, then
 * channels, [n, c, h, w] → [n, w · h · c].
 */
export function flattened(x: Tensor): Tensor {
  const [c, h, w] = [1, 2, 3].map((axis) => sizeAt("flattened", x, axis)) as [number, number, number];
  return x.transpose([0, 3, 2, 1]).reshape([dimAt(x, 0), w * h * c]);
}

/** How many landmarks a network predicts. */
export interface HeadOptions {
  /** 0: there is no such head. */
  readonly landmarks?: number;
}

/**
 * The proposal network, P-Net (Zhang et al. 2016, figure 2): a classifier of windows of 12 × 12 pixels without a dense layer, so that over a
 * larger picture it gives what it predicts of every window, 2 pixels apart. The published weights have no landmarks here.
 */
export class PNet {
  readonly conv1 = new Conv2d(3, 10, 3);
  readonly prelu1 = new PReLU(10);
  readonly conv2 = new Conv2d(10, 16, 3);
  readonly prelu2 = new PReLU(16);
  readonly conv3 = new Conv2d(16, 32, 3);
  readonly prelu3 = new PReLU(32);
  readonly conv4_1 = new Conv2d(32, 2, 1);
  readonly conv4_2 = new Conv2d(32, 4, 1);
  readonly conv4_3: Conv2d | undefined;

  /** @param options default: no landmarks */
  constructor({ landmarks = 0 }: HeadOptions = {}) {
    this.conv4_3 = landmarks > 0 ? new Conv2d(32, 2 * landmarks, 1) : undefined;
  }

  /**
   * @param x normalized pixels [n, 3, H, W] of at least 12 × 12
   * @returns maps [n, …, ⌈(H − 2) / 2⌉ − 4, ⌈(W − 2) / 2⌉ − 4]: for 12 × 12 pixels they have one location
   * @throws ShapeError
   */
  forward(x: Tensor): CascadeOutputs {
    return this.head(ceilMaxPool(this.stem(x), 2));
  }

  /** The first layer, before pooling: [n, 3, H, W] → [n, 10, H − 2, W − 2]. */
  stem(x: Tensor): Tensor {
    return this.prelu1.forward(this.conv1.forward(x));
  }

  /** What follows pooling. */
  head(pooled: Tensor): CascadeOutputs {
    const second = this.prelu2.forward(this.conv2.forward(pooled));
    const features = this.prelu3.forward(this.conv3.forward(second));
    return {
      logits: this.conv4_1.forward(features),
      offsets: this.conv4_2.forward(features),
      ...(this.conv4_3 && { landmarks: this.conv4_3.forward(features) }),
    };
  }
}

/** The refinement network, R-Net (figure 2): 24 × 24 pixels. The published weights have no landmarks here. */
export class RNet {
  readonly conv1 = new Conv2d(3, 28, 3);
  readonly prelu1 = new PReLU(28);
  readonly conv2 = new Conv2d(28, 48, 3);
  readonly prelu2 = new PReLU(48);
  readonly conv3 = new Conv2d(48, 64, 2);
  readonly prelu3 = new PReLU(64);
  readonly dense4 = new Linear(576, 128);
  readonly prelu4 = new PReLU(128);
  readonly dense5_1 = new Linear(128, 2);
  readonly dense5_2 = new Linear(128, 4);
  readonly dense5_3: Linear | undefined;

  /** @param options default: no landmarks */
  constructor({ landmarks = 0 }: HeadOptions = {}) {
    this.dense5_3 = landmarks > 0 ? new Linear(128, 2 * landmarks) : undefined;
  }

  /** @param x normalized pixels [n, 3, 24, 24] @throws ShapeError */
  forward(x: Tensor): CascadeOutputs {
    const first = ceilMaxPool(this.prelu1.forward(this.conv1.forward(x)), 3);
    const second = ceilMaxPool(this.prelu2.forward(this.conv2.forward(first)), 3);
    const third = this.prelu3.forward(this.conv3.forward(second));
    const features = this.prelu4.forward(this.dense4.forward(flattened(third)));
    return {
      logits: this.dense5_1.forward(features),
      offsets: this.dense5_2.forward(features),
      ...(this.dense5_3 && { landmarks: this.dense5_3.forward(features) }),
    };
  }
}

/** The output network, O-Net (figure 2): 48 × 48 pixels, and five landmarks of a face. */
export class ONet {
  readonly conv1 = new Conv2d(3, 32, 3);
  readonly prelu1 = new PReLU(32);
  readonly conv2 = new Conv2d(32, 64, 3);
  readonly prelu2 = new PReLU(64);
  readonly conv3 = new Conv2d(64, 64, 3);
  readonly prelu3 = new PReLU(64);
  readonly conv4 = new Conv2d(64, 128, 2);
  readonly prelu4 = new PReLU(128);
  readonly dense5 = new Linear(1152, 256);
  readonly prelu5 = new PReLU(256);
  readonly dense6_1 = new Linear(256, 2);
  readonly dense6_2 = new Linear(256, 4);
  readonly dense6_3: Linear | undefined;

  /** @param options default: five landmarks */
  constructor({ landmarks = 5 }: HeadOptions = {}) {
    this.dense6_3 = landmarks > 0 ? new Linear(256, 2 * landmarks) : undefined;
  }

  /** @param x normalized pixels [n, 3, 48, 48] @throws ShapeError */
  forward(x: Tensor): CascadeOutputs {
    const first = ceilMaxPool(this.prelu1.forward(this.conv1.forward(x)), 3);
    const second = ceilMaxPool(this.prelu2.forward(this.conv2.forward(first)), 3);
    const third = ceilMaxPool(this.prelu3.forward(this.conv3.forward(second)), 2);
    const fourth = this.prelu4.forward(this.conv4.forward(third));
    const features = this.prelu5.forward(this.dense5.forward(flattened(fourth)));
    return {
      logits: this.dense6_1.forward(features),
      offsets: this.dense6_2.forward(features),
      ...(this.dense6_3 && { landmarks: this.dense6_3.forward(features) }),
    };
  }
}
