import { kaimingUniform, zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { matmul, sub } from "../../tensor/index.operations.ts";
import { constant, float32, type Initializer, linear, split, type Tensor } from "../../tensor/index.ts";

/** What is asked of a velocity field beside the velocity. */
export interface FieldQuery {
  /** Whether the trace of the Jacobian is wanted. */
  readonly trace?: boolean;
  /** Directions [n, D] to be multiplied by the Jacobian. */
  readonly probe?: Tensor;
}

/** A velocity, and its derivatives along x as far as they were asked for. */
export interface FieldValues {
  /** f(x), [n, D]. */
  readonly velocity: Tensor;
  /** tr(∂f/∂x), [n]. */
  readonly trace?: Tensor;
  /** (∂f/∂x) · probe, [n, D]. */
  readonly product?: Tensor;
}

/** A velocity field of rows at one time. */
export interface FieldAtTime {
  evaluate(x: Tensor, query?: FieldQuery): FieldValues;
}

/** A velocity field f(x, t) of rows x [n, D], maybe under a context [n, c]. */
export interface VelocityField {
  readonly dimensions: number;
  /** Whether the exact trace costs little more than the velocity, whatever the number of dimensions. */
  readonly hasCheapTrace: boolean;
  /** The field at each of some times [T]. */
  at(times: Tensor, context?: Tensor): readonly FieldAtTime[];
}

/** A smooth activation: its value and its derivative. */
type SmoothActivation = (x: Tensor) => { readonly value: Tensor; readonly slope: () => Tensor };

/** Activations by name, with derivatives that are smooth themselves. */
export const SMOOTH_ACTIVATIONS = {
  tanh: (x) => {
    const value = x.tanh();
    // As the gradient of tanh writes it, so that both are computed once.
    return { value, slope: () => sub(1, value.square()) };
  },
  softplus: (x) => ({ value: x.softplus(), slope: () => x.sigmoid() }),
  silu: (x) => {
    const gate = x.sigmoid();
    const value = x.mul(gate);
    return { value, slope: () => gate.add(value.mul(gate.neg().add(1))) };
  },
} as const satisfies Record<string, SmoothActivation>;

export type SmoothActivationName = keyof typeof SMOOTH_ACTIVATIONS;

export interface ConcatSquashOptions {
  readonly dimensions: number;
  /** Units of each hidden layer. */
  readonly hidden: readonly number[];
  /** Length of the context vector; 0 for none. */
  readonly contextSize: number;
  readonly activation: SmoothActivationName;
  /** Cosines cos(π k t), k = 1 …, that a layer sees of the time. */
  readonly timeFeatures: number;
}

/**
 * A multilayer perceptron whose layers depend on time as in FFJORD's ConcatSquash (Grathwohl et al. 2019):
 * h ↦ (W h) ⊙ 2σ(gate(t)) + shift(t), here with gate and shift linear in a few cosines of t; a context adds
 * to the shift. The gate is taken into the weights, so that every layer is one plain linear map at each time.
 */
export class ConcatSquashField implements VelocityField {
  readonly dimensions: number;
  readonly layers: readonly Linear[];
  /** From cosines of the time to a gate of every unit, all layers in turn. */
  readonly gate: Linear;
  readonly shift: Linear;
  readonly context: Linear | undefined;
  private readonly sizes: readonly number[];
  private readonly activation: SmoothActivation;
  private readonly frequencies: readonly number[];

  constructor({ dimensions, hidden, contextSize, activation, timeFeatures }: ConcatSquashOptions) {
    this.dimensions = dimensions;
    this.sizes = [dimensions, ...hidden, dimensions];
    this.activation = SMOOTH_ACTIVATIONS[activation];
    this.frequencies = Array.from({ length: timeFeatures }, (_, k) => Math.PI * (k + 1));
    const outputs = this.sizes.slice(1);
    const units = outputs.reduce((total, size) => total + size, 0);
    // A field of zero, so that the flow starts as the identity.
    this.layers = outputs.map(
      (size, i) =>
        new Linear(this.sizes[i] ?? size, size, {
          bias: false,
          initializeWeight: i === hidden.length ? zeros : kaimingUniform(),
        }),
    );
    this.gate = new Linear(timeFeatures, units, { initializeBias: zeros });
    const quietEnd = (initialize: Initializer): Initializer => endingInZeros(initialize, dimensions);
    this.shift = new Linear(timeFeatures, units, {
      initializeWeight: quietEnd(kaimingUniform()),
      initializeBias: quietEnd((target, _, random) => {
        random.fillUniform(target);
        for (const [i, value] of target.entries()) target[i] = 2 * value - 1;
      }),
    });
    this.context =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, units, { bias: false, initializeWeight: quietEnd(kaimingUniform()) });
  }

  /** With up to two hidden layers the trace has a closed form, without a tangent for each dimension. */
  get hasCheapTrace(): boolean {
    return this.layers.length <= 3;
  }

  at(times: Tensor, context?: Tensor): readonly FieldAtTime[] {
    const count = Number(times.shape[0]);
    const frequencies = constant(float32(this.frequencies, [1, this.frequencies.length]));
    const features = times.reshape([count, 1]).mul(frequencies).cos();
    const outputs = this.sizes.slice(1);
    const gates = split(this.gate.forward(features).sigmoid().mul(2), 1, outputs);
    const shifts = split(this.shift.forward(features), 1, outputs);
    const weights = this.layers.map(({ weight }, i) => {
      const size = outputs[i] ?? 0;
      return weight.mul((gates[i] ?? features).reshape([count, size, 1]));
    });
    const added =
      this.context && context
        ? split(this.context.forward(context), 1, outputs)
        : outputs.map(() => undefined);
    const contraction = tracePart(weights);
    const weightsOf = weights.map((weight) => unstack(weight));
    const shiftsOf = shifts.map((shift) => unstack(shift));
    const contractionOf = contraction === undefined ? [] : unstack(contraction);
    return Array.from({ length: count }, (_, k) => {
      const layers = outputs.map((_, i): LayerAtTime => {
        const [weight, bias] = [weightsOf[i]?.[k], shiftsOf[i]?.[k]];
        if (weight === undefined || bias === undefined) throw new TypeError("a layer is missing");
        return { weight, bias, added: added[i] };
      });
      return new PerceptronAtTime(layers, this.activation, contractionOf[k]);
    });
  }
}

