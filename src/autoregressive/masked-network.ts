import { OptionError } from "../errors.ts";
import { Dropout } from "../nn/dropout.ts";
import { Linear } from "../nn/linear.ts";
import { degreeMask } from "../nn/masked-linear.ts";
import type { Activation } from "../nn/mlp.ts";
import { linear, type Tensor } from "../tensor/index.ts";
import { AT_REST, bernoulliLogProb } from "./bernoulli.ts";
import type { Factors } from "./conditionals.ts";
import type { DrawingMask, Mask, NetworkSizes } from "./connectivity.ts";
import { drawMasked } from "./masked-draw.ts";

export interface MaskedNetworkOptions extends NetworkSizes {
  readonly activation: Activation;
  /** Whether logits also depend on the elements before without a hidden layer between. */
  readonly direct: boolean;
  /** Share of hidden units, and of inputs, that a training step leaves out. */
  readonly dropout: number;
  readonly inputDropout: number;
}

/**
 * A perceptron from D zeros and ones to the logits of their conditional distributions, under a mask that comes with each
 * call (Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", sections 3 and 4).
 */
export class MaskedNetwork {
  readonly input: Linear;
  readonly hidden: readonly Linear[];
  readonly output: Linear;
  /** The direct connections of section 4.1, without a bias of their own. */
  readonly direct: Linear | undefined;
  readonly sizes: NetworkSizes;
  readonly activation: Activation;
  private readonly dropout: Dropout;
  private readonly inputDropout: Dropout;

  /** @throws OptionError where there is no hidden layer, or residual layers do not come in pairs of one size */
  constructor(options: MaskedNetworkOptions) {
    const { inputs, hidden, residual } = options;
    const [first] = hidden;
    if (first === undefined) throw new OptionError("MaskedNetwork: hidden: name the size of a hidden layer");
    if (residual && (hidden.length % 2 === 0 || new Set(hidden).size > 1)) {
      throw new OptionError(
        `MaskedNetwork: hidden [${hidden}]: residual layers come in pairs after the first, all of one size`,
      );
    }
    this.input = new Linear(inputs, first);
    this.hidden = hidden.slice(1).map((units, l) => new Linear(hidden[l] ?? first, units));
    this.output = new Linear(hidden.at(-1) ?? first, inputs, AT_REST);
    this.direct = options.direct ? new Linear(inputs, inputs, { ...AT_REST, bias: false }) : undefined;
    this.sizes = { inputs, hidden, residual };
    this.activation = options.activation;
    this.dropout = new Dropout(options.dropout);
    this.inputDropout = new Dropout(options.inputDropout);
  }

  /** Logits of ones of all elements at once: [n, D] → [n, D]. */
  logits(x: Tensor, { places, degrees }: Mask): Tensor {
    const source = this.inputDropout.forward(x);
    const between = (h: Tensor): Tensor => this.dropout.forward(this.activation(h));
    const layers = [this.input, ...this.hidden];
    let h = source;
    let shortcut: Tensor | undefined;
    let before = places;
    degrees.forEach((own, l) => {
      const layer = layers[l] ?? this.input;
      h = linear(h, layer.weight.mul(degreeMask(own, before, l === 0)), layer.bias);
      if (this.sizes.residual && l % 2 === 0) {
        if (shortcut !== undefined) h = h.add(shortcut);
        shortcut = h;
      }
      h = between(h);
      before = own;
    });
    const logits = linear(h, this.output.weight.mul(degreeMask(places, before)), this.output.bias);
    if (this.direct === undefined) return logits;
    return logits.add(linear(source, this.direct.weight.mul(degreeMask(places, places, true))));
  }

  /** The conditionals under a mask. */
  factors(mask: DrawingMask): Factors {
    return {
      elementLogProb: (x) => bernoulliLogProb(this.logits(x, mask), x),
      draw: (inputs) =>
        drawMasked(
          {
            layers: [this.input, ...this.hidden],
            output: this.output,
            bias: this.output.bias,
            direct: this.direct?.weight,
            activation: this.activation,
            residual: this.sizes.residual,
          },
          mask,
          inputs,
        ),
    };
  }
}
