import { OptionError } from "../../errors.ts";
import { countNumbers } from "../../memory.ts";
import { zeros } from "../../nn/initializers.ts";
import type { Activation } from "../../nn/linear.ts";
import { degreeMask, Linear, MaskedLinear } from "../../nn/linear.ts";
import { Random } from "../../random.ts";
import { outputAt } from "../../tensor/graph.ts";
import {
  concat,
  constant,
  type Dim,
  float32,
  slice,
  split,
  type Tensor,
  whileLoop,
} from "../../tensor/index.ts";
import { type Bijection, sumElements } from "./bijections.ts";
import type { Conditioner } from "./coupling.ts";
import type { Forward, Inverse, Transform } from "./transform.ts";

/** How the blocks of an autoregressive flow order the elements of a sample. */
export const ELEMENT_ORDERS = ["alternating", "same", "random"] as const;

export type ElementOrders = (typeof ELEMENT_ORDERS)[number];

/**
 * The order of dependence of each block: the elements' own and its reverse in turn, their own in every block, or a random
 * one for each, the same at every call.
 */
export function elementOrders(
  kind: ElementOrders,
  blocks: number,
  dimensions: number,
): readonly (readonly number[])[] {
  countNumbers("orders of elements", kind === "same" ? dimensions : blocks * dimensions);
  const own = Array.from({ length: dimensions }, (_, i) => i);
  const random = new Random(0).split("order");
  return Array.from({ length: blocks }, (_, block) => {
    if (kind === "random") return Array.from(random.split(block).permutation(dimensions));
    return kind === "alternating" && block % 2 === 1 ? own.toReversed() : own;
  });
}

export interface MadeOptions {
  /** Number of elements, D. */
  readonly inputs: number;
  /** Units of each hidden layer. */
  readonly hidden: readonly number[];
  /** Outputs for each element, P. */
  readonly parameterCount: number;
  /** How the D · P outputs lie, see `Bijection.order` (default: by element). */
  readonly layout?: "by-parameter" | "by-element";
  /** The elements in the order in which each may depend on those before it (default: 0, 1, …). */
  readonly order?: readonly number[];
  /** Length of a vector that all outputs may depend on; 0 for none. */
  readonly contextSize?: number;
  /** Between the layers (default: ReLU). */
  readonly activation?: Activation;
  /** Adds each pair of hidden layers to what went in; all hidden layers must then have one size. */
  readonly residual?: boolean;
  /** Draws the degrees of hidden units at random, as the paper does (default: evenly spread). */
  readonly seed?: number;
}

const relu: Activation = (x) => x.relu();

/** M[j, i] = 1 where unit j may read unit i. */
function maskOf(readers: readonly number[], sources: readonly number[], strict: boolean): Tensor {
  countNumbers("degrees of units", readers.length + sources.length);
  const degrees = (of: readonly number[]): Tensor => constant(float32(of, [of.length]));
  return degreeMask(degrees(readers), degrees(sources), strict);
}

/**
 * Degrees of the units of a hidden layer: a unit of degree d depends on the elements at the first d positions alone. They
 * are sorted, so that the units of a degree are neighbors, and spread evenly or drawn at random.
 */
export function hiddenDegrees(
  units: number,
  lowest: number,
  highest: number,
  random?: Random,
): readonly number[] {
  const count = highest - lowest + 1;
  if (random === undefined) {
    return Array.from({ length: units }, (_, j) => lowest + Math.floor((j * count) / units));
  }
  return Array.from({ length: units }, () => lowest + random.integer(count)).sort((a, b) => a - b);
}

/**
 * A perceptron from D elements to P parameters of each, in which masks cut all connections but those to parameters from
 * elements that stand before their own in a given order (Germain et al. 2015, "MADE", sections 3 and 4.1). A context
 * enters the first hidden layer unmasked. The last layer starts at zero.
 */
