import type { NumericColumn, Scale } from "../../data/sources/columns.ts";
import { atomsOf } from "../../data/table/codec/index.ts";
import type { GraphValue } from "../../program/graph-writer.ts";

// The scales of columns (`data/table/codec/scales.ts`) within a graph, in float64.

/** A function of values on one segment of knots each: the ends of the segment, and of its image. */
function onSegments(
  x: GraphValue,
  from: readonly number[],
  to: readonly number[],
  value: (ends: {
    readonly a: GraphValue;
    readonly b: GraphValue;
    readonly c: GraphValue;
    readonly d: GraphValue;
  }) => GraphValue,
): GraphValue {
  const { graph } = x;
  const inner = from.slice(1, -1);
  const last = inner.length;
  // How many inner knots lie at or below.
  const segment =
    last === 0
      ? x.less(0).and(x.greater(0)).cast("int64")
      : x
          .unsqueeze(1)
          .greaterEqual(graph.constant("float64", inner, [1, last]))
          .cast("int64")
          .sum(1);
  const at = (knots: readonly number[], start: number): GraphValue =>
    graph.constant("float64", knots.slice(start, start + last + 1), [last + 1]).gather(segment);
  return value({ a: at(from, 0), b: at(from, 1), c: at(to, 0), d: at(to, 1) });
}

function between(x: GraphValue, from: readonly number[], to: readonly number[]): GraphValue {
  return onSegments(x, from, to, ({ a, b, c, d }) => {
    const width = b.sub(a);
    const height = d.sub(c);
    const below = c.add(x.sub(a).div(width).mul(height));
    const above = d.sub(b.sub(x).div(width).mul(height));
    return below.where(x.sub(a).less(b.sub(x)), above);
  });
}

/** (1 + t)^power − 1 over power, for t at least 0; the logarithm for power 0. */
function grown(t: GraphValue, power: number): GraphValue {
  const base = t.maximum(0).add(1);
  return power === 0 ? base.log() : base.pow(power).sub(1).div(power);
}

/** `grown` inverted, for w at least 0. */
function shrunk(w: GraphValue, power: number): GraphValue {
  const positive = w.maximum(0);
  return power === 0
    ? positive.exp().sub(1)
    : positive
        .mul(power)
        .add(1)
        .pow(1 / power)
        .sub(1);
}

function inversePower(w: GraphValue, lambda: number): GraphValue {
  return shrunk(w, lambda).where(w.greaterEqual(0), shrunk(w.neg(), 2 - lambda).neg());
}

/** `toScale`. */
export function toScaleGraph(scale: Scale, value: GraphValue): GraphValue {
  switch (scale.kind) {
    case "standard":
      return value;
    case "log": {
      const { from, edge, unit } = scale;
      const t = value.sub(edge).div(unit);
      return t
        .maximum(from)
        .log()
        .where(t.greaterEqual(from), t.sub(from).div(from).add(Math.log(from)));
    }
    case "yeo-johnson": {
      const { lambda } = scale;
      const t = value.sub(scale.center).div(scale.unit);
      return grown(t, lambda).where(t.greaterEqual(0), grown(t.neg(), 2 - lambda).neg());
    }
    case "quantile":
      return atomsOf(scale).reduce(
        (w, atom) =>
          value.graph.constant("float64", [(atom.from + atom.to) / 2], []).where(value.equal(atom.value), w),
        between(value, scale.values, scale.scores),
      );
  }
}

/** `fromScale`. */
export function fromScaleGraph(scale: Scale, w: GraphValue): GraphValue {
  switch (scale.kind) {
    case "standard":
      return w;
    case "log": {
      const { edge, unit, from } = scale;
      const start = Math.log(from);
      const t = w.maximum(start).exp().where(w.greaterEqual(start), w.sub(start).mul(from).add(from));
      return t.mul(unit).add(edge);
    }
    case "yeo-johnson":
      return inversePower(w, scale.lambda).mul(scale.unit).add(scale.center);
    case "quantile":
      return between(w, scale.scores, scale.values);
  }
}

/** `logSlopeAt`. */
export function logSlopeGraph(scale: Scale, w: GraphValue): GraphValue {
  switch (scale.kind) {
    case "standard":
      return w.mul(0);
    case "log":
      return w.maximum(Math.log(scale.from)).neg().sub(Math.log(scale.unit));
    case "yeo-johnson": {
      const t = inversePower(w, scale.lambda);
      const size = t.abs().add(1).log();
      return size
        .mul(scale.lambda - 1)
        .where(t.greaterEqual(0), size.mul(1 - scale.lambda))
        .sub(Math.log(scale.unit));
    }
    case "quantile":
      return onSegments(w, scale.scores, scale.values, ({ a, b, c, d }) => {
        const height = d.sub(c);
        return b
          .sub(a)
          .log()
          .sub(height.add(height.equal(0).cast("float64")).log());
      });
  }
}

/** `isInAtom`: whether all of the scores about w are those of one value. */
export function inAtomGraph(scale: Scale, w: GraphValue): GraphValue | undefined {
  if (scale.kind !== "quantile" || atomsOf(scale).length === 0) return undefined;
  return onSegments(w, scale.scores, scale.values, ({ c, d }) => d.sub(c)).equal(0);
}

/** The scale of a column; of runs that knew one kind of number, their own. */
export const scaleOf = ({ cells }: NumericColumn): Scale => cells?.scale ?? { kind: "standard" };

/** A multiple of a step beyond an offset, the nearest. */
export function toStep(value: GraphValue, step: number, offset = 0): GraphValue {
  if (offset !== 0) return toStep(value.sub(offset), step).add(offset);
  // Divided by the whole number where steps are its fractions, so that 3 · 0.1 is 0.3.
  return Number.isInteger(1 / step) && step < 1
    ? value
        .mul(1 / step)
        .rounded()
        .div(1 / step)
    : value.div(step).rounded().mul(step);
}
