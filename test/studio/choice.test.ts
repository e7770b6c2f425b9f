import type { FormField, OfferedModel } from "eidos/serve";
import { describe, expect, it } from "vitest";
import { fieldValue, modelsFor, PURPOSES, purposesFor, suggestedModel } from "../../studio/runs/choice.ts";

const MODELS: readonly OfferedModel[] = [
  { name: "rectified-flow", summary: "", purpose: "draw", dataKinds: ["points", "image", "table"] },
  { name: "spline-flow", summary: "", purpose: "score", dataKinds: ["points", "table"] },
  { name: "glow", summary: "", purpose: "score", dataKinds: ["points", "image", "table"] },
  { name: "made", summary: "", purpose: "score", dataKinds: ["binary"] },
  { name: "fcos", summary: "", purpose: "find", dataKinds: ["detection"] },
  { name: "yolo", summary: "", purpose: "find", dataKinds: ["detection"] },
];

describe("the choice of a model", () => {
  it("offers what takes the data", () => {
    expect(purposesFor(MODELS, "points")).toEqual(["draw", "score"]);
    expect(purposesFor(MODELS, "detection")).toEqual(["find"]);
    expect(purposesFor(MODELS, "folder")).toEqual(["draw", "find", "score"]);
    expect(modelsFor(MODELS, "image", "score").map(({ name }) => name)).toEqual(["glow"]);
  });

  it("suggests the first that does, and none where none does", () => {
    const suggestion = (kind: Parameters<typeof modelsFor>[1]) =>
      PURPOSES.map((purpose) => suggestedModel(modelsFor(MODELS, kind, purpose), purpose));
    expect(suggestion("table")).toEqual(["rectified-flow", undefined, "spline-flow", undefined]);
    expect(suggestion("image")).toEqual(["rectified-flow", undefined, "glow", undefined]);
    expect(suggestion("binary")).toEqual([undefined, undefined, "made", undefined]);
    expect(suggestion("detection")).toEqual([undefined, "yolo", undefined, undefined]);
  });
});

describe("a field of an option", () => {
  const about = { name: "x", description: "", isUsual: true };
  const integer: FormField = { ...about, kind: "integer", minimum: 1, maximum: 10 };
  const number: FormField = { ...about, kind: "number" };

  it.each<[FormField, string, unknown]>([
    [integer, " 7 ", 7],
    [number, "1e-3", 0.001],
    [number, "-0.5", -0.5],
    [{ ...about, kind: "boolean" }, "yes", true],
    [{ ...about, kind: "boolean" }, "no", false],
    [{ ...about, kind: "choice", choices: ["a", "b"] }, "b", "b"],
    [{ ...about, kind: "text" }, " label ", "label"],
    [{ ...about, kind: "texts" }, "a, b,,c d", ["a", "b", "c d"]],
    [{ ...about, kind: "numbers" }, "1, 2 0.5", [1, 2, 0.5]],
  ])("%o means what is written: %s", (field, text, value) => {
    expect(fieldValue(field, text)).toEqual({ kind: "value", value });
    expect(fieldValue(field, "  ")).toEqual({ kind: "default" });
  });

  it.each<[FormField, string]>([
    [integer, "0"],
    [integer, "11"],
    [integer, "2.5"],
    [integer, "many"],
    [number, "1,5"],
    [number, "Infinity"],
    [{ ...about, kind: "numbers" }, "1, two"],
  ])("%o takes no other text: %s", (field, text) => {
    expect(fieldValue(field, text)).toEqual({ kind: "wrong" });
  });
});