export class MadeNetwork implements Conditioner {
  readonly input: MaskedLinear;
  readonly context: Linear | undefined;
  readonly hidden: readonly MaskedLinear[];
  readonly output: MaskedLinear;
  /** The elements in the order in which each depends on those before it. */
  readonly order: readonly number[];
  private readonly layout: "by-parameter" | "by-element";
  private readonly activation: Activation;
  private readonly residual: boolean;
  /** Degrees of the units of each hidden layer, sorted. */
  private readonly degrees: readonly (readonly number[])[];

  /** @throws OptionError where there is no hidden layer, the order is none, or sizes of residual layers differ */
  constructor(options: MadeOptions) {
    const { inputs, hidden, parameterCount, contextSize = 0, layout = "by-element" } = options;
    countNumbers("places of outputs", inputs * (1 + parameterCount));
    const order = options.order ?? Array.from({ length: inputs }, (_, i) => i);
    checkOptions(options, order);
    const random = options.seed === undefined ? undefined : new Random(options.seed).split("degrees");
    // Units of degree 0 depend on nothing but the context; without one they would be constants.
    const lowest = contextSize > 0 || inputs === 1 ? 0 : 1;
    this.residual = options.residual ?? false;
    const first = hiddenDegrees(hidden[0] ?? 1, lowest, inputs - 1, random);
    const degrees = hidden.map((units, l) =>
      l === 0 || this.residual || (random === undefined && units === first.length)
        ? first
        : hiddenDegrees(units, lowest, inputs - 1, random),
    );
    const positions = new Array<number>(inputs);
    order.forEach((element, position) => {
      positions[element] = position;
    });
    const outputPlaces =
      layout === "by-element"
        ? positions.flatMap((position) => new Array<number>(parameterCount).fill(position))
        : Array.from({ length: parameterCount }, () => positions).flat();

    this.input = new MaskedLinear(maskOf(first, positions, true));
    this.context = contextSize === 0 ? undefined : new Linear(contextSize, first.length, { bias: false });
    this.hidden = degrees
      .slice(1)
      .map((own, l) => new MaskedLinear(maskOf(own, outputAt(degrees, l), false)));
    this.output = new MaskedLinear(maskOf(outputPlaces, outputAt(degrees, degrees.length - 1), false), {
      initializeWeight: zeros,
      initializeBias: zeros,
    });
    this.order = order;
    this.layout = layout;
    this.degrees = degrees;
    this.activation = options.activation ?? relu;
  }

  /** Parameters of all elements at once: x [n, D], context [n, c] → [n, D · P]. */
  forward(x: Tensor, context?: Tensor): Tensor {
    const { activation } = this;
    const first = this.input.forward(x);
    let h = this.context && context ? first.add(this.context.forward(context)) : first;
    let shortcut = h;
    this.hidden.forEach((layer, l) => {
      h = layer.forward(activation(h));
      if (!this.residual || l % 2 === 0) return;
      h = h.add(shortcut);
      shortcut = h;
    });
    return this.output.forward(activation(h));
  }

  /**
   * Goes through the elements in order: asks for each by its parameters, which depend on those already known. Only the
   * hidden units that depend on the last known element are computed at each position, so that all D positions together cost
   * about as much as one pass.
   * @param choose the element [1, n] from its parameters [P, n]
   * @param rows n
   * @param context [n, c]
   * @returns the elements in their own order (not that of dependence), each [1, n]
   */
  unroll(
    choose: (element: number, parameters: Tensor) => Tensor,
    rows: Dim,
    context?: Tensor,
  ): readonly Tensor[] {
    // Samples lie along the last axis: elements and units are then contiguous, and products have many columns. Biases
    // are columns of the weights that meet a row of ones.
    const ones = constant(1).broadcastTo([1, rows]);
    const inputs = this.context && context ? concat([ones, context.transpose()], 0) : ones;
    const knownElements = new Known(inputs);
    const knownUnits = this.degrees.map(() => new Known(ones));
    const weights = this.unitWeights(inputs !== ones);
    const outputs = this.outputWeights();
    const found = new Array<Tensor>(this.order.length);
    this.order.forEach((element, position) => {
      let source = knownElements;
      let shortcut: Tensor | undefined;
      weights.forEach((layer, l) => {
        const target = knownUnits[l];
        const own = layer.get(position);
        if (own !== undefined && target !== undefined) {
          let h = source.times(own);
          if (this.residual && l % 2 === 0) {
            if (shortcut !== undefined) h = h.add(shortcut);
            shortcut = h;
          }
          target.append(this.activation(h));
        }
        source = target ?? source;
      });
      const output = outputs[element];
      if (output === undefined) return;
      const value = choose(element, source.times(output));
      found[element] = value;
      knownElements.append(value);
    });
    return found;
  }

