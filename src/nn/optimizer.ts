import { OptionError } from "../errors.ts";
import { constant, type Tensor } from "../tensor/index.ts";

// An optimizer is a symbolic update rule on flat vectors: all parameters of a model one after the other, float32 [N].

/** What an update rule reads. */
export interface UpdateContext {
  /** All parameters, [N]. */
  readonly parameters: Tensor;
  /** Gradient of the loss with respect to them, [N]. */
  readonly gradient: Tensor;
  /** State vectors by name, each [N]; zeros before the first step. */
  readonly slots: Readonly<Record<string, Tensor>>;
  /** A scalar. */
  readonly learningRate: Tensor;
  /** Number of this step as a float32 scalar; the first is 1. */
  readonly step: Tensor;
  /** What the learning rate is multiplied by for each number, [N] or a scalar; 1 where absent. */
  readonly rates?: Tensor;
}

/** What an update rule makes. */
export interface Update {
  readonly parameters: Tensor;
  readonly slots: Readonly<Record<string, Tensor>>;
}

/** The rules of this file in numbers, for an update outside of a graph. */
export type UpdateRule =
  | {
      readonly kind: "sgd";
      readonly momentum: number;
      readonly nesterov: boolean;
      readonly weightDecay: number;
    }
  | {
      readonly kind: "adam";
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
      /** Whether the decay is that of AdamW, beside the gradient. */
      readonly decoupled: boolean;
    };

/** A rule that turns a gradient into new parameters. */
export interface Optimizer {
  /** Names of the state vectors, each as long as the parameters; zeros at the start. */
  readonly slots: readonly string[];
  /** The same in numbers; a rule that is none of this file's has none, and is computed in the graph alone. */
  readonly rule?: UpdateRule;
  update(context: UpdateContext): Update;
}

export interface SgdOptions {
  /** Share of the last step that is kept (default: 0). */
  readonly momentum?: number;
  /** Nesterov's look-ahead; needs momentum. */
  readonly nesterov?: boolean;
  /** Factor of an L2 penalty's gradient (default: 0). */
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent with momentum, as in PyTorch: v ← μ v + g; θ ← θ − η v, or θ − η (g + μ v) with Nesterov's
 * look-ahead.
 * @throws OptionError
 */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  between("sgd momentum", momentum, 0, 1);
  atLeastZero("sgd weightDecay", weightDecay);
  if (nesterov && momentum === 0) throw new OptionError("sgd: nesterov needs a momentum above 0");
  return {
    slots: momentum === 0 ? [] : ["velocity"],
    rule: { kind: "sgd", momentum, nesterov, weightDecay },
    update: ({ parameters, gradient, slots, learningRate, rates }) => {
      const decayed = addPenalty(gradient, parameters, weightDecay);
      if (momentum === 0) {
        return { parameters: parameters.sub(atRates(decayed, rates).mul(learningRate)), slots: {} };
      }
      const velocity = slotOf(slots, "velocity").mul(momentum).add(decayed);
      const direction = nesterov ? decayed.add(velocity.mul(momentum)) : velocity;
      return { parameters: parameters.sub(atRates(direction, rates).mul(learningRate)), slots: { velocity } };
    },
  };
}

export interface AdamOptions {
  /** Decay of the first moment (default: 0.9). */
  readonly beta1?: number;
  /** Decay of the second moment (default: 0.999). */
  readonly beta2?: number;
  /** Added to the square root of the second moment (default: 1e-8). */
  readonly epsilon?: number;
  /** adam: factor of an L2 penalty's gradient (default: 0). adamW: decoupled decay (default: 0.01). */
  readonly weightDecay?: number;
}

/**
 * Adam (Kingma and Ba 2015, algorithm 1) with PyTorch's formulas; `weightDecay` adds the gradient of an L2 penalty.
 * @throws OptionError
 */
export function adam(options: AdamOptions = {}): Optimizer {
  const { weightDecay = 0 } = options;
  return adamCore("adam", options, false, ({ parameters, gradient }) => ({
    parameters,
    gradient: addPenalty(gradient, parameters, weightDecay),
  }));
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): θ ← (1 − η λ) θ before the step.
 * @throws OptionError
 */
export function adamW(options: AdamOptions = {}): Optimizer {
  const { weightDecay = 0.01 } = options;
  return adamCore(
    "adamw",
    { ...options, weightDecay },
    true,
    ({ parameters, gradient, learningRate, rates }) => ({
      parameters:
        weightDecay === 0
          ? parameters
          : parameters.mul(constant(1).sub(atRates(learningRate.mul(weightDecay), rates))),
      gradient,
    }),
  );
}

