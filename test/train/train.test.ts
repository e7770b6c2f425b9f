import { beforeAll, describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { State } from "../../src/program/program.ts";
import type { Runtime, RuntimeValue } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { batchSourceOf, heldOut } from "../../src/train/batches.ts";
import { StepTracer } from "../../src/train/step.ts";
import { type TrainOptions, train } from "../../src/train/train.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";
import { Denoiser, data } from "./support.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** A runtime that counts the sessions that are open and the values that are held. */
function counting(): { readonly runtime: Runtime; readonly held: { sessions: number; values: number } } {
  const held = { sessions: 0, values: 0 };
  const counted = (value: RuntimeValue): RuntimeValue => {
    held.values += 1;
    return {
      kind: "runtime",
      dtype: value.dtype,
      shape: value.shape,
      read: () => value.read(),
      view: () => value.view(),
      dispose() {
        held.values -= 1;
        value.dispose();
      },
    };
  };
  return {
    held,
    runtime: {
      provider: runtime.provider,
      target: runtime.target,
      async load(bytes, weightsInside) {
        const session = await runtime.load(bytes, weightsInside);
        held.sessions += 1;
        const own = new Map<RuntimeValue, RuntimeValue>();
        return {
          async run(feeds) {
            const outputs = await session.run(
              Object.fromEntries(
                Object.entries(feeds).map(([name, value]) => [
                  name,
                  value.kind === "runtime" ? (own.get(value) ?? value) : value,
                ]),
              ),
            );
            return Object.fromEntries(
              Object.entries(outputs).map(([name, value]) => {
                const wrapped = counted(value);
                own.set(wrapped, value);
                return [name, wrapped];
              }),
            );
          },
          async release() {
            held.sessions -= 1;
            await session.release();
          },
        };
      },
    },
  };
}

const OPTIONS = { data, batchSize: 32, seed: 5, averageDecay: 0.9 } as const;
const rate = (step: number): number => 0.01 / (step + 1);

async function trained(more: Partial<TrainOptions> = {}) {
  const training = train(new Denoiser(), { ...OPTIONS, runtime, learningRate: rate, steps: 6, ...more });
  const steps = [];
  for await (const step of training) steps.push(step);
  return { training, steps, weights: await training.weights() };
}

describe("train", () => {
  it("gives the losses and the weights of the parts that it puts together", async () => {
    const { steps, weights, training } = await trained();
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(steps.map(({ learningRate }) => learningRate)).toEqual([0, 1, 2, 3, 4, 5].map(rate));
    expect(training.step).toBe(6);

    const tracer = new StepTracer(nameParameters(new Denoiser()), { optimizer: adam(), averageDecay: 0.9 });
    const batches = batchSourceOf(data, { batchSize: 32, seed: 5 });
    const start = { step: 0, vectors: initialVectors(tracer, new Random(5)) };
    const trainer = await Trainer.create(tracer, batches, runtime, start);
    for (const { step, losses, gradientNorm } of steps) {
      expect(await trainer.train(rate(step - 1))).toEqual({ losses, gradientNorm });
    }
    expect(weights).toEqual(await trainer.weights());
    await trainer.release();
  });

  it("goes on after a loop that was left, as if it had not been", async () => {
    const whole = await trained();
    const training = train(new Denoiser(), { ...OPTIONS, runtime, learningRate: rate, steps: 6 });
    let left: State | undefined;
    for await (const { step } of training) {
      if (step < 3) continue;
      left = await training.weights();
      break;
    }
    expect(training.step).toBe(3);
    expect(await training.weights()).toEqual(left);
    const later = [];
    for await (const step of training) later.push(step);
    expect(later).toEqual(whole.steps.slice(3));
    expect(await training.weights()).toEqual(whole.weights);
    for await (const _ of training) throw new Error("there are no steps left");
  });

  it.each(["to its end", "by break", "by an error"])(
    "holds nothing of the runtime when a loop is left %s",
    async (how) => {
      const { runtime: own, held } = counting();
      const training = train(new Denoiser(), { ...OPTIONS, runtime: own, learningRate: 0.01, steps: 4 });
      const loop = async (): Promise<void> => {
        for await (const { step } of training) {
          expect(held.sessions).toBe(1);
          expect(held.values).toBeGreaterThan(0);
          if (step === 2 && how === "by break") break;
          if (step === 2 && how === "by an error") throw new Error("out of the loop");
        }
      };
      if (how === "by an error") await expect(loop()).rejects.toThrow("out of the loop");
      else await loop();
      expect(held.sessions).toBe(0);
      expect((await training.weights()).get("out.bias")?.data).toHaveLength(2);
    },
  );

  it("begins with weights that are given, and has the first ones before it begins", async () => {
    const { weights } = await trained();
    const training = train(new Denoiser(), { ...OPTIONS, runtime, learningRate: 0, weights });
    expect(await training.weights()).toEqual(weights);
    for await (const { losses } of training) {
      expect(losses.total).toBeGreaterThan(0);
      break;
    }
    expect((await training.weights()).get("out.weight")?.data).toEqual(weights.get("out.weight")?.data);
  });

  it("validates inside of a loop, alike at every call, and refuses it and a second loop elsewhere", async () => {
    const part = heldOut(data.splits.validation);
    const training = train(new Denoiser(), { ...OPTIONS, runtime, learningRate: 0.01 });
    await expect(training.validate(part)).rejects.toThrow(OptionError);
    for await (const _ of training) {
      expect(await training.validate(part, 20)).toEqual(await training.validate(part, 20));
      await expect(training[Symbol.asyncIterator]().next()).rejects.toThrow(/end it before the next one/);
      break;
    }
    expect(training.step).toBe(1);
  });
});
