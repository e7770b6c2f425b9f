import { parseXml } from "@rgrove/parse-xml";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Column } from "../../src/data/sources/columns.ts";
import { DetectionEvaluator } from "../../src/detection/measure/evaluator.ts";
import { printable, printableLines } from "../../src/printable.ts";
import { contactSheet } from "../../src/report/boxes/contact-sheet.ts";
import { confusionPlot, f1Plot, precisionRecallPlot } from "../../src/report/boxes/plots.ts";
import { freeResponsePlot } from "../../src/report/boxes/rate-plots.ts";
import { escapeHtml } from "../../src/report/page/page.ts";
import { type ReportInput, renderReport } from "../../src/report/page/report.ts";
import { lossPartCurves, measureCurves } from "../../src/report/plots/curves.ts";
import { short } from "../../src/report/plots/plot.ts";
import { tableMarginals } from "../../src/report/plots/tables.ts";
import { blankRaster } from "../../src/report/raster/raster.ts";
import { NASTY_NAMES, nastyName, present } from "../support.ts";

/** The texts of an SVG document, which must be well-formed. */
function textsOf(svg: string | undefined): readonly string[] {
  const { root } = parseXml(present(svg, "plot"));
  const texts: string[] = [];
  const walk = (element: NonNullable<typeof root>): void => {
    if (element.name === "text") texts.push(element.text);
    for (const child of element.children) if (child.type === "element") walk(child as typeof element);
  };
  walk(present(root));
  return texts;
}

/** A name as a plot shows it where it has room for so many letters. Spaces at the ends may be lost. */
const shown = (name: string, most: number): string =>
  short(name, most)
    .replaceAll(/[\ufffe\uffff]/g, "\ufffd")
    .trim();

function expectShown(svg: string | undefined, name: string, most: number): void {
  const found = textsOf(svg).map((text) => text.trim());
  if (shown(name, most) !== "") expect(found).toContain(shown(name, most));
}

/** An evaluator of two classes, each found once and missed once. */
function evaluated(names: readonly string[]): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(names);
  const boxes = Float32Array.from([0, 0, 10, 10, 20, 20, 30, 30]);
  const classes = Int32Array.from([0, 1]);
  evaluator.add({ boxes, classes, scores: Float32Array.from([0.9, 0.5]) }, { boxes, classes });
  evaluator.add(
    { boxes, classes: Int32Array.from([1, 0]), scores: Float32Array.from([0.4, 0.3]) },
    { boxes, classes },
  );
  return evaluator;
}

async function expectDetectionPlots(name: string): Promise<void> {
  const names = [name, "another class"];
  const evaluator = evaluated(names);
  expect(evaluator.coco().classes.map((summary) => summary.name)).toEqual(names);
  for (const plot of [precisionRecallPlot, f1Plot, freeResponsePlot]) {
    const svg = await plot(evaluator.curves(), names);
    expectShown(svg, name, 40);
    expectShown(svg, "another class", 40);
    expectShown(svg, "all classes", 40);
  }
  const matrix = await confusionPlot(evaluator.confusion({ minimumScore: 0 }), names);
  expect(textsOf(matrix)).toEqual(
    expect.arrayContaining(["another class", "(not found)", "(nothing there)"]),
  );
}

async function expectTablePlot(name: string): Promise<void> {
  const columns: readonly Column[] = [
    { kind: "numeric", name, mean: 0, deviation: 1 },
    { kind: "categorical", name, categories: [name, "another"] },
  ];
  const rows = [
    [1, name],
    [2, "another"],
  ];
  const svg = await tableMarginals({ columns, data: rows, samples: rows });
  expectShown(svg, name, 28);
  expectShown(svg, name, 12);
  expectShown(svg, "another", 12);
}

async function expectCurves(name: string): Promise<void> {
  const numbers = (value: number) =>
    Object.fromEntries([
      [name, value],
      ["another part", value / 2],
    ]);
  const rows = [1, 2, 3].map((step) => ({ step, parts: numbers(step), measures: numbers(step / 4) }));
  for (const svg of [await lossPartCurves(rows), await measureCurves(rows)]) {
    expectShown(svg, name, 40);
    expectShown(svg, "another part", 40);
  }
}

test("plots are well-formed and show classes, columns, categories and parts of a loss, whatever they are called", async () => {
  for (const name of NASTY_NAMES) await expectTablePlot(name);
  for (const name of [
    "__proto__",
    "constructor",
    "a\u0000b",
    "</text><script>",
    "all classes",
    "x".repeat(10_000),
  ]) {
    await expectDetectionPlots(name);
    await expectCurves(name);
  }
  await fc.assert(
    fc.asyncProperty(nastyName, async (name) => {
      await expectTablePlot(name);
      await expectDetectionPlots(name);
    }),
    { numRuns: 4 },
  );
});

test("two categories whose shortened names are equal have bars of their own", async () => {
  const [a, b] = [`a${"x".repeat(40)}`, `a${"x".repeat(30)}yy${"x".repeat(8)}`];
  const svg = await tableMarginals({
    columns: [{ kind: "categorical", name: "c", categories: [a, b] }],
    data: [[a], [b]],
    samples: [[a], [b]],
  });
  expect(textsOf(svg).filter((text) => text === short(a, 12))).toHaveLength(2);
});

/** A page with the name at every place where a report has one. */
function pageOf(name: string): Promise<string> {
  const input: ReportInput = {
    model: name,
    data: name,
    dataDescription: [name],
    date: new Date(0),
    status: name,
    seed: 1,
    parameters: 1,
    steps: 1,
    seconds: 1,
    best: { step: 1, validationLoss: 1, measures: Object.fromEntries([[name, 0.5]]) },
    lossLabel: name,
    results: [
      { name, value: 1, unit: name, dataSet: name, split: name, samples: 1, seed: 1, step: 1, note: name },
    ],
    metrics: [1, 2].map((step) => ({
      step,
      loss: step,
      parts: Object.fromEntries([
        [name, step],
        ["b", 1],
      ]),
    })),
    samples: [],
    figures: [{ title: name, caption: name, picture: { format: "svg", text: "<svg></svg>" } }],
    configuration: [{ name, value: name, description: name }],
    machine: [{ name, value: name }],
    commands: [{ command: name, purpose: name }],
    version: name,
  };
  return renderReport(input);
}

test("a page holds no control character and no tag out of a name", async () => {
  const tags = (page: string) => [...page.matchAll(/<\/?[a-z]+/gi)].map(([tag]) => tag).sort();
  const harmless = tags(await pageOf("harmless"));
  for (const name of [...NASTY_NAMES, "</style><img src=x onerror=alert(1)>", '"><svg onload=alert(1)>']) {
    const page = await pageOf(name);
    expect(printableLines(page)).toBe(page);
    expect(tags(page).filter((tag) => !/^<\/?(text|tspan|g|path|line|rect)$/.test(tag))).toEqual(
      harmless.filter((tag) => !/^<\/?(text|tspan|g|path|line|rect)$/.test(tag)),
    );
    expect(page).toContain(escapeHtml(name));
  }
  expect(await pageOf("\u001b[31mred")).toContain(printable("\u001b[31mred"));
});

test("a sheet of images names classes of any name, in a moment", () => {
  const sheet = contactSheet(
    [
      {
        image: blankRaster(30, 30, [9, 9, 9]),
        caption: "x".repeat(10_000),
        boxes: [1, 1, 9, 9],
        labels: [0],
      },
    ],
    NASTY_NAMES,
  );
  expect(sheet.width).toBeGreaterThan(30);
});
