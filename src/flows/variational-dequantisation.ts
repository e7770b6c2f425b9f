import { z } from "zod";
import { OptionError } from "../errors.ts";
import { Conv2d } from "../nn/convolution.ts";
import type { DataInfo } from "../nn/model.ts";
import { concat, elementCount, type Tensor } from "../tensor/index.ts";
import { AffineBijection } from "./bijection.ts";
import type { Conditioning } from "./conditioning.ts";
import { type CoupledHalf, Coupling } from "./coupling.ts";
import { BYTE_LEVELS, type Dequantised, type Dequantiser, uniformDequantiser } from "./dequantise.ts";
import { SigmoidTransform } from "./element-wise.ts";
import { GatedBlock, GatedNetwork } from "./gated-network.ts";
import { ContextBias } from "./image-conditioner.ts";
import { Squeeze, squeezed, squeezeLimit } from "./squeeze.ts";
import { logistic } from "./standard-bases.ts";
import { Composition, Inverted } from "./transform.ts";

/** What a dequantising flow sees of an image before it draws noise for it: maps of `width` channels at half its size. */
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

export interface VariationalDequantiserOptions {
  /** Channels of its networks; 16 unless told. */
  readonly width?: number;
  /** Affine couplings under the two colours of a checkerboard in turn; 2 unless told. */
  readonly couplings?: number;
  /** Length of the context vector; 0 unless told. */
  readonly contextSize?: number;
}

/**
 * Variational dequantisation (Ho et al. 2019, "Flow++", section 3.1): the noise of an image comes from a flow of its own
 * that is conditioned on the bytes, u = σ(f(ε | bytes)). With ε logistic,
 * log q(u | bytes) = log p(ε) − log |det ∂u/∂ε|, and uniform noise is where f is the identity: it starts there. Trained
 * together with the density, by the same bound, q learns to put the noise where the density is high.
 *
 * f is made of affine couplings between the two colours of a checkerboard, whose networks see features of the bytes.
 */
export class VariationalDequantiser implements Dequantiser {
  readonly features: ByteFeatures;
  readonly networks: readonly GatedNetwork[];
  private readonly half: number;

  /**
   * @param shape channels, height and width of images
   * @throws OptionError unless height and width are even
   */
  constructor(shape: readonly number[], options: VariationalDequantiserOptions = {}) {
    const { width = 16, couplings = 2, contextSize = 0 } = options;
    const [channels = 1, height = 1, breadth = 1] = shape;
    if (squeezeLimit([channels, height, breadth]) < 1) {
      throw new OptionError(
        `option dequantisation: variational noise needs images of even height and width, not ${height}×${breadth}`,
      );
    }
    const [inside] = squeezed([channels, height, breadth]);
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
    const centred = bytes.mul(2 / BYTE_LEVELS).sub(1);
    const features = this.features.forward(squeeze.forward(centred).y, context);
    const couplings = this.networks.map((network, i) => {
      const changes: CoupledHalf = i % 2 === 0 ? "second" : "first";
      const conditioner = { forward: (kept: Tensor) => network.forward(concat([kept, features], 1)) };
      return new Coupling([this.half, this.half], changes, new AffineBijection(), conditioner);
    });
    return new Composition([squeeze, ...couplings, new Inverted(squeeze), new SigmoidTransform()]);
  }

  dequantise(bytes: Tensor, context?: Tensor): Dequantised {
    const rows = Number(bytes.shape[0]);
    const noise = logistic.noise(rows, elementCount(bytes.shape.slice(1).map(Number)));
    const { y, logDet } = this.flow(bytes, context).forward(noise.reshape(bytes.shape));
    return { x: bytes.add(y), logNoise: logistic.logProb(noise).sub(logDet) };
  }
}

/** The option by which a flow of images offers both kinds of noise. */
export function dequantisationOption(fallback: "uniform" | "variational") {
  return z
    .enum(["uniform", "variational"])
    .default(fallback)
    .describe("noise that makes bytes reals, for images: uniform, or from a flow of its own that is learned");
}

export type Dequantisation = z.output<ReturnType<typeof dequantisationOption>>;

/**
 * The noise of a flow: that of the option for images, uniform for all else, which is not dequantised.
 * @throws OptionError where variational noise is wanted for images of odd height or width
 */
export function dequantiserFor(
  dequantisation: Dequantisation,
  { kind }: DataInfo,
  { targetShape, size }: Conditioning,
): Dequantiser {
  return kind === "image" && dequantisation === "variational"
    ? new VariationalDequantiser(targetShape, { contextSize: size })
    : uniformDequantiser;
}
