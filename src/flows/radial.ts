import type { z } from "zod";
import { builderOf } from "../model/definition.ts";
import { constant, normal, zeros } from "../nn/initializers.ts";
import { Linear } from "../nn/linear.ts";
import { Parameter, type Tensor, where } from "../tensor/index.ts";
import { defineMapFlow, underContext } from "./planar.ts";
import type { Forward, Inverse, Transform } from "./transforms/transform.ts";

/** The numbers of a radial map after the constraint; rows are 1, or n where a context decides them. */
interface RadialNumbers {
  /** z₀, [1 or n, D]. */
  readonly center: Tensor;
  /** α > 0, [1 or n, 1]. */
  readonly alpha: Tensor;
  /** α + β̂ > 0, [1 or n, 1]. */
  readonly sigma: Tensor;
}

/** Keeps α and α + β̂ away from 0, where the map is not invertible in float32. */
const SMALLEST = 1e-6;

/**
 * The radial map f(z) = z + β̂ h(α, r)(z − z₀) of rows [n, D], with r = ‖z − z₀‖ and h = 1 / (α + r) (Rezende and Mohamed
 * 2015, equations 14): it draws points towards z₀ or away from it. Appendix A.2: β̂ = −α + log(1 + e^β) keeps it
 * invertible, and α = log(1 + e^a) keeps α positive. With σ = α + β̂ the map is (z − z₀)(r + σ)/(r + α), and
 * log |det| = (D − 1) log((r + σ)/(r + α)) + log((r² + 2αr + σα)/(r + α)²), where nothing is subtracted.
 *
 * The inverse has a formula: with ρ = ‖y − z₀‖, r solves r² + (σ − ρ) r − αρ = 0.
 */
export class Radial implements Transform {
  /** z₀. Weights files and random streams know it by this name. */
  readonly centre: Parameter;
  /** a */
  readonly alpha: Parameter;
  /** β */
  readonly beta: Parameter;
  /** Adds to z₀, a and β what depends on the context. */
  readonly context: Linear | undefined;
  private readonly dimensions: number;

  /** @param contextSize length of the context vector; 0 for none */
  constructor(dimensions: number, contextSize = 0) {
    this.dimensions = dimensions;
    this.centre = new Parameter([1, dimensions], normal(1));
    // Both begin with softplus 1: β̂ = 0, the identity.
    this.alpha = new Parameter([1, 1], constant(Math.log(Math.E - 1)));
    this.beta = new Parameter([1, 1], constant(Math.log(Math.E - 1)));
    this.context =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, dimensions + 2, { bias: false, initializeWeight: zeros });
  }

  private numbers(context?: Tensor): RadialNumbers {
    const sizes = [this.dimensions, 1, 1] as const;
    const own = [this.centre, this.alpha, this.beta] as const;
    const [center, a, beta] = underContext(own, this.context, context, sizes);
    return { center, alpha: a.softplus().add(SMALLEST), sigma: beta.softplus().add(SMALLEST) };
  }

  /** log |det| of the forward map at distance r from the center, [n, 1] → [n]. */
  private logDeterminant(r: Tensor, { alpha, sigma }: RadialNumbers): Tensor {
    const shrunk = r.add(alpha);
    const tangential = r.add(sigma).div(shrunk);
    const radial = r.mul(r.add(alpha.mul(2))).add(alpha.mul(sigma));
    const along = radial.div(shrunk.square()).log();
    const across = this.dimensions - 1;
    return (across === 0 ? along : along.add(tangential.log().mul(across))).squeeze(1);
  }

  forward(z: Tensor, context?: Tensor): Forward {
    const numbers = this.numbers(context);
    const { center, alpha, sigma } = numbers;
    const offset = z.sub(center);
    const r = norm(offset);
    const scale = r.add(sigma).div(r.add(alpha));
    return { y: center.add(offset.mul(scale)), logDet: this.logDeterminant(r, numbers) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const numbers = this.numbers(context);
    const { center, alpha, sigma } = numbers;
    const offset = y.sub(center);
    const rho = norm(offset);
    // The positive root of r² + k r − αρ = 0, without subtracting: (|k| + √(k² + 4αρ)) / 2 is the one of larger size,
    // and the product of both is −αρ.
    const k = sigma.sub(rho);
    const product = alpha.mul(rho);
    const size = k.square().add(product.mul(4)).sqrt();
    const larger = k.abs().add(size).mul(0.5);
    const r = positiveRoot(k, larger, product);
    const scale = r.add(alpha).div(r.add(sigma));
    return { x: center.add(offset.mul(scale)), logDet: this.logDeterminant(r, numbers).neg() };
  }
}

/** Length of each row, [n, 1]; above 0, so that it has a derivative everywhere. */
function norm(x: Tensor): Tensor {
  return x.square().sum(1, true).maximum(1e-12).sqrt();
}

/** Of the roots of r² + k r − product = 0 the positive one, from the size of the larger root. */
function positiveRoot(k: Tensor, larger: Tensor, product: Tensor): Tensor {
  return where(k.greater(0), product.div(larger), larger);
}

/** Radial flows as the catalogue knows them. */
export const radialDefinition = defineMapFlow({
  name: "radial",
  maps: "radial maps",
  map: (dimensions, contextSize) => new Radial(dimensions, contextSize),
});

export const radialOptions = radialDefinition.options;

export type RadialOptions = z.output<typeof radialOptions>;

/**
 * A flow of radial maps; both directions have formulas.
 * @throws OptionError where reverse-kl is asked for and the data has no energy
 */
export const radial = builderOf(radialDefinition);
