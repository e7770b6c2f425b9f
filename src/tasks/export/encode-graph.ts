import { append } from "../../append.ts";
import {
  type BinaryColumn,
  type CategoricalColumn,
  type Column,
  gapWidth,
  type NumericColumn,
  valueWidth,
} from "../../data/sources/columns.ts";
import { atomsOf, isNoisy } from "../../data/table/codec/index.ts";
import type { GraphValue, GraphWriter } from "../../program/graph-writer.ts";
import { Random } from "../../random.ts";
import { drawsOfRows, normalOf, uniformOf } from "./random-graph.ts";
import { fromScaleGraph, inAtomGraph, logSlopeGraph, scaleOf, toScaleGraph, toStep } from "./scale-graph.ts";

// The encoding of cells (`data/table/codec`) within a graph: columns in their own units in, samples out, with the noise that `eidos score`
// draws for each row.

/** Rows of a table as a model sees them. */
export interface EncodedGraph {
  /** float32 [n, width]. */
  readonly x: GraphValue;
  /** What to add to the log-density of a sample to get that of its row, as `logUnits`: float64 [n]. */
  readonly units: GraphValue;
  /** Whether a row has a cell that its column cannot hold: bool [n]. */
  readonly bad: GraphValue;
}

/** A column's cells, encoded. */
interface EncodedColumn {
  /** float64 [n, width]. */
  readonly numbers: GraphValue;
  readonly units: GraphValue | undefined;
  readonly bad: GraphValue;
}

/** How many draws of 32 bits the noise of a cell takes, at most. */
function drawsOf(column: Column): number {
  const gap = gapWidth(column);
  if (column.kind === "numeric") return gap > 0 ? gap + 2 : 1;
  return column.kind === "categorical" ? gap + (gap > 0 ? 1 : 0) + valueWidth(column) : 0;
}

/** Columns of at most so many draws are done together, with as many draws as any of them takes: a graph of few nodes loads sooner. */
const FEW_DRAWS = 16;

/** What decides the noise of cells: a seed, or keys of the generators of noisy columns that are an input, int64 [columns, 4]. */
export type CellNoise = { readonly seed: number } | { readonly keys: GraphValue };

/** The draws of each noisy column, [draws, n] of 32 bits, at least as many as it takes. */
function drawAll(
  graph: GraphWriter,
  columns: readonly Column[],
  rows: GraphValue,
  noise: CellNoise,
): ReadonlyMap<Column, GraphValue> {
  const noisy = columns.filter(isNoisy);
  const keysOf = (group: readonly Column[]) =>
    "keys" in noise
      ? noise.keys.gather(graph.ints(group.map((column) => noisy.indexOf(column))))
      : group.map(({ name }) => new Random(noise.seed).split("table").split(name).key);
  const few = Math.max(0, ...noisy.map(drawsOf).filter((draws) => draws <= FEW_DRAWS));
  const byDraws = new Map<number, Column[]>();
  for (const column of noisy) {
    const draws = Math.max(few, drawsOf(column));
    append(byDraws, draws, column);
  }
  const drawn = new Map<Column, GraphValue>();
  for (const [draws, group] of byDraws) {
    const bits = drawsOfRows(graph, keysOf(group), rows, draws);
    for (const [i, column] of group.entries()) drawn.set(column, bits.slice(i, i + 1, 2).squeeze(2));
  }
  return drawn;
}

/** Noise of codes: 23 bits on [−½, ½), as the codec has it. */
const codeNoise = (bits: GraphValue): GraphValue =>
  uniformOf(bits)
    .mul(2 ** 23)
    .floor()
    .mul(2 ** -23)
    .sub(0.5);

/** The noisy code that says whether a cell is missing, [n, 2], of its two draws [2, n]. */
function gapCode(missing: GraphValue, bits: GraphValue): GraphValue {
  const { graph } = missing;
  const hot = graph.concat([missing.not().unsqueeze(1), missing.unsqueeze(1)], 1).cast("float64");
  return hot.add(codeNoise(bits).transpose(1, 0));
}

const HALF_LOG_TAU = 0.5 * Math.log(2 * Math.PI);

