import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Column,
  columnsSchema,
  type NumericColumn,
  type Scale,
  tableWidth,
} from "../../../../src/data/sources/columns.ts";
import {
  Clippings,
  columnOf,
  decodeNumber,
  decodeRow,
  decodeTable,
  encodeGap,
  encodeUnknown,
  encodeValue,
  isMissing,
  isNoisy,
  logUnits,
  valueOfCell,
} from "../../../../src/data/table/codec/index.ts";
import { type ColumnOf, columnScales, dateText } from "../../../../src/data/table/columns/index.ts";
import { numberShape } from "../../../../src/data/table/columns/numeric.ts";
import { Random } from "../../../../src/random.ts";
import { float32 } from "../../../../src/tensor/array.ts";
import { present } from "../../../support.ts";

const seen = { why: "", gaps: 0, distinct: 2 };
const rowsOf = (cells: ArrayLike<unknown>) => Uint32Array.from({ length: cells.length }, (_, i) => i);

/** What is found of numbers. */
function found(
  kind: "real" | "whole",
  values: readonly number[],
  more: Partial<ColumnOf<"real">> = {},
): ColumnOf<"real"> | ColumnOf<"whole"> {
  const bounds = { minimum: Math.min(...values), maximum: Math.max(...values) };
  const plain = { name: "v", ...seen, ...bounds, scale: "standard" as const, ...more };
  return kind === "real" ? { kind, ...plain } : { kind, ...plain, resolution: more.resolution ?? 1 };
}

/** Cells encoded and decoded, each with noise of its own. */
function roundTrip(
  column: Column,
  cells: readonly (number | string)[],
  seed: number,
): (number | string | null)[] {
  const width = tableWidth([column]);
  return cells.map((cell, i) => {
    const sample = new Float32Array(width);
    encodeValue(column, present(valueOfCell(column, cell)), new Random(seed).split(i), sample, 0);
    return present(decodeRow([column], sample)[0] ?? undefined);
  });
}

