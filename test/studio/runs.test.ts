import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeView, encodeView, INITIAL_VIEW, MOST_SHOWN } from "../../studio/runs/address.ts";
import { curveOf, firstMeasure, measuresOf, NO_ROWS, showValue, withRows } from "../../studio/runs/curves.ts";

describe("the address of the runs", () => {
  const name = fc.string({ minLength: 1, maxLength: 40, unit: "grapheme" });
  const view = fc.record({
    shown: fc.uniqueArray(name, { maxLength: MOST_SHOWN }),
    measure: fc.option(name, { nil: undefined }),
    axis: fc.constantFrom("step" as const, "seconds" as const),
    isLog: fc.boolean(),
  });

  it("holds every view", () => {
    fc.assert(
      fc.property(view, (given) => {
        expect(decodeView(encodeView(given))).toEqual(given);
      }),
    );
    expect(encodeView(INITIAL_VIEW)).toBe("");
  });

  it("leaves out what it does not understand", () => {
    expect(decodeView("run=a&run=a&run=&over=hours&log=maybe&x=1")).toEqual({
      ...INITIAL_VIEW,
      shown: ["a"],
    });
    expect(decodeView(Array.from({ length: 20 }, (_, i) => `run=${i}`).join("&")).shown).toHaveLength(
      MOST_SHOWN,
    );
  });
});

describe("curves", () => {
  const columns = ["step", "seconds", "loss", "validationLoss"];
  const rows = [
    [1, 0.5, 3, null],
    [2, 1, 2, 2.5],
    [3, 1, 1, null],
    [4, 2, null, 1.5],
  ];
  const all = { columns, rows };

  it("have values where there are some, from left to right", () => {
    expect(curveOf(all, "step", "loss")).toEqual({ x: [1, 2, 3], y: [3, 2, 1] });
    expect(curveOf(all, "step", "validationLoss")).toEqual({ x: [2, 4], y: [2.5, 1.5] });
    expect(curveOf(all, "seconds", "loss")).toEqual({ x: [0.5, 1], y: [3, 2] });
    expect(curveOf(all, "step", "none")).toEqual({ x: [], y: [] });
  });

  it("grow by what comes in, in any pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 })), (cuts) => {
        let known = NO_ROWS;
        for (const to of [...cuts.toSorted((a, b) => a - b), 4]) {
          const from = known.rows.length;
          const next = withRows(known, { columns, from, total: 4, rows: rows.slice(from, to) });
          expect(next).toBeDefined();
          known = next ?? known;
        }
        expect(known).toEqual(all);
      }),
    );
  });

  it("begin anew where a run does", () => {
    expect(withRows(all, { columns, from: 4, total: 2, rows: [] })).toBeUndefined();
    expect(withRows(all, { columns: ["step", "loss"], from: 4, total: 5, rows: [[5, 1]] })).toBeUndefined();
    expect(
      withRows(all, { columns: [...columns, "AP"], from: 4, total: 5, rows: [[5, 3, 1, null, 0.5]] })?.rows,
    ).toHaveLength(5);
  });

  it("are first of the loss of validation, where all have it", () => {
    expect(firstMeasure([all])).toBe("validationLoss");
    expect(firstMeasure([all, { columns: ["step", "loss"], rows: [] }])).toBe("loss");
    expect(firstMeasure([])).toBeUndefined();
    expect(measuresOf([all])).toEqual(["validationLoss", "loss"]);
  });

  it("have values of four digits", () => {
    expect(
      [0, 1.23456, -12.3456, 1234567, 0.0000123, 12345.6].map((value) => showValue(value, "en")),
    ).toEqual(["0", "1.235", "−12.35", "1.235E6", "1.23E-5", "12,345.6"]);
  });
});
