import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { Vae, vaeOptions, WarmUp } from "../../src/latent/index.ts";
import { nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Program, Session, type State } from "../../src/program/program.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { constant, float32, grad, input, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { normals } from "../flows/check-transform.ts";
import {
  along,
  COLUMNS,
  type Departure,
  EXACT,
  gap,
  linearVae,
  logMarginal,
  POSTERIOR,
  VARIANCE,
} from "./linear-vae.ts";
import { buildVae, fixedNoise, labelsOf, mean, numbers, samplesOf, VARIANTS } from "./vae-cases.ts";

const POINT = [1.1, -0.6, 0.9] as const;

/** As many copies of the point, each of which has noise of its own. */
const copies = (count: number): NdArray<"float32"> =>
  float32(new Array<readonly number[]>(count).fill(POINT).flat(), [count, 3]);

describe("the bound of a linear Gaussian model", () => {
  it("with the exact posterior is the log-likelihood, whatever the noise and the number of codes", async () => {
    const built = linearVae(EXACT);
    const x = normals(1, [20, 3], 1.5);
    const session = new Session(await nodeRuntime({ threads: 1 }), built.weights);
    for (const samples of [1, 7]) {
      const scores = numbers(await built.model.score(session, x, { samples }));
      scores.forEach((score, i) => {
        expect(score).toBeCloseTo(logMarginal(Array.from(x.data.slice(3 * i, 3 * i + 3))), 3);
      });
    }
    await session.release();
  });

  it("lies below it by the divergence of the posteriors", async () => {
    for (const departure of [
      { shift: 0.3, logVariance: 0 },
      { shift: 0.1, logVariance: 0.8 },
      { shift: 0, logVariance: -0.7 },
    ]) {
      const built = linearVae(departure);
      const session = new Session(await nodeRuntime({ threads: 1 }), built.weights);
      const expected = logMarginal(POINT) - gap(departure);
      const count = 4000;
      const scores = numbers(await built.model.score(session, copies(count), { samples: 1 }));
      const deviation = Math.sqrt(mean(scores.map((score) => (score - mean(scores)) ** 2)) / count);
      expect(Math.abs(mean(scores) - expected)).toBeLessThan(4 * deviation);
      // The divergence in closed form leaves less noise in the loss, and the same mean.
      const loss = session.compiled(built.model, "loss", ["x"], ({ x }) => ({
        total: built.model.loss({ x }).total,
      }));
      const { total } = await loss.run({ x: copies(count) }, fixedNoise());
      expect(Math.abs(Number(total.data[0]) + expected)).toBeLessThan(4 * deviation);
      await session.release();
    }
  });

  it("rises to it with the number of codes, from below in expectation", async () => {
    const built = linearVae({ shift: 0.4, logVariance: 0.7 });
    const session = new Session(await nodeRuntime({ threads: 1 }), built.weights);
    const means: number[] = [];
    for (const samples of [1, 4, 16, 128]) {
      means.push(mean(numbers(await built.model.score(session, copies(1500), { samples }))));
    }
    const exact = logMarginal(POINT);
    for (const [i, value] of means.entries()) {
      expect(value).toBeLessThan(exact + 0.01);
      expect(value).toBeGreaterThan(means[i - 1] ?? Number.NEGATIVE_INFINITY);
    }
    expect(exact - (means.at(-1) ?? 0)).toBeLessThan(0.02);
    // Training with several codes has the same bound.
    const several = linearVae({ shift: 0.4, logVariance: 0.7 }, { importanceSamples: 4 }).model;
    const loss = session.compiled(several, "of four", ["x"], ({ x }) => ({
      total: several.loss({ x }).total,
    }));
    const { total } = await loss.run({ x: copies(1500) }, fixedNoise());
    expect(Math.abs(Number(total.data[0]) + (means[1] ?? 0))).toBeLessThan(0.05);
    await session.release();
  });
});

