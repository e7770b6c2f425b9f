import { expect } from "vitest";
import { glow } from "../../src/flows/index.ts";
import { Composition } from "../../src/flows/transforms/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, namedTensors, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { traceInitialization } from "../../src/tensor/index.operations.ts";
import { constant, grad, type Parameter, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals } from "./check-transform.ts";

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

/** What a model's parameters start from, as constants; those that its first batch decides, by that batch. */
export function startOf(
  module: object,
  starts: ReadonlyMap<Parameter, Tensor> = new Map(),
): Map<Tensor, Tensor> {
  nameParameters(module);
  const state = initialState(module, 0);
  const values = new Map<Tensor, Tensor>();
  for (const [name, tensor] of namedTensors(module)) {
    const start = state.get(name);
    if (start !== undefined) values.set(tensor, constant(start));
  }
  const decided = substitute([...starts.values()], values);
  [...starts.keys()].forEach((parameter, i) => {
    values.set(parameter, decided[i] ?? parameter);
  });
  return values;
}

/** A deep Glow, its weights a little off their start, keeps codes small, is inverted, and has finite gradients far from the data. */
export async function expectTame(data: DataInfo, flowSteps: number): Promise<void> {
  const model = glow(
    {
      width: 8,
      flowSteps,
      logit: false,
      levels: data.kind === "image" ? 1 : undefined,
    },
    data,
  );
  nameParameters(model);
  const flow = new Composition(model.transforms);
  const shape = [32, ...data.sampleShape];
  const near = constant(normals(2, shape));
  const starts = traceInitialization(() => flow.forward(near));
  // Parameters as after some training: the starting values, shaken.
  let seed = 100;
  const shaken = new Map(
    [...startOf(model, starts)].map(([parameter, value]) => [
      parameter,
      value.add(constant(normals(seed++, value.shape.map(Number), 0.03))),
    ]),
  );
  const code = flow.forward(near);
  const logProb = model.base.logProb(code.y).add(code.logDet);
  const far = flow.forward(constant(normals(3, shape, 1e3)));
  const gradients = grad(logProb.mean(), parametersOf(model));
  const [y, back, ...rest] = await evaluate(
    substitute([code.y, flow.inverse(code.y).x, far.y, far.logDet, ...gradients], shaken),
  );
  // With log-scales of up to 3 in every coupling, codes of 7 · 10¹² were seen here.
  expect(largest(numbers(y))).toBeLessThan(1e3);
  const original = normals(2, shape).data;
  expect(largest(numbers(back).map((value, i) => value - (original[i] ?? 0)))).toBeLessThan(2e-3);
  for (const value of rest) expect(numbers(value).every(Number.isFinite)).toBe(true);
}
