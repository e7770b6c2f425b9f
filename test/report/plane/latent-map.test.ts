import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { latentMap } from "../../../src/report/index.ts";
import { float32 } from "../../../src/tensor/array.ts";

const codes = float32(
  Array.from({ length: 600 }, (_, i) => Math.sin(i) * (1 + (i % 3))),
  [300, 2],
);
const labels = Array.from({ length: 300 }, (_, i) => i % 3);
const axes = ["z₁", "z₂"] as const;
const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);
const fills = (svg: string) => new Set(svg.match(/fill="#[0-9a-f]{6}"/g));

describe("map of codes", () => {
  it("names its axes and classes, and colors samples by class", async () => {
    const svg = await latentMap({ codes, labels, classes: ["cat", "dog", "fish"], axes }, "Codes of pets");
    expect(texts(svg)).toEqual(expect.arrayContaining(["Codes of pets", "z₁", "z₂", "cat", "dog", "fish"]));
    expect(texts(svg).some((text) => text?.startsWith("300 samples"))).toBe(true);
    expect(svg.match(/<circle|<use/g)?.length).toBeGreaterThan(280);
    expect(fills(svg).size).toBeGreaterThan(fills(await latentMap({ codes, axes })).size);
    expect(svg).toBe(
      await latentMap({ codes, labels, classes: ["cat", "dog", "fish"], axes }, "Codes of pets"),
    );
  });

  it("has one color and no legend where there are no classes, or too many to tell apart", async () => {
    const many = Array.from({ length: 30 }, (_, i) => `class ${i}`);
    const svg = await latentMap({ codes, labels, classes: many, axes });
    expect(texts(svg)).not.toContain("class 1");
  });

  it("says how many samples lie outside of the frame", async () => {
    const far = float32([...codes.data.subarray(0, 598), 1e6, 1e6], [300, 2]);
    expect(texts(await latentMap({ codes: far, axes })).join()).toMatch(
      /300 samples, \d+ of them outside the frame/,
    );
  });

  it("wants codes in the plane", async () => {
    await expect(latentMap({ codes: float32([1, 2, 3], [1, 3]), axes })).rejects.toThrow(ShapeError);
  });
});
