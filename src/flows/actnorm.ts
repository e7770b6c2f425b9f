import { zeros } from "../nn/initialisers.ts";
import { isInitialising, Parameter, type Tensor, where } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** The scale (as a logarithm) and the bias that give values mean 0 and variance 1, per column or channel: [c] each. */
export interface Normalisation {
  readonly logScale: Tensor;
  readonly bias: Tensor;
}

/**
 * What normalises the columns of rows [n, c] or the channels of maps [n, c, h, w]. A column that is constant, up to
 * float32's rounding of its mean, is only moved to 0: no scale would give it variance 1.
 */
export function normalisationOf(x: Tensor): Normalisation {
  const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const mean = x.mean(axes, true);
  const variance = x.sub(mean).square().mean(axes, true);
  const constant = variance.lessEqual(mean.square().mul(1e-10).add(1e-12));
  const logScale = where(constant, 0, variance.maximum(1e-12).log().mul(-0.5));
  const flat = [Number(x.shape[1])];
  return { logScale: logScale.reshape(flat), bias: mean.mul(logScale.exp()).neg().reshape(flat) };
}

/** A vector of channels in the place where it broadcasts to x, rows or maps. */
export function perChannel(values: Tensor, x: Tensor): Tensor {
  return x.rank === 2 ? values : values.reshape([1, ...values.shape, ...x.shape.slice(2).map(() => 1)]);
}

/** Number of positions a channel has in a map; 1 in a row. */
export function positions(x: Tensor): number {
  return x.shape.slice(2).reduce<number>((product, size) => product * Number(size), 1);
}

/**
 * Activation normalisation, y = exp(s) · x + b with one s and b a column of rows or a channel of images, whose first batch
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

  private parameters(x: Tensor): Normalisation {
    if (!isInitialising()) return this;
    const start = normalisationOf(x);
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
