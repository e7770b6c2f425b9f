import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openProfile } from "../../../src/data/open.node.ts";
import { dateNumber, dateText } from "../../../src/data/table/columns/dates.ts";
import { encodeSchema, parseSchema } from "../../../src/data/table/columns/declare.ts";
import { numberIn, type plainNumber } from "../../../src/data/table/columns/numbers.ts";
import { numberShape } from "../../../src/data/table/columns/numeric.ts";
import { dateForm } from "../../../src/data/table/columns/tally.ts";
import { Random } from "../../../src/random.ts";

let folder = "";
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-columns-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function profile(text: string | Uint8Array, options = {}) {
  const path = join(folder, `t${files++}.csv`);
  await writeFile(path, text);
  const found = await openProfile(path, options);
  if (found === undefined) throw new Error("no table");
  return found;
}

const FORMS = [
  "yyyy-MM-dd",
  "dd.MM.yyyy HH:mm",
  "M/d/yyyy h:mm AM",
  "yyyy-MM-ddTHH:mm:ss.SSSzone",
  "yyyy-MM-dd HH:mm:ss.SSSSSS",
  "yyyyMMdd",
  "MMM dd, yyyy",
  "yyyy-MM",
];

/** The microseconds of a precision's unit. */
const UNIT = {
  day: 86_400_000_000,
  hour: 3_600_000_000,
  minute: 60_000_000,
  second: 1e6,
  millisecond: 1000,
  microsecond: 1,
};

test("dates: a number is a text is the number, as JavaScript's own dates count them", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...FORMS),
      fc.integer({ min: -60_000_000_000, max: 250_000_000_000 }),
      (form, seconds) => {
        const found = dateForm(form);
        if (found === undefined) throw new Error(form);
        const writing = { name: "d", ...found, ...(form.endsWith("zone") && { zone: "-03:30" }) };
        const { precision } = found;
        if (precision === "month") {
          const date = new Date(seconds * 1000);
          const months = 12 * date.getUTCFullYear() + date.getUTCMonth();
          expect(dateText(writing, months)).toBe(date.toISOString().slice(0, 7));
          expect(dateNumber(writing, date.toISOString().slice(0, 7))).toBe(months);
          return;
        }
        const number = Math.floor((seconds * 1e6) / UNIT[precision as keyof typeof UNIT]);
        const text = dateText(writing, number);
        expect(dateNumber(writing, text)).toBe(number);
        const start = new Date(Math.floor((number * UNIT[precision as keyof typeof UNIT]) / 1000));
        if (form === "yyyy-MM-dd") expect(text).toBe(start.toISOString().slice(0, 10));
        if (form.endsWith("zone")) expect(new Date(text).getTime()).toBe(number);
      },
    ),
  );
  const iso = { form: "yyyy-MM-dd", precision: "day" } as const;
  for (const bad of ["2023-02-29", "2023-13-01", "2023-1-1", "23-01-01", ""])
    expect(dateNumber(iso, bad)).toBeUndefined();
  expect(
    dateNumber({ form: "yyyy-MM-dd HH:mm:ss.SSSSSS", precision: "microsecond" }, "1970-01-01 00:00:01"),
  ).toBe(1e6);
});

test("numbers of a format come back from how they are written", () => {
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 }),
      fc.constantFrom(["de-DE", ",", "."], ["en-US", ".", ","], ["de-CH", ".", "'"], ["fr-FR", ",", " "]),
      (value, [locale, decimal, thousands]) => {
        const text = value.toLocaleString(locale, { maximumFractionDigits: 6 }).replace("−", "-");
        const format = { decimal, thousands } as Parameters<typeof plainNumber>[1];
        expect(numberIn(text, format)).toBeCloseTo(value, 5);
      },
    ),
  );
  expect(numberIn("1,2,3", { decimal: ",", thousands: "." })).toBeUndefined();
  expect(numberIn("1,2", { decimal: ".", thousands: "," })).toBeUndefined();
});