function endingInZeros(initialize: Initializer, rows: number): Initializer {
  return (target, shape, random) => {
    initialize(target, shape, random);
    const rowSize = target.length / (shape[0] ?? 1);
    target.fill(0, target.length - rows * rowSize);
  };
}

/** The T parts [T, …] → […] of a tensor. */
function unstack(x: Tensor): readonly Tensor[] {
  const count = Number(x.shape[0]);
  const parts = count === 1 ? [x] : split(x, 0, count);
  return parts.map((part) => part.reshape(x.shape.slice(1)));
}

/**
 * What of the trace depends on weights alone, for all times [T, …]. With layers W₀, W₁, … and diagonal matrices S of
 * slopes: tr(W₁ S₀ W₀) = Σ_h s₀ₕ (W₀ W₁)ₕₕ for one hidden layer, and for two, because a trace is cyclic,
 * tr(W₂ S₁ W₁ S₀ W₀) = Σ_kh s₁ₖ [W₁ ⊙ (W₀ W₂)ᵀ]ₖₕ s₀ₕ.
 */
function tracePart(weights: readonly Tensor[]): Tensor | undefined {
  const [first, second, third] = weights;
  if (first === undefined || second === undefined || weights.length > 3) return undefined;
  return third === undefined
    ? first
        .mul(second.transpose([0, 2, 1]))
        .sum(2)
        .unsqueeze(1)
    : matmul(third, first, { transposeA: true, transposeB: true }).mul(second);
}

/** A layer at one time, x Wᵀ + bias + added. */
interface LayerAtTime {
  readonly weight: Tensor;
  readonly bias: Tensor;
  /** By the context, [n, out]. */
  readonly added: Tensor | undefined;
}

class PerceptronAtTime implements FieldAtTime {
  private readonly layers: readonly LayerAtTime[];
  private readonly activation: SmoothActivation;
  private readonly contraction: Tensor | undefined;

  constructor(layers: readonly LayerAtTime[], activation: SmoothActivation, contraction: Tensor | undefined) {
    this.layers = layers;
    this.activation = activation;
    this.contraction = contraction;
  }

  evaluate(x: Tensor, { trace = false, probe }: FieldQuery = {}): FieldValues {
    const slopes: Tensor[] = [];
    const needsSlopes = trace || probe !== undefined;
    let [hidden, tangent] = [x, probe];
    this.layers.forEach(({ weight, bias, added }, i) => {
      const plain = linear(hidden, weight, bias);
      hidden = added === undefined ? plain : plain.add(added);
      if (tangent !== undefined) tangent = linear(tangent, weight);
      if (i === this.layers.length - 1) return;
      const { value, slope } = this.activation(hidden);
      hidden = value;
      if (!needsSlopes) return;
      const derivative = slope();
      slopes.push(derivative);
      if (tangent !== undefined) tangent = tangent.mul(derivative);
    });
    return {
      velocity: hidden,
      ...(trace && { trace: this.trace(slopes) }),
      ...(tangent !== undefined && { product: tangent }),
    };
  }

  private trace(slopes: readonly Tensor[]): Tensor {
    const [first, second] = slopes;
    if (first === undefined) throw new TypeError("a velocity field has at least one hidden layer");
    const rows = first.shape[0] ?? 1;
    if (this.contraction === undefined) return this.traceByTangents(slopes);
    const met = linear(first, this.contraction);
    return second === undefined ? met.reshape([rows]) : met.mul(second).sum(1);
  }

  /** Carries the tangents of all D dimensions through the layers at once: [n, D, units]. */
  private traceByTangents(slopes: readonly Tensor[]): Tensor {
    const [first, ...others] = this.layers;
    const last = this.layers.at(-1);
    if (first === undefined || last === undefined) throw new TypeError("a velocity field has layers");
    const tangents = slopes
      .slice(1)
      .reduce(
        (before, slope, i) =>
          matmul(before, (others[i] ?? last).weight, { transposeB: true }).mul(slope.unsqueeze(1)),
        first.weight.transpose().mul((slopes[0] ?? last.weight).unsqueeze(1)),
      );
    return tangents.mul(last.weight).sum([1, 2]);
  }
}
