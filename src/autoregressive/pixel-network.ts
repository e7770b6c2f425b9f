import { OptionError } from "../errors.ts";
import { pad, slice, type Tensor } from "../tensor/index.ts";
import { GatedLayer } from "./gated-layer.ts";
import { RowConvolution } from "./row-convolution.ts";

export interface PixelNetworkOptions {
  /** Channels of an image. */
  readonly channels: number;
  /** Channels of each stack. */
  readonly features: number;
  readonly layers: number;
  /** Size of the filters of all layers but the first; odd. */
  readonly kernel: number;
  /** Size of the filter of the first layer; odd, at least 3. */
  readonly firstKernel: number;
  /** Units of the hidden layer of the output. */
  readonly outputFeatures: number;
  /** Numbers for each channel of a pixel, K. */
  readonly logits: number;
  /** Classes that the network is conditioned on; 0 for none. */
  readonly classes: number;
  readonly dropout: number;
}

/** A map moved by one row down or one column to the right; zeros come in. */
function moved(x: Tensor, axis: 2 | 3): Tensor {
  const padded = pad(
    x,
    axis === 2
      ? [
          [1, 0],
          [0, 0],
        ]
      : [[1, 0]],
  );
  return slice(padded, axis, 0, -1);
}

/**
 * The network of a gated PixelCNN: layers of a vertical and a horizontal stack, then ReLU and a 1×1 convolution twice
 * (van den Oord et al. 2016, arXiv:1606.05328, section 2). What it says of a pixel depends on the pixels in the rows above
 * and on those to the left alone, and of a channel also on the channels before it in the same pixel.
 */
export class PixelNetwork {
  readonly layers: readonly GatedLayer[];
  readonly hidden: RowConvolution;
  readonly output: RowConvolution;
  readonly options: PixelNetworkOptions;

  /** @throws OptionError where the channels of an image do not divide the features, or a filter has no middle */
  constructor(options: PixelNetworkOptions) {
    const { channels: groups, features, kernel, firstKernel, outputFeatures, logits } = options;
    for (const [name, value] of Object.entries({ features, outputFeatures })) {
      if (value % groups === 0) continue;
      throw new OptionError(
        `option ${name}: ${value} must be a multiple of the ${groups} channels of an image`,
      );
    }
    for (const [name, value] of Object.entries({ kernel, firstKernel })) {
      if (value % 2 === 1) continue;
      throw new OptionError(`option ${name}: a filter of size ${value} has no middle; take an odd size`);
    }
    this.layers = Array.from({ length: options.layers }, (_, l) => {
      const first = l === 0;
      return new GatedLayer({
        inputs: first ? groups : features,
        features,
        kernel: first ? firstKernel : kernel,
        first,
        groups,
        classes: options.classes,
        dropout: options.dropout,
      });
    });
    this.hidden = new RowConvolution(features, outputFeatures, 1, { groups, own: true });
    this.output = new RowConvolution(outputFeatures, groups * logits, 1, { groups, own: true });
    this.options = options;
  }

  /**
   * Images [n, C, H, W], scaled, → the K numbers of every channel of every pixel, [n, C · K, H, W].
   * @param label classes [n], int64, for a network that is conditioned on them
   */
  forward(x: Tensor, label?: Tensor): Tensor {
    // A pixel of one channel must not see itself at all; of several, each sees those before it by the first layer's mask.
    const start = { vertical: moved(x, 2), horizontal: this.options.channels === 1 ? moved(x, 3) : x };
    const { horizontal } = this.layers.reduce((stacks, layer) => layer.forward(stacks, label), start);
    return this.output.forward(this.hidden.forward(horizontal.relu()).relu());
  }

  /** The K numbers of channel c of one pixel, [n, K], from the last layer's features of it, [n, p]. */
  logitsAt(features: Tensor, c: number): Tensor {
    const { logits } = this.options;
    const hidden = this.hidden.at(features.relu().unsqueeze(2)).relu();
    return this.output.at(hidden.unsqueeze(2), c * logits, (c + 1) * logits);
  }
}
