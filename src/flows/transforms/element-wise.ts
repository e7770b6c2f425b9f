import { OptionError } from "../../errors.ts";
import { zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import {
  constant,
  elementCount,
  float32,
  type Initializer,
  Parameter,
  slice,
  type Tensor,
} from "../../tensor/index.ts";
import { type Bijection, type Elementwise, sumElements } from "./bijections.ts";
import { type Forward, type Inverse, Inverted, noVolumeChange, type Transform } from "./transform.ts";

/** Half the distance of float32 numbers just below 1: values are kept this far from the ends of open intervals. */
const NEAREST = 2 ** -24;

/** The smallest argument that logarithms of positive numbers are given. */
const SMALLEST = 1e-37;

/** A strictly monotonic function of each number by itself, on samples of any shape [n, …]. */
abstract class ElementwiseTransform implements Transform {
  protected abstract apply(x: Tensor): Elementwise;
  protected abstract undo(y: Tensor): Elementwise;

  forward(x: Tensor): Forward {
    const { value, logDerivative } = this.apply(x);
    return { y: value, logDet: sumElements(logDerivative) };
  }

  inverse(y: Tensor): Inverse {
    const { value, logDerivative } = this.undo(y);
    return { x: value, logDet: sumElements(logDerivative) };
  }
}

/**
 * y = logit(α + (1 − 2α) x) = log(α + (1 − 2α) x) − log(α + (1 − 2α)(1 − x)), from the unit interval to the reals
 * (Dinh et al. 2017, "RealNVP", section 4.1). The log-derivative is log(1 − 2α) − log u − log(1 − u) with
 * u = α + (1 − 2α) x. Where u would leave (0, 1), y is that of the nearest float32 number inside, and its gradient 0.
 */
export class LogitTransform extends ElementwiseTransform {
  private readonly alpha: number;

  /**
   * @param alpha how far the ends of the interval are kept from 0 and 1 (default: 0.05, as in the paper)
   * @throws OptionError unless 0 ≤ alpha < 0.5
   */
  constructor(alpha = 0.05) {
    super();
    if (!(alpha >= 0 && alpha < 0.5))
      throw new OptionError(`logit: alpha must be at least 0 and below 0.5, not ${alpha}`);
    this.alpha = alpha;
  }

  protected apply(x: Tensor): Elementwise {
    const { alpha } = this;
    const width = 1 - 2 * alpha;
    const log = (part: Tensor): Tensor => part.mul(width).add(alpha).clamp(NEAREST, 1).log();
    // 1 − u from 1 − x, which is exact near 1.
    const [below, above] = [log(x), log(x.neg().add(1))];
    return { value: below.sub(above), logDerivative: below.add(above).neg().add(Math.log(width)) };
  }

  protected undo(y: Tensor): Elementwise {
    const { alpha } = this;
    const width = 1 - 2 * alpha;
    // log σ(y) + log σ(−y) = y − 2 softplus(y)
    const logDerivative = y.sub(y.softplus().mul(2)).sub(Math.log(width));
    return {
      value: y
        .sigmoid()
        .sub(alpha)
        .mul(1 / width),
      logDerivative,
    };
  }
}

/** y = 1 / (1 + e⁻ˣ), with log-derivative x − 2 softplus(x): from the reals to the unit interval. */
export class SigmoidTransform extends Inverted {
  constructor() {
    super(new LogitTransform(0));
  }
}

/**
 * y = tanh x, with log-derivative 2 (log 2 − x − softplus(−2x)). The inverse ½ (log(1 + y) − log(1 − y)) takes values
 * at ±1 and beyond as the float32 numbers next to ±1.
 */
export class TanhTransform extends ElementwiseTransform {
  protected apply(x: Tensor): Elementwise {
    const logDerivative = x
      .add(x.mul(-2).softplus())
      .mul(-2)
      .add(2 * Math.LN2);
    return { value: x.tanh(), logDerivative };
  }

  protected undo(y: Tensor): Elementwise {
    const inside = y.clamp(NEAREST - 1, 1 - NEAREST);
    const [above, below] = [inside.log1p(), inside.neg().log1p()];
    return { value: above.sub(below).mul(0.5), logDerivative: above.add(below).neg() };
  }
}

/**
 * y = log(1 + eˣ), with log-derivative −log(1 + e⁻ˣ): from the reals to positive numbers. The inverse is
 * y + log(1 − e⁻ʸ). Below −85, y is too small for float32 and the inverse stays at −85.
 */
export class SoftplusTransform extends ElementwiseTransform {
  protected apply(x: Tensor): Elementwise {
    // Relative precision for small y, where the runtime's Softplus rounds 1 + eˣ; above 15, softplus(x) − x < 4e-7.
    const value = x.minimum(15).exp().log1p().add(x.sub(15).relu());
    return { value, logDerivative: x.neg().softplus().neg() };
  }

  protected undo(y: Tensor): Elementwise {
    const positive = y.maximum(SMALLEST);
    const correction = positive.neg().expm1().neg().log();
    return { value: positive.add(correction), logDerivative: correction.neg() };
  }
}

/** y = eˣ, with log-derivative x: from the reals to positive numbers. y stays within float32's range. */
export class ExpTransform extends ElementwiseTransform {
  protected apply(x: Tensor): Elementwise {
    return { value: x.clamp(Math.log(SMALLEST), 88).exp(), logDerivative: x };
  }

  protected undo(y: Tensor): Elementwise {
    const value = y.maximum(SMALLEST).log();
    return { value, logDerivative: value.neg() };
  }
}

/** y = log x, with log-derivative −log x: from positive numbers to the reals. */
export class LogTransform extends Inverted {
  constructor() {
    super(new ExpTransform());
  }
}

/** y = x where positive and slope · x elsewhere, with log-derivatives 0 and log slope. */
export class LeakyReluTransform extends ElementwiseTransform {
  private readonly slope: number;

  /** @throws OptionError unless the slope is positive */
  constructor(slope = 0.1) {
    super();
    if (!(slope > 0)) throw new OptionError(`leaky ReLU: the slope must be above 0, not ${slope}`);
    this.slope = slope;
  }

  private bend(x: Tensor, slope: number): Elementwise {
    return { value: x.leakyRelu(slope), logDerivative: x.lessEqual(0).cast("float32").mul(Math.log(slope)) };
  }

  protected apply(x: Tensor): Elementwise {
    return this.bend(x, this.slope);
  }

  protected undo(y: Tensor): Elementwise {
    return this.bend(y, 1 / this.slope);
  }
}

/** Gives values of components (or channels) [n or 1, d] the shape that broadcasts over x [n, d, …]. */
function alongAxis1(values: Tensor, x: Tensor): Tensor {
  return values.reshape([values.shape[0] ?? 1, values.shape[1] ?? 1, ...x.shape.slice(2).map(() => 1)]);
}

/** Numbers of a sample of x [n, d, …] at each position of axis 1. */
function placesOf(x: Tensor): number {
  return elementCount(x.shape.slice(2).map(Number));
}

/** y = x · scale + shift by given numbers for each component, or each channel, of axis 1: as data are standardized. */
export class FixedAffine implements Transform {
  private readonly scale: readonly number[];
  private readonly shift: readonly number[];

  /** @throws OptionError where there are not as many shifts as scales, or a scale is 0 */
  constructor(scale: readonly number[], shift: readonly number[]) {
    if (scale.length !== shift.length || scale.some((factor) => factor === 0)) {
      throw new OptionError("affine transform: give as many shifts as scales, and scales other than 0");
    }
    this.scale = scale;
    this.shift = shift;
  }

  private along(values: readonly number[], x: Tensor): Tensor {
    return alongAxis1(constant(float32(values, [1, values.length])), x);
  }

  private logDet(x: Tensor): number {
    return this.scale.reduce((total, factor) => total + Math.log(Math.abs(factor)), 0) * placesOf(x);
  }

  forward(x: Tensor): Forward {
    const y = x.mul(this.along(this.scale, x)).add(this.along(this.shift, x));
    return { y, logDet: noVolumeChange(x).add(this.logDet(x)) };
  }

  inverse(y: Tensor): Inverse {
    const factors = this.scale.map((factor) => 1 / factor);
    const x = y.sub(this.along(this.shift, y)).mul(this.along(factors, y));
    return { x, logDet: noVolumeChange(y).sub(this.logDet(y)) };
  }
}

/** Largest log-scale of a learned element-wise affine map. */
const LIMIT = 5;

/**
 * y = x · exp(s) + t with a learned log-scale s (kept within ±5 by 5 tanh(· / 5)) and shift t for each component, or
 * each channel, of axis 1; under a context c, s and t are affine functions of it. It starts as the identity.
 */
export class ElementwiseAffine implements Transform {
  readonly scale: Parameter;
  readonly shift: Parameter;
  /** From the context to changes of scale and shift, [n, 2d]. */
  readonly context: Linear | undefined;

  /** @param contextSize length of the context vector; 0 for none */
  constructor(size: number, contextSize = 0) {
    this.scale = new Parameter([1, size], zeros);
    this.shift = new Parameter([1, size], zeros);
    this.context =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, 2 * size, { bias: false, initializeWeight: zeros });
  }

  private parameters(context: Tensor | undefined): { readonly logScale: Tensor; readonly shift: Tensor } {
    const [, size = 1] = this.scale.shape;
    const change = context && this.context?.forward(context);
    const raw = change === undefined ? this.scale : this.scale.add(slice(change, 1, 0, size));
    return {
      logScale: raw
        .mul(1 / LIMIT)
        .tanh()
        .mul(LIMIT),
      shift: change === undefined ? this.shift : this.shift.add(slice(change, 1, size)),
    };
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { logScale, shift } = this.parameters(context);
    const logDet = noVolumeChange(x).add(logScale.sum(1).mul(placesOf(x)));
    return { y: x.mul(alongAxis1(logScale.exp(), x)).add(alongAxis1(shift, x)), logDet };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const { logScale, shift } = this.parameters(context);
    const logDet = noVolumeChange(y).sub(logScale.sum(1).mul(placesOf(y)));
    return { x: y.sub(alongAxis1(shift, y)).mul(alongAxis1(logScale.neg().exp(), y)), logDet };
  }
}

