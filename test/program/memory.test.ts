import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryError } from "../../src/errors.ts";
import { peakBytes } from "../../src/program/memory.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { input, type Tensor } from "../../src/tensor/index.ts";
import { matmul } from "../../src/tensor/operations/matmul.ts";

describe("the memory of a program", () => {
  it("is that of its inputs and of what lives at the same time", () => {
    const x = input("x", [10, 10]);
    // One value after the other: each takes the place of the one before.
    expect(peakBytes([x.exp().sin().cos()])).toBe(400 + 400);
    // A value that is read again later stays.
    const e = x.exp();
    expect(peakBytes([e.sin().cos().add(e)])).toBe(400 + 2 * 400);
    // Results stay; views take nothing.
    expect(peakBytes([x.exp(), x.sin()])).toBe(400 + 2 * 400);
    expect(peakBytes([x.exp().reshape([100])])).toBe(400 + 400);
    expect(peakBytes([matmul(x, input("y", [10, 1000]))])).toBe(400 + 40_000 + 40_000);
  });

  it("grows with the batch, and by no less than the largest value", () => {
    const network = (rows: number, width: number, depth: number): Tensor => {
      let x: Tensor = input("x", [rows, width]);
      for (let i = 0; i < depth; i++) x = matmul(x, input(`w${i}`, [width, width])).tanh();
      return x;
    };
    const size = fc.integer({ min: 1, max: 50 });
    fc.assert(
      fc.property(size, size, fc.integer({ min: 1, max: 5 }), (rows, width, depth) => {
        const bytes = peakBytes([network(rows, width, depth)]);
        const weights = 4 * depth * width * width;
        expect(bytes).toBeGreaterThanOrEqual(weights + 8 * rows * width);
        expect(bytes).toBeLessThanOrEqual(weights + 4 * (depth * 2 + 1) * rows * width);
        expect(peakBytes([network(rows + 1, width, depth)])).toBeGreaterThan(bytes);
      }),
    );
  });

  it("is checked before the program is made", async () => {
    const runtime = await nodeRuntime({ threads: 1, memory: { bytes: 1e6, source: "the test has" } });
    const make = (rows: number) => Program.build({ y: input("x", [rows, 1000]).exp() }, runtime);
    await (await make(100)).release();
    await expect(make(200)).rejects.toThrow(MemoryError);
    await expect(make(1e9)).rejects.toThrow(/needs at least 8 TB of memory, and the test has 1 MB/);
  });
});
