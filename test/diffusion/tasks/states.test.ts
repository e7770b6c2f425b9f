import { describe, expect, it } from "vitest";
import { PATHS, ScoreSde, scoreSdeOptions } from "../../../src/diffusion/index.ts";
import { solversFor } from "../../../src/diffusion/solver/index.ts";
import { nameParameters } from "../../../src/nn/module.ts";
import { CLOUDS, exactModel, randomSession } from "./exact-model.ts";

describe("samples as they form", () => {
  it("end where the sampler ends, whatever the solver", async () => {
    const data = { kind: "points", sampleShape: [2], classes: 3 } as const;
    const model = nameParameters(new ScoreSde(scoreSdeOptions.parse({ width: 16, depth: 2 }), data));
    const session = await randomSession(model);
    for (const solver of solversFor(model.subject)) {
      const options = { solver, count: 5, seed: 3, guidance: 1.5, rtol: 1e-6, atol: 1e-6 } as const;
      const steps = solver === "dormand-prince" ? {} : { steps: 9 };
      const samples = await model.sample(session, { ...options, ...steps });
      const states = await model.sampleStates(session, { ...options, ...steps, states: 4 });
      expect(states, solver).toHaveLength(4);
      for (const state of states) expect(state.shape).toEqual([5, 2]);
      samples.data.forEach((value, i) => {
        const end = states.at(-1)?.data[i] ?? Number.NaN;
        expect(Math.abs(value - end) / (1 + Math.abs(value)), solver).toBeLessThan(1e-3);
      });
      // No more states than there are steps to see.
      const few = await model.sampleStates(session, { ...options, ...steps, states: 500 });
      if (solver !== "dormand-prince") expect(few.length).toBeLessThanOrEqual(20);
    }
    await expect(model.sampleStates(session, { count: 2, seed: 0, states: 1 })).rejects.toThrow(/states/);
    await session.release();
  });

  it("are as wide as data on an exploding path too", async () => {
    const { model, session } = await exactModel(CLOUDS, PATHS.ve);
    const times: number[] = [];
    const states = await model.sampleStates(session, {
      count: 400,
      seed: 1,
      states: 6,
      steps: 40,
      onState: (mark) => mark.kind === "time" && times.push(mark.time),
    });
    expect(times).toHaveLength(6);
    expect([times[0], times[5]]).toEqual([1, 0]);
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    const spread = states.map(({ data }) => Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length));
    for (const deviation of spread) {
      expect(deviation).toBeGreaterThan(0.6);
      expect(deviation).toBeLessThan(1.4);
    }
    await session.release();
  });
});
