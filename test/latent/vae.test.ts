import { describe, expect, it } from "vitest";
import { logSumExp } from "../../src/data/sources/toy.ts";
import { OptionError } from "../../src/errors.ts";
import { Vae, vaeDefinition, vaeOptions } from "../../src/latent/index.ts";
import { capabilities } from "../../src/model/capabilities.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors } from "../../src/train/trainer.ts";
import { buildVae, DATA, labelsOf, mean, numbers, samplesOf, VARIANTS, withVae } from "./vae-cases.ts";

/** Values of the columns that a model is given, one row. */
function givenOf({ conditioning }: Vae): NdArray<"float32"> {
  const size = conditioning.givenSize;
  return float32(
    Array.from({ length: size }, (_, i) => Number(i === 0)),
    [1, size],
  );
}

describe("every VAE", () => {
  for (const [name, data, options] of VARIANTS) {
    it(`${name}: learns, scores, samples, encodes and decodes`, async () => {
      const built = buildVae(options, data);
      const { model } = built;
      const labeled = model.conditioning.classes > 0;
      const x = samplesOf(data, 16);
      const feeds = { x, ...(labeled && { label: labelsOf(16) }) };

      const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
      const step = await Program.build(
        tracer.whole({ x: x.shape, labeled }),
        await nodeRuntime({ threads: 1 }),
      );
      let vectors: Record<string, NdArray> = Object.fromEntries(
        initialVectors(tracer, new Random(0), built.weights),
      );
      const losses: number[] = [];
      for (let i = 0; i < 15; i++) {
        const outputs = await step.run(
          { ...vectors, ...feeds, learningRate: float32([0.01], []), step: float32([i + 1], []) },
          { random: new Random(i) },
        );
        losses.push(Number(outputs["loss.total"]?.data[0]));
        vectors = Object.fromEntries(
          Object.keys(vectors).map((key) => [key, outputs[key] ?? vectors[key]]),
        ) as Record<string, NdArray>;
      }
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)));
      await step.release();

      await withVae(built, async (session) => {
        const scores = numbers(await model.score(session, x, { seed: 1 }));
        expect(scores.length).toBe(16);
        expect(scores.every(Number.isFinite)).toBe(true);
        if (data.kind === "binary") expect(Math.max(...scores)).toBeLessThan(0.2);

        const given = givenOf(model);
        const many = await model.sample(session, { count: 9, seed: 3, given });
        const few = await model.sample(session, { count: 4, seed: 3, given });
        expect(many.shape).toEqual([9, ...data.sampleShape]);
        expect(numbers(many).every(Number.isFinite)).toBe(true);
        numbers(few).forEach((value, i) => {
          expect(Math.abs(value - (many.data[i] ?? 0))).toBeLessThan(1e-2);
        });
        expect(numbers(await model.sample(session, { count: 4, seed: 4, given }))).not.toEqual(numbers(few));

        const program = session.compiled(model, "codes", ["x", "label?"], ({ x, label }) => {
          const z = model.encode(x, label);
          return { z, back: model.decode(z, model.conditioning.divide(x, label).context) };
        });
        const { z, back } = await program.run(feeds as Record<"x" | "label", NdArray>);
        expect(z.shape).toEqual([16, model.dimensions]);
        expect(back.shape).toEqual(x.shape);
        expect(numbers(back).every(Number.isFinite)).toBe(true);
      });
    });

    it(`${name}: exports a graph of any number of samples`, () => {
      const { model } = buildVae(options, data);
      const { outputs, description } = model.exported();
      expect(outputs.z?.shape).toEqual(["batch", model.dimensions]);
      expect(outputs.reconstruction?.shape).toEqual(["batch", ...data.sampleShape]);
      expect(description).toContain("q(z | x)");
    });
  }
});

