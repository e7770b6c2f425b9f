import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { drawRows } from "../../src/autoregressive/draw-rows.ts";
import { AutoregressiveModel } from "../../src/autoregressive/model.ts";
import { PixelNetwork } from "../../src/autoregressive/networks/pixel.ts";
import { bits, byteLevels } from "../../src/autoregressive/networks/pixel-draw.ts";
import { PixelConditionals, pixelCnn } from "../../src/autoregressive/pixel-cnn.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, grad, input, int64, type NdArray } from "../../src/tensor/index.ts";
import { allVectors, chiSquared, codesOf, numbers, randomWeights, withWeights } from "./support.ts";

type Shape = readonly [number, number, number];

interface Sizes {
  readonly features?: number;
  readonly layers?: number;
  readonly kernel?: number;
  readonly firstKernel?: number;
  readonly classes?: number;
}

const sized = ({ features = 6, layers = 2, kernel = 3, firstKernel = 3, classes = 0 }: Sizes = {}) => ({
  features,
  layers,
  kernel,
  firstKernel,
  outputFeatures: features,
  classes,
  dropout: 0,
});

/** Bytes where there are levels, otherwise zeros and ones. */
const conditionalsOf = (shape: Shape, levels: number, sizes?: Sizes): PixelConditionals =>
  nameParameters(new PixelConditionals(levels === 0 ? bits : byteLevels(levels), shape, sized(sizes)));

function modelOf(conditionals: PixelConditionals, shape: Shape, levels: number): AutoregressiveModel {
  const { classes } = conditionals;
  const data: DataInfo = {
    kind: levels === 0 ? "binary" : "image",
    sampleShape: shape,
    ...(classes > 0 && { classes }),
  };
  return nameParameters(new AutoregressiveModel(conditionals, data));
}

async function sessionOf(module: object, deviation = 0.7, seed = 1): Promise<Session> {
  return new Session(await nodeRuntime({ threads: 1 }), randomWeights(module, seed, deviation));
}

/** log p(x_i | …) of rows, one after the other. */
async function elementLogs(
  conditionals: PixelConditionals,
  session: Session,
  x: NdArray<"float32">,
  label?: readonly number[],
): Promise<number[]> {
  const rows = x.shape[0] ?? 1;
  const program = session.compiled(conditionals, "element-logs", ["x", "label?"], (feeds) => ({
    logs: conditionals.elementLogProb(feeds.x, feeds.label),
  }));
  const { logs } = await program.run({ x, ...(label && { label: int64(label, [rows]) }) });
  return numbers(logs);
}

interface Fixture {
  readonly cases: readonly {
    readonly name: string;
    readonly shape: Shape;
    readonly levels: number;
    readonly classes: number;
    readonly sizes: Readonly<Record<"features" | "layers" | "first_kernel" | "kernel", number>>;
    readonly state: Readonly<
      Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }>
    >;
    readonly x: readonly number[];
    readonly label: readonly number[];
    readonly logProb: readonly number[];
  }[];
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/autoregressive/pixel-cnn.json", import.meta.url), "utf8"),
) as Fixture;

