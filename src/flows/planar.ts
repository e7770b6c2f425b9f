import { z } from "zod";
import { InverseError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { normal, zeros } from "../nn/initializers.ts";
import { Linear } from "../nn/linear.ts";
import { elementCount, linear, Parameter, split, type Tensor } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { energyOf, objectiveOptions } from "./densities/objective.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
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
    let [w, u, b]: readonly [Tensor, Tensor, Tensor] = [this.w, this.u, this.b];
    if (this.context && context) {
      const { dimensions: d } = this;
      const [addedW, addedU, addedB] = split(this.context.forward(context), 1, [d, d, 1]);
      w = w.add(addedW ?? 0);
      u = u.add(addedU ?? 0);
      b = b.add(addedB ?? 0);
    }
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

export const planarOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  layers: z.int().min(1).default(32).describe("planar maps, one after the other"),
});

export type PlanarOptions = z.output<typeof planarOptions>;

/**
 * A flow of planar maps (Rezende and Mohamed 2015, section 4.1). By maximum likelihood the maps lead from data to the
 * base, where densities are cheap, and samples are found by iteration; by reverse-kl they lead, as in the paper, from
 * the base to samples, and densities of given points are found by iteration.
 * @throws OptionError where reverse-kl is asked for and the data has no energy
 */
export function planar(options: PlanarOptions, data: DataInfo): FlowModel {
  const conditioning = new Conditioning(options, data);
  const dimensions = elementCount(conditioning.targetShape);
  const layers = Array.from(
    { length: options.layers },
    () => new NumericalInverse(new Planar(dimensions, conditioning.size)),
  );
  const transforms: readonly Transform[] =
    options.objective === "reverse-kl" ? layers.map((layer) => new Inverted(layer)) : layers;
  const base = BASES[options.base ?? "gaussian"](dimensions);
  return new FlowModel(data, { base, conditioning, transforms, ...energyOf(options, data) });
}

function preferences({ kind }: DataInfo): FitPreferences {
  return {
    warmupSteps: 50,
    optimizer: "adam",
    learningRate: kind === "points" ? 0.02 : 5e-3,
    batchSize: 512,
    clipNorm: 1,
    averageDecay: 0.998,
  };
}

/** Planar flows as the catalogue knows them. */
export const planarDefinition = defineModel({
  name: "planar",
  summary: "flow of planar maps, fitted to samples or as a variational posterior to an energy",
  paper: "Rezende and Mohamed 2015, Variational Inference with Normalizing Flows, arXiv:1505.05770",
  dataKinds: ["points", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: planarOptions,
  sampleOptions: flowSampleOptions,
  build: planar,
  preferences,
});