  /** For each hidden layer, [bias | weight] of the units of each degree; inputs stand in the order of dependence. */
  private unitWeights(withContext: boolean): readonly ReadonlyMap<number, Tensor>[] {
    const { weight, bias } = this.input;
    const columns = split(weight, 1, new Array<number>(this.order.length).fill(1));
    const ordered = this.order.map((element) => outputAt(columns, element));
    const extra = this.context && withContext ? [this.context.weight] : [];
    const first = concat([asColumn(bias), ...extra, ...ordered], 1);
    return [
      byDegree(first, this.degrees[0] ?? []),
      ...this.hidden.map((layer, l) =>
        byDegree(concat([asColumn(layer.bias), layer.weight], 1), this.degrees[l + 1] ?? []),
      ),
    ];
  }

  /** [bias | weight] of the parameters of each element, [P, 1 + units]. */
  private outputWeights(): readonly Tensor[] {
    const { weight, bias } = this.output;
    const joined = concat([asColumn(bias), weight], 1);
    const [outputs, columns] = joined.shape as readonly [number, number];
    const elements = this.order.length;
    const count = outputs / elements;
    const axis = this.layout === "by-element" ? 0 : 1;
    const cube = joined.reshape(axis === 0 ? [elements, count, columns] : [count, elements, columns]);
    return split(cube, axis, new Array<number>(elements).fill(1)).map((piece) =>
      piece.reshape([count, columns]),
    );
  }
}

/** Rows that become known one after the other, [k, n]. */
class Known {
  private rows: Tensor;

  constructor(rows: Tensor) {
    this.rows = rows;
  }

  append(rows: Tensor): void {
    this.rows = concat([this.rows, rows], 0);
  }

  /** The product with those columns of a weight for which rows are known. */
  times(weight: Tensor): Tensor {
    return slice(weight, 1, 0, Number(this.rows.shape[0])).matmul(this.rows);
  }
}

/** Cuts the rows of a weight into those of each degree. */
function byDegree(weight: Tensor, degrees: readonly number[]): ReadonlyMap<number, Tensor> {
  const distinct = [...new Set(degrees)];
  const sizes = distinct.map((degree) => degrees.filter((other) => other === degree).length);
  const pieces = split(weight, 0, sizes);
  return new Map(distinct.map((degree, i) => [degree, outputAt(pieces, i)]));
}

function asColumn(bias: Tensor | undefined): Tensor {
  if (bias === undefined) throw new OptionError("MadeNetwork: its layers have biases");
  return bias.reshape([-1, 1]);
}

function checkOptions({ inputs, hidden, residual }: MadeOptions, order: readonly number[]): void {
  if (hidden.length === 0) throw new OptionError("MadeNetwork: hidden: name the size of a hidden layer");
  if (order.length !== inputs || new Set(order).size !== inputs || order.some((i) => !(i in order))) {
    throw new OptionError(`MadeNetwork: order [${order}] must name each of ${inputs} elements once`);
  }
  if (residual === true && (hidden.length % 2 === 0 || new Set(hidden).size > 1)) {
    throw new OptionError(
      `MadeNetwork: hidden [${hidden}]: residual layers come in pairs after the first, all of one size`,
    );
  }
}

/** Up to this many elements the inverse is unrolled; beyond, it is iterated. */
export const UNROLL_LIMIT = 64;

/** A spline takes more than twice the nodes of an affine map for each element, and a program of many takes long to load. */
function unrollLimit({ parameterCount }: Bijection): number {
  return parameterCount > 2 ? UNROLL_LIMIT / 2 : UNROLL_LIMIT;
}