describe("samples", () => {
  it("of zeros and ones are such, their means probabilities", async () => {
    const built = buildVae({}, DATA.vector);
    await withVae(built, async (session) => {
      const count = 4000;
      const drawn = numbers(await built.model.sample(session, { count, seed: 1 }));
      expect(drawn.every((bit) => bit === 0 || bit === 1)).toBe(true);
      const means = numbers(await built.model.sample(session, { count, seed: 1, mean: true }));
      expect(means.every((p) => p > 0 && p < 1)).toBe(true);
      expect(Math.abs(mean(drawn) - mean(means))).toBeLessThan(0.02);
    });
  });

  it("of points are draws, with the deviation of p(x | z) beside that of the mean", async () => {
    const built = buildVae({ scale: "shared" }, DATA.points);
    await withVae(built, async (session) => {
      const drawn = numbers(await built.model.sample(session, { count: 3000, seed: 1 }));
      const means = numbers(await built.model.sample(session, { count: 3000, seed: 1, mean: true }));
      const logScale = 10 * Number(built.weights.get("observation.scaled.scale")?.data[0]);
      const noise = drawn.map((value, i) => value - (means[i] ?? 0));
      expect(Math.sqrt(mean(noise.map((value) => value ** 2))) / Math.exp(logScale)).toBeCloseTo(1, 1);
    });
  });

  it("of images are means unless told: draws are whole bytes", async () => {
    const built = buildVae({}, DATA.image);
    await withVae(built, async (session) => {
      const means = await built.model.sample(session, { count: 4, seed: 1 });
      expect(numbers(means).some((value) => !Number.isInteger(value))).toBe(true);
      const drawn = numbers(await built.model.sample(session, { count: 4, seed: 1, mean: false }));
      expect(drawn.every((value) => Number.isInteger(value) && value >= 0 && value <= 255)).toBe(true);
    });
  });

  it("vary less when they are colder, and follow the class that is asked for", async () => {
    const built = buildVae({ conditional: true }, DATA.vector);
    await withVae(built, async (session) => {
      const spread = async (temperature: number): Promise<number> => {
        const values = numbers(
          await built.model.sample(session, { count: 200, seed: 1, temperature, label: 0, mean: true }),
        );
        const means = Array.from({ length: 6 }, (_, d) => mean(values.filter((_, i) => i % 6 === d)));
        return mean(values.map((value, i) => (value - (means[i % 6] ?? 0)) ** 2));
      };
      expect(await spread(0.3)).toBeLessThan(await spread(1));
      const [zero, one] = await Promise.all(
        [0, 1].map(async (label) =>
          numbers(await built.model.sample(session, { count: 5, seed: 2, label, mean: true })),
        ),
      );
      expect(zero).not.toEqual(one);
      const program = session.compiled(built.model, "decode", ["z", "context?"], ({ z, context }) => ({
        x: built.model.decode(z, context),
      }));
      const context = built.model.codeContext([2]);
      if (context === undefined) throw new Error("the model is conditional");
      const { x } = await program.run({ z: float32(new Float32Array(16), [1, 16]), context });
      expect(x.shape).toEqual([1, 6]);
      expect(() => built.model.codeContext([undefined])).toThrow(/conditional/);
    });
  });
});

