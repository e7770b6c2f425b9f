import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  AffineBijection,
  Composition,
  gaussian,
  MaskedAutoregressive,
  maf,
  mafDefinition,
  mafOptions,
} from "../../src/flows/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, namedTensors, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { substitute } from "../../src/tensor/graph.ts";
import {
  constant,
  float32,
  grad,
  input,
  jacobian,
  type NdArray,
  stack,
  type Tensor,
} from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, withRandomParameters } from "./check-transform.ts";

/** Largest difference of two arrays of as many numbers. */
function difference(a: NdArray | undefined, b: NdArray | readonly number[]): number {
  const other = "data" in b ? numbers(b) : b;
  expect(numbers(a)).toHaveLength(other.length);
  return Math.max(...numbers(a).map((value, i) => Math.abs(value - (other[i] ?? Number.NaN))));
}

interface Fixture {
  readonly cases: readonly {
    readonly name: string;
    readonly features: number;
    readonly context: number;
    readonly hidden: readonly number[];
    readonly blocks: readonly (readonly Readonly<Record<"weight" | "bias", readonly number[]>>[])[];
    readonly x: readonly number[];
    readonly z: readonly number[];
    readonly c: readonly number[];
    readonly logProb: readonly number[];
    readonly code: readonly number[];
    readonly sample: readonly number[];
  }[];
}

const fixture = JSON.parse(
  await readFile(new URL("../fixtures/flows/maf.json", import.meta.url), "utf8"),
) as Fixture;

/** Places of zuko's hidden units when sorted by degree: theirs have the degrees in turn. */
function sortedUnits(units: number, degrees: number): readonly number[] {
  return Array.from({ length: units }, (_, j) => j).sort((a, b) => (a % degrees) - (b % degrees) || a - b);
}

describe("zuko's MAF", () => {
  it.each(fixture.cases)(
    "with the same weights, $name: the same densities, codes and samples",
    async (told) => {
      const { features, context: contextSize, hidden } = told;
      const blocks = told.blocks.map(
        (_, block) =>
          new MaskedAutoregressive(features, new AffineBijection(), {
            hidden,
            contextSize,
            order: Array.from({ length: features }, (_, i) => (block % 2 === 0 ? i : features - 1 - i)),
          }),
      );
      const degrees = features - (contextSize > 0 ? 0 : 1);
      const units = hidden.map((width) => sortedUnits(width, degrees));
      const replaced = new Map<Tensor, Tensor>();
      const put = (
        to: Tensor | undefined,
        rows: readonly number[],
        columns: readonly number[],
        flat: readonly number[],
        width: number,
      ) => {
        if (to === undefined) return;
        const picked = rows.flatMap((row) =>
          columns.map((column) => flat[row * width + column] ?? Number.NaN),
        );
        replaced.set(to, constant(float32(picked, to.shape.map(Number))));
      };
      const upTo = (count: number, start = 0): number[] => Array.from({ length: count }, (_, i) => start + i);
      const [first = [], second = []] = units;
      // Ours: scales of all elements, then shifts; zuko's: shift and scale of each element.
      const outputs = [1, 0].flatMap((parameter) => upTo(features).map((i) => 2 * i + parameter));
      told.blocks.forEach((layers, block) => {
        const network = blocks[block]?.network;
        const [l0, l1, l2] = layers;
        if (!network || !l0 || !l1 || !l2) throw new Error("the fixture has three layers a block");
        const inputs = features + contextSize;
        put(network.input.weight, first, upTo(features), l0.weight, inputs);
        put(network.context?.weight, first, upTo(contextSize, features), l0.weight, inputs);
        put(network.hidden[0]?.weight, second, first, l1.weight, first.length);
        put(network.output.weight, outputs, second, l2.weight, second.length);
        put(network.input.bias, first, [0], l0.bias, 1);
        put(network.hidden[0]?.bias, second, [0], l1.bias, 1);
        put(network.output.bias, outputs, [0], l2.bias, 1);
      });
      const row = (values: readonly number[], width: number) => constant(float32(values, [6, width]));
      const context = contextSize === 0 ? undefined : row(told.c, contextSize);
      const flow = new Composition(blocks);
      const { y, logDet } = flow.forward(row(told.x, features), context);
      const { x } = flow.inverse(row(told.z, features), context);
      const results = await evaluate(substitute([gaussian.logProb(y).add(logDet), y, x], replaced));
      for (const [i, expected] of [told.logProb, told.code, told.sample].entries()) {
        expect(results[i]?.data).toHaveLength(expected.length);
        numbers(results[i]).forEach((value, k) => {
          const other = expected[k] ?? Number.NaN;
          expect(Math.abs(value - other)).toBeLessThan(1e-4 * Math.max(1, Math.abs(other)));
        });
      }
    },
  );
});

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const table = (columns: number): DataInfo => ({ kind: "table", sampleShape: [columns] });