describe("what goes in comes out", () => {
  test("numbers of any offset and step, on every scale", () => {
    const decimals = fc.record({
      power: fc.integer({ min: -15, max: 9 }),
      offset: fc.integer({ min: -(10 ** 6), max: 10 ** 6 }),
      ticks: fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 5, maxLength: 40 }),
      scale: fc.constantFrom(...columnScales),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(decimals, ({ power, offset, ticks, scale, seed }) => {
        const values = ticks.map((tick) => Number(`${offset + tick}e${power}`));
        const column = columnOf(
          found("real", values, { resolution: Number(`1e${power}`), scale }),
          values,
          rowsOf(values),
        );
        expect(roundTrip(column, values, seed)).toEqual(values.map((value) => value + 0));
      }),
    );
  });

  test("numbers on steps that do not begin at zero, and nothing but such numbers comes out", () => {
    const grids = fc.record({
      power: fc.integer({ min: -9, max: 3 }),
      step: fc.integer({ min: 2, max: 1000 }),
      first: fc.integer({ min: -(10 ** 6), max: 10 ** 6 }),
      ticks: fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 5, maxLength: 40 }),
      scale: fc.constantFrom(...columnScales),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(grids, ({ power, step, first, ticks, scale, seed }) => {
        const at = (tick: number): number => Number(`${first + step * tick}e${power}`) + 0;
        const values = ticks.map(at);
        const grid = { resolution: Number(`${step}e${power}`), offset: Number(`${first}e${power}`) };
        const column = columnOf(found("real", values, { ...grid, scale }), values, rowsOf(values));
        expect(roundTrip(column, values, seed)).toEqual(values);
        const drawn = Number(decodeRow([column], Float32Array.of(new Random(seed).normal()))[0]);
        const places = (drawn - grid.offset) / grid.resolution;
        expect(Math.abs(places - Math.round(places))).toBeLessThan(1e-6);
      }),
    );
  });

  test("a value that many cells have comes back exactly, and holds the share of the samples that it has of the cells", () => {
    const random = new Random(8);
    for (const [name, at, other] of [
      ["least", 0, () => Math.exp(random.normal())],
      ["amid others", -0.9199884374438398, () => random.normal()],
      ["largest", 1, () => 1 - Math.exp(random.normal())],
    ] as const) {
      const values = Array.from({ length: 1000 }, (_, i) => (i % 5 < 3 ? at : other()));
      const column = columnOf(found("real", values, { scale: "quantile" }), values, rowsOf(values));
      const back = roundTrip(column, values, 2);
      expect(back.filter((value) => value === at).length, name).toBe(600);
      for (const [i, value] of back.entries())
        expect(Math.abs(Number(value) - (values[i] ?? 0))).toBeLessThan(1e-4);
      // Samples of the scores' own distribution, uniform within the atom.
      const numbers = values.map((value, i) => {
        const sample = new Float32Array(1);
        encodeValue(column, value, new Random(3).split(i), sample, 0, false);
        return present(sample[0]);
      });
      expect(new Set(numbers).size, name).toBeGreaterThan(950);
      expect(isNoisy(column)).toBe(true);
    }
  });

  test("atoms have a probability and other values a density, which come to 1 together; of whole numbers all have probabilities", () => {
    const random = new Random(12);
    const logNormal = (z: number): number => -0.5 * z * z - 0.5 * Math.log(2 * Math.PI);
    const reals = Array.from({ length: 800 }, (_, i) => (i % 2 === 0 ? 0 : random.normal()));
    const wholes = Array.from({ length: 800 }, (_, i) =>
      i % 2 === 0 ? 3 : Math.round(60 * Math.abs(random.normal())),
    );
    /** The mean over noise of a value's likelihood under a standard normal model. */
    const likelihood = (column: Column, value: number, draws: number): number => {
      let sum = 0;
      for (let i = 0; i < draws; i++) {
        const sample = new Float32Array(1);
        encodeValue(column, value, new Random(i).split("draw"), sample, 0, false);
        sum += Math.exp(logNormal(sample[0] ?? 0) + logUnits([column], sample));
      }
      return sum / draws;
    };
    const real = columnOf(found("real", reals, { scale: "quantile" }), reals, rowsOf(reals));
    const step = 0.002;
    let all = likelihood(real, 0, 4000);
    for (let v = -9; v < 9; v += step) all += step * likelihood(real, v + step / 2, 1);
    expect(all).toBeGreaterThan(0.98);
    expect(all).toBeLessThan(1.01);
    const whole = columnOf(found("whole", wholes, { scale: "quantile" }), wholes, rowsOf(wholes));
    expect(present(whole.kind === "numeric" ? whole.cells : undefined).scale).toMatchObject({
      kind: "quantile",
    });
    let shares = 0;
    for (let v = -60; v <= 400; v++) shares += likelihood(whole, v, 200);
    // Noise of an atom does not reach the half steps beside it, so that the sum is a little below.
    expect(shares).toBeGreaterThan(0.97);
    expect(shares).toBeLessThan(1.01);
  });

  test("whole numbers that somebody has standardized, but for the last digits of a double", () => {
    const random = new Random(6);
    const values = Array.from({ length: 200 }, () => (Math.round(60 + 9 * random.normal()) - 60.37) / 9.41);
    const grid = numberShape(Float64Array.from(values)).grid;
    expect(grid?.resolution).toBeCloseTo(1 / 9.41, 12);
    const column = columnOf(found("real", values, grid), values, rowsOf(values));
    const back = roundTrip(column, values, 1).map(Number);
    for (const [i, value] of back.entries()) expect(value).toBeCloseTo(values[i] ?? 0, 13);
    // Dequantized: equal cells have other numbers.
    const numbers = new Float32Array(2);
    encodeValue(column, values[0] ?? 0, new Random(1), numbers, 0);
    encodeValue(column, values[0] ?? 0, new Random(2), numbers, 1);
    expect(numbers[0]).not.toBe(numbers[1]);
  });

  test.each([
    ["epoch seconds", 1.7e9, 1, 17],
    ["a northing in meters to a hundredth", 5_812_345.12, 0.01, 100],
    ["1e12", 1e12, 1, 500],
    ["1e-12", 1e-12, 1e-15, 500],
    ["YYYYMMDD", 20240101, 1, 1230],
  ])("%s", (_, offset, step, range) => {
    const values = Array.from({ length: 200 }, (_, i) =>
      Number((offset + step * ((i * 37) % range)).toPrecision(15)),
    );
    for (const scale of columnScales) {
      const column = columnOf(found("real", values, { resolution: step, scale }), values, rowsOf(values));
      expect(roundTrip(column, values, 3)).toEqual(values);
    }
  });

  test("real numbers of fifteen digits come back to a millionth of the spread where they lie", () => {
    fc.assert(
      fc.property(
        fc.record({ count: fc.integer({ min: 20, max: 60 }), seed: fc.nat() }),
        fc.constantFrom(1, 1e12, 1e-12),
        fc.constantFrom(...columnScales),
        ({ count, seed }, size, scale) => {
          const random = new Random(seed);
          const values = Array.from({ length: count }, () => size * Math.sinh(random.normal()));
          const column = columnOf(found("real", values, { scale }), values, rowsOf(values));
          const spread = Math.max(...values) - Math.min(...values);
          roundTrip(column, values, 1).forEach((value, i) => {
            expect(Math.abs(Number(value) - (values[i] ?? 0))).toBeLessThanOrEqual(1e-5 * spread);
          });
        },
      ),
    );
  });

  test("one cell of 1e12 leaves the others their digits on the quantile scale", () => {
    const random = new Random(4);
    const values = Array.from({ length: 300 }, (_, i) => (i === 77 ? 1e12 : random.normal()));
    const column = columnOf(found("real", values, { scale: "quantile" }), values, rowsOf(values));
    const back = roundTrip(column, values, 1).map(Number);
    expect(back[77]).toBeCloseTo(1e12, -6);
    const within = back.map((value, i) => Math.abs(value - (values[i] ?? 0))).filter((_, i) => i !== 77);
    // Only the largest other cells share the wide last segment with it.
    expect(within.filter((error) => error > 1e-4).length).toBeLessThanOrEqual(3);
    const sample = new Float32Array(1);
    encodeValue(column, 0, new Random(0), sample, 0);
    expect(Math.abs(sample[0] ?? 9)).toBeLessThan(0.3);
  });

  test("dates of every precision, in any zone", () => {
    const forms: Readonly<Record<ColumnOf<"date">["precision"], string>> = {
      year: "yyyy",
      month: "MM/yyyy",
      day: "dd.MM.yyyy",
      hour: "yyyy-MM-dd HH",
      minute: "yyyy-MM-ddTHH:mm",
      second: "yyyy-MM-dd HH:mm:sszone",
      millisecond: "yyyy-MM-dd HH:mm:ss.SSS",
      microsecond: "yyyy-MM-dd HH:mm:ss.SSSSSS",
    };
    for (const [precision, form] of Object.entries(forms) as [ColumnOf<"date">["precision"], string][]) {
      const zone = form.includes("zone") ? { zone: "+02:00" } : {};
      const origin = {
        year: 1950,
        month: 24_000,
        day: 19_000,
        hour: 4e5,
        minute: 2.8e7,
        second: 1.7e9,
        millisecond: 1.7e12,
        microsecond: 1.7e15,
      };
      const texts = Array.from({ length: 50 }, (_, i) =>
        dateText({ name: "d", form, precision, ...zone }, origin[precision] + ((i * 7) % 50)),
      );
      const column = columnOf(
        {
          kind: "date",
          name: "d",
          ...seen,
          form,
          precision,
          ...zone,
          minimum: present(texts[0]),
          maximum: dateText({ name: "d", form, precision, ...zone }, origin[precision] + 49),
          resolution: 1,
          scale: "standard",
        },
        texts,
        rowsOf(texts),
      );
      expect(roundTrip(column, texts, 5)).toEqual(texts);
    }
  });

  test("booleans, categories, pooled and hashed ones", () => {
    const yes = columnOf(
      { kind: "boolean", name: "b", ...seen, texts: ["no", "yes"], counts: [1, 1] },
      ["no", "yes"],
      rowsOf([1, 1]),
    );
    expect(roundTrip(yes, ["yes", "no"], 1)).toEqual(["yes", "no"]);
    const levels = ["a", "b", "other"].map((level) => ({ level, count: 1 }));
    const pooled = columnOf(
      { kind: "category", name: "c", ...seen, levels, pooled: { as: "other", levels: ["x", "y"] } },
      ["a", "x"],
      rowsOf([1, 1]),
    );
    expect(roundTrip(pooled, ["a", "b", "x", "never seen"], 2)).toEqual(["a", "b", "other", "other"]);
    const hashed = columnOf(
      {
        kind: "category",
        name: "c",
        ...seen,
        levels: levels.map((_, i) => ({ level: `#${i}`, count: 1 })),
        hash: 3,
      },
      ["a"],
      rowsOf([1]),
    );
    for (const text of roundTrip(hashed, ["any", "text", "at all"], 2)) expect(text).toMatch(/^#[012]$/);
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 9 }), fc.nat(), (texts, seed) => {
        const own = texts.map((level) => ({ level, count: 1 }));
        const column = columnOf({ kind: "category", name: "c", ...seen, levels: own }, texts, rowsOf(texts));
        expect(roundTrip(column, texts, seed)).toEqual(texts);
      }),
    );
  });
});

