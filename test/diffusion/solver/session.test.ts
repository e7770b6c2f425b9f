import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { PATHS } from "../../../src/diffusion/index.ts";
import { karrasLevels, levelsOf, thenClean } from "../../../src/diffusion/path/index.ts";
import {
  ddim,
  ddpm,
  dpmSolver,
  edm,
  interpretTable,
  normalRows,
  probabilityFlow,
  reverseSde,
  runTable,
  type SolverTable,
  type SymbolicDenoiser,
  samplerGraph,
  withLangevinCorrector,
} from "../../../src/diffusion/solver/index.ts";
import { OptionError } from "../../../src/errors.ts";
import { TimeConditionedMlp } from "../../../src/nn/linear.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { evenTimes } from "../../../src/ode/index.ts";
import { exportOnnx, type RuntimeValue, Session } from "../../../src/program/index.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Random } from "../../../src/random.ts";
import { float32, input, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { exact, normals, relativeDifference, triangle, triangleDenoiser } from "../support.ts";

const path = PATHS.vp;
const levels = karrasLevels(path, 8, { least: 0.02, largest: 40 });
const points = thenClean(levelsOf(path, evenTimes(8, 1, 0.05)));

const mixtureDenoiser = (x: Tensor, time: Tensor) => ({ denoised: triangleDenoiser(x, path, time) });

const tables: Readonly<Record<string, SolverTable>> = {
  ddim: ddim(levels),
  "ddim, eta 0.7": ddim(levels, { eta: 0.7 }),
  ddpm: ddpm(levels, { variance: "upper" }),
  "dpm-solver++": dpmSolver(levels),
  "edm, Heun": edm(levels),
  "edm with churn": edm(levels, { churn: { amount: 3, levels: path } }),
  "probability flow": probabilityFlow(points),
  "reverse SDE": reverseSde(points),
  "predictor–corrector": withLangevinCorrector(ddpm(levels), levels),
};

const COUNT = 5;
const startOf = ({ deviation }: SolverTable): NdArray<"float32"> =>
  float32(
    normals(1, [COUNT, 2]).data.map((z) => deviation * z),
    [COUNT, 2],
  );
const noise = (i: number) => normals(10 + i, [COUNT, 2]);

const inFloat64 = (x: NdArray<"float32">): NdArray<"float64"> => ({
  ...x,
  dtype: "float64",
  data: Float64Array.from(x.data),
});

describe("a table on a session", () => {
  it.each(Object.entries(tables))("%s gives what the interpreter gives", async (_, table) => {
    const session = new Session(await nodeRuntime(), new Map());
    const start = startOf(table);
    const states: number[][] = [];
    const found = await runTable(session, table, mixtureDenoiser, {
      name: "triangle",
      start,
      noise,
      onRow: async (x) => {
        states.push(Array.from((await x.read()).data, Number));
        return undefined;
      },
    });
    const expected: number[][] = [];
    const end = interpretTable(table, exact(triangle, path), inFloat64(start), {
      noise,
      onRow: (x) => expected.push([...x.data]),
    });
    expect(states.length).toBe(expected.length);
    states.forEach((state, i) => {
      expect(relativeDifference(state, expected[i] ?? [])).toBeLessThan(1e-4);
    });
    expect(relativeDifference(found.data, end.data)).toBeLessThan(1e-4);
    await session.release();
  });

  it("compiles one program for all tables without noise, and one for all with", async () => {
    const runtime = await nodeRuntime();
    let loaded = 0;
    const session = new Session(
      {
        ...runtime,
        load: (...args) => {
          loaded++;
          return runtime.load(...args);
        },
      },
      new Map(),
    );
    for (const table of Object.values(tables)) {
      await runTable(session, table, mixtureDenoiser, { name: "triangle", start: startOf(table), noise });
    }
    expect(loaded).toBe(2);
    await session.release();
  });

  it("keeps the state in the runtime, and lets it be replaced between rows", async () => {
    const session = new Session(await nodeRuntime(), new Map());
    const table = ddim(levels);
    const seen: RuntimeValue[] = [];
    const held = await runTable(session, table, mixtureDenoiser, {
      name: "triangle",
      start: startOf(table),
      onRow: async (x, done) => {
        seen.push(x);
        // The first sample is held where it is told.
        const { data } = await x.read();
        const next = Float32Array.from(data as Float32Array);
        next.set([done, -done]);
        return float32(next, [COUNT, 2]);
      },
    });
    expect(seen.every((x) => x.kind === "runtime")).toBe(true);
    expect([...held.data].slice(0, 2)).toEqual([8, -8]);
    const free = await runTable(session, table, mixtureDenoiser, { name: "triangle", start: startOf(table) });
    expect(relativeDifference(held.data.slice(2), free.data.slice(2))).toBeLessThan(1e-6);
    await session.release();
  });

  it("gives the denoiser what it asks for, whatever the names", async () => {
    const session = new Session(await nodeRuntime(), new Map());
    const table = ddim(levels);
    const guided: SymbolicDenoiser = (x, time, { state, noise: strength }) => {
      const { denoised } = mixtureDenoiser(x, time);
      return { denoised: denoised.mul(strength as Tensor).add(state as Tensor) };
    };
    const run = (strength: number) =>
      runTable(session, table, guided, {
        name: "guided",
        start: startOf(table),
        inputs: { state: float32([0, 0], [2]), noise: float32([strength], []) },
      });
    const plain = await runTable(session, table, mixtureDenoiser, {
      name: "triangle",
      start: startOf(table),
    });
    expect(relativeDifference((await run(1)).data, plain.data)).toBeLessThan(1e-5);
    expect((await run(0)).data.every((value) => Math.abs(value) < 1e-5)).toBe(true);
    await session.release();
  });

  it("draws noise of the deviation that a network tells", async () => {
    const session = new Session(await nodeRuntime(), new Map());
    const table = ddpm(levels, { variance: "learned" });
    const learned: SymbolicDenoiser = (x, time) => ({ ...mixtureDenoiser(x, time), variance: x.sigmoid() });
    const found = await runTable(session, table, learned, { name: "learned", start: startOf(table), noise });
    const best = exact(triangle, path);
    const end = interpretTable(
      table,
      (x, time) => ({
        ...best(x, time),
        variance: { ...x, data: x.data.map((value) => 1 / (1 + Math.exp(-value))) },
      }),
      inFloat64(startOf(table)),
      { noise },
    );
    expect(relativeDifference(found.data, end.data)).toBeLessThan(1e-4);
    await expect(
      runTable(session, table, learned, { name: "learned", start: startOf(table) }),
    ).rejects.toThrow(OptionError);
    await session.release();
  });
});

describe("a whole sampler in one graph", () => {
  it.each(["ddim", "dpm-solver++", "edm, Heun", "ddpm"])(
    "%s is a loop that ONNX Runtime runs, for any number of samples",
    async (name) => {
      const table = tables[name] ?? ddim(levels);
      const start = input("start", ["batch", 2]);
      const stochastic = name === "ddpm";
      const drawn = stochastic ? input("noise", [table.rows.length, "batch", 2]) : undefined;
      const model = exportOnnx({ samples: samplerGraph(table, mixtureDenoiser, start, drawn) }, new Map());
      const session = await ort.InferenceSession.create(model);
      for (const count of [COUNT, 1]) {
        const begin = startOf(table).data.slice(0, 2 * count);
        const noises = table.rows.map((_, i) => noise(i).data.slice(0, 2 * count));
        const { samples } = await session.run({
          start: new ort.Tensor("float32", begin, [count, 2]),
          ...(stochastic && {
            noise: new ort.Tensor("float32", Float32Array.from(noises.flatMap((z) => [...z])), [
              noises.length,
              count,
              2,
            ]),
          }),
        });
        const expected = interpretTable(table, exact(triangle, path), inFloat64(float32(begin, [count, 2])), {
          noise: (i) => float32(noises[i] ?? [], [count, 2]),
        });
        expect(relativeDifference(samples?.data as Float32Array, expected.data)).toBeLessThan(1e-4);
      }
      await session.release();
    },
  );

  it("holds the weights of a network", async () => {
    const network = nameParameters(new TimeConditionedMlp({ inputs: 2, outputs: 2, width: 16, depth: 2 }));
    const weights = initialState(network, 3);
    const denoiser = (x: Tensor, time: Tensor) => ({ denoised: network.forward(x, time) });
    const table = dpmSolver(levels);
    const session = new Session(await nodeRuntime(), weights);
    const expected = await runTable(session, table, denoiser, { name: "network", start: startOf(table) });
    const graph = samplerGraph(table, denoiser, input("start", ["batch", 2]));
    const loaded = await ort.InferenceSession.create(exportOnnx({ samples: graph }, weights));
    const { samples } = await loaded.run({
      start: new ort.Tensor("float32", startOf(table).data, [COUNT, 2]),
    });
    expect(relativeDifference(samples?.data as Float32Array, expected.data)).toBeLessThan(1e-5);
    await Promise.all([session.release(), loaded.release()]);
  });

  it("wants noise where the table draws some", () => {
    expect(() => samplerGraph(ddpm(levels), mixtureDenoiser, input("x", ["batch", 2]))).toThrow("row 0");
  });
});

describe("noise of samples", () => {
  it("is the same for a sample whatever others are drawn with it", () => {
    const randoms = [0, 1, 2].map((i) => new Random(7).split(i));
    const all = normalRows(randoms, [2, 2], "start");
    expect(all.shape).toEqual([3, 2, 2]);
    expect([...normalRows(randoms.slice(1, 2), [2, 2], "start").data]).toEqual([...all.data.slice(4, 8)]);
    expect([...normalRows(randoms, [2, 2], 0).data]).not.toEqual([...all.data]);
  });
});
