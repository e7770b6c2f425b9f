import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { compileUpdate } from "../../scripts/build-update.ts";
import { BatchNorm2d, Conv2d, Linear } from "../../src/nn/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam, adamW, type Optimizer, sgd, type UpdateRule } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { openSharedModule } from "../../src/program/shared-module.node.ts";
import type { OpenSharedModule } from "../../src/program/shared-module.ts";
import { Random } from "../../src/random.ts";
import { float32, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { accumulatingPool } from "../../src/train/gradient-parts.ts";
import { type StepOptions, StepTracer } from "../../src/train/step.ts";
import { initialVectors, type Snapshot, Trainer } from "../../src/train/trainer.ts";
import { SHARED_UPDATE_CODE, UPDATE_CODE } from "../../src/train/update-code.ts";
import { VectorUpdate } from "../../src/train/vector-update.ts";
import { present } from "../support.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** The same runtime by another name, with which the update stays in the graph. */
const inGraph = (): Runtime => ({ ...runtime, provider: "elsewhere" });

/** A network with batch statistics, two rates and a frozen part. */
class Network {
  readonly conv = new Conv2d(1, 3, 3, { padding: 1 });
  readonly norm = new BatchNorm2d(3);
  readonly head = new Linear(48, 2);

  rateOf(name: string): number {
    return name === "conv.bias" ? 0 : name.startsWith("conv") ? 0.25 : 1;
  }

  loss({ x }: { readonly x: Tensor }) {
    const hidden = this.norm.forward(this.conv.forward(x)).tanh();
    const error = this.head
      .forward(hidden.reshape([-1, 48]))
      .sub(1)
      .square()
      .mean();
    return { total: error };
  }
}

/** Images of numbers by chance, another batch at each step. */
const batches: TrainingBatches = {
  count: 64,
  batchSize: 8,
  random: new Random(1),
  shape: (rows) => ({ x: [rows, 1, 4, 4], labeled: false }),
  feeds: async (step, rows = { first: 0, count: 8 }) => {
    const data = new Float32Array(8 * 16);
    new Random(2).split(step).fillRows(data, 8, 0, "normal");
    return { x: float32(data.slice(rows.first * 16, (rows.first + rows.count) * 16), [rows.count, 1, 4, 4]) };
  },
  names: () => [],
};

async function trained(
  options: StepOptions,
  on: Runtime,
  { steps, parts = 1, start }: { readonly steps: number; readonly parts?: number; readonly start?: Snapshot },
) {
  const tracer = new StepTracer(nameParameters(new Network()), options);
  const pool = parts === 1 ? undefined : await accumulatingPool(tracer, batches, parts, on);
  const begun = start ?? { step: 0, vectors: initialVectors(tracer, new Random(3)) };
  const trainer = await Trainer.create(tracer, batches, on, begun, pool);
  const norms: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const result = await trainer.train(0.01);
    norms.push(result.gradientNorm);
    losses.push(result.losses.total ?? Number.NaN);
  }
  const end = await trainer.snapshot();
  await trainer.release();
  await pool?.release();
  return { norms, losses, end };
}

/** The largest difference of two vectors, by the largest number of the second. */
function apart(a: NdArray, b: NdArray): number {
  const [left, right] = [a.data as Float32Array, b.data as Float32Array];
  let most = 0;
  let largest = 1;
  right.forEach((value, i) => {
    most = Math.max(most, Math.abs(value - (left[i] ?? Number.NaN)));
    largest = Math.max(largest, Math.abs(value));
  });
  return most / largest;
}

const OPTIONS: readonly (readonly [string, StepOptions])[] = [
  ["adam", { optimizer: adam(), averageDecay: 0 }],
  [
    "adam with penalty, clipping and average",
    { optimizer: adam({ weightDecay: 0.1 }), clipNorm: 0.3, averageDecay: 0.99 },
  ],
  ["adamW", { optimizer: adamW({ weightDecay: 0.1 }), averageDecay: 0.9 }],
  ["adam without first moments", { optimizer: adam({ beta1: 0 }), averageDecay: 0 }],
  ["sgd", { optimizer: sgd(), averageDecay: 0 }],
  [
    "sgd with momentum and penalty",
    { optimizer: sgd({ momentum: 0.9, weightDecay: 0.01 }), averageDecay: 0 },
  ],
  [
    "sgd with Nesterov's look-ahead",
    { optimizer: sgd({ momentum: 0.9, nesterov: true }), clipNorm: 0.5, averageDecay: 0.9 },
  ],
];

