import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Column } from "../../../src/data/sources/columns.ts";
import { type Condition, openCondition } from "../../../src/data/table/condition.node.ts";
import { OptionError } from "../../../src/errors.ts";

const plain = { scale: { kind: "standard" }, minimum: 0, maximum: 10 } as const;
const date = (name: string, form: string, precision: "day" | "second" | "month" | "year"): Column => ({
  kind: "numeric",
  name,
  mean: 0,
  deviation: 1,
  cells: { ...plain, of: { kind: "date", form, precision }, step: 1 },
});
const COLUMNS: readonly Column[] = [
  { kind: "numeric", name: "a", mean: 0, deviation: 1, cells: { ...plain, of: { kind: "real" } } },
  {
    kind: "numeric",
    name: "b c",
    mean: 0,
    deviation: 1,
    cells: { ...plain, of: { kind: "whole" }, step: 1 },
  },
  { kind: "categorical", name: "kind", categories: ["it's", "x"] },
  date("end", "dd/MM/yyyy", "day"),
  date("start", "yyyy-MM-dd HH:mm:ss", "second"),
  date("month", "yyyy-MM", "month"),
  date("year", "yyyy", "year"),
];
const ROWS = [
  [1.5, 3, "it's", "05/03/2020", "2020-03-04 23:59:59", "2020-03", "1999"],
  [4, 2, "x", "01/01/1960", "1960-01-01 00:00:01", "1969-12", "2001"],
  [null, 2, "x", "01/01/2021", "2020-12-31 00:00:00", "2021-01", "2001"],
];

const holds = async (text: string, rows = ROWS): Promise<readonly boolean[]> => {
  const condition = await openCondition(text, COLUMNS);
  try {
    return await condition.holds(rows);
  } finally {
    condition.close();
  }
};

test.each<[string, readonly boolean[]]>([
  ['a < "b c"', [true, false, false]],
  ["2 * a + 1 >= 9 or kind = 'it''s'", [true, true, false]],
  ["not (kind = 'x')", [true, false, false]],
  ['"end" > start', [true, false, true]],
  ["\"end\" - interval 1 day >= '2020-03-04'", [true, false, true]],
  ["month < '1970-01-01'", [false, true, false]],
  ["year = 2001 and a is not null", [false, true, false]],
  ["a is null", [false, false, true]],
  ["a between 1 and 2", [true, false, false]],
  ["kind in ('x', 'y') and \"b c\" % 2 = 0", [false, true, true]],
  ["case when a > 2 then kind like 'x%' else false end", [false, true, false]],
  ["abs(a - 4) < 0.1 -- a comment", [false, true, false]],
  ["year(start) = 2020", [true, false, true]],
])("%s", async (text, expected) => {
  expect(await holds(text)).toEqual(expected);
});

describe("everything but an expression is refused", () => {
  test.each<[string, RegExp]>([
    ["exists(select 1 from read_text('/etc/passwd'))", /a subquery/],
    ["a > (select 1)", /a subquery/],
    ["a) from data union select (true", /one expression/],
    ["a > 1), (true", /one expression/],
    ["true) from data; drop table data; select (true", /one expression/],
    ["true); copy data to '/tmp/x'; select (1", /one expression|syntax/],
    ["read_text('/etc/passwd') is null", /read_text is no function/],
    ["getenv('HOME') = ''", /getenv is no function/],
    ["count(*) > 1", /count_star is no function/],
    ["sum(a) over () > 1", /window/],
    ["a > ?", /a parameter/],
    ["a[1] > 2", /no part of a condition/],
    ["list_filter([1], x -> x > 1) is null", /function|lambda/],
    ["e > 1", /no column "e"/],
    ["star > 1", /did you mean "start"\?/],
    ["data.a > 1", /no column "data.a"/],
    ["a >", /syntax error/],
    ["kind > ", /syntax error/],
    ["kind + 1 > interval 1 day", /./],
    ["x".repeat(3000), /2000 at most/],
    ["a > 1\0", /NUL/],
  ])("%s", async (text, message) => {
    const opened = openCondition(text, COLUMNS);
    await expect(opened).rejects.toThrow(message);
  });
});

describe("any text", () => {
  let condition: Condition;
  beforeAll(async () => {
    condition = await openCondition("kind = 'x'", COLUMNS);
  });
  afterAll(() => condition.close());

  test("in a cell is a text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 12 }), async (text) => {
        fc.pre(!text.includes("\0"));
        const row = [1, 1, text, null, null, null, null];
        expect(await condition.holds([row])).toEqual([text === "x"]);
      }),
      { numRuns: 30 },
    );
  });

  test("as a condition is an expression or an error", async () => {
    const word = fc.constantFrom(
      "a",
      "kind",
      "(",
      ")",
      "'",
      '"',
      ";",
      "select",
      "from data",
      ">",
      "and",
      "1",
      "--",
      "/*",
      ",",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 8 }), async (words) => {
        try {
          expect(await holds(words.join(" "))).toHaveLength(ROWS.length);
        } catch (error) {
          expect(error).toBeInstanceOf(OptionError);
        }
      }),
      { numRuns: 30 },
    );
  });
});
