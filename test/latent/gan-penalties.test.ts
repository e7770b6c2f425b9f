import { describe, expect, it } from "vitest";
import { settleOptions } from "../../src/latent/gan-options.ts";
import {
  ConvolutionalDiscriminator,
  type Discriminator,
  ganOptions,
  gradientPenalty,
  MlpDiscriminator,
  r1Penalty,
} from "../../src/latent/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { grad, input, type Tensor } from "../../src/tensor/index.ts";
import { generator, randomValues, runAll, toArray, type Values } from "../tensor/support.ts";

// Penalties on the gradient of a critic and their gradients with respect to its parameters, against central differences
// of the same critics written in plain numbers.

type Parameters = Readonly<Record<string, Values>>;

const leaky = (x: number): number => (x > 0 ? x : 0.2 * x);

function valuesOf(parameters: Parameters, name: string): Values {
  const found = parameters[name];
  if (found === undefined) throw new Error(`there is no parameter ${name}`);
  return found;
}

/** W x + b of one row. */
function plainLinear(x: readonly number[], parameters: Parameters, layer: string): number[] {
  const weight = valuesOf(parameters, `${layer}.weight`);
  const bias = valuesOf(parameters, `${layer}.bias`).data;
  return bias.map((start, o) =>
    x.reduce((sum, value, i) => sum + value * (weight.data[o * x.length + i] ?? 0), start),
  );
}

/** A 4×4 convolution of stride 2 and padding 1 of one image, all in row-major lists. */
function plainHalving(
  x: readonly number[],
  [height, width]: readonly [number, number],
  parameters: Parameters,
  layer: string,
): number[] {
  const weight = valuesOf(parameters, `${layer}.weight`);
  const bias = valuesOf(parameters, `${layer}.bias`).data;
  const channels = weight.shape[1] ?? 1;
  const [rows, columns] = [height / 2, width / 2];
  return bias.flatMap((start, o) =>
    Array.from({ length: rows * columns }, (_, place) => {
      const [r, c] = [Math.floor(place / columns), place % columns];
      let sum = start;
      for (let i = 0; i < channels; i++)
        for (let a = 0; a < 4; a++)
          for (let b = 0; b < 4; b++) {
            const [y, z] = [2 * r + a - 1, 2 * c + b - 1];
            if (y < 0 || z < 0 || y >= height || z >= width) continue;
            const tap = weight.data[((o * channels + i) * 4 + a) * 4 + b] ?? 0;
            sum += tap * (x[(i * height + y) * width + z] ?? 0);
          }
      return sum;
    }),
  );
}

interface Case {
  readonly info: DataInfo;
  make(): Discriminator;
  /** The logit of one sample. */
  plain(x: readonly number[], parameters: Parameters): number;
}

const rows: DataInfo = { kind: "table", sampleShape: [3] };
const images: DataInfo = { kind: "image", sampleShape: [1, 4, 4] };
const settled = (options: Readonly<Record<string, unknown>>, info: DataInfo) =>
  settleOptions(ganOptions.parse(options), info);

const cases: readonly (readonly [string, Case])[] = [
  [
    "a perceptron",
    {
      info: rows,
      make: () => new MlpDiscriminator(settled({ width: 5, depth: 2 }, rows), rows),
      plain: (x, parameters) => {
        const h = plainLinear(x, parameters, "layers.0").map(leaky);
        const next = plainLinear(h, parameters, "layers.1").map(leaky);
        return plainLinear(next, parameters, "logit.output")[0] ?? 0;
      },
    },
  ],
  [
    "convolutions",
    {
      info: images,
      make: () => new ConvolutionalDiscriminator(settled({ channels: 2 }, images), images),
      plain: (x, parameters) => {
        const h = plainHalving(x, [4, 4], parameters, "down.0").map(leaky);
        const next = plainHalving(h, [2, 2], parameters, "down.1").map(leaky);
        return plainLinear(next, parameters, "logit.output")[0] ?? 0;
      },
    },
  ],
];

const COUNT = 2;
/** The critics are linear between kinks: differences in x are exact for small steps. */
const STEP = 1e-4;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

function nudged(values: readonly number[], at: number, by: number): number[] {
  return values.map((value, i) => (i === at ? value + by : value));
}

