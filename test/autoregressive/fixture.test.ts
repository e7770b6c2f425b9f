import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  AutoregressiveModel,
  type Conditionals,
  type Ensemble,
  MaskedAutoencoder,
  Nade,
  OrderlessNade,
} from "../../src/autoregressive/index.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { constant, float32 } from "../../src/tensor/index.ts";
import { bitData, numbers, withWeights } from "./support.ts";

interface Case {
  readonly name: string;
  readonly order: readonly number[];
  readonly degrees?: readonly (readonly number[])[];
  readonly state: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }>
  >;
  readonly x: readonly number[];
  readonly logProb: readonly number[];
}

const { cases } = JSON.parse(
  await readFile(new URL("../fixtures/autoregressive/vectors.json", import.meta.url), "utf8"),
) as { readonly cases: readonly Case[] };

function build({ name, order, degrees, state }: Case): Conditionals | Ensemble {
  const inputs = order.length;
  const noDropout = { dropout: 0, inputDropout: 0 };
  if (degrees !== undefined) {
    const [residual, direct] = [name.includes("residual"), name.includes("direct")];
    const hidden = degrees.map((layer) => layer.length);
    const relu = { activation: (x: Parameters<typeof evaluate>[0][number]) => x.relu() };
    return new MaskedAutoencoder(
      { inputs, hidden, residual, direct, ...relu, ...noDropout },
      { order, degrees },
    );
  }
  const units = state["input.bias"]?.shape[0] ?? 0;
  return name === "NADE for any order"
    ? new OrderlessNade({ inputs, hidden: [units, units], activation: (x) => x.relu(), ...noDropout }, [
        order,
      ])
    : new Nade({ inputs, hidden: [units], activation: (x) => x.sigmoid(), ...noDropout }, order);
}

describe("torch, with the same state_dict", () => {
  it.each(cases)("$name: the same log-likelihoods", async (recorded) => {
    const conditionals = build(recorded);
    const names = [...namedTensors(nameParameters(conditionals)).keys()];
    expect(names.toSorted()).toEqual(Object.keys(recorded.state).toSorted());
    const weights = new Map(
      Object.entries(recorded.state).map(([name, { shape, data }]) => [name, float32(data, shape)]),
    );
    const inputs = recorded.order.length;
    const x = constant(float32(recorded.x, [recorded.x.length / inputs, inputs]));
    const model = new AutoregressiveModel(conditionals, bitData(inputs));
    const [found] = await evaluate(withWeights(conditionals, weights, [model.logProb(x)]));
    numbers(found).forEach((value, i) => {
      expect(Math.abs(value - (recorded.logProb[i] ?? Number.NaN))).toBeLessThan(
        1e-5 * Math.max(1, Math.abs(value)),
      );
    });
  });
});
