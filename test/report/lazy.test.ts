import { expect, it, vi } from "vitest";

const loaded = vi.hoisted(() => new Set<string>());
vi.mock("vega", async (original) => {
  loaded.add("vega");
  return await original();
});
vi.mock("vega-lite", async (original) => {
  loaded.add("vega-lite");
  return await original();
});
vi.mock("sharp", async (original) => {
  loaded.add("sharp");
  return await original();
});

it("loads Vega and sharp when a plot is drawn, not before, and never for images and points", async () => {
  const { learningRateCurve } = await import("../../src/report/index.ts");
  const { drawSamples } = await import("../../src/report/index.node.ts");
  const samples = { dtype: "float32", shape: [2, 2], data: new Float32Array([0, 0, 1, 1]) } as const;
  expect((await drawSamples({ kind: "points", samples })).format).toBe("png");
  await drawSamples({ kind: "image", samples: { ...samples, shape: [1, 1, 2, 2] } });
  expect([...loaded]).toEqual([]);
  const rows = [1, 2].map((step) => ({ step, learningRate: 0.1 }));
  expect(await learningRateCurve(rows)).toContain("<svg");
  expect([...loaded].sort()).toEqual(["vega", "vega-lite"]);
});

it("draws a table as PNG with sharp", async () => {
  const { drawSamples } = await import("../../src/report/index.node.ts");
  const table = { dtype: "float32", shape: [4, 1], data: new Float32Array([-1, 0, 1, 0.5]) } as const;
  const columns = [{ kind: "numeric", name: "acidity", mean: 7, deviation: 2 }] as const;
  const picture = await drawSamples({ kind: "table", samples: table, data: table, columns });
  expect(picture.format).toBe("png");
});