function encodeNumeric(
  column: NumericColumn,
  input: GraphValue,
  bits: GraphValue | undefined,
): EncodedColumn {
  const { mean, deviation, cells } = column;
  const { graph } = input;
  const scale = scaleOf(column);
  const gap = gapWidth(column);
  const finite = input.abs().less(Number.POSITIVE_INFINITY);
  const missing = input.isNaN();
  const bad = gap > 0 ? finite.or(missing).not() : finite.not();
  const value = input.where(finite, cells?.minimum ?? mean);
  const numberOf = (own: GraphValue): GraphValue => toScaleGraph(scale, own).sub(mean).div(deviation);
  const asHeld = (number: GraphValue): GraphValue => number.cast("float32").cast("float64");
  const step = cells?.step;
  const atoms = atomsOf(scale);
  const draw =
    bits !== undefined && (step !== undefined || atoms.length > 0)
      ? uniformOf(bits.slice(gap, gap + 1, 0).squeeze(0))
      : undefined;
  let number = numberOf(value);
  if (step !== undefined && draw !== undefined) {
    const noisy = asHeld(numberOf(draw.sub(0.5).mul(step).add(value)));
    // As the codec: noise that rounding takes to a neighbor is left out.
    const back = toStep(fromScaleGraph(scale, noisy.mul(deviation).add(mean)), step, cells?.offset);
    const returns = back
      .sub(value)
      .abs()
      .less(
        value
          .abs()
          .mul(1e-14)
          .add(1e-9 * step)
          .minimum(step / 4),
      );
    number = noisy.where(returns, number);
  }
  if (draw !== undefined) {
    for (const { value: held, from, to } of atoms) {
      const noisy = asHeld(
        draw
          .mul(to - from)
          .add(from - mean)
          .div(deviation),
      );
      const returns = fromScaleGraph(scale, noisy.mul(deviation).add(mean)).equal(held);
      number = noisy.where(value.equal(held).and(returns), number);
    }
  }
  number = asHeld(number);
  const w = number.mul(deviation).add(mean);
  const slope = logSlopeGraph(scale, w).sub(Math.log(deviation));
  const ofStep = cells !== undefined && cells.of.kind !== "real" && step !== undefined ? Math.log(step) : 0;
  const inAtom = ofStep === 0 ? undefined : inAtomGraph(scale, w);
  const units = inAtom === undefined ? slope.add(ofStep) : slope.where(inAtom, slope.add(ofStep));
  if (gap === 0 || bits === undefined) return { numbers: number.unsqueeze(1), units, bad };
  const fill = asHeld(normalOf(bits.slice(2, 3, 0).squeeze(0), bits.slice(3, 4, 0).squeeze(0)));
  const held = fill.where(missing, number);
  return {
    numbers: graph.concat([gapCode(missing, bits.slice(0, 2, 0)), held.unsqueeze(1)], 1),
    units: fill.mul(fill).mul(0.5).add(HALF_LOG_TAU).where(missing, units),
    bad,
  };
}

/** Which rows name a category, [n, K], and which name none, [n]. */
function namedCategories(column: CategoricalColumn, input: GraphValue) {
  const { graph } = input;
  const { categories, pooled, hash } = column;
  const numbers = graph.constant(
    "int64",
    categories.map((_, i) => i),
    [1, categories.length],
  );
  const known =
    hash === undefined
      ? input.unsqueeze(1).equal(graph.texts(categories).unsqueeze(0))
      : input.unsqueeze(1).equal(numbers);
  const none = known.cast("int64").sum(1).equal(0);
  const missing = hash === undefined ? none.and(input.equal(graph.texts([""]))) : none.and(input.equal(-1));
  if (pooled === undefined) return { named: known, missing, unknown: none.and(missing.not()) };
  const isPool = graph.constant(
    "bool",
    categories.map((category) => Number(category === pooled.as)),
    [1, categories.length],
  );
  const other = none.and(missing.not());
  return { named: known.or(other.unsqueeze(1).and(isPool)), missing, unknown: undefined };
}