describe("write, then read", () => {
  const rows = 60;
  const perRow = <T>(cell: fc.Arbitrary<T>) => fc.array(cell, { minLength: rows, maxLength: rows });
  /** A column's texts and what they must be found to be. */
  const column = fc.oneof(
    fc
      .tuple(fc.integer({ min: 0, max: 6 }), perRow(fc.integer({ min: -(10 ** 6), max: 10 ** 6 })))
      .map(([digits, units]) => {
        // Every digit is needed, and there are more values than a few.
        const all = units.map((unit, i) => (i === 0 ? 1 : i === 1 ? 3 : unit));
        const texts = all.map((unit) => (unit / 10 ** digits).toFixed(digits));
        const numbers = texts.map(Number);
        const expected = {
          kind: digits === 0 ? "whole" : "real",
          resolution: Number(`1e-${digits}`),
          minimum: Math.min(...numbers),
          maximum: Math.max(...numbers),
        };
        return { texts, expected };
      }),
    fc
      .tuple(
        fc.constantFrom("yyyy-MM-dd", "dd.MM.yyyy", "yyyy-MM-dd HH:mm:ss", "d.M.yyyy"),
        fc.integer({ min: -20_000, max: 20_000 }),
      )
      .map(([form, first]) => {
        const writing = {
          name: "d",
          form,
          precision: form.includes("ss") ? ("second" as const) : ("day" as const),
        };
        const step = writing.precision === "day" ? 1 : 86_401;
        const numbers = Array.from({ length: rows }, (_, i) => first * step + i * step);
        const texts = numbers.map((number) => dateText(writing, number));
        return { texts, expected: { kind: "date", form, minimum: texts[0], maximum: texts[rows - 1] } };
      }),
    perRow(fc.constantFrom("red", "green", "blue, dark", 'the "odd" one', "Straße")).map((texts) => {
      const all = ["red", "green", "Straße", ...texts.slice(3)];
      const levels = [...new Set(all)]
        .sort()
        .map((level) => ({ level, count: all.filter((text) => text === level).length }));
      return { texts: all, expected: { kind: "category", levels } };
    }),
    perRow(fc.boolean()).map((bits) => {
      const texts = [false, true, ...bits.slice(2)].map(String);
      return { texts, expected: { kind: "boolean", texts: ["false", "true"] } };
    }),
  );
  const written = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  test("kinds, ranges, resolutions, levels and gaps of generated columns", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(column, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(rows - 1), { maxLength: 5 }),
        async (columns, holes) => {
          // The first rows hold what a kind needs to be seen.
          const missing = new Set(holes.filter((row) => row > 4 && row < rows - 1));
          const lines = Array.from({ length: rows }, (_, row) =>
            [`k${row}`, ...columns.map(({ texts }) => written(texts[row] ?? ""))].join(),
          );
          const plain = await profile(`key,${columns.map((_, i) => `c${i}`).join()}\n${lines.join("\n")}\n`);
          expect(plain.columns.slice(1).map(({ column }) => column)).toMatchObject(
            columns.map(({ expected }) => expected),
          );
          const gappy = Array.from({ length: rows }, (_, row) =>
            [
              `k${row}`,
              ...columns.map(({ texts }) => (missing.has(row) ? "NA" : written(texts[row] ?? ""))),
            ].join(),
          );
          const found = await profile(`key,${columns.map((_, i) => `c${i}`).join()}\n${gappy.join("\n")}\n`);
          expect(found.columns.slice(1).map(({ column }) => [column.kind, column.gaps])).toEqual(
            columns.map(({ expected }) => [expected.kind, missing.size]),
          );
        },
      ),
      { numRuns: 8, endOnFailure: true },
    );
  });
});