describe("the update outside of the graph", () => {
  it.each(OPTIONS)("gives the numbers of the graph over 100 steps: %s", async (_, options) => {
    const [outside, inside] = [
      await trained(options, runtime, { steps: 100 }),
      await trained(options, inGraph(), { steps: 100 }),
    ];
    expect([...outside.end.vectors.keys()]).toEqual([...inside.end.vectors.keys()]);
    for (const [name, vector] of inside.end.vectors) {
      expect(apart(present(outside.end.vectors.get(name)), vector), name).toBeLessThan(1e-6);
    }
    for (const [i, norm] of inside.norms.entries()) expect(outside.norms[i]).toBeCloseTo(norm, 5);
    for (const [i, loss] of inside.losses.entries()) expect(outside.losses[i]).toBeCloseTo(loss, 5);
  });

  it("takes the mean of parts, with the averages of statistics", async () => {
    const options = present(OPTIONS[1])[1];
    const [outside, inside] = [
      await trained(options, runtime, { steps: 10, parts: 2 }),
      await trained(options, inGraph(), { steps: 10, parts: 2 }),
    ];
    for (const [name, vector] of inside.end.vectors) {
      expect(apart(present(outside.end.vectors.get(name)), vector), name).toBeLessThan(1e-6);
    }
  });

  it("goes on from the vectors of the graph and the other way round, and from its own bit for bit", async () => {
    const options = present(OPTIONS[1])[1];
    const whole = await trained(options, runtime, { steps: 20 });
    const half = await trained(options, runtime, { steps: 10 });
    const rest = await trained(options, runtime, { steps: 10, start: half.end });
    for (const [name, vector] of whole.end.vectors) expect(rest.end.vectors.get(name)).toEqual(vector);
    const mixed = await trained(options, inGraph(), { steps: 10, start: half.end });
    for (const [name, vector] of whole.end.vectors) {
      expect(apart(present(mixed.end.vectors.get(name)), vector), name).toBeLessThan(1e-6);
    }
  });

  it("does not change a snapshot afterwards", async () => {
    const tracer = new StepTracer(nameParameters(new Network()), { optimizer: adam(), averageDecay: 0 });
    const start = { step: 0, vectors: initialVectors(tracer, new Random(3)) };
    const trainer = await Trainer.create(tracer, batches, runtime, start);
    const before = present((await trainer.snapshot()).vectors.get("parameters"));
    const kept = before.data.slice();
    await trainer.train(0.1);
    expect(before.data).toEqual(kept);
    await trainer.release();
  });
});

/** The rules in plain loops of double precision. */
function plain(
  rule: UpdateRule,
  { parameters, slots, gradient }: { parameters: number[]; slots: number[][]; gradient: number[] },
  { rate, step, scale }: { rate: number; step: number; scale: number },
): { readonly parameters: number[]; readonly slots: number[][] } {
  const [first = [], second = []] = slots;
  const next = { parameters: [] as number[], slots: slots.map(() => [] as number[]) };
  parameters.forEach((p, i) => {
    let g = (gradient[i] ?? 0) * scale;
    if (rule.kind === "sgd") {
      g += rule.weightDecay * p;
      const u = rule.momentum * (first[i] ?? 0) + g;
      next.slots[0]?.push(u);
      next.parameters.push(p - rate * (rule.momentum === 0 ? g : rule.nesterov ? g + rule.momentum * u : u));
      return;
    }
    const { beta1, beta2, epsilon, weightDecay, decoupled } = rule;
    if (!decoupled) g += weightDecay * p;
    const m = beta1 * (first[i] ?? 0) + g;
    const v = beta2 * (second[i] ?? 0) + g * g;
    next.slots[0]?.push(m);
    next.slots[1]?.push(v);
    const mean = ((1 - beta1) * m) / (1 - beta1 ** step);
    const square = ((1 - beta2) * v) / (1 - beta2 ** step);
    next.parameters.push(
      p * (decoupled ? 1 - rate * weightDecay : 1) - (rate * mean) / (Math.sqrt(square) + epsilon),
    );
  });
  return next;
}