describe("parts of the loss", () => {
  /** Mean divergence of each number of the code over a batch, from the closed form in float64. */
  function divergences(x: NdArray<"float32">, { shift, logVariance }: Departure): number[] {
    const count = x.shape[0] ?? 1;
    return COLUMNS.map((column, j) => {
      const variance = (POSTERIOR[j] ?? 1) * Math.exp(logVariance);
      const each = Array.from({ length: count }, (_, i) => {
        const projected = along(column, Array.from(x.data.slice(3 * i, 3 * i + 3)));
        const center = ((POSTERIOR[j] ?? 1) * projected) / VARIANCE + shift;
        return 0.5 * (center ** 2 + variance - 1 - Math.log(variance));
      });
      return mean(each);
    });
  }

  it("are weighed by beta and have free bits", async () => {
    const x = normals(2, [30, 3]);
    const departure = { shift: 0.2, logVariance: 0.3 };
    const [first = 0, second = 0] = divergences(x, departure);
    // Between the two, so that one is free and the other is not.
    const freeBits = (first + second) / 2;
    const cases = [
      { options: {}, penalty: first + second },
      { options: { beta: 4 }, penalty: 4 * (first + second) },
      { options: { freeBits }, penalty: Math.max(first, second) + freeBits },
      { options: { freeBits: 100, beta: 0.5 }, penalty: 100 },
      { options: { beta: 0 }, penalty: 0 },
    ];
    for (const { options, penalty } of cases) {
      const built = linearVae(departure, options);
      const losses = built.model.loss({ x: input("x", x.shape) });
      const program = await Program.build(losses, await nodeRuntime({ threads: 1 }), built.weights);
      const { total, reconstruction, divergence } = await program.run({ x }, fixedNoise());
      expect(Number(divergence?.data[0])).toBeCloseTo(first + second, 4);
      expect(Number(total?.data[0]) - Number(reconstruction?.data[0])).toBeCloseTo(penalty, 3);
      await program.release();
    }
  });

  it("what is free has no gradient", async () => {
    const x = normals(2, [30, 3]);
    const built = linearVae({ shift: 0.2, logVariance: 0.3 }, { freeBits: 100 });
    const { total, reconstruction } = built.model.loss({ x: input("x", x.shape) });
    if (reconstruction === undefined) throw new Error("the loss has a reconstruction");
    const parameters = parametersOf(built.model.encoder);
    const [whole, part] = [grad(total, parameters), grad(reconstruction, parameters)];
    const outputs = Object.fromEntries(
      parameters.map((_, i) => [
        `d${i}`,
        (whole[i] ?? total)
          .sub(part[i] ?? total)
          .abs()
          .sum(),
      ]),
    );
    const program = await Program.build(outputs, await nodeRuntime({ threads: 1 }), built.weights);
    for (const value of Object.values(await program.run({ x }, fixedNoise()))) {
      expect(Number(value.data[0])).toBeLessThan(1e-4);
    }
    await program.release();
  });

  it("warm up while training alone", async () => {
    const warmUp = nameParameters(new WarmUp(10));
    const term = constant(3);
    expect(warmUp.apply(term)).toBe(term);
    for (const [done, weight, next] of [
      [0, 0, 1],
      [4, 0.4, 5],
      [10, 1, 10],
    ] as const) {
      const { result, updates } = traceTraining(() => warmUp.apply(term));
      const after = updates.get(warmUp.done);
      if (after === undefined) throw new Error("the step is counted");
      const [value, count] = await evaluate(
        substitute([result, after], new Map<Tensor, Tensor>([[warmUp.done, constant(done)]])),
      );
      expect(Number(value?.data[0])).toBeCloseTo(3 * weight, 5);
      expect(Number(count?.data[0])).toBe(next);
    }
  });
});

