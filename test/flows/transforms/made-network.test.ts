import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { MadeNetwork, type MadeOptions } from "../../../src/flows/transforms/masked-autoregressive.ts";
import { parameterCount } from "../../../src/nn/module.ts";
import { evaluate } from "../../../src/program/node.ts";
import { Random } from "../../../src/random.ts";
import { concat, input, jacobian, slice, stack, type Tensor } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { normals, withRandomParameters } from "../check-transform.ts";

// So that no unit is dead.
const tanh = (x: Tensor): Tensor => x.tanh();

function matrix(flat: readonly number[], columns: number): number[][] {
  return Array.from({ length: flat.length / columns }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
}

/** Σ over samples of |∂ output / ∂ input| and |∂ output / ∂ context|, a row for each output. */
async function dependence(options: MadeOptions): Promise<{ input: number[][]; context: number[][] }> {
  const { inputs, contextSize = 0 } = options;
  const network = new MadeNetwork({ ...options, activation: tanh });
  const x = input("x", [4, inputs]);
  const context = contextSize === 0 ? undefined : input("context", [4, contextSize]);
  const total = network.forward(x, context).sum(0);
  const sizes = (of: Tensor): Tensor => stack(jacobian(total, of), 1).abs().sum(0);
  const outputs = [sizes(x), ...(context ? [sizes(context)] : [])];
  const feeds = new Map([[x, normals(2, [4, inputs])]]);
  if (context) feeds.set(context, normals(3, [4, contextSize]));
  const [byInput, byContext] = await evaluate(withRandomParameters(network, outputs, 1), feeds);
  return {
    input: matrix(numbers(byInput), inputs),
    context: context ? matrix(numbers(byContext), contextSize) : [],
  };
}

const orders = [undefined, [3, 2, 1, 0], [2, 0, 3, 1]];
const cases: readonly (readonly [string, Partial<MadeOptions>])[] = [
  ["one hidden layer", { hidden: [7] }],
  ["two layers of unequal size", { hidden: [10, 13] }],
  ["residual", { hidden: [9, 9, 9], residual: true }],
  ["a context", { hidden: [8, 8], contextSize: 3 }],
  ["random degrees", { hidden: [30, 30], seed: 5 }],
  ["by parameter", { hidden: [12, 12], layout: "by-parameter" }],
];

describe("MadeNetwork", () => {
  for (const [name, options] of cases) {
    for (const order of orders) {
      it(`${name}, order ${order ?? "as given"}: depends on all elements before and on none other`, async () => {
        const full = { inputs: 4, parameterCount: 2, hidden: [8], ...options, ...(order && { order }) };
        const { input: found, context } = await dependence(full);
        const places = [0, 1, 2, 3].map((i) => (order ?? [0, 1, 2, 3]).indexOf(i));
        found.forEach((row, output) => {
          const element = options.layout === "by-parameter" ? output % 4 : Math.floor(output / 2);
          row.forEach((size, i) => {
            if ((places[i] ?? 0) < (places[element] ?? 0)) expect(size).toBeGreaterThan(1e-4);
            else expect(size).toBe(0);
          });
        });
        for (const size of context.flat()) expect(size).toBeGreaterThan(1e-4);
      });

      it(`${name}, order ${order ?? "as given"}: unrolled, gives the parameters of one pass`, async () => {
        const contextSize = options.contextSize ?? 0;
        const count = 3;
        const network = new MadeNetwork({
          inputs: 4,
          parameterCount: count,
          hidden: [8],
          ...options,
          ...(order && { order }),
        });
        const x = input("x", [5, 4]);
        const context = contextSize === 0 ? undefined : input("context", [5, contextSize]);
        const parameters: Tensor[] = [];
        const asked: number[] = [];
        const elements = network.unroll(
          (element, own) => {
            parameters[element] = own.transpose();
            asked.push(element);
            return slice(x.transpose(), 0, element, element + 1);
          },
          5,
          context,
        );
        expect(asked).toEqual(order ?? [0, 1, 2, 3]);
        const stacked = options.layout === "by-parameter" ? stack(parameters, 2) : stack(parameters, 1);
        const outputs = [
          network.forward(x, context),
          stacked.reshape([5, 4 * count]),
          concat(elements, 0).transpose(),
        ];
        const values = normals(7, [5, 4]);
        const feeds = new Map([[x, values]]);
        if (context) feeds.set(context, normals(8, [5, contextSize]));
        const [pass, unrolled, same] = await evaluate(withRandomParameters(network, outputs, 1), feeds);
        const expected = numbers(pass);
        numbers(unrolled).forEach((value, i) => {
          expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 4);
        });
        expect(numbers(same)).toEqual(Array.from(values.data));
      });
    }
  }

  it("takes fewer hidden units than elements, and a single element", async () => {
    const few = await dependence({ inputs: 6, parameterCount: 1, hidden: [3, 2] });
    few.input.forEach((row, k) => {
      row.forEach((size, i) => {
        if (i >= k) expect(size).toBe(0);
      });
    });
    expect(Math.max(...few.input.flat())).toBeGreaterThan(0);
    const one = await dependence({ inputs: 1, parameterCount: 2, hidden: [4] });
    expect(one.input).toEqual([[0], [0]]);
  });

  it("starts at zero and counts masked weights among its parameters", () => {
    const network = new MadeNetwork({ inputs: 3, parameterCount: 2, hidden: [5] });
    expect(parameterCount(network)).toBe(3 * 5 + 5 + 5 * 6 + 6);
    const zero = new Float32Array(30).fill(1);
    network.output.weight.initialize(zero, [6, 5], new Random(0));
    expect(zero.every((value) => value === 0)).toBe(true);
  });

  it("names options that cannot be", () => {
    const base = { inputs: 3, parameterCount: 1 };
    expect(() => new MadeNetwork({ ...base, hidden: [] })).toThrow(OptionError);
    expect(() => new MadeNetwork({ ...base, hidden: [4], order: [0, 1, 1] })).toThrow("[0,1,1]");
    expect(() => new MadeNetwork({ ...base, hidden: [4, 4], residual: true })).toThrow("pairs");
  });
});
