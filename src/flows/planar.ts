import type { z } from "zod";
import { layerCount } from "../bounds.ts";
import { InverseError } from "../errors.ts";
import { builderOf } from "../model/definition.ts";
import { normal, zeros } from "../nn/initializers.ts";
import { Linear } from "../nn/linear.ts";
import { linear, Parameter, split, type Tensor } from "../tensor/index.ts";
import { defineFlow } from "./define.ts";
import { objectiveOptions } from "./densities/objective.ts";
import { flowOptions } from "./model.ts";
import {
  type Forward,
  type Inverse,
  Inverted,
  monotoneRoot,
  NumericalInverse,
  type NumericallyInvertible,
  type Transform,
} from "./transforms/transform.ts";

/** softplus(κ) = 1: where wᵀû = 0. */
const KAPPA = Math.log(Math.E - 1);

/** How far wᵀû stays above −1, so that the inverse exists in float32 too. */
const MARGIN = 1e-6;

/**
 * Three numbers or vectors of a map, [1, size] each, plus what depends on the context, [n, size] each.
 * @param layer from the context to what is added to the three, one beside the other
 */
export function underContext(
  own: readonly [Parameter, Parameter, Parameter],
  layer: Linear | undefined,
  context: Tensor | undefined,
  sizes: readonly [number, number, number],
): readonly [Tensor, Tensor, Tensor] {
  if (layer === undefined || context === undefined) return own;
  const [first, second, third] = split(layer.forward(context), 1, sizes);
  return [own[0].add(first), own[1].add(second), own[2].add(third)];
}

/** The numbers of a planar map after the constraint; rows are 1, or n where a context decides them. */
export interface PlanarNumbers {
  /** w, [1 or n, D]. */
  readonly w: Tensor;
  /** û, [1 or n, D]. */
  readonly u: Tensor;
  /** b, [1 or n, 1]. */
  readonly b: Tensor;
  /** 1 + wᵀû, above 0, [1 or n, 1]. */
  readonly stretch: Tensor;
}

/**
 * The planar map f(z) = z + û tanh(wᵀz + b) of rows [n, D] (Rezende and Mohamed 2015, equations 10 to 12), which is
 * invertible where wᵀû ≥ −1. Appendix A.1: û = u + (m(wᵀu) − wᵀu) w / ‖w‖² with m(a) = −1 + log(1 + eᵃ), so that
 * wᵀû = m(wᵀu); divided by ‖w‖ instead, wᵀû falls below −1.
 *
 * Parameters: w, b, and `u`, which is the paper's u less κ w / ‖w‖² with m(κ) = 0: the same maps, but u = 0 is the
 * identity, and nothing is divided by a small ‖w‖ (the correction m(a + κ) − a vanishes with a = wᵀu).
 *
 * The inverse has no formula; `numericalInverse` solves an equation in one unknown a row.
 */
export class Planar implements NumericallyInvertible {
  readonly w: Parameter;
  readonly u: Parameter;
  readonly b: Parameter;
  /** Adds to w, u and b what depends on the context. */
  readonly context: Linear | undefined;
  private readonly dimensions: number;