/**
 * The slots hold the discounted sums Σ β₁ᵏ g and Σ β₂ᵏ g², which are the paper's moments divided by 1 − β. That factor
 * and the bias corrections become scalars, which spares four passes over the vectors.
 */
function adamCore(
  name: string,
  options: AdamOptions,
  decoupled: boolean,
  decay: (context: UpdateContext) => { readonly parameters: Tensor; readonly gradient: Tensor },
): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  between(`${name} beta1`, beta1, 0, 1);
  between(`${name} beta2`, beta2, 0, 1);
  atLeastZero(`${name} epsilon`, epsilon);
  atLeastZero(`${name} weightDecay`, weightDecay);
  return {
    slots: ["gradientSum", "squareSum"],
    rule: { kind: "adam", beta1, beta2, epsilon, weightDecay, decoupled },
    update: (context) => {
      const { parameters, gradient } = decay(context);
      const gradientSum = slotOf(context.slots, "gradientSum").mul(beta1).add(gradient);
      const squareSum = slotOf(context.slots, "squareSum").mul(beta2).add(gradient.square());
      // √v̂ + ε = unit · (√squareSum + ε / unit), with v̂ = squareSum · unit².
      const unit = overComplement(1 - beta2, beta2, context.step).sqrt();
      const rate = context.learningRate.mul(overComplement(1 - beta1, beta1, context.step)).div(unit);
      const direction = gradientSum.div(squareSum.sqrt().add(constant(epsilon).div(unit)));
      return {
        parameters: parameters.sub(atRates(direction, context.rates).mul(rate)),
        slots: { gradientSum, squareSum },
      };
    },
  };
}

/**
 * a / (1 − βⁿ). With u = −n log(β) / 2, 1 − βⁿ = 1 − e⁻²ᵘ = 2 tanh u / (1 + tanh u), which loses no digits where βⁿ is
 * near 1; the quotient is a / 2 + (a / 2) / tanh u.
 */
function overComplement(a: number, beta: number, step: Tensor): Tensor {
  if (beta === 0) return constant(a);
  return constant(a / 2)
    .div(step.mul(-Math.log(beta) / 2).tanh())
    .add(a / 2);
}

function atRates(direction: Tensor, rates: Tensor | undefined): Tensor {
  return rates === undefined ? direction : direction.mul(rates);
}

function addPenalty(gradient: Tensor, parameters: Tensor, weightDecay: number): Tensor {
  return weightDecay === 0 ? gradient : gradient.add(parameters.mul(weightDecay));
}

function slotOf(slots: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const slot = slots[name];
  if (slot === undefined) {
    throw new OptionError(
      `optimizer: slot ${name} was not given; slots are: ${Object.keys(slots).join(", ")}`,
    );
  }
  return slot;
}

/**
 * Scales a gradient [N] down to the norm `maxNorm` where it is longer (Pascanu et al. 2013, algorithm 1), with PyTorch's
 * formula min(1, maxNorm / (norm + 1e-6)). Also returns the norm before clipping, a scalar.
 * @throws OptionError where maxNorm is not above 0
 */
export function clipByGlobalNorm(
  gradient: Tensor,
  maxNorm: number,
): { readonly gradient: Tensor; readonly norm: Tensor } {
  if (!(maxNorm > 0)) throw new OptionError(`clip norm: ${maxNorm} must be above 0`);
  const norm = gradient.square().sum().sqrt();
  const scale = constant(maxNorm).div(norm.add(1e-6)).minimum(1);
  return { gradient: gradient.mul(scale), norm };
}

/**
 * Exponential moving average of parameters: average ← d · average + (1 − d) · parameters with
 * d = min(decay, (1 + step) / (10 + step)), which forgets the random start soon. `step` is a scalar, 1 at first.
 * @throws OptionError where decay is not in [0, 1)
 */
export function movingAverage(average: Tensor, parameters: Tensor, decay: number, step: Tensor): Tensor {
  between("average decay", decay, 0, 1);
  const share = step.add(1).div(step.add(10)).minimum(decay).neg().add(1);
  return average.add(parameters.sub(average).mul(share));
}

function between(option: string, value: number, low: number, high: number): void {
  if (!(value >= low && value < high)) {
    throw new OptionError(`${option}: ${value} must be at least ${low} and below ${high}`);
  }
}

function atLeastZero(option: string, value: number): void {
  if (!(value >= 0)) throw new OptionError(`${option}: ${value} must not be negative`);
}
