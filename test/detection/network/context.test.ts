import { describe, expect, it } from "vitest";
import { ContextModule } from "../../../src/detection/network/context.ts";
import { initialState, nameParameters, parameterCount, parametersOf } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, grad, input, slice } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";

/** Positions of a map that each part of the channels of its middle depends on: the sides of the square that holds them. */
async function reach(kind: "ssh" | "pyramid-box", parts: readonly (readonly [number, number])[]) {
  const [channels, side] = [64, 11];
  // Normalization would let every position depend on all.
  const module = nameParameters(new ContextModule(kind, channels, 0));
  const x = input("x", [1, channels, side, side]);
  const y = module.forward(x);
  expect(y.shape).toEqual([1, channels, side, side]);
  const middle = slice(slice(y, 2, 5, 6), 3, 5, 6);
  const outputs = new Map(
    parts.map(([from, to]) => [`${from}`, present(grad(slice(middle, 1, from, to).sum(), [x])[0])]),
  );
  const program = await Program.build(outputs, await testRuntime(), initialState(module, 2));
  const random = new Random(3);
  const values = await program.run({
    x: float32(
      Array.from({ length: channels * side * side }, () => random.normal()),
      [1, channels, side, side],
    ),
  });
  await program.release();
  return parts.map(([from]) => {
    const moved = Array.from(present(values[`${from}`]).data, Number).flatMap((value, i) =>
      value === 0 ? [] : [i % (side * side)],
    );
    const across = moved.map((i) => i % side);
    const down = moved.map((i) => Math.floor(i / side));
    const [width, height] = [across, down].map((all) => Math.max(...all) - Math.min(...all) + 1);
    return [width, height];
  });
}

describe("context modules", () => {
  it.each(["ssh", "pyramid-box"] as const)(
    "%s: half of the channels see 3 × 3, a quarter 5 × 5 and a quarter 7 × 7",
    async (kind) => {
      const parts = [
        [0, 32],
        [32, 48],
        [48, 64],
      ] as const;
      expect(await reach(kind, parts)).toEqual([
        [3, 3],
        [5, 5],
        [7, 7],
      ]);
    },
  );

  it("of PyramidBox is that of SSH behind a residual block", () => {
    const [ssh, box] = (["ssh", "pyramid-box"] as const).map((kind) =>
      nameParameters(new ContextModule(kind, 64, 8)),
    );
    const names = parametersOf(present(box)).map(({ name }) => name);
    expect(names.filter((name) => !name.startsWith("residual."))).toEqual(
      parametersOf(present(ssh)).map(({ name }) => name),
    );
    expect(parameterCount(present(box))).toBeGreaterThan(parameterCount(present(ssh)));
  });

  it("takes as many groups as divide a quarter of the channels", () => {
    // 4 channels and 8 groups: 4.
    const module = nameParameters(new ContextModule("ssh", 16, 8));
    expect(module.forward(input("x", [2, 16, 5, 5])).shape).toEqual([2, 16, 5, 5]);
  });
});