const RULES: readonly Optimizer[] = [
  adam(),
  adam({ weightDecay: 0.1 }),
  adamW({ weightDecay: 0.1 }),
  sgd(),
  sgd({ momentum: 0.9 }),
  sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
];

describe("the module of the update", () => {
  it("is what its source compiles to", async () => {
    expect(UPDATE_CODE).toEqual(new Uint8Array(await compileUpdate(false)));
    expect(SHARED_UPDATE_CODE).toEqual(new Uint8Array(await compileUpdate(true)));
  });

  it("agrees with plain loops for every length, division and rate", async () => {
    const numbers = (count: number) =>
      fc.array(fc.double({ min: -3, max: 3, noNaN: true }).map(Math.fround), {
        minLength: count,
        maxLength: count,
      });
    const cases = fc.integer({ min: 1, max: 13 }).chain((count) =>
      fc.record({
        parameters: numbers(count),
        gradient: numbers(count),
        other: numbers(count),
        inPlace: fc.boolean(),
        rateCut: fc.integer({ min: 0, max: count }),
        rule: fc.constantFrom(...RULES),
        clipNorm: fc.constantFrom(undefined, 0.5),
        step: fc.integer({ min: 1, max: 1000 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        cases,
        async ({ parameters, gradient, other, inPlace, rateCut, rule, clipNorm, step }) => {
          const count = parameters.length;
          const named = present(rule.rule);
          const slots = rule.slots.map((_, slot) =>
            parameters.map((p) => Math.fround(Math.abs(p) * (slot + 1))),
          );
          const start = new Map<string, NdArray>([
            ["parameters", float32(parameters, [count])],
            ["average", float32(gradient, [count])],
            ...rule.slots.map((slot, i) => [`slot.${slot}`, float32(present(slots[i]), [count])] as const),
          ]);
          const update = await VectorUpdate.create(
            {
              rule: named,
              slots: rule.slots,
              averageDecay: 0.9,
              rates: [
                { rate: 0.5, size: rateCut },
                { rate: 1, size: count - rateCut },
              ].filter(({ size }) => size > 0),
              ...(clipNorm !== undefined && { clipNorm }),
            },
            start,
          );
          const mean = gradient.map((g, i) => (g + (other[i] ?? 0)) / 2);
          if (inPlace) update.gradient.set(mean);
          const parts = inPlace ? [] : [gradient, other].map((part) => Float32Array.from(part));
          const norm = update.update({ learningRate: 0.1, number: step }, undefined, parts);
          const expectedNorm = Math.hypot(...mean);
          expect(norm).toBeCloseTo(expectedNorm, 4);
          const scale = clipNorm === undefined ? 1 : Math.min(1, clipNorm / (expectedNorm + 1e-6));
          parameters.forEach((p, i) => {
            const next = plain(
              named,
              {
                parameters: [p],
                slots: slots.map((slot) => [present(slot[i])]),
                gradient: [present(mean[i])],
              },
              { rate: i < rateCut ? 0.05 : 0.1, step, scale },
            );
            const wanted = present(next.parameters[0]);
            expect(update.vector("parameters")[i]).toBeCloseTo(wanted, 4);
            const share = 1 - Math.min(0.9, (1 + step) / (10 + step));
            const average = present(gradient[i]) + (wanted - present(gradient[i])) * share;
            expect(update.vector("average")[i]).toBeCloseTo(average, 4);
            rule.slots.forEach((slot, s) => {
              expect(update.vector(`slot.${slot}`)[i]).toBeCloseTo(present(next.slots[s]?.[0]), 3);
            });
          });
        },
      ),
    );
  });

  it("gives a number the same result wherever it lies, passes NaN and infinity on, and flushes what is denormal", async () => {
    for (const { rule, slots } of RULES) {
      for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        const values = [1e-39, Number.NaN, Number.POSITIVE_INFINITY, 0.25, -2, 1e-20, -1e-39, 3, 0];
        const gradient = Float32Array.from({ length: count }, (_, i) => values[i] ?? 0);
        const zeros = (): NdArray => float32(new Float32Array(count), [count]);
        const update = await VectorUpdate.create(
          { rule: present(rule), slots, averageDecay: 0, rates: [{ rate: 1, size: count }] },
          new Map([
            ["parameters", float32(new Float32Array(count).fill(1), [count])],
            ...slots.map((slot) => [`slot.${slot}`, zeros()] as const),
          ]),
        );
        update.update({ learningRate: 0.1, number: 1 }, undefined, [gradient]);
        for (let i = 0; i < count; i++) {
          const alone = await VectorUpdate.create(
            { rule: present(rule), slots, averageDecay: 0, rates: [{ rate: 1, size: 1 }] },
            new Map([
              ["parameters", float32([1], [1])],
              ...slots.map((slot) => [`slot.${slot}`, float32([0], [1])] as const),
            ]),
          );
          alone.update({ learningRate: 0.1, number: 1 }, undefined, [gradient.slice(i, i + 1)]);
          for (const name of ["parameters", ...slots.map((slot) => `slot.${slot}`)]) {
            expect(update.vector(name)[i], `${name} ${i} of ${count}`).toBe(alone.vector(name)[0]);
          }
        }
        if (count > 1) expect(update.vector("parameters")[1]).toBeNaN();
        // A penalty adds the parameter itself.
        const isPenalized =
          rule?.kind === "adam" ? !rule.decoupled && rule.weightDecay > 0 : present(rule).weightDecay > 0;
        if (!isPenalized)
          for (const slot of slots) expect(Math.abs(present(update.vector(`slot.${slot}`)[0]))).toBe(0);
      }
    }
  });

  it("covers vectors of many pieces", async () => {
    const count = 40_001;
    const gradient = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
    const update = await VectorUpdate.create(
      { rule: present(sgd().rule), slots: [], averageDecay: 0, rates: [{ rate: 1, size: count }] },
      new Map([["parameters", float32(new Float32Array(count), [count])]]),
    );
    const norm = update.update({ learningRate: 1, number: 1 }, undefined, [gradient]);
    expect(norm).toBeCloseTo(Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0)), 6);
    expect(update.vector("parameters")).toEqual(gradient.map((g) => 0 - g));
  });

  it("refuses vectors and gradients of another length", async () => {
    const options = { rule: present(sgd().rule), slots: [], averageDecay: 0, rates: [{ rate: 1, size: 3 }] };
    const start = new Map([["parameters", float32([1, 2, 3], [3])]]);
    const update = await VectorUpdate.create(options, start);
    expect(() => update.update({ learningRate: 1, number: 1 }, undefined, [new Float32Array(2)])).toThrow(
      /gradient has 2 numbers, the parameters have 3/,
    );
    await expect(VectorUpdate.create({ ...options, averageDecay: 0.9 }, start)).rejects.toThrow(
      /vector average/,
    );
  });
});