  /** @param contextSize length of the context vector; 0 for none */
  constructor(dimensions: number, contextSize = 0) {
    this.dimensions = dimensions;
    this.w = new Parameter([1, dimensions], normal(1));
    this.u = new Parameter([1, dimensions], normal(0.01));
    this.b = new Parameter([1, 1], normal(1));
    this.context =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, 2 * dimensions + 1, { bias: false, initializeWeight: zeros });
  }

  /** w, û and b under a context. */
  numbers(context?: Tensor): PlanarNumbers {
    const { dimensions } = this;
    const [w, u, b] = underContext([this.w, this.u, this.b], this.context, context, [
      dimensions,
      dimensions,
      1,
    ]);
    const a = w.mul(u).sum(1, true);
    const stretch = a
      .add(KAPPA)
      .softplus()
      .mul(1 - MARGIN)
      .add(MARGIN);
    const square = w.square().sum(1, true).maximum(1e-12);
    return { w, u: u.add(w.mul(stretch.sub(a).sub(1).div(square))), b, stretch };
  }

  /** wᵀz + b, [n, 1]. */
  private height(z: Tensor, { w, b }: PlanarNumbers): Tensor {
    return this.context === undefined ? linear(z, w, b.reshape([1])) : z.mul(w).sum(1, true).add(b);
  }

  /** 1 + ûᵀψ(z) = (1 + wᵀû)(1 − t²) + t² with t = tanh(wᵀz + b): a sum of positive terms, [n, 1]. */
  private determinant(tanh: Tensor, stretch: Tensor): Tensor {
    const square = tanh.square();
    return square.neg().add(1).mul(stretch).add(square);
  }

  forward(z: Tensor, context?: Tensor): Forward {
    const numbers = this.numbers(context);
    const tanh = this.height(z, numbers).tanh();
    return {
      y: z.add(tanh.mul(numbers.u)),
      logDet: this.determinant(tanh, numbers.stretch).log().squeeze(1),
    };
  }

  /** @throws InverseError always: there is no formula */
  inverse(): Inverse {
    throw new InverseError(
      "the planar map has no analytic inverse; wrap it in NumericalInverse, which finds it by iteration",
    );
  }

  /**
   * The inverse: v = wᵀz + b is the root of v + wᵀû tanh(v) = wᵀy + b, and z = y − û tanh(v). The determinant is the
   * forward one there.
   */
  numericalInverse(y: Tensor, context?: Tensor): Inverse {
    const numbers = this.numbers(context);
    const { u, stretch } = numbers;
    const slope = stretch.sub(1);
    const target = this.height(y, numbers);
    // A little wider than |tanh| < 1 asks for, so that Newton's steps to a root at the edge stay inside.
    const reach = slope.abs().mul(1.01);
    const v = monotoneRoot(
      (v) => {
        const tanh = v.tanh();
        return { value: v.add(slope.mul(tanh)), derivative: this.determinant(tanh, stretch) };
      },
      target,
      target.sub(reach),
      target.add(reach),
    );
    const tanh = v.tanh();
    return { x: y.sub(tanh.mul(u)), logDet: this.determinant(tanh, stretch).log().neg().squeeze(1) };
  }
}

/** A system of Rezende and Mohamed 2015: many simple maps of one kind, one after the other. */
export interface MapSystem<N extends string> {
  readonly name: N;
  /** The maps, as in "planar maps". */
  readonly maps: string;
  map(dimensions: number, contextSize: number): Transform;
}

/** Options of a flow of simple maps. */
function mapOptions(maps: string) {
  return flowOptions.extend({
    ...objectiveOptions.shape,
    layers: layerCount().default(32).describe(`${maps}, one after the other`),
  });
}

/**
 * A flow of simple maps (Rezende and Mohamed 2015, section 4.1). By maximum likelihood the maps lead from data to the
 * base, where densities are cheap; by reverse-kl they lead, as in the paper, from the base to samples.
 */
export function defineMapFlow<const N extends string>({ name, maps, map }: MapSystem<N>) {
  return defineFlow({
    name,
    summary: `flow of ${maps}, fitted to samples or as a variational posterior to an energy`,
    paper: "Rezende and Mohamed 2015, Variational Inference with Normalizing Flows, arXiv:1505.05770",
    dataKinds: ["points", "table"],
    options: mapOptions(maps),
    transforms: ({ layers, objective }, { dimensions, contextSize }) =>
      Array.from({ length: layers }, () => {
        const layer = map(dimensions, contextSize);
        return objective === "reverse-kl" ? new Inverted(layer) : layer;
      }),
    preferences: ({ kind }) => ({
      learningRate: kind === "points" ? 0.02 : 5e-3,
      batchSize: 512,
      clipNorm: 1,
    }),
  });
}

/** Planar flows as the catalogue knows them. The direction without a formula is found by iteration. */
export const planarDefinition = defineMapFlow({
  name: "planar",
  maps: "planar maps",
  map: (dimensions, contextSize) => new NumericalInverse(new Planar(dimensions, contextSize)),
});

export const planarOptions = planarDefinition.options;

export type PlanarOptions = z.output<typeof planarOptions>;

/**
 * A flow of planar maps. By maximum likelihood samples are found by iteration, by reverse-kl densities of given points.
 * @throws OptionError where reverse-kl is asked for and the data has no energy
 */
export const planar = builderOf(planarDefinition);
