import { beforeAll, describe, expect, it } from "vitest";
import { Conv2d, ConvTranspose2d, nameParameters, sgd } from "../../src/nn/index.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { canOrder, intoKernelOrder, intoPlainOrder } from "../../src/tensor/convolution/kernel-order.ts";
import { float32, type Tensor } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { kernelOrderOf } from "../../src/train/kernel-order.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, type Snapshot, Trainer } from "../../src/train/trainer.ts";

/** Weights of every kind: kept in order, or read by something else as well, or too narrow, or of one element. */
class Network {
  readonly narrow = new Conv2d(3, 32, 3, { padding: 1 });
  readonly plain = new Conv2d(32, 32, 3, { padding: 1 });
  readonly shared = new Conv2d(32, 32, 3, { padding: 1, bias: false });
  readonly strided = new Conv2d(32, 64, 3, { padding: 1, stride: 2 });
  readonly penalized = new Conv2d(64, 32, 3, { padding: 1 });
  readonly grouped = new Conv2d(32, 64, 3, { padding: 1, groups: 2 });
  readonly upward = new ConvTranspose2d(64, 32, 2, { stride: 2 });
  readonly pointwise = new Conv2d(32, 32, 1);

  loss({ x }: { readonly x: Tensor }): { readonly total: Tensor } {
    const h = this.plain.forward(this.narrow.forward(x).relu()).relu();
    const twice = this.shared.forward(this.shared.forward(h).relu());
    const low = this.penalized.forward(this.strided.forward(twice).relu());
    const y = this.pointwise.forward(this.upward.forward(this.grouped.forward(low).relu()));
    const penalty = this.penalized.weight.square().mean();
    return { total: y.sub(1).square().mean().add(penalty.mul(0.1)) };
  }
}

const KEPT = ["plain.weight", "shared.weight", "strided.weight", "grouped.weight", "upward.weight"];
const SIZE = [4, 3, 6, 6] as const;
const shape = { x: SIZE, labeled: false };

const batches: TrainingBatches = {
  count: 4,
  batchSize: 4,
  random: new Random(0),
  shape: () => shape,
  feeds(step) {
    const values = new Float32Array(4 * 3 * 6 * 6);
    new Random(step).fillNormal(values);
    return { x: float32(values, SIZE) };
  },
  names: () => [],
};

const tracer = new StepTracer(nameParameters(new Network()), {
  optimizer: sgd({ momentum: 0.9 }),
  clipNorm: 1,
  averageDecay: 0.9,
});
const start: Snapshot = { step: 0, vectors: initialVectors(tracer, new Random(3)) };

let blocked: Runtime;
let plain: Runtime;
beforeAll(async () => {
  blocked = await nodeRuntime({ threads: 1 });
  plain = await nodeRuntime({ threads: 1, target: { block: 0 } });
});

async function trained(runtime: Runtime, from: Snapshot, steps: number) {
  const trainer = await Trainer.create(tracer, batches, runtime, from);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await trainer.train(0.05)).losses.total ?? Number.NaN);
  const snapshot = await trainer.snapshot();
  const held = await trainer.validate({ count: 4, shape: () => shape, feeds: () => batches.feeds(9) }, 4);
  await trainer.release();
  return { losses, snapshot, held };
}

describe("weights in the order of the blocked kernels", () => {
  it.each([8, 16])("have blocks of %i channels side by side", (block) => {
    const size = [2 * block, 3 * block, 2, 1] as const;
    const values = Float32Array.from({ length: size.reduce((a, b) => a * b) }, (_, i) => i);
    const ordered = new Float32Array(values.length);
    intoKernelOrder(values, ordered, size, block);
    const wrong: number[] = [];
    let at = 0;
    for (let o = 0; o < size[0]; o += block)
      for (let i = 0; i < size[1]; i += block)
        for (let tap = 0; tap < 2; tap++)
          for (let lane = i; lane < i + block; lane++)
            for (let filter = o; filter < o + block; filter++, at++)
              if (ordered[at] !== (filter * size[1] + lane) * 2 + tap) wrong.push(at);
    expect(wrong).toEqual([]);
    const back = new Float32Array(values.length);
    intoPlainOrder(ordered, back, size, block);
    expect(back).toEqual(values);
  });

  it("are those of which both sides are whole blocks", () => {
    expect(canOrder([32, 16, 3, 3], 16)).toBe(true);
    expect(
      [
        [32, 3, 3, 3],
        [32, 16, 1, 1],
        [32, 16, 3],
        [32, 16, 3, "batch"],
      ].map((size) => canOrder(size, 16)),
    ).toEqual([false, false, false, false]);
    expect(canOrder([32, 16, 3, 3], 0)).toBe(false);
  });

  it("are kept so where nothing but convolutions reads them", () => {
    if (blocked.target.block === 0) return;
    expect(kernelOrderOf(tracer, shape, blocked.target.block)?.ordered.inputs).toEqual(KEPT);
    expect(kernelOrderOf(tracer, shape, 0)).toBeUndefined();
  });

  it("train as plain ones do, and are saved in plain order", async () => {
    const [expected, actual] = [await trained(plain, start, 5), await trained(blocked, start, 5)];
    expected.losses.forEach((loss, i) => {
      expect(actual.losses[i]).toBeCloseTo(loss, 5);
    });
    expect(actual.held.losses.total).toBeCloseTo(expected.held.losses.total ?? Number.NaN, 5);
    for (const name of ["parameters", "average", "slot.velocity"]) {
      const [one, other] = [expected, actual].map(({ snapshot }) => snapshot.vectors.get(name)?.data ?? []);
      const largest = Math.max(...Array.from(one as Float32Array, Math.abs));
      const apart = Array.from(one as Float32Array, (value, i) => Math.abs(value - Number(other?.[i])));
      expect(Math.max(...apart) / largest).toBeLessThan(1e-4);
    }
  });

  it("go on from what was saved as if nothing had happened", async () => {
    const whole = await trained(blocked, start, 4);
    const half = await trained(blocked, start, 2);
    const rest = await trained(blocked, half.snapshot, 2);
    expect([...half.losses, ...rest.losses]).toEqual(whole.losses);
    expect(rest.snapshot.vectors).toEqual(whole.snapshot.vectors);
  });
});