describe("gradients by reparametrization", () => {
  for (const [name, data, options] of VARIANTS) {
    it(`${name}: are those of finite differences, with the noise held`, async () => {
      const { model, weights } = buildVae(options, data);
      const x = samplesOf(data, 6);
      const labeled = model.conditioning.classes > 0;
      const label = labeled ? input("label", [6], "int64") : undefined;
      const { total } = model.loss({ x: input("x", x.shape), ...(label && { label }) });
      const parameters = parametersOf(model);
      const gradients = grad(total, parameters);
      const outputs = Object.fromEntries([
        ["loss", total],
        ...parameters.map(({ name }, i) => [`d.${name}`, gradients[i] ?? total] as const),
      ]);
      const program = await Program.build(outputs, await nodeRuntime({ threads: 1 }));
      const feeds = { x, ...(labeled && { label: labelsOf(6) }) };
      const run = (state: State) => program.run({ ...Object.fromEntries(state), ...feeds }, fixedNoise());
      const at = await run(weights);
      for (const direction of [1, 2]) {
        const ways = parameters.map(({ shape }, i) => normals(1000 * direction + i, shape));
        const slope = parameters.reduce((sum, { name }, i) => {
          const gradient = numbers(at[`d.${name}`]);
          return sum + gradient.reduce((part, value, k) => part + value * (ways[i]?.data[k] ?? 0), 0);
        }, 0);
        const moved = async (step: number): Promise<number> => {
          const state = new Map(weights);
          parameters.forEach(({ name, shape }, i) => {
            const from = numbers(weights.get(name));
            state.set(
              name,
              float32(
                from.map((value, k) => value + step * (ways[i]?.data[k] ?? 0)),
                shape,
              ),
            );
          });
          return Number((await run(state)).loss?.data[0]);
        };
        const step = 1e-3;
        const difference = ((await moved(step)) - (await moved(-step))) / (2 * step);
        expect(Math.abs(slope)).toBeGreaterThan(0.01);
        expect(Math.abs(difference - slope)).toBeLessThan(0.02 + 0.02 * Math.abs(slope));
      }
      for (const [key, value] of Object.entries(at)) {
        expect(numbers(value).every(Number.isFinite), key).toBe(true);
      }
      await program.release();
    });
  }
});

interface FixtureCase {
  readonly name: string;
  readonly options: object;
  readonly kind: "image" | "binary";
  readonly sampleShape: readonly number[];
  readonly weights: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: number[] }>>;
  readonly x: readonly number[];
  readonly noise: readonly number[];
  readonly draws: number;
  readonly reconstruction: number;
  readonly divergence: number;
  readonly logWeights: readonly number[];
}

const fixture: { readonly cases: readonly FixtureCase[] } = JSON.parse(
  await readFile(new URL("../fixtures/latent/vae.json", import.meta.url), "utf8"),
);

describe("torch", () => {
  for (const each of fixture.cases) {
    it(`${each.name}: has the same bound for the same weights and noise`, async () => {
      const { kind, sampleShape, draws } = each;
      const model = nameParameters(new Vae(vaeOptions.parse(each.options), { kind, sampleShape }));
      const weights: State = new Map(
        Object.entries(each.weights).map(([name, { shape, data }]) => [name, float32(data, shape)]),
      );
      expect([...weights.keys()].sort()).toEqual(
        parametersOf(model)
          .map(({ name }) => name)
          .sort(),
      );
      const size = sampleShape.reduce((a, b) => a * b, 1);
      const rows = each.x.length / size;
      const x = float32(each.x, [rows, ...sampleShape]);
      const unit = kind === "image" ? size * Math.LN2 : 1;
      const traced = input("x", x.shape);
      const latent = each.noise.length / rows / draws;
      const program = await Program.build(
        model.loss({ x: traced }),
        await nodeRuntime({ threads: 1 }),
        weights,
      );
      const first = each.noise.filter((_, i) => i % (draws * latent) < latent);
      const { total, reconstruction, divergence } = await program.run({
        x,
        "random.0": float32(first, [rows, latent]),
      });
      const close = (value: NdArray | undefined, expected: number): void =>
        expect(Math.abs((Number(value?.data[0]) * unit) / expected - 1)).toBeLessThan(1e-4);
      close(reconstruction, each.reconstruction);
      close(divergence, each.divergence);
      close(total, each.reconstruction + each.divergence);
      await program.release();
      const several = await Program.build(
        { weights: model.logWeights(traced, undefined, draws) },
        await nodeRuntime({ threads: 1 }),
        weights,
      );
      const found = await several.run({ x, "random.0": float32(each.noise, [rows, draws * latent]) });
      numbers(found.weights).forEach((value, i) => {
        expect(Math.abs(value / (each.logWeights[i] ?? 0) - 1)).toBeLessThan(1e-4);
      });
      await several.release();
    });
  }
});
