import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MISSING } from "../../src/data/table/index.ts";
import { language } from "../../studio/i18n/index.ts";
import { cellsOf, csvOf, parseTable } from "../../studio/use/tables.ts";

const known = [
  { kind: "numeric", name: "length" },
  { kind: "categorical", name: "kind", categories: ["1", "2"] },
] as const;

describe("a table that is dropped on the page", () => {
  it("has numbers where the model has them, texts elsewhere, and gaps where every command sees some", () => {
    const text = '\uFEFFlength,kind,note\r\n1.5,1," two, ""three"" "\r\n\r\nNA,2,\r\n1e3,?,x\n';
    expect(parseTable("a.csv", text, known, MISSING)).toEqual({
      name: "a.csv",
      columns: ["length", "kind", "note"],
      rows: [
        { length: 1.5, kind: "1", note: ' two, "three" ' },
        { length: null, kind: "2", note: null },
        { length: 1000, kind: null, note: "x" },
      ],
    });
  });

  it.each([
    ["length;kind\n1,5;2", 1.5],
    ["length\tkind\n1.5\t2", 1.5],
    ["length,kind\n2020-05-01,2", "2020-05-01"],
  ])("is cut where its first line is: %j", (text, length) => {
    expect(parseTable("a.csv", text, known, MISSING).rows).toEqual([{ length, kind: "2" }]);
  });

  it("may be JSON, with gaps where a row has no such cell", () => {
    const rows = [{ length: 1 }, { kind: "2", length: "nan" }];
    for (const given of [rows, { rows }]) {
      expect(parseTable("a.json", JSON.stringify(given), known, MISSING)).toEqual({
        name: "a.json",
        columns: ["length", "kind"],
        rows: [
          { length: 1, kind: null },
          { length: null, kind: "2" },
        ],
      });
    }
  });

  it.each([
    ["length,kind\n", /a\.csv has no rows/],
    ["length,length\n1,2", /two columns called length/],
    ["length,kind\n1,2\n1,2,3", /row 2: has more cells than the 2 columns/],
    ["[1, 2]", /no JSON list of rows/],
    ['[{"length": [1]}]', /no JSON list of rows/],
    ["{", /no JSON list of rows/],
    ["[]", /has no rows/],
  ])("is refused where it is none: %j", (text, message) => {
    language.value = "en";
    expect(() => parseTable("a.csv", text, known, MISSING)).toThrow(message);
  });

  it("is read as it is written", () => {
    // A line break in front is marked, as spreadsheets would take it for a formula.
    const cell = fc
      .string({ unit: fc.constantFrom("a", " ", '"', ",", "\n", "é", "1") })
      .map((text) => text.replace(/^\n+/, ""));
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }), (rows) => {
        const written = csvOf(["p", "q"], rows);
        expect(cellsOf(written, ",")).toEqual([["p", "q"], ...rows]);
      }),
    );
  });

  it("marks what a spreadsheet would compute, and no number", () => {
    expect(
      csvOf(
        ["a", "b"],
        [
          ["=1+1", -2],
          ["-3", null],
          ["@x", undefined],
        ],
      ),
    ).toBe("a,b\n'=1+1,-2\n-3,\n'@x,\n");
  });
});