describe("scores", () => {
  it("of a conditional VAE without labels weigh its classes by their shares", async () => {
    const built = buildVae({ conditional: true, latentSize: 1, scoreSamples: 4000 }, DATA.table);
    const x = samplesOf(DATA.table, 3);
    await withVae(built, async (session) => {
      const whole = numbers(await built.model.score(session, x));
      const parts = await Promise.all(
        [0, 1, 2].map(async (k) =>
          numbers(
            await built.model.score(session, x, {
              label: { dtype: "int64", shape: [3], data: new BigInt64Array(3).fill(BigInt(k)) },
              seed: 10 + k,
            }),
          ),
        ),
      );
      whole.forEach((value, i) => {
        const expected = Math.log(
          [0.5, 0.3, 0.2].reduce((sum, share, k) => sum + share * Math.exp(parts[k]?.[i] ?? 0), 0),
        );
        expect(Math.abs(value - expected)).toBeLessThan(0.1);
      });
    });
  });

  it("are those of one graph, made in parts, and the seed decides them", async () => {
    const data: DataInfo = { kind: "binary", sampleShape: [1, 64, 64] };
    const built = buildVae({ network: "mlp", width: 4 }, data);
    const x = samplesOf(data, 64);
    await withVae(built, async (session) => {
      // 64 · 4096 numbers a draw, so that a run has 8 draws and 20 take three.
      const scores = numbers(await built.model.score(session, x, { samples: 20, seed: 3 }));
      expect(numbers(await built.model.score(session, x, { samples: 20, seed: 3 }))).toEqual(scores);
      expect(numbers(await built.model.score(session, x, { samples: 20, seed: 4 }))).not.toEqual(scores);
      const graph = session.compiled(built.model, "weights", ["x"], ({ x }) => ({
        w: built.model.logWeights(x, undefined, 8),
      }));
      const random = new Random(3).split("score");
      const parts = await Promise.all(
        [0, 8, 16].map(async (first) => numbers((await graph.run({ x }, { random: random.split(first) })).w)),
      );
      scores.forEach((score, row) => {
        const weights = parts.flatMap((part) => part.slice(8 * row, 8 * row + 8)).slice(0, 20);
        expect(score).toBeCloseTo(logSumExp(weights) - Math.log(20), 2);
      });
      await expect(built.model.score(session, x, { samples: 0 })).rejects.toThrow(OptionError);
    });
  });

  it("as a graph take as many codes as training and mix classes too", async () => {
    const built = buildVae({ conditional: true, importanceSamples: 4 }, DATA.vector);
    await withVae(built, async (session) => {
      const program = session.compiled(built.model, "logProb", ["x"], ({ x }) => ({
        logProb: built.model.logProb(x),
      }));
      const { logProb } = await program.run({ x: samplesOf(DATA.vector, 5) }, { random: new Random(0) });
      expect(logProb.shape).toEqual([5]);
      expect(Math.max(...numbers(logProb))).toBeLessThan(0);
    });
  });
});

describe("options", () => {
  const make = (options: object, data: DataInfo) => () => new Vae(vaeOptions.parse(options), data);

  it("that do not go together are refused, with what to do", () => {
    expect(make({ likelihood: "bernoulli" }, DATA.image)).toThrow(/discretised-logistic or gaussian/);
    expect(make({ likelihood: "gaussian" }, DATA.binary)).toThrow(/binary data takes bernoulli/);
    expect(make({ network: "convolutional" }, DATA.points)).toThrow(/for images/);
    expect(make({ network: "convolutional" }, { kind: "image", sampleShape: [1, 10, 10] })).toThrow(
      /halves images twice, which 10×10 cannot/,
    );
    expect(make({ beta: 2, importanceSamples: 5 }, DATA.points)).toThrow(/option beta/);
    expect(make({ freeBits: 2, importanceSamples: 5 }, DATA.points)).toThrow(/option freeBits/);
    expect(make({ warmUp: 2, importanceSamples: 5 }, DATA.points)).toThrow(/option warmUp/);
    expect(make({ prior: "real-nvp", latentSize: 1 }, DATA.points)).toThrow(OptionError);
    expect(make({ conditional: true }, { kind: "points", sampleShape: [2] })).toThrow(/conditional/);
  });

  it("leave perceptrons to images that cannot be halved", () => {
    const model = make({}, { kind: "image", sampleShape: [3, 9, 9] })();
    expect(model.encoder).toHaveProperty("layers");
    expect(make({}, { kind: "image", sampleShape: [3, 32, 32] })().encoder).toHaveProperty("down");
  });

  it("make a model that can do what the definition promises", () => {
    const model = vaeDefinition.build(vaeOptions.parse({}), DATA.image);
    expect(capabilities(model)).toEqual(
      expect.arrayContaining(["fit", "sample", "score", "encode", "decode", "interpolate", "export"]),
    );
    expect(model.likelihood).toBe("bound");
    expect(model.likelihoodDetail).toContain("64");
  });
});
