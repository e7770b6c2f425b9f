import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { Inverted, iaf, iafDefinition, MaskedAutoregressive } from "../../src/flows/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { constant, float32, grad, input, jacobian, stack } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { logAbsDeterminant, normals, withRandomParameters } from "./check-transform.ts";

const table = (columns: number): DataInfo => ({ kind: "table", sampleShape: [columns] });

describe("iaf", () => {
  it("is made of masked autoregressive transforms the other way round", async () => {
    const model = iaf({ width: 8, blocks: 2 }, table(3));
    const z = constant(normals(1, [5, 3]));
    const byHand = model.transforms.toReversed().reduce((state, transform) => {
      if (!(transform instanceof Inverted && transform.transform instanceof MaskedAutoregressive)) {
        throw new Error("not an inverted autoregressive transform");
      }
      return transform.transform.forward(state).y;
    }, z);
    const outputs = withRandomParameters(model, [byHand, model.decode(z)], 3, 0.4);
    const [expected, decoded] = await evaluate(outputs);
    expect(numbers(decoded)).toEqual(numbers(expected));
  });

  for (const [dimensions, options] of [
    [1, {}],
    [4, { order: "random" }],
    [5, { normalization: "act-norm" }],
  ] as const) {
    it(`in ${dimensions} dimensions: its density is that of its own samples`, async () => {
      const model = iaf({ width: 10, blocks: 3, base: "gaussian", ...options }, table(dimensions));
      const z = input("z", [4, dimensions]);
      const x = model.decode(z);
      const derivatives = stack(jacobian(x.sum(0), z), 1);
      const outputs = [model.logProb(x), model.encode(x), derivatives];
      const codes = normals(2, [4, dimensions]);
      const values = await evaluate(withRandomParameters(model, outputs, 3, 0.3), new Map([[z, codes]]));
      const [logProb, back, jacobians] = values.map(numbers);
      for (let n = 0; n < 4; n++) {
        const rows = Array.from({ length: dimensions }, (_, i) =>
          jacobians?.slice((n * dimensions + i) * dimensions, (n * dimensions + i + 1) * dimensions),
        ).map((row) => row ?? []);
        const code = codes.data.subarray(n * dimensions, (n + 1) * dimensions);
        const base = code.reduce((sum, value) => sum - (value ** 2 + Math.log(2 * Math.PI)) / 2, 0);
        expect(Math.abs((logProb?.[n] ?? Number.NaN) - (base - logAbsDeterminant(rows)))).toBeLessThan(5e-4);
      }
      for (const [i, value] of (back ?? []).entries()) {
        expect(Math.abs(value - (codes.data[i] ?? Number.NaN))).toBeLessThan(2e-4);
      }
    });
  }

  it("in the plane integrates to 1, also under a class", async () => {
    const [side, step] = [241, 0.25];
    const grid = new Float32Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      grid[2 * i] = (Math.floor(i / side) - (side - 1) / 2) * step;
      grid[2 * i + 1] = ((i % side) - (side - 1) / 2) * step;
    }
    const x = constant(float32(grid, [side * side, 2]));
    const data: DataInfo = { kind: "points", sampleShape: [2], classes: 2 };
    for (const conditional of [false, true]) {
      const model = iaf({ blocks: 2, width: 8, conditional }, data);
      const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 3, 0.25));
      const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0);
      expect(Math.abs(total * step * step - 1)).toBeLessThan(0.01);
    }
  });

  it("can be fitted by maximum likelihood: gradients of all parameters are finite and there", async () => {
    const model = nameParameters(iaf({ blocks: 3, width: 12 }, table(6)));
    const { total } = model.loss({ x: constant(normals(1, [32, 6], 2)) });
    const gradients = grad(total, parametersOf(model));
    for (const value of await evaluate(withRandomParameters(model, gradients, 2, 0.2))) {
      expect(numbers(value).every(Number.isFinite)).toBe(true);
      expect(Math.max(...numbers(value).map(Math.abs))).toBeGreaterThan(1e-7);
    }
  });

  it("says why it does not take large samples", () => {
    expect(() => iaf({}, table(65))).toThrow(OptionError);
    expect(() => iaf({}, table(65))).toThrow(/65.*maf/);
    expect(iafDefinition.dataKinds).not.toContain("image");
  });
});
