import { describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import {
  conv2d,
  linear,
  log,
  log1p,
  matmul,
  mean,
  softplus,
  sum,
} from "../../src/tensor/index.operations.ts";
import { grad, normal, type Tensor, uniform } from "../../src/tensor/index.ts";
import { numbers, present } from "../support.ts";

// With `deterministic`, numbers do not depend on the number of threads: sizes at which the plain kernels were seen to differ.

const positive = (shape: readonly number[]): Tensor => uniform(shape).add(0.01);

const CASES: Readonly<Record<string, () => Tensor>> = {
  "a logarithm": () => log(positive([101, 777])),
  softplus: () => softplus(normal([75, 1231])),
  log1p: () => log1p(positive([101, 777])),
  "a sum between kept axes": () => sum(normal([2, 999, 64]), 1),
  "a sum over the first and last axis": () => sum(normal([64, 3, 785]), [0, 2]),
  "a mean over the first and last axis": () => mean(normal([1, 2, 36_119]), [0, 2], true),
  "a product with more columns than rows": () => matmul(normal([64, 300]), normal([300, 128])),
  "a product with few rows": () => matmul(normal([7, 9000]), normal([9000, 6])),
  "a product with the second operand transposed": () =>
    matmul(normal([37, 411]), normal([99, 411]), { transposeB: true }),
  "a batch of products": () => matmul(normal([1, 3, 37, 411]), normal([1, 1, 411, 99])),
  "a linear layer": () => linear(normal([14, 471]), normal([95, 471]), normal([95])),
  "a convolution of a single map": () =>
    conv2d(normal([1, 45, 10, 10]), normal([27, 45, 3, 3]), { padding: 1 }),
  "gradients of a convolution": () => {
    const [x, w] = [normal([1, 45, 20, 20]), normal([27, 45, 3, 3])];
    const [dx, dw] = grad(conv2d(x, w, { padding: 1 }).square().sum(), [x, w]);
    return dx.reshape([-1]).sum().add(dw);
  },
  ...Object.fromEntries(
    [
      { channels: 32, stride: 1 },
      { channels: 32, stride: 2 },
      { channels: 7, stride: 1 },
      { channels: 7, stride: 2 },
    ].map(({ channels, stride }) => [
      `gradients of a depthwise convolution of ${channels} channels, stride ${stride}`,
      () => {
        const [x, w] = [normal([2, channels, 20, 20]), normal([channels, 1, 3, 3])];
        const y = conv2d(x, w, { padding: 1, stride, groups: channels });
        const [dx, dw] = grad(y.square().sum(), [x, w]);
        return dx.reshape([-1]).sum().add(dw);
      },
    ]),
  ),
};

async function bits(make: () => Tensor, threads: number, deterministic: boolean): Promise<number[]> {
  const runtime = await nodeRuntime({ threads, deterministic });
  const program = await Program.build(new Map([["y", make()]]), runtime);
  try {
    return numbers((await program.run({}, { random: new Random(0) })).y);
  } finally {
    await program.release();
  }
}

describe("a deterministic runtime", () => {
  it.each(Object.keys(CASES))(
    "computes %s alike with any number of threads, and as the plain one does",
    async (name) => {
      const make = present(CASES[name]);
      const first = await bits(make, 1, true);
      for (const threads of [2, 3, 4, 8])
        expect(await bits(make, threads, true), `${threads}`).toEqual(first);
      const plain = await bits(make, 1, false);
      const scale = Math.max(...plain.map(Math.abs));
      plain.forEach((value, i) => {
        expect(Math.abs(value - present(first[i])) / scale, `${i}`).toBeLessThan(1e-5);
      });
    },
  );

  it("is needed: some of these differ by default", async () => {
    const make = present(CASES["a product with more columns than rows"]);
    expect(await bits(make, 2, false)).not.toEqual(await bits(make, 1, false));
  });
});
