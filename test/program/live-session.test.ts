import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { Linear } from "../../src/nn/linear.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { nodeRuntime, Session } from "../../src/program/index.node.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";

describe("a session with live weights", () => {
  const model = nameParameters(new Linear(2, 1));
  const weightsOf = (factor: number): [string, NdArray][] => [
    ["weight", float32([factor, 2 * factor], [1, 2])],
    ["bias", float32([1], [1])],
  ];
  const x = float32([1, 1, 3, 0], [2, 2]);
  const run = async (session: Session): Promise<readonly number[]> => {
    const program = session.compiled(model, "forward", ["x"], ({ x }) => ({ y: model.forward(x) }));
    const { y } = await program.run({ x });
    expect(program.size).toBe(1);
    return numbers(y);
  };

  it("computes with the weights of the moment, without compiling anew", async () => {
    const weights = new Map(weightsOf(1));
    const session = new Session(await nodeRuntime(), weights, { live: true });
    expect(await run(session)).toEqual([4, 4]);
    for (const [name, value] of weightsOf(10)) weights.set(name, value);
    expect(await run(session)).toEqual([31, 31]);
    await session.release();
  });

  it("keeps the first weights where it is not live", async () => {
    const weights = new Map(weightsOf(1));
    const session = new Session(await nodeRuntime(), weights);
    await run(session);
    for (const [name, value] of weightsOf(10)) weights.set(name, value);
    expect(await run(session)).toEqual([4, 4]);
    await session.release();
  });

  it("names a weight that is missing or misshapen", async () => {
    const weights = new Map(weightsOf(1));
    const session = new Session(await nodeRuntime(), weights, { live: true });
    weights.delete("bias");
    await expect(run(session)).rejects.toThrow(
      new WeightsError("weight bias of the model is not among those given"),
    );
    weights.set("bias", float32([1, 2], [2]));
    await expect(run(session)).rejects.toThrow(/weight bias: is \[2\], the model wants \[1\]/);
    await session.release();
  });
});
