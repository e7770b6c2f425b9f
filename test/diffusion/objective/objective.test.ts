import { describe, expect, it } from "vitest";
import { type Decoder, stepTerm } from "../../../src/diffusion/density/index.ts";
import {
  decoderTerm,
  decodingVariances,
  VariationalTerms,
} from "../../../src/diffusion/density/variational.ts";
import { Ddpm, DiscreteSchedule, ddpmOptions, PATHS } from "../../../src/diffusion/index.ts";
import {
  denoisingLoss,
  type NoisyBatch,
  type Objective,
  slicedLoss,
} from "../../../src/diffusion/objective/index.ts";
import type { ReverseVariance } from "../../../src/diffusion/solver/index.ts";
import { TimeConditionedMlp } from "../../../src/nn/linear.ts";
import { initialState, namedTensors, nameParameters } from "../../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import {
  constant,
  float32,
  grad,
  int64,
  type NdArray,
  normal,
  Parameter,
  type Tensor,
  uniform,
} from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { normals } from "../support.ts";

describe("sliced score matching", () => {
  it("is half of the denoising loss less a constant, for any network", async () => {
    // E σ² [½ ‖s‖² + div s] + ½ E ‖ε‖² = ½ E ‖σ s + ε‖² (Vincent 2011; integration by parts).
    const network = nameParameters(new TimeConditionedMlp({ inputs: 2, width: 16, depth: 2 }));
    const path = PATHS.vp;
    const count = 40_000;
    const lossOf = (objective: Objective, data: Tensor): Tensor => {
      const [noise, time] = [normal([count, 2]), uniform([count]).mul(0.8).add(0.1)];
      const spread = time.unsqueeze(1);
      const batch: NoisyBatch = {
        data,
        noise,
        time,
        point: path.symbolic(spread),
        state: path.state(data, noise, spread),
        predict: (state) => ({ output: network.forward(state, time) }),
      };
      return objective(batch).total;
    };
    const losses = compile(
      ["x"],
      ({ x }) => ({
        sliced: lossOf(slicedLoss("noise"), x),
        denoising: lossOf(denoisingLoss("noise", "noise"), x),
      }),
      { runtime: await nodeRuntime(), weights: initialState(network, 1) },
    );
    const { sliced, denoising } = await losses.run({ x: normals(2, [count, 2]) }, { random: new Random(1) });
    const known = 2 * Number(sliced.data[0]) + 1;
    expect(Math.abs(known / Number(denoising.data[0]) - 1)).toBeLessThan(0.03);
  });
});

describe("terms of the variational bound in a graph", () => {
  const schedule = DiscreteSchedule.of("linear", { steps: 100 });
  const cases = (["lower", "upper", "learned"] as const).flatMap((kind) =>
    (["gaussian", { cells: 256 }] as const).map((decoder) => [kind, decoder] as const),
  );

  it.each(cases)("with %s variance and decoder %j are those of float64", async (kind, decoder) => {
    const size = 6;
    const steps = [1, 1, 2, 3, 50, 99, 100];
    const rows = steps.length;
    const random = new Random(4);
    const data = Float32Array.from({ length: rows * size }, () => {
      const byte = random.integer(256);
      return byte / 127.5 - 1;
    });
    const denoised = data.map((value) => value + 0.02 * random.normal());
    const variance = data.map(() => random.uniform());
    const terms = new VariationalTerms(schedule, kind as ReverseVariance, decoder as Decoder);
    const [found] = await evaluate([
      terms.termOf({
        data: constant(float32(data, [rows, size])),
        denoised: constant(float32(denoised, [rows, size])),
        variance: constant(float32(variance, [rows, size])),
        step: constant(int64(steps, [rows])),
      }),
    ]);
    steps.forEach((t, i) => {
      const row = (values: Float32Array): Float32Array => values.subarray(i * size, (i + 1) * size);
      const term = { x: row(data), denoised: row(denoised), variance: row(variance) };
      const exact =
        t === 1
          ? decoderTerm(term, decodingVariances(schedule), kind, decoder)
          : stepTerm(term, schedule.level(t), schedule.level(t - 1), kind);
      const value = (numbers(found)[i] ?? 0) * size;
      expect(Math.abs(value - exact), `step ${t}`).toBeLessThan(2e-3 * (1 + Math.abs(exact)));
    });
  });

  it("of the hybrid loss move the variance alone", async () => {
    const model = nameParameters(
      new Ddpm(ddpmOptions.parse({ width: 16, depth: 2, variance: "learned" }), {
        kind: "points",
        sampleShape: [2],
      }),
    );
    const weight = namedTensors(model).get("network.mlp.output.weight");
    if (!(weight instanceof Parameter)) throw new Error("the output layer is not where it was");
    const gradients = compile(
      ["x"],
      ({ x }) => {
        const { simple, bound } = model.loss({ x });
        if (simple === undefined || bound === undefined) throw new Error("parts are missing");
        return { simple: grad(simple, [weight])[0], bound: grad(bound, [weight])[0] };
      },
      { runtime: await nodeRuntime(), weights: initialState(model, 0) },
    );
    const { simple, bound } = await gradients.run({ x: normals(3, [32, 2]) }, { random: new Random(0) });
    // Rows of the weight: two for the mean, two for the variance.
    const half = simple.data.length / 2;
    const largest = (array: NdArray, from: number, to: number): number =>
      Math.max(...numbers(array).slice(from, to).map(Math.abs));
    expect(largest(simple, 0, half)).toBeGreaterThan(0);
    expect(largest(simple, half, 2 * half)).toBe(0);
    expect(largest(bound, 0, half)).toBe(0);
    expect(largest(bound, half, 2 * half)).toBeGreaterThan(0);
  });
});
