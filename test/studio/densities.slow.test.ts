import { nodeRuntime } from "eidos/program/node";
import { describe, expect, it } from "vitest";
import { Engine, type LookRequest } from "../../studio/playground/engine.ts";
import { initialSettings, type ModelKey } from "../../studio/playground/models.ts";

// Densities of the playground that take hundreds of evaluations, after some hundred steps of training.

const STEPS = 300;

describe("a density that is drawn while training rests", () => {
  it.each([
    { key: "rectified-flow", isBound: false },
    { key: "score-sde", isBound: false },
    { key: "ddpm", isBound: true },
    { key: "vae", isBound: true },
    { key: "spline-flow", isBound: false },
  ] as const)("of $key is one", async ({ key, isBound }: { key: ModelKey; isBound: boolean }) => {
    const engine = new Engine(key, { kind: "plane", name: "two-moons" }, 0, await nodeRuntime());
    await engine.advance({ steps: STEPS, milliseconds: 600_000 });
    const request: LookRequest = {
      view: "density",
      count: 0,
      settings: initialSettings(key),
      time: 0,
      seed: 1,
      figures: true,
      patient: true,
    };
    const { picture, figures } = await engine.look(request);
    // The bound of a chain is good for a mean alone.
    expect(picture.kind).toBe(key === "ddpm" ? "none" : "density");
    if (picture.kind === "density") {
      expect(picture.isBound).toBe(isBound);
      const cell = (8.8 / picture.side) ** 2;
      const mass = picture.logDensities.reduce((sum, value) => sum + Math.exp(value) * cell, 0);
      // The sum over the grid of what is a density is about 1, that of a bound at most.
      expect(mass).toBeLessThan(1.08);
      expect(mass).toBeGreaterThan(isBound ? 0.4 : 0.9);
    }
    expect(figures?.logLikelihood).toBeLessThan(engine.prepared.truth + 0.05);
    expect(figures?.logLikelihood).toBeGreaterThan(engine.prepared.truth - 1.2);
    await engine.release();
  });
});