describe("steps that do not begin at zero", () => {
  const random = new Random(9);
  const places = Array.from({ length: 60 }, (_, i) => (i < 2 ? i : random.integer(200)));
  const monday = Date.UTC(2024, 0, 1) / 86_400_000;
  const kinds = {
    monday: places.map((place) =>
      dateText({ name: "d", form: "yyyy-MM-dd", precision: "day" }, monday + 7 * place),
    ),
    whole: places.map((place) => String(3 + 7 * place)),
    half: places.map((place) => (0.05 + 0.1 * place).toFixed(2)),
    below: places.map((place) => String(-1001 + 4 * place)),
    standardized: places.map((place) => String((place - 98.7) / 57.3)),
    drawn: places.map(() => String(random.normal())),
    /** Half of them are one value, as where nothing was counted. */
    spiked: places.map((_, i) => String(i % 2 === 0 ? -0.92 : random.normal())),
  };
  const text = `${Object.keys(kinds).join()}\n${places.map((_, row) => Object.values(kinds).map((column) => column[row])).join("\n")}\n`;

  test("are found, of whole numbers, dates, decimals and standardized numbers; and none where there are none", async () => {
    const { columns } = await profile(text);
    const [day, whole, half, below, standardized, ...others] = columns.map(({ column }) => column);
    expect(day).toMatchObject({ kind: "date", resolution: 7, offset: monday % 7 });
    expect(whole).toMatchObject({ kind: "whole", resolution: 7, offset: 3 });
    expect(half).toMatchObject({ kind: "real", resolution: 0.1, offset: 0.05 });
    expect(below).toMatchObject({ kind: "whole", resolution: 4, offset: 3 });
    expect(standardized).toMatchObject({ kind: "real" });
    expect(standardized).toHaveProperty("resolution", expect.closeTo(1 / 57.3, 12));
    expect(standardized).toHaveProperty("offset", expect.closeTo(-98.7 / 57.3, 12));
    for (const column of others) {
      expect(column.kind).toBe("real");
      expect(column).not.toHaveProperty("resolution");
      expect(column).not.toHaveProperty("offset");
    }
  });

  test("are kept by a schema file, which may declare others", async () => {
    const first = (await profile(text)).columns.map(({ column }) => column);
    const again = await profile(text, { schema: JSON.parse(encodeSchema(first)) });
    expect(again.columns.map(({ column }) => column)).toEqual(first);
    const declared = await profile(text, {
      schema: {
        eidos: "table schema",
        columns: [
          { name: "whole", kind: "whole", resolution: 1 },
          { name: "half", kind: "real", resolution: 0.01 },
          { name: "monday", kind: "date", resolution: 1 },
        ],
      },
    });
    for (const { column } of declared.columns.slice(0, 3)) expect(column).not.toHaveProperty("offset");
  });

  test("and scales that were found are left out where columns are to be standardized alone", async () => {
    const skewed = `v,w\n${Array.from({ length: 60 }, (_, i) => `${Math.exp(random.normal() * 2)},${i}`).join("\n")}\n`;
    const scales = async (options = {}) =>
      (await profile(skewed, options)).columns.map(({ column }) => "scale" in column && column.scale);
    expect(await scales()).toEqual(["log", "standard"]);
    expect(await scales({ columnScale: "standard" })).toEqual(["standard", "standard"]);
    const schema = {
      eidos: "table schema" as const,
      columns: [{ name: "v", kind: "real", scale: "quantile" }],
    };
    expect(await scales({ columnScale: "standard", schema })).toEqual(["quantile", "standard"]);
  });
});

