import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { expect, it } from "vitest";
import { type Column, type Scale, tableWidth } from "../../../src/data/sources/columns.ts";
import {
  decodeTable,
  encodeGap,
  encodeValue,
  fitScale,
  fromScale,
  isNoisy,
  logSlopeAt,
  logUnits,
  toScale,
  valueOfCell,
} from "../../../src/data/table/codec/index.ts";
import { GraphWriter } from "../../../src/program/graph-writer.ts";
import { Random } from "../../../src/random.ts";
import { decodeColumns } from "../../../src/tasks/export/decode-graph.ts";
import { encodeColumns, inputTypeOf } from "../../../src/tasks/export/encode-graph.ts";
import { fromScaleGraph, logSlopeGraph, toScaleGraph } from "../../../src/tasks/export/scale-graph.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { present } from "../../support.ts";

// The codec of columns within a graph against the codec itself.

const values = Float64Array.from({ length: 60 }, (_, i) => Math.exp(new Random(1).split(i).normal()) * 10);

const SCALES: readonly Scale[] = [
  { kind: "standard" },
  fitScale("log", values, undefined),
  fitScale("quantile", values, undefined),
  { kind: "quantile", values: [0, 10], scores: [-1, 2] },
  /** With atoms amid others and at the end. */
  { kind: "quantile", values: [-1, 0, 0, 9, 9, 40], scores: [-2, -1, 0.5, 1, 3, 4] },
  fitScale(
    "quantile",
    values.map((value, i) => (i % 3 > 0 ? 9 : value)),
    undefined,
  ),
  ...[0, 0.3, 1, 1.7, 2].map((lambda): Scale => ({ kind: "yeo-johnson", center: 9, unit: 4, lambda })),
];

async function run(graph: GraphWriter, feeds: Record<string, ort.Tensor>) {
  const session = await ort.InferenceSession.create(graph.bytes());
  const found = await session.run(feeds);
  await session.release();
  return found;
}

it.each(SCALES.map((scale) => [JSON.stringify(scale).slice(0, 60), scale] as const))(
  "scale %s",
  async (_, scale) => {
    const graph = new GraphWriter();
    const v = graph.input("v", "float64", ["n"]);
    const w = toScaleGraph(scale, v);
    graph.output("w", w, ["n"]);
    graph.output("back", fromScaleGraph(scale, w), ["n"]);
    graph.output("slope", logSlopeGraph(scale, w), ["n"]);
    const all = Float64Array.from([-50, -3, 0, 1e-3, 8.9, 9, 9.1, 33, 500, ...values]);
    const found = await run(graph, { v: new ort.Tensor("float64", all, [all.length]) });
    all.forEach((value, i) => {
      const own = toScale(scale, value);
      expect(Number(found.w?.data[i])).toBeCloseTo(own, 9);
      expect(Number(found.slope?.data[i])).toBeCloseTo(logSlopeAt(scale, own), 9);
      const back = fromScale(scale, own);
      expect(Math.abs(Number(found.back?.data[i]) - back)).toBeLessThan(1e-9 * Math.max(1, Math.abs(back)));
    });
  },
);

const gaps = fc.constantFrom(undefined, 0.2);
const common = { minimum: -100, maximum: 600 };

const numeric = (name: string): fc.Arbitrary<Column> =>
  fc
    .record({
      gaps,
      scale: fc.constantFrom(...SCALES),
      of: fc.constantFrom<"real" | "whole">("real", "whole"),
      step: fc.constantFrom(undefined, 1, 0.01, 5),
    })
    .map(({ gaps: share, scale, of, step }) => ({
      kind: "numeric",
      name,
      mean: 0.7,
      deviation: 1.9,
      cells: {
        of: { kind: of },
        scale,
        ...common,
        ...(step !== undefined && { step }),
        ...(share !== undefined && { gaps: share }),
      },
    }));

const categorical = (name: string): fc.Arbitrary<Column> =>
  fc
    .record({ gaps, pooled: fc.boolean(), hash: fc.boolean(), size: fc.integer({ min: 1, max: 5 }) })
    .map((drawn) => {
      const { gaps: share, pooled, hash } = drawn;
      const size = hash ? Math.max(2, drawn.size) : drawn.size;
      const categories = Array.from({ length: size }, (_, i) => (hash ? `#${i}` : `Größe ${i}`));
      return {
        kind: "categorical",
        name,
        categories,
        ...(share !== undefined && { gaps: share, shares: categories.map(() => 1 / size) }),
        ...(pooled && !hash && { pooled: { as: present(categories.at(-1)), levels: ["rare"] } }),
        ...(hash && { hash: size }),
      };
    });

const someColumns = fc
  .array(fc.boolean(), { minLength: 1, maxLength: 5 })
  .chain((kinds) =>
    fc.tuple(...kinds.map((isNumber, i) => (isNumber ? numeric(`n ${i}`) : categorical(`c ${i}`)))),
  );

