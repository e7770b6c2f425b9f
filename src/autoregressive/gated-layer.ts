import { Conv2d } from "../nn/convolution.ts";
import { Dropout } from "../nn/dropout.ts";
import { Embedding } from "../nn/embedding.ts";
import { zeros } from "../nn/initialisers.ts";
import { conv2d, slice, split, type Tensor } from "../tensor/index.ts";
import { RowConvolution } from "./row-convolution.ts";

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
export class GatedLayer {
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

  /** What the vertical filter made, gated, and on its way to the horizontal stack; with the class added to both. */
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