const height: NumericColumn = { kind: "numeric", name: "height", mean: 170, deviation: 10 };
const color: Column = { kind: "categorical", name: "colour", categories: ["blue", "green", "red"] };

test("columns of earlier versions are encoded and decoded as they were", () => {
  const columns: readonly Column[] = [height, color];
  expect(tableWidth(columns)).toBe(4);
  const sample = new Float32Array(4);
  encodeValue(height, 171.3, new Random(0), sample, 0);
  expect(sample[0]).toBe(Math.fround((171.3 - 170) / 10));
  encodeValue(color, 2, new Random(1), sample, 1);
  expect(decodeRow(columns, sample)).toEqual([171.3, "red"]);
  expect(logUnits(columns, sample)).toBe(-Math.log(10));
  expect(decodeTable(columns, float32([0, 1, 0, 0, 1, 0, 0, 2], [2, 4]))).toEqual([
    [170, "blue"],
    [180, "red"],
  ]);
  expect(() => decodeTable(columns, float32([0, 0], [1, 2]))).toThrow(/\[1,2\].*4 numbers/);
});

test("columns survive JSON and are checked when they come back", () => {
  const values = [1, 2, 5, 9, 30, 200];
  const columns = [
    height,
    color,
    ...columnScales.map((scale) =>
      columnOf(found("whole", values, { scale, gaps: 1 }), [...values, null], rowsOf([...values, 1])),
    ),
  ];
  expect(columnsSchema.parse(JSON.parse(JSON.stringify(columns)))).toEqual(columns);
  expect(columnsSchema.safeParse([{ ...height, deviation: 0 }]).success).toBe(false);
  expect(columnsSchema.safeParse([{ ...color, categories: [] }]).success).toBe(false);
});