describe("maf", () => {
  it("in the plane integrates to 1, for every order and normalization", async () => {
    const [side, step] = [301, 0.2];
    const grid = new Float32Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      grid[2 * i] = (Math.floor(i / side) - (side - 1) / 2) * step;
      grid[2 * i + 1] = ((i % side) - (side - 1) / 2) * step;
    }
    const x = constant(float32(grid, [side * side, 2]));
    for (const options of [
      {},
      { order: "same", activation: "tanh" },
      { order: "random", normalization: "act-norm" },
    ] as const) {
      const model = maf({ blocks: 3, width: 8, ...options }, POINTS);
      const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 3, 0.25));
      const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0);
      expect(Math.abs(total * step * step - 1)).toBeLessThan(0.01);
    }
  });

  it("decodes what it encodes, for tables, given columns, more elements than are unrolled, and images", async () => {
    const columns = ["a", "b", "c"].map((name) => ({ name, size: 1 }));
    const kinds: readonly (readonly [DataInfo, object])[] = [
      [table(1), {}],
      [table(11), { normalization: "act-norm" }],
      [{ ...table(3), columns }, { given: ["b"] }],
      [table(66), { blocks: 2, width: 70 }],
      [
        { kind: "image", sampleShape: [1, 4, 6] },
        { blocks: 2, width: 32 },
      ],
    ];
    for (const [data, options] of kinds) {
      const model = maf({ width: 16, ...options }, data);
      const x = input("x", [7, ...data.sampleShape]);
      const { context } = model.conditioning.divide(x);
      const isImage = data.kind === "image";
      const values = normals(3, [7, ...data.sampleShape]);
      if (isImage)
        values.data.forEach((value, i, all) => {
          all[i] = Math.min(255, Math.max(0, 128 + 60 * value));
        });
      const outputs = withRandomParameters(model, [model.decode(model.encode(x), context)], 5, 0.15);
      const [back] = await evaluate(outputs, new Map([[x, values]]));
      expect(back?.shape).toEqual(values.shape);
      // In the units the flow works in, which for images are 256 bytes.
      expect(difference(back, values)).toBeLessThan(isImage ? 256e-4 : 2e-4);
    }
  });

  it("has a code whose every element depends on those before it alone, where it says so", async () => {
    const named = maf({ order: "same", normalization: "act-norm", width: 9 }, table(4));
    expect(named.triangularOrder).toEqual([0, 1, 2, 3]);
    const x = input("x", [3, 4]);
    const derivatives = stack(jacobian(named.encode(x).sum(0), x), 1)
      .abs()
      .sum(0);
    const [found] = await evaluate(
      withRandomParameters(named, [derivatives], 2, 0.4),
      new Map([[x, normals(1, [3, 4])]]),
    );
    numbers(found).forEach((size, i) => {
      if (i % 4 > Math.floor(i / 4)) expect(size).toBe(0);
    });
    expect(numbers(found)[12]).toBeGreaterThan(1e-3);
    for (const options of [{}, { order: "random" }, { order: "same", base: "mixture" }] as const) {
      expect(maf(options, table(4)).triangularOrder).toBeUndefined();
    }
  });

  it("stays finite far out, with its gradients", async () => {
    const model = nameParameters(maf({ blocks: 16, width: 12 }, table(5)));
    const far = normals(1, [6, 5]).data.map((value, i) => (i % 3 === 0 ? 1e3 * Math.sign(value) : value));
    const logProb = model.logProb(constant(float32(far, [6, 5])));
    const outputs = [logProb, ...grad(logProb.mean(), parametersOf(model))];
    // Near the start and with weights that make every scale reach its limit.
    for (const deviation of [0.05, 0.2]) {
      for (const value of await evaluate(withRandomParameters(model, outputs, 5, deviation))) {
        expect(numbers(value).every(Number.isFinite)).toBe(true);
      }
    }
  });

  it("draws the same samples in parts of any size, of the density it has", async () => {
    const model = nameParameters(maf({ blocks: 2, width: 12, base: "gaussian" }, table(3)));
    const weights = new Map(initialState(model, 0));
    for (const [i, name] of [...namedTensors(model).keys()].entries()) {
      const shape = weights.get(name)?.shape ?? [];
      weights.set(name, normals(i, shape, 0.3));
    }
    const session = new Session(await nodeRuntime(), weights);
    const many = await model.sample(session, { count: 5000, seed: 4 });
    const few = await model.sample(session, { count: 7, seed: 4 });
    expect(difference(few, Array.from(many.data.subarray(0, 21)))).toBeLessThan(1e-5);
    const encoder = session.compiled(model, "encode", ["x"], ({ x }) => ({ z: model.encode(x) }));
    const codes = numbers((await encoder.run({ x: many })).z);
    const moment = (power: number): number => codes.reduce((sum, z) => sum + z ** power, 0) / codes.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.04);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.05);
    await session.release();
  });

  it("has defaults", () => {
    expect(mafDefinition.options.parse({})).toMatchObject({
      blocks: 5,
      order: "alternating",
      normalization: "none",
    });
    expect(() => mafOptions.parse({ blocks: 0 })).toThrow();
  });
});
