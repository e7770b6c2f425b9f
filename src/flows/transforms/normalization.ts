import { ones, zeros } from "../../nn/initializers.ts";
import { batchNorm, batchNormWith, isInitializing, shapeError } from "../../tensor/index.operations.ts";
import { Buffer, isTraining, Parameter, type Tensor, where } from "../../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** The scale (as a logarithm) and the bias that give values mean 0 and variance 1, per column or channel: [c] each. */
export interface Normalization {
  readonly logScale: Tensor;
  readonly bias: Tensor;
}

/**
 * What normalizes the columns of rows [n, c] or the channels of maps [n, c, h, w]. A column that is constant, up to
 * float32's rounding of its mean, is only moved to 0: no scale would give it variance 1.
 */
export function normalizationOf(x: Tensor): Normalization {
  const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const mean = x.mean(axes, true);
  const variance = x.sub(mean).square().mean(axes, true);
  const constant = variance.lessEqual(mean.square().mul(1e-10).add(1e-12));
  const logScale = where(constant, 0, variance.maximum(1e-12).log().mul(-0.5));
  const flat = [Number(x.shape[1])];
  return { logScale: logScale.reshape(flat), bias: mean.mul(logScale.exp()).neg().reshape(flat) };
}

/** A vector of channels in the shape in which it broadcasts to x, rows or maps. */
export function perChannel(values: Tensor, x: Tensor): Tensor {
  return x.rank === 2 ? values : values.reshape([1, ...values.shape, ...x.shape.slice(2).map(() => 1)]);
}

/** Number of positions a channel has in a map; 1 in a row. */
export function positions(x: Tensor): number {
  return x.shape.slice(2).reduce<number>((product, size) => product * Number(size), 1);
}

/**
 * Activation normalization, y = exp(s) · x + b with one s and b a column of rows or a channel of images, whose first batch
 * decides where they start: so that y has mean 0 and variance 1 there (Kingma and Dhariwal 2018, "Glow", section 3.1).
 */
export class ActNorm implements Transform {
  readonly logScale: Parameter;
  readonly bias: Parameter;

  /** @param size columns of rows, or channels of images */
  constructor(size: number) {
    this.logScale = new Parameter([size], zeros);
    this.bias = new Parameter([size], zeros);
  }

  private parameters(x: Tensor): Normalization {
    if (!isInitializing()) return this;
    const start = normalizationOf(x);
    this.logScale.startFrom(start.logScale);
    this.bias.startFrom(start.bias);
    return start;
  }

  forward(x: Tensor): Forward {
    const { logScale, bias } = this.parameters(x);
    return {
      y: x.mul(perChannel(logScale.exp(), x)).add(perChannel(bias, x)),
      logDet: noVolumeChange(x).add(logScale.sum().mul(positions(x))),
    };
  }

  inverse(y: Tensor): Inverse {
    return {
      x: y.sub(perChannel(this.bias, y)).mul(perChannel(this.logScale.neg().exp(), y)),
      logDet: noVolumeChange(y).sub(this.logScale.sum().mul(positions(y))),
    };
  }
}

export interface BatchNormTransformOptions {
  /** Added to the variance (default: 1e-5). */
  readonly epsilon?: number;
  /** Share of a batch in the running statistics (default: 0.1). */
  readonly momentum?: number;
  /** Whether there is a learned scale and shift (default: true). */
  readonly affine?: boolean;
}

/**
 * Batch normalization as a transform, of rows [n, d] or of the channels of maps [n, c, h, w]:
 * y = (x − m) / √(v + ε) · exp(γ) + β, with log-determinant Σ (γ − ½ log(v + ε)) times the number of positions of a channel
 * (Dinh et al. 2017, "RealNVP", section 3.7; Papamakarios et al. 2017, "MAF", section 4.2, with γ and β).
 *
 * While training, the forward map takes mean and variance from the batch, gradients flow through them, and running
 * statistics follow; otherwise, and in the inverse always, the running statistics serve.
 */
export class BatchNormTransform implements Transform {
  /** γ, of which the exponential is the factor. */
  readonly scale: Parameter | undefined;
  readonly shift: Parameter | undefined;
  readonly running_mean: Buffer;
  readonly running_var: Buffer;
  private readonly momentum: number;
  private readonly epsilon: number;

  /** @param size number of components, or of channels */
  constructor(
    size: number,
    { epsilon = 1e-5, momentum = 0.1, affine = true }: BatchNormTransformOptions = {},
  ) {
    this.scale = affine ? new Parameter([size], zeros) : undefined;
    this.shift = affine ? new Parameter([size], zeros) : undefined;
    this.running_mean = new Buffer([size], zeros);
    this.running_var = new Buffer([size], ones);
    this.momentum = momentum;
    this.epsilon = epsilon;
  }

  /** Σ (γ − ½ log(v + ε)) times the positions of a channel, for each row of x. */
  private logDet(x: Tensor, variance: Tensor): Tensor {
    const places = x.shape.slice(2).reduce<number>((product, size) => product * Number(size), 1);
    const logFactor = variance.add(this.epsilon).log().mul(-0.5);
    const total = (this.scale === undefined ? logFactor : logFactor.add(this.scale)).sum();
    return noVolumeChange(x).add(total.mul(places));
  }

  /** @throws ShapeError where a training batch has one value a channel: it has no variance */
  forward(x: Tensor): Forward {
    const options = {
      ...(this.scale && { weight: this.scale.exp() }),
      ...(this.shift && { bias: this.shift }),
      epsilon: this.epsilon,
    };
    if (!isTraining()) {
      const statistics = { mean: this.running_mean, variance: this.running_var };
      return { y: batchNormWith(x, statistics, options), logDet: this.logDet(x, this.running_var) };
    }
    const count = x.shape.reduce<number>(
      (product, size, i) => (i === 1 ? product : product * Number(size)),
      1,
    );
    if (!(count > 1)) throw shapeError("BatchNormTransform", [x], "one value a channel has no variance");
    const { y, mean, variance } = batchNorm(x, options);
    this.follow(this.running_mean, mean);
    this.follow(this.running_var, variance.mul(count / (count - 1)));
    return { y, logDet: this.logDet(x, variance) };
  }

  private follow(buffer: Buffer, value: Tensor): void {
    buffer.update(buffer.mul(1 - this.momentum).add(value.mul(this.momentum)));
  }

  inverse(y: Tensor): Inverse {
    const along = (values: Tensor): Tensor =>
      values.reshape([1, values.shape[0] ?? 1, ...y.shape.slice(2).map(() => 1)]);
    const deviation = this.running_var.add(this.epsilon).sqrt();
    const factor = this.scale === undefined ? deviation : deviation.mul(this.scale.neg().exp());
    const centered = this.shift === undefined ? y : y.sub(along(this.shift));
    const x = centered.mul(along(factor)).add(along(this.running_mean));
    return { x, logDet: this.logDet(y, this.running_var).neg() };
  }
}