/** A cell of a column, or nothing. */
function cellOf(column: Column, random: Random): number | string | null {
  const hasGaps = column.kind === "numeric" ? column.cells?.gaps !== undefined : column.gaps !== undefined;
  if (hasGaps && random.uniform() < 0.3) return null;
  if (column.kind === "numeric") {
    const step = column.cells?.step ?? 1e-3;
    return Number((step * random.integer(Math.floor(90 / step))).toPrecision(12));
  }
  if (column.kind === "categorical" && column.hash !== undefined) return `text ${random.integer(50)}`;
  const { categories = [], pooled } = column as Extract<Column, { kind: "categorical" }>;
  if (pooled !== undefined && random.uniform() < 0.2) return "never seen";
  return present(categories[random.integer(categories.length)]);
}

it("encodes any columns as the codec does, with its noise, and decodes them again", async () => {
  await fc.assert(
    fc.asyncProperty(someColumns, fc.integer({ min: 0, max: 1000 }), async (columns, seed) => {
      const [rows, first] = [6, 300];
      const source = new Random(seed);
      const cells = columns.map((column) => Array.from({ length: rows }, () => cellOf(column, source)));
      const width = tableWidth(columns);
      // As `encodeRows`: a generator for each column and row.
      const expected = new Float32Array(rows * width);
      const table = new Random(seed).split("table");
      const places = columns.map((_, c) => tableWidth(columns.slice(0, c) as Column[]));
      for (const [c, column] of columns.entries()) {
        for (let row = 0; row < rows; row++) {
          const noise = table.split(column.name);
          const own = isNoisy(column) ? noise.split(first + row) : noise;
          const cell = cells[c]?.[row] ?? null;
          const at = row * width + present(places[c]);
          if (cell === null) encodeGap(column, own, expected, at);
          else encodeValue(column, present(valueOfCell(column, cell)), own, expected, at);
        }
      }
      const graph = new GraphWriter();
      const inputs = columns.map((column, c) => graph.input(`in ${c}`, inputTypeOf(column), ["n"]));
      const numbers = graph.input("rows", "int64", ["n"]);
      const { x, units, bad } = encodeColumns(graph, columns, inputs, numbers, {
        noise: { seed },
        modeled: new Set(columns),
      });
      graph.output("x", x, ["n", width]);
      graph.output("units", units, ["n"]);
      graph.output("bad", bad, ["n"]);
      for (const [c, value] of decodeColumns(columns, x).entries()) graph.output(`out ${c}`, value, ["n"]);
      const feeds = columns.map((column, c) => {
        const own = present(cells[c]);
        const type = inputTypeOf(column);
        const tensor =
          type === "string"
            ? new ort.Tensor(
                "string",
                own.map((cell) => String(cell ?? "")),
                [rows],
              )
            : type === "int64"
              ? new ort.Tensor(
                  "int64",
                  BigInt64Array.from(own, (cell) =>
                    BigInt(cell === null ? -1 : present(valueOfCell(column, cell))),
                  ),
                  [rows],
                )
              : new ort.Tensor(
                  "float64",
                  Float64Array.from(own, (cell) => (cell === null ? Number.NaN : Number(cell))),
                  [rows],
                );
        return [`in ${c}`, tensor] as const;
      });
      const found = await run(graph, {
        ...Object.fromEntries(feeds),
        rows: new ort.Tensor(
          "int64",
          BigInt64Array.from({ length: rows }, (_, i) => BigInt(first + i)),
          [rows],
        ),
      });
      expect(Array.from(found.bad?.data as Uint8Array)).toEqual(new Array(rows).fill(0));
      (present(found.x).data as Float32Array).forEach((value, i) => {
        expect(Math.abs(value - (expected[i] ?? Number.NaN)), `number ${i}`).toBeLessThan(
          1e-6 * Math.max(1, Math.abs(value)),
        );
      });
      const decoded = decodeTable(columns, float32(expected, [rows, width]));
      for (let row = 0; row < rows; row++) {
        expect(Number(found.units?.data[row])).toBeCloseTo(logUnits(columns, expected, row * width), 4);
        columns.forEach((column, c) => {
          const cell = decoded[row]?.[c] ?? null;
          const value = found[`out ${c}`]?.data[row];
          if (column.kind === "categorical" && column.hash === undefined) expect(value).toBe(cell ?? "");
          else if (column.kind === "categorical") {
            expect(Number(value)).toBe(cell === null ? -1 : column.categories.indexOf(String(cell)));
          } else if (cell === null) expect(value).toBeNaN();
          else {
            const step = column.kind === "numeric" ? (column.cells?.step ?? 0) : 0;
            expect(Math.abs(Number(value) - Number(cell))).toBeLessThanOrEqual(
              1e-5 * Math.max(1, Math.abs(Number(cell))) + 1e-9 * step,
            );
          }
        });
      }
    }),
    { numRuns: 15 },
  );
});
