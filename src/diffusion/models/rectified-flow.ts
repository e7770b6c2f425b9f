import { z } from "zod";
import { positiveAmount, realNumber } from "../../bounds.ts";
import type { Losses, PathMeasures, PathModel, StraightnessOptions } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { addScaled, evenTimes, type Velocity } from "../../ode/index.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/index.ts";
import { classOptions } from "../objective/condition.ts";
import { networkOptions } from "../objective/network.ts";
import { denoisingLoss } from "../objective/objective.ts";
import { COUPLINGS, MODE_SCALES, sampleTimes, TIME_SAMPLINGS } from "../objective/training.ts";
import { PATHS } from "../path/paths.ts";
import { normalRows } from "../solver/session.ts";
import { DiffusionModel, defineDiffusion } from "./diffusion-model.ts";

/**
 * How straight the paths of a flow are, and how far they lead (Liu et al. 2022, sections 2.2 and 3.2), as means over samples:
 *
 *     S = ∫₀¹ E ‖(Z₁ − Z₀) − dZ_t/dt‖² dt,   cost = E ‖Z₁ − Z₀‖²
 *
 * with states by Heun's method and the integral by the trapezoidal rule. S is 0 where all paths are straight lines that are
 * gone at even speed: one step of Euler's method is then exact.
 * @param start states [n, …] at t = 1
 */
export async function measureStraightness(
  velocity: Velocity<"float32">,
  start: NdArray<"float32">,
  steps: number,
): Promise<PathMeasures> {
  const times = evenTimes(steps, 1, 0);
  const velocities: NdArray<"float32">[] = [];
  let state = start;
  for (const [i, time] of times.entries()) {
    const here = await velocity(state, time);
    velocities.push(here);
    const next = times[i + 1];
    if (next === undefined) break;
    const step = next - time;
    const there = await velocity(addScaled(state, [step], [here]), next);
    state = addScaled(state, [step / 2, step / 2], [here, there]);
  }
  const rows = start.shape[0] ?? 1;
  const chord = start.data.map((value, i) => value - (state.data[i] ?? 0));
  let [cost, bend] = [0, 0];
  for (let i = 0; i < chord.length; i++) {
    const own = chord[i] ?? 0;
    cost += own * own;
    velocities.forEach(({ data }, k) => {
      const weight = (k === 0 || k === steps ? 0.5 : 1) / steps;
      bend += weight * (own - (data[i] ?? 0)) ** 2;
    });
  }
  return { straightness: bend / rows, transportCost: cost / rows };
}

/** Options of a rectified flow: the network, and what it is trained on. */
export const rectifiedFlowOptions = networkOptions.extend({
  path: z
    .enum(["linear", "trigonometric"])
    .default("linear")
    .describe("interpolant between data and noise: a straight line, or a quarter circle"),
  coupling: z
    .enum(COUPLINGS)
    .default("independent")
    .describe(
      "how data and noise of a batch are joined: as drawn, or so that they lie close (minibatch optimal transport)",
    ),
  timeSampling: z
    .enum(TIME_SAMPLINGS)
    .default("logit-normal")
    .describe(
      "distribution of the training time: uniform, or logit-normal or mode, which favor the middle of the path",
    ),
  timeMean: realNumber().default(0).describe("logit-normal: mean of logit t; above 0 favors noise"),
  timeDeviation: positiveAmount().default(1).describe("logit-normal: deviation of logit t"),
  timeScale: z
    .number()
    .min(MODE_SCALES.least)
    .max(MODE_SCALES.largest)
    .default(1.29)
    .describe("mode: above 0 favors the middle of the path, below its ends"),
  dequantize: z
    .boolean()
    .default(false)
    .describe("images: train on bytes with uniform noise between them, as likelihoods are measured"),
  ...classOptions.shape,
});

export type RectifiedFlowOptions = z.output<typeof rectifiedFlowOptions>;

/** Steps from noise to samples, by default. */
const STEPS = 25;

/**
 * Rectified flow (Liu, Gong and Liu 2022; the same as flow matching with straight paths, Lipman et al. 2023): a network
 * v(x, t) is fitted to the velocity ε − x₀ of the lines x_t = (1 − t) x₀ + t ε between data and noise, and samples are
 * the solutions at t = 0 of dx/dt = v(x, t) from noise at t = 1. With the trigonometric path it is a stochastic interpolant
 * (Albergo and Vanden-Eijnden 2023) whose velocity is (π / 2) (cos(π t / 2) ε − sin(π t / 2) x₀).
 */
export class RectifiedFlow extends DiffusionModel implements PathModel {
  /** @throws OptionError where options do not fit the data */
  constructor(options: RectifiedFlowOptions, data: DataInfo) {
    const {
      path,
      coupling,
      timeSampling,
      timeMean: mean,
      timeDeviation: deviation,
      timeScale: scale,
    } = options;
    super(
      {
        options,
        process: PATHS[path],
        prediction: "velocity",
        times: (count) => sampleTimes(timeSampling, count, { mean, deviation, scale }),
        // Mean squared error of the velocity at random times (Liu et al. 2022, equation 1).
        objective: denoisingLoss("velocity", "velocity"),
        coupling,
        dequantize: options.dequantize,
        sampling: { solver: "heun", steps: STEPS },
      },
      data,
    );
  }

  /** The loss for given pairs where the batch has the other ends of paths, otherwise for data with noise of its own. */
  override loss(batch: SymbolicBatch): Losses {
    const { x, source, label } = batch;
    if (source === undefined) return super.loss(batch);
    return this.pairLoss(this.units.toModel(x), this.units.toModel(source), label);
  }

  /** How straight the paths from noise to samples are; see `measureStraightness`. */
  straightness(session: Session, { count, seed, steps = STEPS }: StraightnessOptions): Promise<PathMeasures> {
    const random = new Random(seed).split("straightness");
    const randoms = Array.from({ length: count }, (_, i) => random.split(i));
    const labels = this.condition.draw(randoms, undefined);
    const start = normalRows(randoms, this.data.sampleShape, "noise");
    return measureStraightness(this.velocity(session, { labels }, count), start, steps);
  }
}

/** Rectified flow as the catalogue knows it. */
export const rectifiedFlowDefinition = defineDiffusion({
  name: "rectified-flow",
  summary: "a velocity field along straight lines from noise to data, integrated to draw samples",
  paper:
    "Liu, Gong and Liu 2022, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, arXiv:2209.03003",
  pairs: "possible",
  options: rectifiedFlowOptions,
  build: (options, data) => new RectifiedFlow(options, data),
});
