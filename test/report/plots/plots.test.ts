import { describe, expect, it } from "vitest";
import type { Column } from "../../../src/data/sources/columns.ts";
import { rasterize } from "../../../src/report/pictures.node.ts";
import { densityHeatMap } from "../../../src/report/plane/plots.ts";
import {
  gradientNormCurve,
  learningRateCurve,
  lossCurves,
  lossPartCurves,
  measureCurves,
} from "../../../src/report/plots/curves.ts";
import { renderSvg } from "../../../src/report/plots/plot.ts";
import { tableMarginals } from "../../../src/report/plots/tables.ts";
import { pngSize } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

const rows = Array.from({ length: 3000 }, (_, i) => ({
  step: 10 * (i + 1),
  loss: 0.2 + Math.exp(-i / 50),
  learningRate: 1e-3,
  gradientNorm: 1 + Math.sin(i) / 2,
  parts: { reconstruction: Math.exp(-i / 50), divergence: 0.2 },
  ...(i % 500 === 499 ? { validationLoss: 0.25 + (i - 1499) ** 2 * 1e-8 } : {}),
}));
const texts = (svg: string | undefined) =>
  [...(svg ?? "").matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);

describe("renderSvg", () => {
  it("draws a small plot as it always did", async () => {
    const svg = await renderSvg({
      width: 120,
      height: 60,
      data: {
        values: [
          { step: 0, loss: 1 },
          { step: 50, loss: 0.25 },
          { step: 100, loss: 0.2 },
        ],
      },
      mark: { type: "line", clip: true },
      encoding: { x: { field: "step", type: "quantitative" }, y: { field: "loss", type: "quantitative" } },
    });
    await expect(svg).toMatchFileSnapshot("../../fixtures/report/line.svg");
  });
});

describe("curves", () => {
  it("label axes, mark the best validation and stay small however long the run", async () => {
    const svg = await lossCurves(rows, "mean squared error");
    expect(texts(svg)).toEqual(
      expect.arrayContaining(["mean squared error", "training step", "validation", "best 0.25"]),
    );
    expect(svg?.length).toBeLessThan(60_000);
  });

  it("are logarithmic where a loss falls far, and say what a linear frame leaves out", async () => {
    const values = texts(
      await lossCurves(
        rows.map((row) => ({ ...row, loss: row.loss ** 4 })),
        "loss",
      ),
    );
    expect(values).toEqual(expect.arrayContaining(["0.01", "0.1", "1"]));
    const negative = rows.map(({ step, loss }) => ({ step, loss: loss * 100 - 30 + Math.sin(step) }));
    expect(texts(await lossCurves(negative, "nats")).join()).toMatch(/lie above the frame/);
  });

  it("pass over values that are missing or not finite", async () => {
    expect(await lossCurves([], "loss")).toBeUndefined();
    expect(await lossCurves([{ step: 1, loss: Number.NaN }], "loss")).toBeUndefined();
    const svg = await lossCurves(
      [
        { step: 1, loss: 3 },
        { step: 2, loss: Number.POSITIVE_INFINITY },
        { step: 3, loss: 2 },
      ],
      "loss",
    );
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(await learningRateCurve([{ step: 1 }])).toBeUndefined();
    expect(await lossPartCurves([{ step: 1, parts: { only: 2 } }])).toBeUndefined();
  });

  it("show measures of validations from two on, from 0 to 1", async () => {
    const one = { step: 10, measures: { AP: 0.1, AP50: 0.3 } };
    expect(await measureCurves([one, { step: 15 }])).toBeUndefined();
    const svg = await measureCurves([one, { step: 15 }, { step: 20, measures: { AP: 0.4, AP50: 0.7 } }]);
    expect(texts(svg)).toEqual(expect.arrayContaining(["AP", "AP50", "0.0", "1.0", "training step"]));
  });

  it("show rate, gradient and parts", async () => {
    expect(texts(await learningRateCurve(rows))).toContain("learning rate");
    expect(texts(await gradientNormCurve(rows))).toContain("global L2 norm");
    expect(texts(await lossPartCurves(rows))).toEqual(
      expect.arrayContaining(["reconstruction", "divergence"]),
    );
  });
});

describe("densityHeatMap", () => {
  it("puts the first row at the bottom and scales to the highest density", async () => {
    const values = Array.from({ length: 400 }, (_, i) => (i < 20 ? Math.log(0.5) : Number.NEGATIVE_INFINITY));
    const svg = await densityHeatMap({
      values: float32(values, [20, 20]),
      frame: { x: [-2, 2], y: [-2, 2] },
    });
    const { default: sharp } = await import("sharp");
    const [, source = ""] = svg.match(/href="data:image\/png;base64,([^"]+)"/) ?? [];
    const pixels = await sharp(Buffer.from(source, "base64")).raw().toBuffer();
    expect([...pixels.subarray(0, 3)]).toEqual([68, 1, 84]);
    expect([...pixels.subarray(19 * 60, 19 * 60 + 3)]).toEqual([253, 231, 37]);
    expect(texts(svg)).toEqual(expect.arrayContaining(["−2.0", "x₁", "x₂", "per unit area", "0.5"]));
  });
});

describe("tables", () => {
  const columns: Column[] = [
    { kind: "numeric", name: 'a <b> & "c"', mean: 0, deviation: 1 },
    { kind: "numeric", name: "twice", mean: 0, deviation: 1 },
    { kind: "categorical", name: "grade", categories: ["x", "y"] },
  ];
  const table = (count: number, noise: number) =>
    Array.from({ length: count }, (_, i) => [i % 17, 2 * (i % 17) + noise * Math.sin(i), i % 3 ? "x" : "y"]);

  it("show every column, escaped", async () => {
    const svg = await tableMarginals({ columns, data: table(300, 1), samples: table(100, 2) });
    expect(svg).toContain("a &lt;b&gt; &amp;");
    expect(texts(svg)).toEqual(expect.arrayContaining(["twice", "grade", "x", "y", "data", "samples"]));
    const size = pngSize(await rasterize(svg));
    expect(size?.width).toBeGreaterThan(800);
  });

  it("survive empty and broken columns", async () => {
    const broken = [[Number.NaN, 1, "x"]];
    const svg = await tableMarginals({ columns, data: [], samples: broken });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});
