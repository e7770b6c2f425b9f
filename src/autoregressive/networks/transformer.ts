import { normal, zeros } from "../../nn/initializers.ts";
import { Dropout, Embedding, Linear } from "../../nn/linear.ts";
import { LayerNorm } from "../../nn/normalization.ts";
import { type KeysAndValues, TransformerLayer } from "../../nn/transformer.ts";
import { matmul } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  constant,
  float32,
  gather,
  int64,
  pad,
  slice,
  stack,
  type Tensor,
  where,
  whileLoop,
} from "../../tensor/index.ts";
import { bernoulliLogProb, type Draw, type DrawInputs, orderTensor, positionsOf } from "../conditionals.ts";

export interface TransformerNetworkOptions {
  /** The element at each position of the sequence. */
  readonly order: readonly number[];
  /** Sizes of the axes that elements are numbered over, row by row: [n] for a vector, [h, w] for an image. */
  readonly axes: readonly number[];
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Units of the perceptron of a layer. */
  readonly hidden: number;
  /** How many positions each sees (default: all before it). */
  readonly window?: number | undefined;
  readonly dropout: number;
  /** Log-odds of ones that the network's logits are added to, by element (default: 0). */
  readonly marginals?: Float32Array | undefined;
}

/** Deviation of embeddings at the start. */
const EMBEDDED = 0.1;

/**
 * A decoder-only Transformer over a sequence of zeros and ones. Its input at each position is the element at the position
 * before (a token of its own stands before the first) and which element is to come; its output is the logit of a one.
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
  /** What the network's logits are added to, by position. */
  private readonly marginals: Float32Array | undefined;
  /** The coordinates of the element at each position, axis by axis. */
  private readonly coordinates: readonly (readonly number[])[];

  /** @throws OptionError where the heads do not divide the width */
  constructor({ order, axes, width, layers, marginals, ...layer }: TransformerNetworkOptions) {
    this.marginals = marginals && Float32Array.from(order, (element) => marginals[element] ?? 0);
    this.tokens = new Embedding(3, width, normal(EMBEDDED));
    this.positions = axes.map((size) => new Embedding(size, width, normal(EMBEDDED)));
    this.layers = Array.from({ length: layers }, () => new TransformerLayer({ width, ...layer }));
    this.norm = new LayerNorm(width);
    this.output = new Linear(width, 1, { initializeWeight: zeros, initializeBias: zeros });
    this.dropout = new Dropout(layer.dropout);
    this.coordinates = axes.map((size, axis) => {
      const inner = axes.slice(axis + 1).reduce((a, b) => a * b, 1);
      return order.map((element) => Math.floor(element / inner) % size);
    });
  }

  /** The vectors of the element to come at each position, [D, width]. */
  targets(): Tensor {
    const [first, ...others] = this.positions.map((table, axis) => {
      const positions = this.coordinates[axis] ?? [];
      return table.forward(constant(int64(positions, [positions.length])));
    });
    return others.reduce((sum, next) => sum.add(next), first ?? this.tokens.weight);
  }

  /**
   * The vectors of the element before each position.
   * @param before the elements before, [n, T]; zero at the start
   * @param isStart 1 where nothing stands before, broadcast to [n, T]
   */
  sources(before: Tensor, isStart: Tensor): Tensor {
    const start = isStart.broadcastTo(before.shape);
    const kinds = stack([before.neg().sub(start).add(1), before, start], 2);
    return matmul(kinds, this.tokens.weight);
  }

  /** Zeros and ones by position, [n, D] → the logit of a one at each position given those before, [n, D]. */
  forward(x: Tensor): Tensor {
    const length = Number(x.shape[1]);
    const before = pad(slice(x, 1, 0, length - 1), [[1, 0]]);
    const isStart = Float32Array.from({ length }, (_, position) => Number(position === 0));
    const sources = this.sources(before, constant(float32(isStart, [length])));
    const start = this.dropout.forward(sources.add(this.targets()));
    const logits = this.logits(this.layers.reduce((h, layer) => layer.forward(h), start)).reshape(x.shape);
    return this.marginals === undefined ? logits : logits.add(this.start());
  }

  /** What the network's logits are added to at each position, [D]. */
  start(): Tensor {
    const length = this.coordinates[0]?.length ?? 0;
    return constant(float32(this.marginals ?? new Float32Array(length), [length]));
  }

  /** The logit of a one beside `start`, [..., 1], from the last layer's features [..., width]. */
  logits(features: Tensor): Tensor {
    return this.output.forward(this.norm.forward(features));
  }
}

/** Positions of a segment. */
const SEGMENT = 32;