describe("gaps", () => {
  const values = [3, null, 5, 8, null, 13];
  const rows = rowsOf(values);
  const whole = columnOf(found("whole", [3, 13], { gaps: 2 }), values, rows);
  const category = columnOf(
    {
      kind: "category",
      name: "c",
      ...seen,
      gaps: 2,
      levels: [
        { level: "a", count: 3 },
        { level: "b", count: 1 },
      ],
    },
    ["a", "a", null, "a", "b", null],
    rows,
  );

  test("are kept with their share", () => {
    expect(whole).toMatchObject({ cells: { gaps: 2 / 6 } });
    expect(category).toMatchObject({ gaps: 2 / 6, shares: [4 / 6, 2 / 6] });
    expect(tableWidth([whole, category])).toBe(3 + 4);
  });

  test("are read from a sample as they were written", () => {
    for (const column of [whole, category, { kind: "binary", name: "bit", gaps: 0.5 } as const]) {
      for (let seed = 0; seed < 50; seed++) {
        const sample = new Float32Array(tableWidth([column]));
        encodeGap(column, new Random(seed), sample, 0);
        expect(isMissing(column, sample, 0)).toBe(true);
        expect(decodeRow([column], sample)).toEqual([null]);
        encodeUnknown(column, new Random(seed), sample, 0);
        expect(isMissing(column, sample, 0)).toBe(false);
      }
    }
  });

  test("noise in place of a value has the density that is subtracted", () => {
    // The integral of exp(logUnits)⁻¹ over all fillings is 1: of the normal density by a grid, of the categories by their cubes.
    const sample = new Float32Array(3);
    encodeGap(whole, new Random(1), sample, 0);
    let total = 0;
    for (let z = -9; z < 9; z += 0.01) {
      sample[2] = z;
      total += 0.01 * Math.exp(-logUnits([whole], sample));
    }
    expect(total).toBeCloseTo(1, 6);
    const code = new Float32Array(4);
    encodeGap(category, new Random(1), code, 0);
    const shares = [0, 1].map((k) => {
      code.set([k === 0 ? 1 : 0, k === 1 ? 1 : 0], 2);
      return Math.exp(-logUnits([category], code));
    });
    expect(shares[0]).toBeCloseTo(4 / 6, 12);
    expect((shares[0] ?? 0) + (shares[1] ?? 0)).toBeCloseTo(1, 12);
  });
});

