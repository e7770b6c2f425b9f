import { beforeAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { compile, Program, Session } from "../../src/program/program.ts";
import { disposeValue, type Runtime, type RuntimeSession, readValue } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { float32, int64, type NdArray } from "../../src/tensor/array.ts";
import { constant, input, normal, Parameter, type Tensor, uniform } from "../../src/tensor/index.ts";
import { numbers, present } from "../support.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** Builds, runs once and frees. */
async function once(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Readonly<Record<string, NdArray>> = {},
  random?: Random,
): Promise<Readonly<Record<string, NdArray>>> {
  const program = await Program.build(outputs, runtime);
  const results = await program.run(feeds, random ? { random } : {});
  await program.release();
  return results;
}

/** A runtime that counts what it loads and frees. */
function counting(): { readonly runtime: Runtime; readonly counts: { loaded: number; released: number } } {
  const counts = { loaded: 0, released: 0 };
  const load = async (model: Uint8Array): Promise<RuntimeSession> => {
    counts.loaded++;
    const session = await runtime.load(model);
    return {
      run: (feeds) => session.run(feeds),
      release: async () => {
        counts.released++;
        await session.release();
      },
    };
  };
  return { runtime: { ...runtime, load }, counts };
}

describe("compile", () => {
  it("traces once for every combination of shapes and dtypes, and frees what it loaded", async () => {
    const { runtime, counts } = counting();
    let traced = 0;
    const double = compile(
      ["x"],
      ({ x }) => {
        traced++;
        return { y: x.add(x) };
      },
      { runtime },
    );
    for (const size of [2, 3, 2, 3, 2]) {
      const { y } = await double.run({ x: float32(new Float32Array(size).fill(1.5), [size]) });
      expect(numbers(y)).toEqual(new Array(size).fill(3));
    }
    await double.run({ x: float32([1, 2], [1, 2]) });
    await double.run({ x: int64([1, 2], [2]) });
    expect([traced, double.size, counts.loaded]).toEqual([4, 4, 4]);
    await double.release();
    expect([double.size, counts.released]).toEqual([0, 4]);
  });

  it("traces once where two calls for a new shape run at the same time", async () => {
    const { runtime, counts } = counting();
    const square = compile(["x"], ({ x }) => ({ y: x.square() }), { runtime });
    const results = await Promise.all([1, 2, 3].map((value) => square.run({ x: float32([value], [1]) })));
    expect(results.map(({ y }) => numbers(y)[0])).toEqual([1, 4, 9]);
    expect(counts.loaded).toBe(1);
    await square.release();
  });

  it("can be tried again after tracing has failed", async () => {
    const matched = compile(["x"], ({ x }) => ({ y: x.add(constant(1).reshape([1])) }), {
      runtime: { ...runtime, load: failingOnce(runtime) },
    });
    const x = float32([1], [1]);
    await expect(matched.run({ x })).rejects.toThrow("not this time");
    expect(numbers((await matched.run({ x })).y)).toEqual([2]);
    await matched.release();
  });

  it("types inputs that may be left out, and others of any name, by the names of its inputs", async () => {
    const x = float32([1, 2], [2]);
    const moved = compile(["x", "by?"], ({ x, by }) => ({ y: by ? x.add(by) : x }), { runtime });
    expect(numbers((await moved.run({ x })).y)).toEqual([1, 2]);
    expect(numbers((await moved.run({ x, by: undefined })).y)).toEqual([1, 2]);
    expect(numbers((await moved.run({ x, by: x })).y)).toEqual([2, 4]);
    // @ts-expect-error x must be given
    await expect(moved.run({ by: x })).rejects.toThrow("input x was not given");
    // @ts-expect-error there is no input z
    await expect(moved.run({ x, z: x })).rejects.toThrow("no input z; it has: x, by?");
    await moved.release();
    const sum = compile(
      ["x", "..."],
      ({ x, ...others }) => ({ y: Object.values(others).reduce((total, other) => total.add(other), x) }),
      { runtime },
    );
    expect(numbers((await sum.run({ x, a: x, b: x })).y)).toEqual([3, 6]);
    await sum.release();
  });

  it("keeps compiled functions of a session by owner and name", async () => {
    const { runtime, counts } = counting();
    const [two, three] = ["two", "three"].map((name) => {
      const weight = new Parameter([1], () => {});
      weight.name = name;
      return weight;
    });
    const weights = new Map([
      ["two", float32([2], [1])],
      ["three", float32([3], [1])],
    ]);
    const session = new Session(runtime, weights);
    const scaled = async (weight: Parameter): Promise<number[]> => {
      const scale = session.compiled(weight, "scale", ["x"], ({ x }) => ({ y: x.mul(weight) }));
      return numbers((await scale.run({ x: float32([10, 20], [2]) })).y);
    };
    for (let i = 0; i < 2; i++) {
      expect(await scaled(present(two))).toEqual([20, 40]);
      expect(await scaled(present(three))).toEqual([30, 60]);
    }
    expect(counts.loaded).toBe(2);
    await session.release();
    expect(counts.released).toBe(2);
  });

  it("writes results into arrays, at the first run and the later ones", async () => {
    const x = input("x", [2, 2]);
    // A sum, a value of another shape, an input that is passed on, a constant, and one value by two names.
    const sum = x.add(1);
    const program = await Program.build(
      { sum, again: sum, flat: x.reshape([4]), x, one: constant(1), rest: x.mul(3) },
      runtime,
    );
    const memory = new Float32Array(20).fill(-1);
    const into = {
      sum: memory.subarray(1, 5),
      again: memory.subarray(5, 9),
      flat: memory.subarray(9, 13),
      x: memory.subarray(13, 17),
      one: memory.subarray(17, 18),
    };
    for (const by of [0, 10, 20]) {
      const values = [1, 2, 3, 4].map((value) => value + by);
      const results = await program.runValues({ x: float32(values, [2, 2]) }, { into });
      expect(Object.keys(results)).toEqual(["rest"]);
      expect(numbers(await readValue(present(results.rest)))).toEqual(values.map((value) => 3 * value));
      const sums = values.map((value) => value + 1);
      expect([...memory]).toEqual([-1, ...sums, ...sums, ...values, ...values, 1, -1, -1]);
    }
    const x0 = float32([1, 2, 3, 4], [2, 2]);
    const fresh = await Program.build({ sum, counts: x.cast("int64") }, runtime);
    for (const tried of [program, fresh]) {
      await expect(tried.runValues({ x: x0 }, { into: { sum: new Float32Array(3) } })).rejects.toThrow(
        /result sum is float32\[2,2\], which 3 float32 numbers do not hold/,
      );
      await expect(tried.runValues({ x: x0 }, { into: { total: memory } })).rejects.toThrow(
        /no output .*total to write/,
      );
    }
    await expect(fresh.runValues({ x: x0 }, { into: { counts: new Float32Array(4) } })).rejects.toThrow(
      /result counts is int64/,
    );
    for (const tried of [program, fresh]) await tried.release();
  });

  it("has the library write into arrays from the second run on", async () => {
    const program = await Program.build({ sum: input("x", [2]).add(1) }, runtime);
    const session = await runtime.load(program.model);
    const name = "result.sum";
    const array = new Float32Array(2);
    const first = await session.run({ x: float32([1, 2], [2]) }, { [name]: array });
    expect(Object.keys(first)).toEqual([name]);
    const second = await session.run({ x: float32([3, 4], [2]) }, { [name]: array });
    expect(Object.keys(second)).toEqual([]);
    expect([...array]).toEqual([4, 5]);
    await session.release();
    await program.release();
  });

  it("runs on values that stay in the runtime, with the same program as on arrays", async () => {
    const { runtime, counts } = counting();
    const double = compile(["x"], ({ x }) => ({ y: x.add(x) }), { runtime });
    let { y } = await double.runValues({ x: float32([1, 2], [2]) });
    for (let step = 0; step < 3; step++) ({ y } = await double.runValues({ x: y }));
    expect(y.kind).toBe("runtime");
    expect(numbers(await readValue(y))).toEqual([16, 32]);
    const array = float32([1], [1]);
    expect(await readValue(array)).toBe(array);
    disposeValue(array);
    disposeValue(y);
    expect(numbers((await double.run({ x: float32([1, 2], [2]) })).y)).toEqual([2, 4]);
    expect(counts.loaded).toBe(1);
    await double.release();
  });
});

function failingOnce(runtime: Runtime): Runtime["load"] {
  let failed = false;
  return (model) => {
    if (failed) return runtime.load(model);
    failed = true;
    return Promise.reject(new Error("not this time"));
  };
}

describe("Program", () => {
  const x = input("x", [3]);
  const data = float32([1, 2, 3], [3]);

  it("gives outputs that are inputs, constants, one tensor twice, or named as an input is", async () => {
    const sum = x.sum();
    const results = await once({ x: x.mul(2), same: x, fixed: constant(5), sum, again: sum }, { x: data });
    expect(
      Object.fromEntries(Object.entries(results).map(([name, value]) => [name, numbers(value)])),
    ).toEqual({
      x: [2, 4, 6],
      same: [1, 2, 3],
      fixed: [5],
      sum: [6],
      again: [6],
    });
  });

  it("feeds results back without copying them out", async () => {
    const program = await Program.build({ x: x.mul(2), total: x.sum() }, runtime);
    let { x: state, total } = await program.runValues({ x: data });
    for (let i = 0; i < 3; i++) {
      if (state === undefined) throw new Error("no result");
      ({ x: state, total } = await program.runValues({ x: state }));
    }
    expect([state?.shape, numbers(await state?.read())]).toEqual([[3], [16, 32, 48]]);
    expect(numbers(await total?.read())).toEqual([48]);
    await program.release();
  });

  it("handles every dtype and empty arrays", async () => {
    const [i, b, e] = [input("i", [2], "int64"), input("b", [2], "bool"), input("e", [0, 2])];
    const results = await once(
      { i: i.add(i), f: i.cast("float32").mul(0.5), b, d: i.cast("float64"), e: e.mul(2) },
      {
        i: int64([3, -4], [2]),
        b: { dtype: "bool", shape: [2], data: Uint8Array.of(1, 0) },
        e: float32([], [0, 2]),
      },
    );
    expect(Object.values(results).map(({ dtype }) => dtype)).toEqual([
      "int64",
      "float32",
      "bool",
      "float64",
      "float32",
    ]);
    expect(Object.values(results).map(numbers)).toEqual([[6, -8], [1.5, -2], [1, 0], [3, -4], []]);
    expect(results.e?.shape).toEqual([0, 2]);
  });

  it("takes parameters with values as constants and the others as inputs", async () => {
    const [a, b] = [new Parameter([3], () => {}), new Parameter([3], () => {})];
    [a.name, b.name] = ["layer.a", "layer.b"];
    const program = await Program.build({ y: a.mul(b).add(x) }, runtime, new Map([["layer.a", data]]));
    expect([...program.inputNames].sort()).toEqual(["layer.b", "x"]);
    const { y } = await program.run({ x: data, "layer.b": float32([10, 20, 30], [3]) });
    expect(numbers(y)).toEqual([11, 42, 93]);
    await program.release();
  });

  it("names what is wrong with weights and inputs", async () => {
    const weight = new Parameter([3], () => {});
    await expect(Program.build({ y: x.mul(weight) }, runtime)).rejects.toThrow(/no name.*nameParameters/);
    weight.name = "scale";
    const wrong = new Map([["scale", float32([1, 2], [2])]]);
    await expect(Program.build({ y: x.mul(weight) }, runtime, wrong)).rejects.toThrow(
      /scale.*float32\[2\].*float32\[3\]/,
    );
    await expect(Program.build({ y: x.add(input("x", [3])) }, runtime)).rejects.toThrow(/two leaves.* x/);
    await expect(once({ y: x.exp() })).rejects.toThrow(/input x was not given/);
    await expect(once({ y: x.exp() }, { x: float32([1], [1]) })).rejects.toThrow(/cpu cannot run.*x/s);
    const short = { dtype: "float32", shape: [3], data: new Float32Array(2) } as const;
    await expect(once({ y: x.exp() }, { x: short })).rejects.toThrow(/input x holds 2 values.*\[3\]/);
  });
});

describe("random leaves", () => {
  const [gauss, flat] = [normal([4000, 2]), uniform([8000])];

  it("are drawn from the generator given: equal seeds give equal numbers", async () => {
    const program = await Program.build({ gauss, flat }, runtime);
    const draw = async (seed: number) => {
      const { gauss: g, flat: u } = await program.run({}, { random: new Random(seed) });
      return [numbers(g), numbers(u)] as const;
    };
    const [first, same, other] = [await draw(1), await draw(1), await draw(2)];
    expect(first).toEqual(same);
    expect(first[0]).not.toEqual(other[0]);
    expect(first[1]).not.toEqual(other[1]);
    await program.release();
  });

  it("have the moments of their distributions and do not repeat each other", async () => {
    const [second] = [normal([4000, 2])];
    const results = await once({ gauss, second, flat }, {}, new Random(3));
    const moment = (values: readonly number[], power: number): number =>
      values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    const [g, h, u] = [numbers(results.gauss), numbers(results.second), numbers(results.flat)];
    // Five standard errors of each estimate with 8,000 draws.
    expect(Math.abs(moment(g, 1))).toBeLessThan(0.056);
    expect(Math.abs(moment(g, 2) - 1)).toBeLessThan(0.08);
    expect(Math.abs(moment(g, 4) - 3)).toBeLessThan(0.55);
    expect(Math.abs(moment(u, 1) - 1 / 2)).toBeLessThan(0.017);
    expect(Math.abs(moment(u, 2) - 1 / 3)).toBeLessThan(0.017);
    expect(Math.min(...u)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...u)).toBeLessThan(1);
    expect(
      Math.abs(
        moment(
          g.map((value, i) => value * (h[i] ?? 0)),
          1,
        ),
      ),
    ).toBeLessThan(0.056);
  });

  it("are the rows of the whole batch where a part of it is run", async () => {
    const random = new Random(4);
    const whole = numbers((await once({ y: normal([6, 2]) }, {}, random)).y);
    const part = await Program.build({ y: normal([2, 2]) }, runtime);
    const { y } = await part.run({}, { random, rows: { first: 4, count: 2 } });
    expect(numbers(y)).toEqual(whole.slice(8));
    await part.release();
  });

  it("can be given by name, and must be where their shape is symbolic", async () => {
    const x = input("x", ["batch", 2]);
    const program = await Program.build({ y: x.add(normal(["batch", 2])), z: x.mul(uniform([2])) }, runtime);
    const feeds = { x: float32([1, 2], [1, 2]) };
    const random = new Random(5);
    await expect(program.run(feeds, { random })).rejects.toThrow(/random\.0 of shape \[batch, 2\]/);
    const given = { ...feeds, "random.0": float32([10, 20], [1, 2]) };
    expect(numbers((await program.run(given, { random })).y)).toEqual([11, 22]);
    await expect(program.run(given)).rejects.toThrow(/give it a generator/);
    await program.release();
  });
});

describe("a symbolic batch axis", () => {
  it("runs with any size, also through reshapes that multiply it", async () => {
    const x = input("x", ["batch", 2, 3]);
    const program = await Program.build(
      {
        rows: x.reshape([-1, 3]).sum(1),
        repeated: x.sum([1, 2]).reshape(["batch", 1]).broadcastTo(["batch", 2]),
      },
      runtime,
    );
    for (const batch of [1, 3, 5]) {
      const values = Array.from({ length: batch * 6 }, (_, i) => i);
      const results = await program.run({ x: float32(values, [batch, 2, 3]) });
      const row = (i: number): number => 3 * (3 * i + 1);
      expect(numbers(results.rows)).toEqual(Array.from({ length: batch * 2 }, (_, i) => row(i)));
      expect(numbers(results.repeated)).toEqual(
        Array.from({ length: batch }, (_, i) => row(2 * i) + row(2 * i + 1)).flatMap((sum) => [sum, sum]),
      );
    }
    await program.release();
  });
});