/** An iteration has converged when no element changes by more than this, relative to 1 + |x|. */
const TOLERANCE = 1e-6;
/** Keeps the not yet exact elements of an iteration finite: 0 · ∞ in a masked product would be no number. */
const ITERATE_BOUND = 1e6;

export interface MaskedAutoregressiveOptions {
  /** Units of each hidden layer of the masked network. */
  readonly hidden: readonly number[];
  /** The elements in the order in which each may depend on those before it (default: 0, 1, …). */
  readonly order?: readonly number[];
  /** Length of the context vector; 0 for none. */
  readonly contextSize?: number;
  readonly activation?: Activation;
  /** Adds each pair of hidden layers to what went in. */
  readonly residual?: boolean;
}

/**
 * y_i = f(x_i; θ_i(x_1 … x_{i−1})) for the elements in some order, θ by a masked network and f any bijection. The Jacobian
 * is triangular, its log-determinant the sum of log f′ (Papamakarios et al. 2017, "Masked Autoregressive Flow", section
 * 3.1). Forwards it takes one pass; the inverse needs x_1 … x_{i−1} before x_i, one after the other.
 */
export class MaskedAutoregressive implements Transform {
  readonly bijection: Bijection;
  readonly network: MadeNetwork;
  private readonly dimensions: number;

  /** @throws OptionError where there is no hidden layer, or the order does not name each element once */
  constructor(dimensions: number, bijection: Bijection, options: MaskedAutoregressiveOptions) {
    this.dimensions = dimensions;
    this.bijection = bijection;
    this.network = new MadeNetwork({
      ...options,
      inputs: dimensions,
      parameterCount: bijection.parameterCount,
      layout: bijection.order,
    });
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { value, logDerivative } = this.bijection.forward(x, this.network.forward(x, context));
    return { y: value, logDet: sumElements(logDerivative) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    return this.dimensions <= unrollLimit(this.bijection)
      ? this.unrolledInverse(y, context)
      : this.iteratedInverse(y, context);
  }

  /** The inverse element by element, written out in the program; differentiable. */
  unrolledInverse(y: Tensor, context?: Tensor): Inverse {
    const rows = outputAt(y.shape, 0);
    const { parameterCount } = this.bijection;
    const columns = split(y.transpose(), 0, new Array<number>(this.dimensions).fill(1));
    const logDerivatives: Tensor[] = [];
    const elements = this.network.unroll(
      (element, parameters) => {
        const own = outputAt(columns, element);
        // One sample of one element whose trailing axis is the batch.
        const { value, logDerivative } = this.bijection.inverse(
          own.reshape([1, 1, rows]),
          parameters.reshape([1, parameterCount, rows]),
        );
        logDerivatives.push(logDerivative.reshape([1, rows]));
        return value.reshape([1, rows]);
      },
      rows,
      context,
    );
    return { x: concat(elements, 0).transpose(), logDet: concat(logDerivatives, 0).sum(0) };
  }

  /**
   * The inverse of all elements at once, x ← f⁻¹(y; θ(x)), until nothing changes: the element at position k is exact after k
   * rounds, usually far earlier (Song et al. 2021, "Accelerating Feedforward Computation via Parallel Nonlinear Equation
   * Solving", section 4). Not differentiable.
   */
  iteratedInverse(y: Tensor, context?: Tensor): Inverse {
    const next = (x: Tensor) => this.bijection.inverse(y, this.network.forward(x, context));
    const [x] = whileLoop(
      [y],
      ([before]) => {
        const after = next(before).value.clamp(-ITERATE_BOUND, ITERATE_BOUND);
        const change = after.sub(before).abs().sub(after.abs().add(1).mul(TOLERANCE));
        return { state: [after], again: change.max().greater(0) };
      },
      { maximum: this.dimensions },
    );
    const { value, logDerivative } = next(x);
    return { x: value, logDet: sumElements(logDerivative) };
  }
}