function encodeCategorical(column: CategoricalColumn, input: GraphValue, bits: GraphValue): EncodedColumn {
  const { graph } = input;
  const { categories, shares } = column;
  const size = categories.length;
  const gap = gapWidth(column);
  const { named, missing, unknown } = namedCategories(column, input);
  const noise = (start: number): GraphValue => codeNoise(bits.slice(start, start + size, 0)).transpose(1, 0);
  if (gap === 0) {
    const bad = unknown === undefined ? missing : unknown.or(missing);
    return { numbers: named.cast("float64").add(noise(0)), units: undefined, bad };
  }
  const ends: number[] = [];
  for (const share of (shares ?? categories.map(() => 1 / size)).slice(0, -1)) {
    ends.push((ends.at(-1) ?? 0) + share);
  }
  const position = uniformOf(bits.slice(2, 3, 0).squeeze(0)).unsqueeze(1);
  const drawn =
    ends.length === 0
      ? missing.cast("int64").mul(0)
      : position
          .greaterEqual(graph.constant("float64", ends, [1, ends.length]))
          .cast("int64")
          .sum(1);
  const filled = drawn.unsqueeze(1).equal(
    graph.constant(
      "int64",
      categories.map((_, i) => i),
      [1, size],
    ),
  );
  const code = filled
    .cast("float64")
    .add(noise(3))
    .where(missing.unsqueeze(1), named.cast("float64").add(noise(2)));
  const logShares = graph.constant(
    "float64",
    categories.map((_, i) => -Math.log(shares?.[i] ?? 1)),
    [size],
  );
  return {
    numbers: graph.concat([gapCode(missing, bits.slice(0, 2, 0)), code], 1),
    units: logShares.gather(drawn).mul(missing.cast("float64")),
    bad: unknown ?? missing.and(missing.not()),
  };
}

function encodeBinary(column: BinaryColumn, input: GraphValue): EncodedColumn {
  const { graph } = input;
  const isBit = input.equal(0).or(input.equal(1));
  const value = input.where(isBit, 0).unsqueeze(1);
  if (gapWidth(column) === 0) return { numbers: value, units: undefined, bad: isBit.not() };
  const missing = input.isNaN();
  return {
    numbers: graph.concat([missing.cast("float64").unsqueeze(1), value], 1),
    units: undefined,
    bad: isBit.or(missing).not(),
  };
}

function encodeColumn(column: Column, input: GraphValue, bits: GraphValue | undefined): EncodedColumn {
  switch (column.kind) {
    case "numeric":
      return encodeNumeric(column, input, bits);
    case "categorical":
      return encodeCategorical(column, input, bits as GraphValue);
    case "binary":
      return encodeBinary(column, input);
  }
}

/** How the cells of a column come into a graph: float64 numbers, dates as numbers; texts; or places of hashed texts. */
export function inputTypeOf(column: Column): "float64" | "string" | "int64" {
  if (column.kind !== "categorical") return "float64";
  return column.hash === undefined ? "string" : "int64";
}

/**
 * Samples of rows.
 * @param inputs of each column its cells, [n], as `inputTypeOf`
 * @param rows numbers of the rows, on which their noise depends, int64 [n]
 * @param modeled the columns of whose likelihood the units are
 */
export function encodeColumns(
  graph: GraphWriter,
  columns: readonly Column[],
  inputs: readonly GraphValue[],
  rows: GraphValue,
  { noise, modeled }: { readonly noise: CellNoise; readonly modeled: ReadonlySet<Column> },
): EncodedGraph {
  const drawn = drawAll(graph, columns, rows, noise);
  const encoded = columns.map((column, i) =>
    encodeColumn(column, inputs[i] as GraphValue, drawn.get(column)),
  );
  const numbers = encoded.map((column) => column.numbers);
  const units = encoded.flatMap(({ units: own }, i) =>
    own !== undefined && modeled.has(columns[i] as Column) ? [own] : [],
  );
  return {
    x: graph.concat(numbers, 1).cast("float32"),
    units: units.reduce((sum, own) => sum.add(own), rows.cast("float64").mul(0)),
    bad: encoded.map(({ bad }) => bad).reduce((some, own) => some.or(own)),
  };
}
