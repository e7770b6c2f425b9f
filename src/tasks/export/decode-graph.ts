import {
  type CategoricalColumn,
  type Column,
  columnWidth,
  gapWidth,
  type NumericColumn,
  valueWidth,
} from "../../data/sources/columns.ts";
import type { GraphValue } from "../../program/graph-writer.ts";
import { fromScaleGraph, inAtomGraph, logSlopeGraph, scaleOf, toStep } from "./scale-graph.ts";

// The decoding of samples (`data/table/codec`) within a graph: samples in, columns in their own units out.

/** Digits of a value without a step that float32 keeps, relative to what a unit of the model's scale is there; as the codec has it. */
const KEPT_DIGITS = 6;

function decodeNumeric(column: NumericColumn, number: GraphValue): GraphValue {
  const { mean, deviation, cells } = column;
  const { graph } = number;
  const w = number.mul(deviation).add(mean);
  if (cells === undefined) return w;
  const scale = scaleOf(column);
  const value = fromScaleGraph(scale, w);
  let own: GraphValue;
  if (cells.step !== undefined) own = toStep(value, cells.step, cells.offset);
  else {
    const unit = logSlopeGraph(scale, w)
      .mul(-1 / Math.LN10)
      .add(Math.log10(deviation));
    const digits = unit.floor().sub(KEPT_DIGITS);
    const ten = graph.constant("float64", [10], []);
    // By the power of ten that is a whole number, which is exact.
    const whole = ten.pow(digits.abs());
    own = value.mul(whole).rounded().div(whole).where(digits.less(0), value.div(whole).rounded().mul(whole));
    const inAtom = inAtomGraph(scale, w);
    if (inAtom !== undefined) own = value.where(inAtom, own);
  }
  return own.maximum(cells.minimum).minimum(cells.maximum);
}

function decodeCategory({ categories, hash }: CategoricalColumn, code: GraphValue): GraphValue {
  const place = code.argMax(1);
  return hash === undefined ? code.graph.texts(categories).gather(place) : place;
}

/** Cells that a sample says are missing become NaN, "" and −1. */
function withGaps(column: Column, cell: GraphValue, missing: GraphValue): GraphValue {
  const { graph } = cell;
  if (cell.type === "float64") return graph.constant("float64", [Number.NaN], []).where(missing, cell);
  if (column.kind === "categorical" && column.hash === undefined) {
    return graph.texts([""]).where(missing, cell);
  }
  return graph.constant("int64", [-1], []).where(missing, cell);
}

/**
 * Columns of samples, each [n]: float64 numbers within their bounds, dates as numbers, texts of categories.
 * @param x samples, float32 [n, width]
 */
export function decodeColumns(columns: readonly Column[], x: GraphValue): readonly GraphValue[] {
  let at = 0;
  return columns.map((column) => {
    const start = at;
    at += columnWidth(column);
    const gap = gapWidth(column);
    const value = x.slice(start + gap, start + gap + valueWidth(column), 1);
    const numbers = value.cast("float64");
    const cell =
      column.kind === "numeric"
        ? decodeNumeric(column, numbers.squeeze(1))
        : column.kind === "categorical"
          ? decodeCategory(column, value)
          : numbers.squeeze(1);
    if (gap === 0) return cell;
    const code = x.slice(start, start + gap, 1);
    const missing = column.kind === "binary" ? code.squeeze(1).greater(0.5) : code.argMax(1).equal(1);
    return withGaps(column, cell, missing);
  });
}