/** Numbers that look like chance, and are the same at every call. */
const wave = (count: number, by: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * by + by));

describe("the update on several threads", () => {
  /** Two updates of vectors of so many numbers. @returns all vectors and the norms */
  async function updated(
    { rule, slots }: Optimizer,
    count: number,
    others: number,
    { clipNorm, parts }: { readonly clipNorm: number | undefined; readonly parts: number },
  ) {
    const tasks = { handed: 0, closed: 0 };
    const counting: OpenSharedModule = async (code, bytes) => {
      const module = await openSharedModule(code, bytes, others);
      return {
        ...module,
        hand(calls, done) {
          const isHanded = module.hand(calls, done);
          if (isHanded) tasks.handed += 1;
          return isHanded;
        },
        async close() {
          tasks.closed += 1;
          await module.close();
        },
      };
    };
    const array = (by: number): NdArray => float32(wave(count, by).map(Math.abs), [count]);
    const rates = [
      { rate: 0.5, size: 70_001 },
      { rate: 1, size: count - 70_001 },
    ];
    const update = await VectorUpdate.create(
      { rule: present(rule), slots, averageDecay: 0.9, rates, ...(clipNorm !== undefined && { clipNorm }) },
      new Map([
        ["parameters", array(0.1)],
        ["average", array(0.2)],
        ...slots.map((slot, i) => [`slot.${slot}`, array(0.3 + i)] as const),
      ]),
      undefined,
      others === 0 ? undefined : counting,
    );
    const norms = [1, 2].map((number) => {
      const gradients = Array.from({ length: parts }, (_, part) => wave(count, number + part / 8));
      if (parts === 0) update.gradient.set(wave(count, number));
      return update.update({ learningRate: 0.1, number }, undefined, gradients);
    });
    // A stretch alone, as in games.
    update.gradient.set(wave(count, 0.7));
    norms.push(update.update({ learningRate: 0.1, number: 3 }, { from: 12_345, to: count - 3 }));
    const vectors = Object.fromEntries(
      Object.entries(update.views).map(([name, { data }]) => [name, data.slice()]),
    );
    await update.release();
    return { vectors, norms, ...tasks };
  }

  it.each([
    ["adamW", adamW({ weightDecay: 0.1 }), { clipNorm: undefined, parts: 0 }],
    ["adam with clipping", adam({ weightDecay: 0.1 }), { clipNorm: 0.5, parts: 0 }],
    ["sgd by parts with clipping", sgd({ momentum: 0.9, nesterov: true }), { clipNorm: 0.5, parts: 3 }],
    ["sgd by parts", sgd(), { clipNorm: undefined, parts: 2 }],
  ] as const)("gives the same numbers as one, bit for bit: %s", async (_, optimizer, how) => {
    // Three numbers are left over from the lanes.
    const alone = await updated(optimizer, 500_003, 0, how);
    const divided = await updated(optimizer, 500_003, 2, how);
    expect(divided.norms).toEqual(alone.norms);
    expect([alone.handed, divided.closed]).toEqual([0, 1]);
    expect(divided.handed).toBeGreaterThan(10);
    for (const [name, numbers] of Object.entries(alone.vectors)) {
      expect(
        divided.vectors[name]?.findIndex((number, i) => !Object.is(number, numbers[i])),
        name,
      ).toBe(-1);
    }
  });

  it("leaves vectors that are done sooner than a thread wakes to one", async () => {
    const start = new Map([["parameters", float32(new Float32Array(1000), [1000])]]);
    const options = {
      rule: present(sgd().rule),
      slots: [],
      averageDecay: 0,
      rates: [{ rate: 1, size: 1000 }],
    };
    const opened = VectorUpdate.create(options, start, undefined, async () => {
      throw new Error("opened");
    });
    await expect(opened).resolves.toBeDefined();
  });

  it("trains as one thread does, and goes on bit for bit", async () => {
    class Wide {
      readonly first = new Linear(16, 400);
      readonly second = new Linear(400, 1300);

      loss({ x }: { readonly x: Tensor }) {
        const hidden = this.first.forward(x.reshape([-1, 16])).tanh();
        return { total: this.second.forward(hidden).sub(1).square().mean() };
      }
    }
    const tracer = new StepTracer(nameParameters(new Wide()), {
      optimizer: adam(),
      clipNorm: 1,
      averageDecay: 0.9,
    });
    const modules = { asked: 0, opened: 0, closed: 0 };
    const run = async (updateThreads: number, steps: number, start?: Snapshot): Promise<Snapshot> => {
      const plain = await nodeRuntime({ threads: 1, updateThreads });
      const open: OpenSharedModule = async (code, bytes) => {
        modules.asked += 1;
        const module = await plain.openSharedModule?.(code, bytes);
        if (module === undefined) return undefined;
        modules.opened += 1;
        const close = async (): Promise<void> => {
          modules.closed += 1;
          await module.close();
        };
        return { ...module, close };
      };
      const on: Runtime = plain.openSharedModule === undefined ? plain : { ...plain, openSharedModule: open };
      const begun = start ?? { step: 0, vectors: initialVectors(tracer, new Random(3)) };
      const trainer = await Trainer.create(tracer, batches, on, begun);
      for (let i = 0; i < steps; i++) await trainer.train(0.01);
      const end = await trainer.snapshot();
      await trainer.release();
      return end;
    };
    const alone = await run(1, 6);
    expect(await run(3, 6)).toEqual(alone);
    expect(await run(1, 3, await run(3, 3))).toEqual(alone);
    const firsts = [...alone.vectors.values()].map(({ data }) => Number(data[0]));
    expect(firsts.every(Number.isFinite)).toBe(true);
    // Node 20 does not hand shared memory to native code.
    const opened = process.version.startsWith("v20.") ? 0 : 2;
    expect(modules).toEqual({ asked: 2, opened, closed: opened });
  });
});