describe("dates as people write them", () => {
  const days = Array.from({ length: 30 }, (_, i) => new Date(Date.UTC(2021, 9, 3 + i * 5)));
  const column = (write: (day: Date) => string): string =>
    `n,d\n${days.map((day, i) => `${(i * 7) % 11},"${write(day)}"`).join("\n")}\n`;
  const intl =
    (options: Intl.DateTimeFormatOptions, locale = "en-US") =>
    (day: Date): string =>
      new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options }).format(day);
  const long = { year: "numeric", month: "long", day: "numeric" } as const;

  test.each([
    ["yyyy年M月d日", intl(long, "zh-CN")],
    ["d MMMM yyyy", intl(long, "en-GB")],
    ["MMMM d, yyyy", intl(long)],
    ["EEE, dd MMM yyyy", (day: Date) => day.toUTCString().slice(0, 16)],
    ["MMMM yyyy", intl({ year: "numeric", month: "long" })],
  ])("are found: %s", async (form, write) => {
    const { columns } = await profile(column(write));
    const date = columns.find(({ column: { name } }) => name === "d")?.column;
    expect(date).toMatchObject({ kind: "date", form, precision: form.includes("d") ? "day" : "month" });
    // What is written by the form is what stood in the file.
    for (const day of days) {
      const text = write(day);
      const found = dateForm(form);
      if (found === undefined) throw new Error(form);
      expect(dateText({ name: "d", ...found }, dateNumber(found, text) ?? Number.NaN)).toBe(text);
    }
  });

  test("a date of another weekday than its own is none", () => {
    const form = dateForm("EEE, dd MMM yyyy");
    if (form === undefined) throw new Error("no form");
    expect(dateNumber(form, "Fri, 19 Nov 2021")).toBe(18_950);
    expect(dateNumber(form, "Thu, 19 Nov 2021")).toBeUndefined();
  });

  test("a few cells that are none are told by their rows; many make a column of texts", async () => {
    const faulty = (bad: readonly number[]): string =>
      column((day) => (bad.includes(days.indexOf(day)) ? "2021-02-30" : day.toISOString().slice(0, 10)));
    for (const at of [0, 7, 29])
      await expect(profile(faulty([at]))).rejects.toThrow(
        new RegExp(`no date \\(yyyy-MM-dd\\) in column "d": row ${at + 1} \\("2021-02-30"\\)`),
      );
    const { columns } = await profile(faulty([0, 3, 6, 9, 12, 15]));
    expect(columns.map(({ column: { kind } }) => kind)).toEqual(["whole", "text"]);
  });
});

test("a step is one where so many values are on it by no chance", async () => {
  const found = async (values: readonly number[]) =>
    (await profile(`a,b\n${values.map((value, i) => `${value},${i % 3}`).join("\n")}\n`)).columns[0]?.column;
  // 14 different multiples of 5.
  const fives = Array.from({ length: 80 }, (_, i) => 5 * ((i * 3) % 14));
  expect(await found(fives)).toMatchObject({ kind: "whole", resolution: 5 });
  expect(await found(fives.map((value) => value / 5))).toMatchObject({ resolution: 1 });
  expect(await found(Array.from({ length: 80 }, (_, i) => 2 * (i % 14)))).toMatchObject({ resolution: 1 });
  expect(await found(Array.from({ length: 80 }, (_, i) => 5 * (i % 4)))).toMatchObject({ resolution: 1 });
});