/**
 * Any bijection applied to each component (or channel) of axis 1 with parameters of its own, which are learned and,
 * under a context, an affine function of it.
 */
export class ElementwiseBijection implements Transform {
  readonly bijection: Bijection;
  readonly parameters: Parameter;
  readonly context: Linear | undefined;

  /** @param initialize starting values of the parameters [parameterCount · size] (default: zeros) */
  constructor(size: number, bijection: Bijection, contextSize = 0, initialize: Initializer = zeros) {
    const count = size * bijection.parameterCount;
    this.bijection = bijection;
    this.parameters = new Parameter([count], initialize);
    this.context =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, count, { bias: false, initializeWeight: zeros });
  }

  /** Parameters for every number of x [n, d, …]: [n, parameterCount · d, …]. */
  private parametersFor(x: Tensor, context: Tensor | undefined): Tensor {
    const [count = 1] = this.parameters.shape;
    const change = context && this.context?.forward(context);
    const rows = change === undefined ? this.parameters.reshape([1, count]) : this.parameters.add(change);
    return alongAxis1(rows, x).broadcastTo([x.shape[0] ?? 1, count, ...x.shape.slice(2)]);
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { value, logDerivative } = this.bijection.forward(x, this.parametersFor(x, context));
    return { y: value, logDet: sumElements(logDerivative) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const { value, logDerivative } = this.bijection.inverse(y, this.parametersFor(y, context));
    return { x: value, logDet: sumElements(logDerivative) };
  }
}
