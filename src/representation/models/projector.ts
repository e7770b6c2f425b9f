import { Linear } from "../../nn/linear.ts";
import { BatchNorm1d } from "../../nn/normalization.ts";
import type { Tensor } from "../../tensor/index.ts";

/**
 * A head that is trained with the encoder and left away afterwards (Chen et al. 2020, section 4.2): linear layers, all but the last without a
 * bias and followed by batch normalization and ReLU: [n, sizes[0]] → [n, sizes[last]].
 */
export class Projector {
  readonly layers: readonly Linear[];
  readonly norms: readonly BatchNorm1d[];

  /** @param hidden units of each hidden layer */
  constructor(inputs: number, hidden: readonly number[], outputs: number) {
    const sizes = [inputs, ...hidden];
    this.layers = [...hidden, outputs].map(
      (size, i) => new Linear(sizes[i] ?? inputs, size, { bias: i === hidden.length }),
    );
    this.norms = hidden.map((size) => new BatchNorm1d(size));
  }

  /** @throws ShapeError */
  forward(code: Tensor): Tensor {
    return this.layers.reduce(
      (h, layer, i) => this.norms[i]?.forward(layer.forward(h)).relu() ?? layer.forward(h),
      code,
    );
  }
}