describe("schemas", () => {
  const table = `when,n,who\n${Array.from({ length: 40 }, (_, i) => `0${1 + (i % 9)}/0${1 + (i % 8)}/2020,${i % 13},${"abc"[i % 3]}`).join("\n")}\n`;

  test("what is written is read again and changes nothing; a kind by hand is enough", async () => {
    const first = await profile(table);
    const columns = first.columns.map(({ column }) => column);
    const schema = JSON.parse(encodeSchema(columns));
    const again = await profile(table, { schema });
    expect(again.columns.map(({ column }) => column)).toEqual(
      columns.map((column) => ({ ...column, why: column.why })),
    );
    const declared = await profile(table, {
      schema: {
        eidos: "table schema",
        columns: [
          { name: "when", kind: "date", form: "dd/MM/yyyy" },
          { name: "n", kind: "category" },
        ],
      },
    });
    expect(first.columns[0]?.column).toMatchObject({
      form: "MM/dd/yyyy",
      why: expect.stringMatching(/a guess/),
    });
    expect(declared.columns.map(({ column }) => column)).toMatchObject([
      { kind: "date", form: "dd/MM/yyyy", why: "declared" },
      { kind: "category", levels: { length: 13 } },
      { kind: "category" },
    ]);
  });

  test("all faults of a schema, and of a table under it, are named at once", async () => {
    expect(() =>
      parseSchema(
        {
          eidos: "table schema",
          columns: [
            { name: "a", kind: "reel" },
            { name: "b", kind: "real", scal: "log" },
            { name: "b", kind: "whole", resolution: -1 },
          ],
        },
        "s.json",
      ),
    ).toThrow(
      /s\.json: column "a": kind must be one of real, whole.*; column "b": "scal" is no field of this kind; did you mean "scale"\?; column "b": resolution: /,
    );
    expect(() => parseSchema([], "s.json")).toThrow(/s\.json: not a table schema/);
    const bad = {
      eidos: "table schema",
      columns: [
        { name: "n", kind: "whole", declared: { minimum: 2, maximum: 11 } },
        {
          name: "who",
          kind: "category",
          levels: [
            { level: "a", count: 1 },
            { level: "b", count: 1 },
          ],
        },
        { name: "when", kind: "real" },
      ],
    };
    await expect(profile(table, { schema: bad })).rejects.toThrow(
      /column "when" is declared as real: no number in row 1 .*column "n" is declared as whole: 0 is below the declared minimum 2; .*12 is above the declared maximum 11; column "who" is declared as category: 13 cells hold levels that are not declared, as "c"/,
    );
    await expect(
      profile(table, { schema: { eidos: "table schema", columns: [{ name: "whom", kind: "text" }] } }),
    ).rejects.toThrow(/the schema has a column "whom", the table has not \(did you mean "who"\?\)/);
  });

  test("rare levels are pooled, and texts hashed, on request", async () => {
    const text = `c,t\n${Array.from({ length: 90 }, (_, i) => `${i < 4 ? `rare${i}` : "ab"[i % 2]},"some text ${i * 7919} here"`).join("\n")}\n`;
    const { columns } = await profile(text, { poolRare: 5, hashText: 8 });
    expect(columns[0]?.column).toMatchObject({
      levels: [{ level: "a" }, { level: "b" }, { level: "(other)", count: 4 }],
      pooled: { as: "(other)", levels: ["rare0", "rare1", "rare2", "rare3"] },
    });
    expect(columns[1]?.column).toMatchObject({ kind: "category", hash: 8, levels: { length: 8 } });
  });
});

test("scales follow from the numbers: standard, log, Yeo–Johnson, ranks", () => {
  // Quantiles of a normal distribution by the logistic approximation, close enough for its shape.
  const normal = Array.from({ length: 999 }, (_, i) => Math.log((i + 1) / (999 - i)) / 1.702);
  const scaleOf = (of: (z: number) => number) => numberShape(Float64Array.from(normal, of)).scale;
  expect(scaleOf((z) => 5 + 3 * z)).toBe("standard");
  expect(scaleOf((z) => Math.exp(1.5 * z))).toBe("log");
  expect(scaleOf((z) => Math.exp(1.5 * z) - 0.2)).toBe("yeo-johnson");
  expect(scaleOf((z) => Math.sinh(3 * z))).toBe("quantile");
  // Half of the cells are one value: its own among many others, on steps among few.
  const spiked = numberShape(Float64Array.from(normal, (z, i) => (i % 2 === 0 ? 0 : Math.exp(z))));
  expect(spiked.scale).toBe("quantile");
  expect(spiked.reason).toBe("learned by ranks (0 is a value of its own, which 50 % of the cells have)");
  expect(
    numberShape(Float64Array.from(normal, (z, i) => (i % 2 === 0 ? 0 : Math.round(3 * z)))).scale,
  ).not.toBe("quantile");
  const shape = numberShape(Float64Array.from(normal));
  expect(shape.histogram.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
  expect(shape.median).toBeCloseTo(0, 10);
  expect(shape.outliers).toEqual([]);
});