describe.each(cases)("penalties of %s", (_, { info, make, plain }) => {
  const random = generator(3);
  const size = info.sampleShape.reduce((a, b) => a * b, 1);
  const shape = [COUNT, ...info.sampleShape];
  const [data, samples] = [randomValues(shape, random), randomValues(shape, random)];
  const mixing: Values = { shape: [COUNT], data: [0.2, 0.9] };
  const critic = nameParameters(make());
  const tensors = [...namedTensors(critic)];
  const start: Parameters = Object.fromEntries(
    tensors.map(([name, tensor]) => [name, randomValues(tensor.shape, random, { low: -0.6, high: 0.9 })]),
  );
  const inputs = { x: input("x", shape), y: input("y", shape), mixing: input("mixing", [COUNT]) };
  const feedOf = (parameters: Parameters) =>
    Object.fromEntries(
      Object.entries({ x: data, y: samples, mixing, ...parameters }).map(([name, values]) => [
        name,
        toArray(values, "float32"),
      ]),
    );
  const between: readonly number[] = data.data.map((value, i) => {
    const share = mixing.data[Math.floor(i / size)] ?? 0;
    return share * value + (1 - share) * (samples.data[i] ?? 0);
  });

  /** Norms of the critic's gradient at points, by central differences of its logits. */
  function norms(points: readonly number[], parameters: Parameters): number[] {
    return Array.from({ length: COUNT }, (_, n) => {
      const x = points.slice(n * size, (n + 1) * size);
      const slopes = x.map((_, k) => {
        const [up, down] = [STEP, -STEP].map((by) => plain(nudged(x, k, by), parameters));
        return ((up ?? 0) - (down ?? 0)) / (2 * STEP);
      });
      return Math.hypot(...slopes);
    });
  }

  /** Checks a penalty and its gradients against a function of plain numbers. */
  async function check(penalty: Tensor, expected: (parameters: Parameters) => number): Promise<void> {
    const gradients = grad(
      penalty,
      tensors.map(([, tensor]) => tensor),
    );
    const outputs = { penalty, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
    const [result] = await runAll(outputs, [feedOf(start)]);
    const value = expected(start);
    expect(Math.abs((result?.penalty?.data[0] ?? 0) / value - 1)).toBeLessThan(1e-5);
    for (const [i, [name]] of tensors.entries()) {
      const own = valuesOf(start, name);
      own.data.forEach((_, at) => {
        const [up, down] = [1e-3, -1e-3].map((by) =>
          expected({ ...start, [name]: { ...own, data: nudged(own.data, at, by) } }),
        );
        const slope = ((up ?? 0) - (down ?? 0)) / 2e-3;
        const actual = result?.[`g${i}`]?.data[at] ?? Number.NaN;
        expect(Math.abs(actual - slope), `${name} ${at}`).toBeLessThan(2e-4 * Math.max(1, value));
      });
    }
  }

  it("R1 is half the mean squared gradient on data", () =>
    check(r1Penalty(critic.forward(inputs.x), inputs.x), (parameters) =>
      mean(norms(data.data, parameters).map((norm) => 0.5 * norm * norm)),
    ));

  it("the gradient penalty is the mean of (norm − 1)² between data and samples", () =>
    check(
      gradientPenalty((x) => critic.forward(x), inputs.x, inputs.y, inputs.mixing),
      (parameters) => mean(norms(between, parameters).map((norm) => (norm - 1) ** 2)),
    ));

  it("stays finite where the critic is flat", async () => {
    const penalty = gradientPenalty((x) => critic.forward(x), inputs.x, inputs.y, inputs.mixing);
    const gradients = grad(
      penalty,
      tensors.map(([, tensor]) => tensor),
    );
    const outputs = { penalty, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
    const flat = Object.fromEntries(
      Object.entries(start).map(([name, values]) => [name, { ...values, data: values.data.map(() => 0) }]),
    );
    const [result] = await runAll(outputs, [feedOf(flat)]);
    expect(result?.penalty?.data[0]).toBeCloseTo(1, 5);
    expect(
      Object.values(result ?? {})
        .flatMap((values) => values.data)
        .every(Number.isFinite),
    ).toBe(true);
  });
});