describe("a gated PixelCNN", () => {
  it.each(fixture.cases)("says what masked convolutions in torch say: $name", async (told) => {
    const { shape, levels, classes, sizes, label } = told;
    const conditionals = conditionalsOf(shape, levels, {
      ...sizes,
      firstKernel: sizes.first_kernel,
      classes,
    });
    const weights = new Map(
      Object.entries(told.state).map(([name, value]) => [name, float32([...value.data], value.shape)]),
    );
    const named = [...namedTensors(conditionals)];
    expect([...weights.keys()].sort()).toEqual(named.map(([name]) => name).sort());
    for (const [name, tensor] of named) expect(weights.get(name)?.shape, name).toEqual(tensor.shape);
    const x = constant(float32([...told.x], [3, shape[0] * shape[1] * shape[2]]));
    const labels = classes > 0 ? constant(int64(label, [3])) : undefined;
    const [found] = await evaluate(
      withWeights(conditionals, weights, [conditionals.elementLogProb(x, labels)]),
    );
    numbers(found).forEach((value, i) => {
      expect(Math.abs(value - (told.logProb[i] ?? Number.NaN))).toBeLessThan(
        1e-5 * Math.max(1, Math.abs(value)),
      );
    });
  });

  it("has probabilities of zeros and ones that sum to 1, of each class and of their mixture", async () => {
    const shape = [1, 3, 4] as const;
    const conditionals = conditionalsOf(shape, 0, { classes: 2 });
    const model = modelOf(conditionals, shape, 0);
    const session = await sessionOf(model);
    const x = { ...allVectors(12), shape: [4096, ...shape] };
    const sums: number[][] = [];
    for (const label of [0, 1, undefined]) {
      const program = session.compiled(model, `all-${label}`, ["x", "label?"], (feeds) => ({
        logProb: model.logProb(feeds.x, feeds.label),
      }));
      const told = label === undefined ? {} : { label: int64(new Array<number>(4096).fill(label), [4096]) };
      sums.push(numbers((await program.run({ x, ...told })).logProb).map(Math.exp));
    }
    const [first = [], second = [], mixture = []] = sums;
    for (const probabilities of sums) {
      expect(Math.abs(probabilities.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-5);
    }
    mixture.forEach((value, i) => {
      expect(Math.abs(value - ((first[i] ?? 0) + (second[i] ?? 0)) / 2)).toBeLessThan(1e-6);
    });
    await session.release();
  });

  it.each([
    { shape: [1, 2, 2], levels: 3 },
    { shape: [3, 1, 2], levels: 3 },
    { shape: [3, 2, 2], levels: 2 },
  ] as const)(
    "has probabilities of bytes that sum to 1: $shape in $levels levels",
    async ({ shape, levels }) => {
      const conditionals = conditionalsOf(shape, levels);
      const session = await sessionOf(conditionals);
      const elements = shape[0] * shape[1] * shape[2];
      const count = levels ** elements;
      const bytes = Array.from({ length: levels }, (_, level) =>
        Array.from({ length: 256 }, (_v, byte) => byte).filter(
          (byte) => Math.floor((byte * levels) / 256) === level,
        ),
      );
      // One byte stands for all of its level.
      const x = new Float32Array(count * elements);
      const sizes = new Array<number>(count).fill(1);
      for (let i = 0; i < x.length; i++) {
        const row = Math.floor(i / elements);
        const level = Math.floor(row / levels ** (i % elements)) % levels;
        const among = bytes[level] ?? [];
        x[i] = among[(row * 7 + i) % among.length] ?? Number.NaN;
        sizes[row] = (sizes[row] ?? 1) * among.length;
      }
      const logs = await elementLogs(conditionals, session, float32(x, [count, elements]));
      let total = 0;
      sizes.forEach((size, row) => {
        const logProb = logs.slice(row * elements, (row + 1) * elements).reduce((a, b) => a + b);
        total += size * Math.exp(logProb);
      });
      expect(Math.abs(total - 1)).toBeLessThan(1e-5);
      await session.release();
    },
  );

  it("sees all pixels before its own as far as its filters reach, none of the others: no blind spot", async () => {
    const [height, width] = [6, 7];
    for (const [layers, firstKernel, kernel] of [
      [1, 5, 3],
      [2, 3, 3],
      [3, 3, 5],
      [7, 3, 3],
    ] as const) {
      const network = nameParameters(
        new PixelNetwork({ ...sized({ layers, kernel, firstKernel, features: 6 }), channels: 1, logits: 1 }),
      );
      const reach = (firstKernel - 1) / 2 + ((layers - 1) * (kernel - 1)) / 2;
      const seen = await dependence(network, [1, height, width]);
      seen.forEach((sizes, i) => {
        sizes.forEach((size, j) => {
          const rows = Math.floor(i / width) - Math.floor(j / width);
          const columns = (i % width) - (j % width);
          const isSeen = j < i && rows <= reach && Math.abs(columns) <= reach;
          if (isSeen) expect(size, `${i} of ${j}`).toBeGreaterThan(1e-9);
          else expect(size, `${i} of ${j}`).toBe(0);
        });
      });
    }
  });

  it("sees the channels of a pixel in order", async () => {
    const shape = [3, 3, 4] as const;
    const { order } = conditionalsOf(shape, 2);
    const network = nameParameters(
      new PixelNetwork({ ...sized({ layers: 4, features: 15 }), channels: 3, logits: 1 }),
    );
    const seen = await dependence(network, shape);
    order.forEach((element, place) => {
      order.forEach((source, before) => {
        const size = seen[element]?.[source] ?? Number.NaN;
        if (before < place) expect(size, `${element} of ${source}`).toBeGreaterThan(1e-9);
        else expect(size, `${element} of ${source}`).toBe(0);
      });
    });
  });

  it.each([
    { shape: [1, 4, 5], levels: 0, classes: 0 },
    { shape: [1, 3, 4], levels: 7, classes: 3 },
    { shape: [3, 2, 3], levels: 5, classes: 0 },
    { shape: [1, 2, 3], levels: 256, classes: 0 },
  ] as const)("draws row by row what it draws pixel by pixel: $shape, $levels levels", async (told) => {
    const { shape, levels, classes } = told;
    const conditionals = conditionalsOf(shape, levels, { classes, firstKernel: 5, layers: 3 });
    const session = await sessionOf(conditionals, 0.5);
    const elements = shape[0] * shape[1] * shape[2];
    const rows = 6;
    const random = new Random(3);
    const top = levels === 0 ? 2 : 256;
    const wanted = Array.from({ length: rows }, (_, i) => ({
      random: random.split(i),
      given: {
        x: Float32Array.from({ length: elements }, () => random.integer(top)),
        known: Float32Array.from({ length: elements }, () => Number(i % 2 === 1 && random.uniform() < 0.4)),
      },
      ...(classes > 0 && { label: i % classes }),
    }));
    const label = classes > 0 ? wanted.map((row) => row.label ?? 0) : undefined;
    const { x, logKnown } = await drawRows(conditionals, elements, session, wanted);
    const uniforms = wanted.map((row) => {
      const values = new Float32Array(elements);
      row.random.split("elements").fillUniform(values);
      return values;
    });
    const candidates = Array.from({ length: top }, (_, value) => value);
    const logs = await elementLogs(conditionals, session, float32(x, [rows, elements]), label);
    for (const [i, { given }] of wanted.entries()) {
      const naive = new Float32Array(elements);
      let weight = 0;
      for (const element of conditionals.order) {
        const all = new Float32Array(top * elements);
        candidates.forEach((value) => {
          all.set(naive, value * elements);
          all[value * elements + element] = value;
        });
        const found = await elementLogs(
          conditionals,
          session,
          float32(all, [top, elements]),
          label && new Array<number>(top).fill(label[i] ?? 0),
        );
        const probabilities = candidates.map((value) => Math.exp(found[value * elements + element] ?? 0));
        const u = uniforms[i]?.[element] ?? 0;
        if (given.known[element] === 1) {
          naive[element] = given.x[element] ?? 0;
          weight += logs[i * elements + element] ?? 0;
        } else if (levels === 0) naive[element] = Number(u < (probabilities[1] ?? 0));
        else {
          let left = u;
          const value = probabilities.findIndex((probability) => {
            left -= probability;
            return left < 0;
          });
          naive[element] = value < 0 ? 255 : value;
        }
      }
      expect(Array.from(x.subarray(i * elements, (i + 1) * elements))).toEqual(Array.from(naive));
      expect(Math.abs((logKnown[i] ?? 0) - weight)).toBeLessThan(1e-4);
    }
    await session.release();
  });

  it("draws with its probabilities, of a class and of all", async () => {
    const shape = [1, 2, 4] as const;
    const conditionals = conditionalsOf(shape, 0, { classes: 2, features: 5 });
    const model = modelOf(conditionals, shape, 0);
    const session = await sessionOf(model, 0.6);
    for (const label of [1, undefined]) {
      const program = session.compiled(model, `all-${label}`, ["x", "label?"], (feeds) => ({
        logProb: model.logProb(feeds.x, feeds.label),
      }));
      const told = label === undefined ? {} : { label: int64(new Array<number>(256).fill(label), [256]) };
      const all = await program.run({ x: { ...allVectors(8), shape: [256, ...shape] }, ...told });
      const drawn = await model.sample(session, {
        count: 8000,
        seed: 2,
        ...(label !== undefined && { label }),
      });
      expect(chiSquared(codesOf(drawn.data, 8), numbers(all.logProb).map(Math.exp))).toBeLessThan(3);
    }
    await session.release();
  });

  it("completes images with the class that the known pixels make probable", async () => {
    const shape = [1, 2, 3] as const;
    const conditionals = conditionalsOf(shape, 0, { classes: 3, features: 5 });
    const model = modelOf(conditionals, shape, 0);
    const session = await sessionOf(model, 0.6);
    const program = session.compiled(model, "all", ["x"], (feeds) => ({
      logProb: model.logProb(feeds.x),
    }));
    const all = numbers((await program.run({ x: { ...allVectors(6), shape: [64, ...shape] } })).logProb);
    const x = [1, 0, 1, 0, 1, 1];
    for (const known of [
      [1, 1, 1, 0, 0, 0],
      [0, 0, 1, 1, 0, 1],
    ]) {
      const draws = 700;
      const completed = await model.inpaint(session, {
        x: float32(x, [1, ...shape]),
        known: float32(known, [1, ...shape]),
        draws,
        seed: 4,
        steps: 20,
      });
      const possible = all.map((logProb, code) => {
        const fits = known.every((is, i) => is === 0 || ((code >> (5 - i)) & 1) === x[i]);
        return fits ? Math.exp(logProb) : 0;
      });
      const total = possible.reduce((a, b) => a + b);
      const codes = codesOf(completed.data, 6);
      expect(codes).toHaveLength(draws);
      expect(
        chiSquared(
          codes,
          possible.map((value) => value / total),
        ),
      ).toBeLessThan(3);
    }
    await session.release();
  });

  it("says which data and options it does not take", () => {
    const build = (options: object, data: Partial<DataInfo>) => () =>
      pixelCnn(options, { kind: "binary", sampleShape: [1, 4, 4], ...data });
    expect(build({}, { sampleShape: [12] })).toThrow(/no images/);
    expect(build({}, { sampleShape: [2, 4, 4] })).toThrow(/no images/);
    expect(build({ kernel: 4 }, {})).toThrow(/odd/);
    expect(build({ features: 10 }, { kind: "image", sampleShape: [3, 4, 4] })).toThrow(/multiple of the 3/);
    expect(build({ conditional: true }, {})).toThrow(/no classes/);
    expect(build({ conditional: true }, { classes: 3 })().logProb).toBeTypeOf("function");
  });
});

/** Sizes of the derivatives of each output (one for each element) to each element, largest over some inputs. */
async function dependence(network: PixelNetwork, shape: Shape): Promise<number[][]> {
  const elements = shape[0] * shape[1] * shape[2];
  const points = 6;
  const rows = elements * points;
  const x = input("x", [rows, ...shape]);
  // Each row asks for the derivatives of another output.
  const asked = new Float32Array(rows * elements);
  for (let row = 0; row < rows; row++) asked[row * elements + (row % elements)] = 1;
  const outputs = network.forward(x).mul(constant(float32(asked, [rows, ...shape])));
  const derivatives = grad(outputs.sum(), [x])[0].abs().reshape([points, elements, elements]).max(0);
  const values = new Float32Array(rows * elements);
  new Random(5).fillNormal(values);
  const [found] = await evaluate(
    withWeights(network, randomWeights(network, 3, 0.6), [derivatives]),
    new Map([[x, float32(values, [rows, ...shape])]]),
  );
  const flat = numbers(found);
  return Array.from({ length: elements }, (_, i) => flat.slice(i * elements, (i + 1) * elements));
}
