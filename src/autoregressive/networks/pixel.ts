import { OptionError } from "../../errors.ts";
import { countNumbers } from "../../memory.ts";
import { Conv2d, type Conv2dOptions } from "../../nn/convolution.ts";
import { zeros } from "../../nn/initializers.ts";
import { Dropout, Embedding } from "../../nn/linear.ts";
import { constant, conv2d, float32, linear, pad, slice, split, type Tensor } from "../../tensor/index.ts";
import { atRest } from "../conditionals.ts";

/** Which channels of a pixel depend on which, where those of an image do: R, then G, then B. */
export interface GroupMask {
  /** Channels of a map are divided into so many groups. */
  readonly groups: number;
  /** Whether a group reads those up to its own (mask B of the paper), or those before it alone (mask A). */
  readonly own: boolean;
  /** Outputs lie in so many equal parts, each of which has all groups (default: 1). */
  readonly parts?: number;
}

/** Ones, but zeros where an output must not read an input of the same pixel: [outputs, inputs, 1, columns]. */
function maskOf(
  outputs: number,
  inputs: number,
  columns: number,
  { groups, own, parts = 1 }: GroupMask,
): Tensor {
  countNumbers("masks of filters", outputs * inputs * columns);
  const mask = new Float32Array(outputs * inputs * columns).fill(1);
  const size = outputs / parts;
  for (let o = 0; o < outputs; o++) {
    const reader = Math.floor(((o % size) * groups) / size);
    for (let i = 0; i < inputs; i++) {
      const source = Math.floor((i * groups) / inputs);
      if (source > reader || (source === reader && !own)) mask[(o * inputs + i + 1) * columns - 1] = 0;
    }
  }
  return constant(float32(mask, [outputs, inputs, 1, columns]));
}

/**
 * A convolution over the rows of a map that reaches some columns back and never ahead: [n, I, H, W] → [n, O, H, W]. The
 * last column of its kernel is the pixel itself, whose channels it sees as far as the mask allows.
 */
class RowConvolution extends Conv2d {
  /** Columns that it sees. */
  readonly columns: number;
  private readonly mask: Tensor | undefined;

  /** @param mask without effect where there is one group */
  constructor(
    inputs: number,
    outputs: number,
    columns: number,
    mask: GroupMask,
    start: Pick<Conv2dOptions, "initializeWeight" | "initializeBias"> = {},
  ) {
    super(inputs, outputs, [1, columns], { padding: [0, columns - 1, 0, 0], ...start });
    this.columns = columns;
    this.mask = mask.groups > 1 ? maskOf(outputs, inputs, columns, mask) : undefined;
  }

  private get maskedWeight(): Tensor {
    return this.mask === undefined ? this.weight : this.weight.mul(this.mask);
  }

  override forward(x: Tensor): Tensor {
    return this.apply(x, this.maskedWeight);
  }

  /**
   * One pixel, from the columns that are seen: [n, I, columns] → [n, outputs].
   * @param start the first of the outputs, and the end of them (default: all)
   */
  at(window: Tensor, start = 0, end = this.weight.shape[0]): Tensor {
    const weight = this.maskedWeight.reshape([this.weight.shape[0] ?? 1, -1]);
    return linear(
      window.reshape([window.shape[0] ?? 1, -1]),
      slice(weight, 0, start, end),
      this.bias && slice(this.bias, 0, start, end),
    );
  }
}

export interface GatedLayerOptions {
  /** Channels of the maps that come in: the image's for the first layer, otherwise `features`. */
  readonly inputs: number;
  /** Channels of each stack, p. */
  readonly features: number;
  /** Height and width of the filter of which the pixels up to its middle are seen: an odd number. */
  readonly kernel: number;
  /** Whether the maps that come in are the image, of which a pixel must not see itself. */
  readonly first: boolean;
  /** Channels of the image: features are divided into as many groups, and a group sees those up to its own. */
  readonly groups: number;
  /** Classes that the layer is conditioned on; 0 for none. */
  readonly classes: number;
  readonly dropout: number;
}

/** Maps of both stacks, each [n, channels, H, W]. */
export interface Stacks {
  /** Depends on the rows above a pixel. */
  readonly vertical: Tensor;
  /** Depends on all that stands before a pixel. */
  readonly horizontal: Tensor;
}

/** tanh(a) ⊙ σ(b), a and b the halves of the channels (equation 2 of the paper). */
function gate(x: Tensor): Tensor {
  const [a, b] = split(x, 1, 2) as [Tensor, Tensor];
  return a.tanh().mul(b.sigmoid());
}