interface Drawing {
  readonly network: TransformerNetwork;
  readonly heads: number;
  /** By position, [D, n]. */
  readonly inputs: { readonly uniforms: Tensor; readonly given: Tensor; readonly known: Tensor };
  /** Vectors of the elements to come, [D, width]. */
  readonly targets: Tensor;
  /** What logits are added to, [D]. */
  readonly begin: Tensor;
}

/** What has been drawn before a segment. */
interface Before {
  /** The last element, [n]. */
  readonly last: Tensor;
  readonly logKnown: Tensor;
  /** Of each layer. */
  readonly past: readonly (KeysAndValues | undefined)[];
}

/**
 * Draws zeros and ones position by position. Keys and values of earlier positions are kept: those of finished segments stand still,
 * so that a step writes to those of its own segment alone.
 * @param window how many positions each sees (default: all before it)
 */
export function drawSequence(
  network: TransformerNetwork,
  order: readonly number[],
  { heads, window = order.length }: { readonly heads: number; readonly window?: number | undefined },
  { uniforms, given, known }: DrawInputs,
): Draw {
  const positions = orderTensor(order);
  const byPosition = (x: Tensor): Tensor => gather(x.transpose(), positions, 0);
  const drawing = {
    network,
    heads,
    inputs: { uniforms: byPosition(uniforms), given: byPosition(given), known: byPosition(known) },
    targets: network.targets(),
    begin: network.start(),
  };
  const none = constant(0).broadcastTo([Number(uniforms.shape[0])]);
  const drawn: Tensor[] = [];
  let before: Before = { last: none, logKnown: none, past: network.layers.map(() => undefined) };
  for (let start = 0; start < order.length; start += SEGMENT) {
    const { x, after, made } = drawSegment(drawing, start, Math.min(order.length, start + SEGMENT), before);
    drawn.push(x);
    before = {
      ...after,
      past: made.map((segment, l) => lastOf(before.past[l], segment, window - 1)),
    };
  }
  return { x: gather(concat(drawn, 0), positionsOf(positions), 0).transpose(), logKnown: before.logKnown };
}

/** Keys and values of the last positions. */
function lastOf(
  past: KeysAndValues | undefined,
  segment: KeysAndValues,
  count: number,
): KeysAndValues | undefined {
  const keep = (a: Tensor | undefined, b: Tensor): Tensor => {
    const all = a === undefined ? b : concat([a, b], 2);
    return slice(all, 2, Math.max(0, Number(all.shape[2]) - count));
  };
  return count < 1
    ? undefined
    : { keys: keep(past?.keys, segment.keys), values: keep(past?.values, segment.values) };
}

function drawSegment(
  { network, heads, inputs, targets, begin }: Drawing,
  start: number,
  end: number,
  { last, logKnown, past }: Before,
): { readonly x: Tensor; readonly after: Omit<Before, "past">; readonly made: readonly KeysAndValues[] } {
  const length = end - start;
  const rows = Number(last.shape[0]);
  const width = Number(targets.shape[1]);
  const part = (x: Tensor): Tensor => slice(x, 0, start, end);
  const [uniforms, given, known, coming] = [inputs.uniforms, inputs.given, inputs.known, targets].map(
    part,
  ) as [Tensor, Tensor, Tensor, Tensor];
  const beginning = part(begin);
  const empty = constant(0).broadcastTo([rows, heads, length, width / heads]);
  const [x, value, total, ...caches] = whileLoop(
    [
      constant(0).broadcastTo([length, rows]),
      last,
      logKnown,
      ...network.layers.flatMap(() => [empty, empty]),
    ],
    ([drawn, before, weight, ...held], position) => {
      const isStart = start === 0 ? position.equal(constant(0, "int64")).cast("float32") : constant(0);
      let h = network.sources(before.unsqueeze(1), isStart).squeeze(1).add(gather(coming, position));
      const next = network.layers.flatMap((layer, l) => {
        const [keys = empty, values = empty] = held.slice(2 * l, 2 * l + 2);
        const { y, segment } = layer.step(h, { past: past[l], segment: { keys, values }, position });
        h = y;
        return [segment.keys, segment.values];
      });
      const logit = network.logits(h).squeeze(1).add(gather(beginning, position));
      const isKnown = gather(known, position).greater(0.5);
      const ones = gather(uniforms, position).less(logit.sigmoid()).cast("float32");
      const element = where(isKnown, gather(given, position), ones);
      const log = where(isKnown, bernoulliLogProb(logit, element), 0);
      const here = arange(0, length).equal(position).reshape([length, 1]);
      return { state: [where(here, element, drawn), element, weight.add(log), ...next] };
    },
    { maximum: length },
  );
  const made = network.layers.map((_, l) => ({
    keys: caches[2 * l] ?? empty,
    values: caches[2 * l + 1] ?? empty,
  }));
  return { x, after: { last: value, logKnown: total }, made };
}
