import { beforeAll, describe, expect, it } from "vitest";
import { type ReportInput, renderReport } from "../../../src/report/page/report.ts";
import { densityHeatMap } from "../../../src/report/plane/plots.ts";
import { imageGrid } from "../../../src/report/raster/grid.ts";
import { encodePng } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

const hostile = `</style><script src="http://evil.example/x.js">alert('1')</script>&"`;

async function exampleRun(): Promise<ReportInput> {
  const bytes = await encodePng(imageGrid(float32([0, 90, 180, 255], [1, 1, 2, 2])));
  const heat = await densityHeatMap({
    values: float32([0, 0, 0, 0], [2, 2]),
    frame: { x: [0, 1], y: [0, 1] },
  });
  return {
    model: "nice",
    data: hostile,
    dataDescription: [hostile],
    date: new Date("2025-03-04T05:06:07Z"),
    status: `finished ${hostile}`,
    seed: 7,
    parameters: 1_234_567,
    steps: 4000,
    epochs: 32,
    seconds: 125,
    samplesPerSecond: 2048.4,
    best: { step: 3000, validationLoss: 4.4123 },
    lossLabel: `bits per dimension ${hostile}`,
    results: [
      {
        name: hostile,
        value: 4.36,
        unit: "bits",
        dataSet: "digits",
        split: "test",
        samples: 1000,
        seed: 7,
        step: 3000,
        note: hostile,
      },
    ],
    metrics: [
      { step: 1, loss: 9, learningRate: 1e-3 },
      { step: 4000, loss: 4.4, validationLoss: 4.5, learningRate: 1e-4 },
    ],
    samples: Array.from({ length: 20 }, (_, i) => ({
      step: 200 * (i + 1),
      picture: { format: "png" as const, bytes },
      caption: hostile,
    })),
    figures: [
      { title: hostile, picture: { format: "png", bytes }, caption: hostile },
      { title: "density", picture: { format: "svg", text: heat }, caption: "once" },
      { title: "density", picture: { format: "svg", text: heat }, caption: "and again" },
    ],
    configuration: [{ name: "note", value: hostile, description: hostile }],
    machine: [{ name: "provider", value: "cpu" }],
    commands: [{ command: "npx eidos sample 'runs/a b' --count 64 && echo <done>", purpose: hostile }],
    version: "0.1.0",
  };
}

describe("renderReport", () => {
  let html = "";
  beforeAll(async () => {
    html = await renderReport(await exampleRun());
  });

  it("escapes all text", () => {
    expect(html).not.toMatch(/<script/i);
    expect(html.match(/<\/style>/g)?.length).toBe(1);
    expect(html.match(/&lt;script src=/g)?.length).toBeGreaterThanOrEqual(10);
    expect(html).toContain("npx eidos sample &#39;runs/a b&#39; --count 64 &amp;&amp; echo &lt;done&gt;");
  });

  it("is self-contained: nothing is loaded, no namespace, no event handler", () => {
    const tags = [...html.matchAll(/<[a-z][^>]*>/gi)].map(([tag]) => tag);
    const loaded = tags.flatMap((tag) => [
      ...tag.matchAll(/ (?:src|href|xlink:href|action|data)="([^"]*)"/g),
    ]);
    expect(loaded.length).toBeGreaterThan(10);
    for (const [, address] of loaded) expect(address).toMatch(/^data:image\/png;base64,|^#/);
    expect(tags.filter((tag) => /xmlns|<link|<iframe|<object| on[a-z]+="/i.test(tag))).toEqual([]);
    expect(html).not.toMatch(/@import|url\((?!#)/);
    expect(html).toContain("default-src 'none'");
  });

  it("gives what each SVG defines a name of its own, and every reference its definition", () => {
    const names = [...html.matchAll(/ id="([^"]+)"/g)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(3);
    expect(new Set(names).size).toBe(names.length);
    for (const [, name] of html.matchAll(/url\(#([^)]+)\)/g)) expect(names).toContain(name);
  });

  it("labels every number", () => {
    for (const text of ["1,234,567", "4,000", "32 epochs", "2 min 5 s", "2,048", "4.412", "at step 3,000"]) {
      expect(html).toContain(text);
    }
    const row = html.slice(html.indexOf("<b>4.36</b> bits"));
    const cells = [...row.slice(0, row.indexOf("</tr>")).matchAll(/<td[^>]*>([^<]*)</g)].map(
      ([, cell]) => cell,
    );
    expect(cells.slice(0, 5)).toEqual(["digits", "test", "1,000", "7", "3,000"]);
    expect(html).toContain("2025-03-04 05:06 UTC");
  });

  it("thins the course of training to a dozen pictures with the first and the last", () => {
    const course = html.slice(html.indexOf("Samples over time"), html.indexOf("How to go on"));
    expect(course.match(/<img /g)?.length).toBe(12);
    expect(course).toContain("Step 200");
    expect(course).toContain("Step 4,000");
  });

  it("leaves out sections without content and is the same for the same run", async () => {
    const bare = {
      ...(await exampleRun()),
      metrics: [],
      samples: [],
      figures: [],
      results: [],
      commands: [],
    };
    const first = await renderReport(bare);
    expect(first).not.toMatch(/<h2>(Curves|Results|Samples|How)/);
    expect(await renderReport(bare)).toBe(first);
  });

  it("takes special replacement patterns as text", async () => {
    const page = await renderReport({ ...(await exampleRun()), status: "$& $1 $$" });
    expect(page).toContain("$&amp; $1 $$");
  });
});