/**
 * A layer of the gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328, figure 2). Its vertical stack is one row
 * late: at a pixel it holds what depends on the rows above alone, all columns of them, so that it needs no mask and goes
 * to the horizontal stack by a 1×1 convolution as it is. The horizontal stack has a residual connection but in the first
 * layer.
 */
class GatedLayer {
  readonly vertical: Conv2d;
  readonly between: Conv2d;
  readonly horizontal: RowConvolution;
  readonly output: RowConvolution;
  /** For each class what is added to both stacks before their gates (equation 4), [classes, 4p]. */
  readonly classes: Embedding | undefined;
  private readonly dropout: Dropout;
  private readonly residual: boolean;
  private readonly features: number;

  constructor({ inputs, features, kernel, first, groups, classes, dropout }: GatedLayerOptions) {
    const reach = (kernel - 1) / 2;
    const rows = first ? reach : reach + 1;
    const whole = groups > 1 || !first;
    this.vertical = new Conv2d(inputs, 2 * features, [rows, kernel], {
      padding: [rows - 1, reach, 0, reach],
    });
    this.between = new Conv2d(2 * features, 2 * features, 1, { bias: false });
    this.horizontal = new RowConvolution(inputs, 2 * features, whole ? reach + 1 : reach, {
      groups,
      own: !first,
      parts: 2,
    });
    this.output = new RowConvolution(features, features, 1, { groups, own: true });
    this.classes = classes > 0 ? new Embedding(classes, 4 * features, zeros) : undefined;
    this.dropout = new Dropout(dropout);
    this.residual = !first;
    this.features = features;
  }

  /** @param label classes [n], int64, for layers that are conditioned on them */
  forward({ vertical, horizontal }: Stacks, label?: Tensor): Stacks {
    const { sideways, ...down } = this.pass(this.vertical.forward(vertical), label);
    return {
      ...down,
      horizontal: this.finish(this.horizontal.forward(horizontal).add(sideways), horizontal),
    };
  }

  /**
   * One row of the vertical stack, from the rows that its filter sees: [n, inputs, rows, W] → its maps and what goes to
   * the horizontal stack, [n, p, 1, W] and [n, 2p, 1, W].
   */
  row(window: Tensor, label?: Tensor): { readonly vertical: Tensor; readonly sideways: Tensor } {
    const { weight, bias } = this.vertical;
    const reach = (Number(weight.shape[3]) - 1) / 2;
    return this.pass(conv2d(window, weight, { padding: [0, reach, 0, reach], ...(bias && { bias }) }), label);
  }

  /**
   * One pixel of the horizontal stack, from the columns that its filter sees, [n, inputs, columns], and what comes from
   * the vertical stack, [n, 2p]: [n, p].
   */
  pixel(window: Tensor, sideways: Tensor): Tensor {
    const gated = gate(this.horizontal.at(window).add(sideways));
    const output = this.output.at(gated.unsqueeze(2));
    return this.residual ? output.add(slice(window, 2, -1).squeeze(2)) : output;
  }

  /** What the vertical filter made, gated, and its contribution to the horizontal stack; with the class added to both. */
  private pass(
    filtered: Tensor,
    label: Tensor | undefined,
  ): { readonly vertical: Tensor; readonly sideways: Tensor } {
    const sideways = this.between.forward(filtered);
    if (this.classes === undefined || label === undefined) return { vertical: gate(filtered), sideways };
    const shift = this.classes.forward(label).reshape([label.shape[0] ?? 1, 4 * this.features, 1, 1]);
    const [down, across] = split(shift, 1, 2) as [Tensor, Tensor];
    return { vertical: gate(filtered.add(down)), sideways: sideways.add(across) };
  }

  private finish(filtered: Tensor, shortcut: Tensor): Tensor {
    const output = this.output.forward(this.dropout.forward(gate(filtered)));
    return this.residual ? output.add(shortcut) : output;
  }
}

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
  /** Of zeros and ones, log-odds of ones that the network's numbers are added to, by element of an image (default: 0). */
  readonly marginals?: Float32Array | undefined;
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
 * (van den Oord et al. 2016, arXiv:1606.05328, section 2). Its output at a pixel depends on the pixels in the rows above
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
    this.output = new RowConvolution(
      outputFeatures,
      groups * logits,
      1,
      { groups, own: true },
      options.marginals && atRest(),
    );
    this.options = options;
  }

  /** What the numbers of the network are added to, by element of an image, [C, H, W]. */
  marginals(shape: readonly [number, number, number]): Tensor {
    const own = this.options.marginals ?? new Float32Array(shape[0] * shape[1] * shape[2]);
    return constant(float32(own, shape));
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
