import { Dropout } from "../nn/dropout.ts";
import { Embedding } from "../nn/embedding.ts";
import { normal, zeros } from "../nn/initialisers.ts";
import { Linear } from "../nn/linear.ts";
import { LayerNorm } from "../nn/normalisation.ts";
import { TransformerLayer } from "../nn/transformer.ts";
import { constant, float32, int64, matmul, pad, slice, stack, type Tensor } from "../tensor/index.ts";

export interface TransformerNetworkOptions {
  /** The element at each place of the sequence. */
  readonly order: readonly number[];
  /** Sizes of the axes that elements are numbered over, row by row: [n] for a vector, [h, w] for an image. */
  readonly axes: readonly number[];
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Units of the perceptron of a layer. */
  readonly hidden: number;
  /** How many places each sees; all before it unless told. */
  readonly window?: number | undefined;
  readonly dropout: number;
}

/** Deviation of embeddings at the start. */
const EMBEDDED = 0.1;

/**
 * A decoder-only Transformer over a sequence of zeros and ones. At each place it is told the element at the place before
 * (a token of its own stands before the first) and which element is to come, and gives the logit of a one.
 */
export class TransformerNetwork {
  /** Vectors of a zero, of a one, and of the start. */
  readonly tokens: Embedding;
  /** Vectors of the coordinates of the element that is to come, which are added: one table an axis. */
  readonly positions: readonly Embedding[];
  readonly layers: readonly TransformerLayer[];
  readonly norm: LayerNorm;
  readonly output: Linear;
  private readonly dropout: Dropout;
  /** The coordinates of the element at each place, axis by axis. */
  private readonly coordinates: readonly (readonly number[])[];

  /** @throws OptionError where the heads do not divide the width */
  constructor({ order, axes, width, layers, ...layer }: TransformerNetworkOptions) {
    this.tokens = new Embedding(3, width, normal(EMBEDDED));
    this.positions = axes.map((size) => new Embedding(size, width, normal(EMBEDDED)));
    this.layers = Array.from({ length: layers }, () => new TransformerLayer({ width, ...layer }));
    this.norm = new LayerNorm(width);
    this.output = new Linear(width, 1, { initialiseWeight: zeros, initialiseBias: zeros });
    this.dropout = new Dropout(layer.dropout);
    this.coordinates = axes.map((size, axis) => {
      const inner = axes.slice(axis + 1).reduce((a, b) => a * b, 1);
      return order.map((element) => Math.floor(element / inner) % size);
    });
  }

  /** The vectors that say which element is to come at each place, [D, width]. */
  targets(): Tensor {
    const [first, ...others] = this.positions.map((table, axis) => {
      const places = this.coordinates[axis] ?? [];
      return table.forward(constant(int64(places, [places.length])));
    });
    return others.reduce((sum, next) => sum.add(next), first ?? this.tokens.weight);
  }

  /**
   * The vectors of what stands before each place.
   * @param before the elements before, [n, T]; zero at the start
   * @param isStart 1 where nothing stands before, broadcast to [n, T]
   */
  sources(before: Tensor, isStart: Tensor): Tensor {
    const start = isStart.broadcastTo(before.shape);
    const kinds = stack([before.neg().sub(start).add(1), before, start], 2);
    return matmul(kinds, this.tokens.weight);
  }

  /** Zeros and ones by place, [n, D] → the logit of a one at each place given those before, [n, D]. */
  forward(x: Tensor): Tensor {
    const length = Number(x.shape[1]);
    const before = pad(slice(x, 1, 0, length - 1), [[1, 0]]);
    const isStart = Float32Array.from({ length }, (_, place) => Number(place === 0));
    const sources = this.sources(before, constant(float32(isStart, [length])));
    const start = this.dropout.forward(sources.add(this.targets()));
    return this.logits(this.layers.reduce((h, layer) => layer.forward(h), start)).reshape(x.shape);
  }

  /** The logit of a one, [..., 1], from the last layer's features [..., width]. */
  logits(features: Tensor): Tensor {
    return this.output.forward(this.norm.forward(features));
  }
}