describe("likelihoods", () => {
  const random = new Random(9);
  const lognormal = Array.from({ length: 500 }, () => Math.exp(random.normal()));

  test.each(columnScales)("the change of units is the derivative of the encoding: %s", (kind) => {
    const column = columnOf(found("real", lognormal, { scale: kind }), lognormal, rowsOf(lognormal));
    if (column.kind !== "numeric") throw new Error("a column of numbers");
    const encode = (value: number): number => {
      // In float64, which the difference needs.
      const { scale } = present(column.cells);
      return (toFloat64(scale, value) - column.mean) / column.deviation;
    };
    for (const value of [0.11, 0.5, 0.93, 1.7, 4.2]) {
      const step = 1e-7 * value;
      const slope = (encode(value + step) - encode(value - step)) / (2 * step);
      const sample = Float32Array.of(encode(value));
      expect(logUnits([column], sample)).toBeCloseTo(Math.log(slope), 3);
    }
  });

  test("of whole numbers they are probabilities: cells of a normal density sum to 1", () => {
    const values = Array.from({ length: 400 }, () => Math.round(3 * random.normal()));
    for (const scale of columnScales) {
      const column = columnOf(found("whole", values, { scale }), values, rowsOf(values));
      if (column.kind !== "numeric") throw new Error("a column of numbers");
      // Under a standard normal model, the mean over the noise of p(x + u) is the probability of the cell.
      let total = 0;
      const draws = 50;
      for (let value = -40; value <= 40; value++) {
        for (let i = 0; i < draws; i++) {
          const sample = new Float32Array(1);
          encodeValue(column, value, new Random(7).split(value).split(i), sample, 0);
          const z = sample[0] ?? 0;
          total += Math.exp(-0.5 * z * z - 0.5 * Math.log(2 * Math.PI) + logUnits([column], sample)) / draws;
        }
      }
      expect(total).toBeGreaterThan(0.95);
      expect(total).toBeLessThan(1.05);
    }
  });

  test("columns that a model is given have no part in them", () => {
    const other: NumericColumn = { ...height, name: "other", deviation: 3 };
    expect(logUnits([height, other], [0, 0], 0, new Set([other]))).toBe(-Math.log(3));
  });
});

test("cells beyond the bounds are set to them, counted, with an example", () => {
  const column = columnOf(found("whole", [0, 10]), [0, 10], rowsOf([0, 10]));
  if (column.kind !== "numeric") throw new Error("a column of numbers");
  const clippings = new Clippings();
  expect(decodeNumber(column, [9], 0, clippings)).toBe(10);
  expect(decodeNumber(column, [-9], 0, clippings)).toBe(0);
  expect(decodeNumber(column, [0], 0, clippings)).toBe(5);
  expect(clippings.columns).toEqual([{ column: "v", count: 2, example: 50, minimum: 0, maximum: 10 }]);
});

/** The scales written out once more, as their papers have them. */
function toFloat64(scale: Scale, v: number): number {
  switch (scale.kind) {
    case "standard":
      return v;
    case "log":
      return Math.log((v - scale.edge) / scale.unit);
    case "yeo-johnson": {
      const [t, l] = [(v - scale.center) / scale.unit, scale.lambda];
      if (t >= 0) return l === 0 ? Math.log(t + 1) : ((t + 1) ** l - 1) / l;
      return l === 2 ? -Math.log(1 - t) : -((1 - t) ** (2 - l) - 1) / (2 - l);
    }
    case "quantile": {
      const k = scale.values.findIndex((knot) => knot > v) - 1;
      const [a, b] = [scale.values[k] ?? 0, scale.values[k + 1] ?? 0];
      const [c, d] = [scale.scores[k] ?? 0, scale.scores[k + 1] ?? 0];
      return c + ((v - a) / (b - a)) * (d - c);
    }
  }
}

test("true and false are known however they are capitalized; other categories are not", () => {
  const column = (categories: readonly string[]) =>
    columnsSchema.parse([{ kind: "categorical", name: "active", categories }])[0] as Column;
  for (const text of ["True", "TRUE", " true"]) expect(valueOfCell(column(["False", "True"]), text)).toBe(1);
  expect(valueOfCell(column(["No", "Yes"]), "NO")).toBe(0);
  expect(valueOfCell(column(["rose", "lily"]), "Rose")).toBeUndefined();
  expect(valueOfCell(column(["no", "yes", "unknown"]), "NO")).toBeUndefined();
});
