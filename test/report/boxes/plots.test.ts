import { describe, expect, it } from "vitest";
import { type Detection, DetectionEvaluator, toDetections } from "../../../src/detection/index.ts";
import { Random } from "../../../src/random.ts";
import { confusionPlot, f1Plot, precisionRecallPlot } from "../../../src/report/boxes/plots.ts";

/** Some objects found, some not, some taken for another class, and detections of nothing. */
function evaluator(classes: readonly string[], images = 40): DetectionEvaluator {
  const random = new Random(1);
  const made = new DetectionEvaluator(classes);
  for (let image = 0; image < images; image++) {
    const found: Detection[] = [];
    const [boxes, labels]: [number[], number[]] = [[], []];
    for (let i = 0; i < 6; i++) {
      const [x, label] = [100 * i, random.integer(classes.length)];
      const box = [x, 0, x + 50, 50] as const;
      boxes.push(...box);
      labels.push(label);
      const chance = random.uniform();
      if (chance < 0.7) found.push({ box, score: random.uniform(), class: label });
      else if (chance < 0.8) found.push({ box, score: 0.5, class: (label + 1) % classes.length });
      else found.push({ box: [x, 200, x + 9, 209], score: 0.6 * random.uniform(), class: label });
    }
    made.add(toDetections(found), { boxes: Float64Array.from(boxes), classes: labels });
  }
  return made;
}

const texts = (svg: string | undefined) =>
  [...(svg ?? "").matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);

describe("curves", () => {
  it("have a line for each class and for all, and mark the highest F₁", async () => {
    const names = ["WBC", "a <b>", "Platelets"];
    const curves = evaluator(names).curves();
    const { score = 0, f1 = 0 } = curves.all.best ?? {};
    const [precision, f1s] = [
      await precisionRecallPlot(curves, names, "IoU ≥ 0.5"),
      await f1Plot(curves, names, "IoU ≥ 0.5"),
    ];
    for (const svg of [precision, f1s]) {
      expect(texts(svg)).toEqual(
        expect.arrayContaining(["WBC", "a &lt;b&gt;", "Platelets", "all classes", "IoU ≥ 0.5"]),
      );
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      expect(svg?.match(/fill="none"|stroke-width="1.5"|stroke-width="2.5"/g)?.length).toBeGreaterThan(3);
    }
    expect(texts(precision)).toEqual(expect.arrayContaining(["recall", "precision"]));
    expect(texts(precision)).toContain(`score ≥ ${Number(score.toPrecision(3))}`);
    expect(texts(f1s)).toContain(`${Number(f1.toPrecision(3))} at ${Number(score.toPrecision(3))}`);
  });

  it("of one class are that of all, and of many are grey", async () => {
    const one = await precisionRecallPlot(evaluator(["cell"]).curves(), ["cell"]);
    expect(texts(one)).toContain("all classes");
    expect(texts(one)).not.toContain("cell");
    const names = Array.from({ length: 14 }, (_, i) => `class ${i}`);
    const many = await f1Plot(evaluator(names).curves(), names);
    expect(texts(many)).toContain("each class");
    expect(texts(many)).not.toContain("class 3");
  });

  it("stay small however many detections there are, and are none where nothing counts", async () => {
    const svg = await precisionRecallPlot(evaluator(["a", "b"], 900).curves(), ["a", "b"]);
    expect(svg?.length).toBeLessThan(60_000);
    const empty = new DetectionEvaluator(["a"]).curves();
    expect([await precisionRecallPlot(empty, ["a"]), await f1Plot(empty, ["a"])]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("reach to the scores that there are", async () => {
    const made = new DetectionEvaluator(["a"]);
    const box = [0, 0, 9, 9] as const;
    made.add(toDetections([{ box, score: 7, class: 0 }]), { boxes: Float64Array.from(box), classes: [0] });
    expect(texts(await f1Plot(made.curves(), ["a"]))).toEqual(expect.arrayContaining(["6", "1 at 7"]));
  });
});

describe("confusionPlot", () => {
  it("writes the counts of every cell but that of both backgrounds", async () => {
    const names = ["cat", "dog & co"];
    const svg = await confusionPlot(
      { classCount: 2, counts: Uint32Array.of(41, 3, 17, 0, 52, 18, 1234, 19, 0) },
      names,
    );
    const shown = texts(svg);
    for (const count of ["41", "3", "17", "·", "52", "18", "1,234", "19"]) expect(shown).toContain(count);
    expect(shown.filter((text) => text === "cat").length).toBe(2);
    expect(shown).toEqual(
      expect.arrayContaining(["dog &amp; co", "(nothing there)", "(not found)", "object", "detected as"]),
    );
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  it("leaves out the numbers of many classes", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `class ${i}`);
    const counts = new Uint32Array(41 * 41).fill(77);
    const shown = texts(await confusionPlot({ classCount: 40, counts }, names));
    expect(shown).not.toContain("77");
    expect(shown).toContain("class 39");
  });
});
