import { describe, expect, it } from "vitest";
import { type Detection, DetectionEvaluator, toDetections } from "../../../src/detection/index.ts";
import { Random } from "../../../src/random.ts";
import {
  facePlot,
  freeResponsePlot,
  recallBySizePlot,
  rocPlot,
} from "../../../src/report/boxes/rate-plots.ts";

/** Objects of 5 to 90 pixels, of which small ones are seldom found, and detections of nothing. */
function evaluator(classes: readonly string[], wrong = 0.3): DetectionEvaluator {
  const random = new Random(3);
  const made = new DetectionEvaluator(classes);
  for (let image = 0; image < 60; image++) {
    const found: Detection[] = [];
    const [boxes, labels]: [number[], number[]] = [[], []];
    for (let i = 0; i < 5; i++) {
      const [x, label, side] = [100 * i, random.integer(classes.length), 5 * 18 ** random.uniform()];
      const box = [x, 0, x + side, side] as const;
      boxes.push(...box);
      labels.push(label);
      if (random.uniform() < side / 40)
        found.push({ box, score: 0.3 + 0.7 * random.uniform(), class: label });
      if (random.uniform() < wrong) {
        found.push({ box: [x, 200, x + 9, 209], score: 0.6 * random.uniform(), class: label });
      }
    }
    made.add(toDetections(found), {
      boxes: Float64Array.from(boxes),
      classes: labels,
      subsets: labels.map((_, i) => [7, 6, 4, 0, 7][i] ?? 0),
    });
  }
  return made;
}

const texts = (svg: string | undefined) =>
  [...(svg ?? "").matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);

const sizes = [8, 16, 32, 64, 200];

describe("recallBySizePlot", () => {
  it("has a bar for each range with objects, and how many were found", async () => {
    const made = evaluator(["a", "b"]);
    const [all, counted] = [made.recallBySize({ sizes }), made.recallBySize({ sizes, minimumScore: 0.5 })];
    const svg = await recallBySizePlot({ all, counted, score: 0.5 }, "some data");
    expect(texts(svg)).toEqual(
      expect.arrayContaining(["0 – 8", "64 – 200", "of any score", "score ≥ 0.5", "some data"]),
    );
    expect(texts(svg)).not.toContain("from 200");
    for (const { found, objects } of counted.slice(0, 5))
      expect(texts(svg)).toContain(`${found} of ${objects}`);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("is none without objects", async () => {
    const bins = new DetectionEvaluator(["a"]).recallBySize({ sizes });
    expect(await recallBySizePlot({ all: bins, counted: bins, score: 0.5 })).toBeUndefined();
  });
});

describe("freeResponsePlot", () => {
  it("has a line for each class, and is drawn where nothing is wrong, too", async () => {
    const names = ["cat", "dog"];
    const svg = await freeResponsePlot(evaluator(names).curves(), names);
    expect(texts(svg)).toEqual(
      expect.arrayContaining(["cat", "dog", "all classes", "wrong detections an image"]),
    );
    const right = await freeResponsePlot(evaluator(names, 0).curves(), names);
    for (const plot of [svg, right]) expect(plot).not.toMatch(/NaN|Infinity|undefined/);
    expect(await freeResponsePlot(new DetectionEvaluator(names).curves(), names)).toBeUndefined();
  });
});

describe("rocPlot and facePlot", () => {
  it("draw both rates, and the subsets that have faces with their average precision", async () => {
    const made = evaluator(["face"]);
    const roc = await rocPlot(made.roc());
    expect(texts(roc)).toEqual(expect.arrayContaining(["discrete", "continuous", "wrong detections in all"]));
    const faces = made.faces();
    const svg = await facePlot(faces);
    expect(texts(svg)).toContain(`hard: ${faces.hard.ap.toFixed(3)}`);
    for (const plot of [roc, svg]) expect(plot).not.toMatch(/NaN|Infinity|undefined/);
    const without = new DetectionEvaluator(["face"]);
    expect([await rocPlot(without.roc()), await facePlot(without.faces())]).toEqual([undefined, undefined]);
  });
});
