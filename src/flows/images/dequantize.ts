import { z } from "zod";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { concat, elementCount, type Tensor, uniform } from "../../tensor/index.ts";
import { logistic } from "../densities/bases.ts";
import type { Conditioning } from "../densities/conditioning.ts";
import { AffineBijection } from "../transforms/bijections.ts";
import { type CoupledHalf, Coupling } from "../transforms/coupling.ts";
import { SigmoidTransform } from "../transforms/element-wise.ts";
import {
  Composition,
  type Forward,
  type Inverse,
  Inverted,
  noVolumeChange,
  type Transform,
} from "../transforms/transform.ts";
import { asImageShape, Squeeze, squeezed, squeezeLimit } from "./multi-scale.ts";
import { ContextBias, GatedBlock, GatedNetwork } from "./networks.ts";

/** Number of values of a byte. */
export const BYTE_LEVELS = 256;

/** Reals instead of whole numbers, and what the noise between them costs. */
export interface Dequantized {
  /** bytes + noise, on [0, 256). */
  readonly x: Tensor;
  /** log q(noise | bytes), shape [n], in nats: to be subtracted from the log-density of x. */
  readonly logNoise: Tensor;
}

/**
 * A method to make whole numbers 0 … 255 reals by adding noise from [0, 1)ᴰ. For any density q of the noise,
 * log P(bytes) ≥ E_q[log p(bytes + noise) − log q(noise | bytes)] (Theis et al. 2016, section 3.1; Ho et al. 2019,
 * "Flow++", equation 7).
 */
export interface Dequantizer {
  /** Draws the noise with the runtime's generator. */
  dequantize(bytes: Tensor, context?: Tensor): Dequantized;
}

/** Uniform noise, of log-density 0. */
export const uniformDequantizer: Dequantizer = {
  dequantize: (bytes) => ({ x: bytes.add(uniform(bytes.shape)), logNoise: noVolumeChange(bytes) }),
};

/** y = x · factor on samples of known size; the log-determinant is D log |factor|. */
export class Scaling implements Transform {
  readonly factor: number;
  readonly dimensions: number;

  constructor(factor: number, dimensions: number) {
    this.factor = factor;
    this.dimensions = dimensions;
  }

  forward(x: Tensor): Forward {
    const change = this.dimensions * Math.log(Math.abs(this.factor));
    return { y: x.mul(this.factor), logDet: noVolumeChange(x).add(change) };
  }

  inverse(y: Tensor): Inverse {
    const change = -this.dimensions * Math.log(Math.abs(this.factor));
    return { x: y.mul(1 / this.factor), logDet: noVolumeChange(y).add(change) };
  }
}

/** From byte units [0, 256) to [0, 1), as NICE and its successors scale images. */
export function byteScaling(dimensions: number): Scaling {
  return new Scaling(1 / BYTE_LEVELS, dimensions);
}

/** What a dequantizing flow sees of an image before it draws noise for it: maps of `width` channels at half its size. */
class ByteFeatures {
  readonly first: Conv2d;
  readonly context: ContextBias;
  readonly block: GatedBlock;

  constructor(inputs: number, width: number, contextSize: number) {
    this.first = new Conv2d(inputs, width, 3, { padding: 1 });
    this.context = new ContextBias(contextSize, width);
    this.block = new GatedBlock(width);
  }

  forward(maps: Tensor, context?: Tensor): Tensor {
    return this.block.forward(this.context.forward(this.first.forward(maps), context));
  }
}

export interface VariationalDequantizerOptions {
  /** Channels of its networks (default: 16). */
  readonly width?: number;
  /** Affine couplings under the two colors of a checkerboard in turn (default: 2). */
  readonly couplings?: number;
  /** Length of the context vector (default: 0). */
  readonly contextSize?: number;
}

/**
 * Variational dequantization (Ho et al. 2019, "Flow++", section 3.1): the noise of an image comes from a flow of its own
 * that is conditioned on the bytes, u = σ(f(ε | bytes)). With ε logistic,
 * log q(u | bytes) = log p(ε) − log |det ∂u/∂ε|, and uniform noise is where f is the identity: it starts there. Trained
 * together with the density, by the same bound, q learns to put the noise where the density is high.
 *
 * f is made of affine couplings between the two colors of a checkerboard, whose networks see features of the bytes.
 */
export class VariationalDequantizer implements Dequantizer {
  readonly features: ByteFeatures;
  readonly networks: readonly GatedNetwork[];
  private readonly half: number;

  /**
   * @param shape channels, height and width of images
   * @throws OptionError unless height and width are even
   */
  constructor(shape: readonly number[], options: VariationalDequantizerOptions = {}) {
    const { width = 16, couplings = 2, contextSize = 0 } = options;
    const image = asImageShape(shape);
    const [, height, breadth] = image;
    if (squeezeLimit(image) < 1) {
      throw new OptionError(
        `option dequantization: variational noise needs images of even height and width, not ${height}×${breadth}`,
      );
    }
    const [inside] = squeezed(image);
    this.half = inside / 2;
    this.features = new ByteFeatures(inside, width, contextSize);
    this.networks = Array.from(
      { length: couplings },
      () => new GatedNetwork({ inputs: this.half + width, width, blocks: 1, outputs: inside }),
    );
  }

  /** From ε to u, both [n, c, h, w], for these bytes. */
  private flow(bytes: Tensor, context: Tensor | undefined): Composition {
    const squeeze = new Squeeze("checkerboard");
    const centered = bytes.mul(2 / BYTE_LEVELS).sub(1);
    const features = this.features.forward(squeeze.forward(centered).y, context);
    const couplings = this.networks.map((network, i) => {
      const changes: CoupledHalf = i % 2 === 0 ? "second" : "first";
      const conditioner = { forward: (kept: Tensor) => network.forward(concat([kept, features], 1)) };
      return new Coupling([this.half, this.half], changes, new AffineBijection(), conditioner);
    });
    return new Composition([squeeze, ...couplings, new Inverted(squeeze), new SigmoidTransform()]);
  }

  dequantize(bytes: Tensor, context?: Tensor): Dequantized {
    const [rows = 1] = bytes.shape;
    const noise = logistic.noise(rows, elementCount(bytes.shape.slice(1).map(Number)));
    const { y, logDet } = this.flow(bytes, context).forward(noise.reshape(bytes.shape));
    return { x: bytes.add(y), logNoise: logistic.logProb(noise).sub(logDet) };
  }
}

/** The option by which a flow of images offers both kinds of noise. */
export function dequantizationOption(fallback: "uniform" | "variational") {
  return z
    .enum(["uniform", "variational"])
    .default(fallback)
    .describe("noise that makes bytes reals, for images: uniform, or from a flow of its own that is learned");
}

export type Dequantization = z.output<ReturnType<typeof dequantizationOption>>;

/**
 * The noise of a flow: that of the option for images, uniform for all else, which is not dequantized.
 * @throws OptionError where variational noise is wanted for images of odd height or width
 */
export function dequantizerFor(
  dequantization: Dequantization,
  { kind }: DataInfo,
  { targetShape, size }: Conditioning,
): Dequantizer {
  return kind === "image" && dequantization === "variational"
    ? new VariationalDequantizer(targetShape, { contextSize: size })
    : uniformDequantizer;
}
