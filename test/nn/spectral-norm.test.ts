import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { symmetricEigenvalues } from "../../src/metrics/index.ts";
import {
  Conv2d,
  initialState,
  Linear,
  namedTensors,
  nameParameters,
  SpectralNorm,
} from "../../src/nn/index.ts";
import { normal } from "../../src/nn/initializers.ts";
import { SpectralWeight } from "../../src/nn/normalization.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program, type State } from "../../src/program/program.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { float32, grad, input, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { arraysOf, ganFixture, largestDifference, type SpectralCase } from "../latent/gan-fixture.ts";

/** Runs a training pass, several times over, and returns its outputs with the state that it leaves. */
async function passes(
  outputs: Readonly<Record<string, Tensor>>,
  updates: ReadonlyMap<Tensor & { readonly name: string }, Tensor>,
  state: State,
  feeds: Readonly<Record<string, NdArray>>,
  count: number,
): Promise<{ readonly outputs: Readonly<Record<string, NdArray>>; readonly state: State }> {
  const named = { ...outputs, ...Object.fromEntries([...updates].map(([{ name }, value]) => [name, value])) };
  const program = await Program.build(named, await nodeRuntime({ threads: 1 }));
  let held = new Map(state);
  let last: Readonly<Record<string, NdArray>> = {};
  for (let i = 0; i < count; i++) {
    last = await program.run({ ...Object.fromEntries(held), ...feeds });
    held = new Map([...held].map(([name, value]) => [name, last[name] ?? value]));
  }
  await program.release();
  return { outputs: last, state: held };
}

/** The singular values of a matrix of rows, largest first: roots of the eigenvalues of A Aᵀ. */
function singularValues(matrix: readonly (readonly number[])[]): number[] {
  const products = matrix.flatMap((row) =>
    matrix.map((other) => row.reduce((sum, value, k) => sum + value * (other[k] ?? 0), 0)),
  );
  const values = symmetricEigenvalues(Float64Array.from(products), matrix.length);
  return Array.from(values, (value) => Math.sqrt(Math.max(0, value))).sort((a, b) => b - a);
}

describe("spectral normalization", () => {
  const layers: readonly (readonly [string, () => SpectralNorm, SpectralCase])[] = [
    ["a linear layer", () => new SpectralNorm(new Linear(5, 7)), ganFixture.spectral.linear],
    [
      "a convolution",
      () => new SpectralNorm(new Conv2d(3, 4, 2, { stride: 2, padding: 1 })),
      ganFixture.spectral.conv,
    ],
  ];
  it.each(layers)("of %s equals PyTorch's, training and evaluating", async (_, make, fixture) => {
    const layer = nameParameters(make());
    const tensors = namedTensors(layer);
    expect([...tensors.keys()].sort()).toEqual(Object.keys(fixture.before).sort());
    const x = input("x", fixture.shape);
    const { result, updates } = traceTraining(() => {
      const y = layer.forward(x);
      const [gradient] = grad(y.square().sum(), [layer.parametrizations.weight.original]);
      return { y, gradient };
    });
    const feeds = { x: float32(fixture.x, fixture.shape) };
    const trained = await passes(result, updates, arraysOf(fixture.before, tensors), feeds, 3);
    expect(largestDifference(trained.outputs.y?.data ?? [], fixture.y)).toBeLessThan(1e-5);
    expect(largestDifference(trained.outputs.gradient?.data ?? [], fixture.gradient)).toBeLessThan(1e-4);
    for (const [name, value] of trained.state) {
      expect(largestDifference(value.data, fixture.after[name] ?? []), name).toBeLessThan(1e-5);
    }
    const evaluated = await passes({ y: layer.forward(x) }, new Map(), trained.state, feeds, 1);
    expect(largestDifference(evaluated.outputs.y?.data ?? [], fixture.evaluated)).toBeLessThan(1e-5);
  });

  it.each([
    [6, 9],
    [9, 6],
    [1, 8],
  ])("divides a %i×%i matrix by its largest singular value, from any start", async (rows, columns) => {
    const weight = nameParameters(new SpectralWeight([rows, columns], normal(2)));
    const { result, updates } = traceTraining(() => weight.normalized());
    const matrixOf = (array: NdArray | undefined): number[][] => {
      const values = Array.from(array?.data ?? [], Number);
      return Array.from({ length: rows }, (_, r) => values.slice(r * columns, (r + 1) * columns));
    };
    for (const seed of [1, 2]) {
      const state = initialState(weight, seed);
      for (const name of ["0._u", "0._v"]) {
        expect(Math.hypot(...Array.from(state.get(name)?.data ?? [], Number))).toBeCloseTo(1, 5);
      }
      const { outputs } = await passes({ w: result }, updates, state, {}, 200);
      const [largest = Number.NaN, ...others] = singularValues(matrixOf(state.get("original")));
      const normalized = singularValues(matrixOf(outputs.w));
      expect(largest).toBeGreaterThan(2);
      for (const [i, value] of [largest, ...others].entries()) {
        expect(normalized[i]).toBeCloseTo(value / largest, 4);
      }
    }
  });

  it("refuses groups that do not divide the channels", () => {
    expect(() => new SpectralNorm(new Conv2d(4, 6, 3, { groups: 4 }))).toThrow(OptionError);
  });
});
