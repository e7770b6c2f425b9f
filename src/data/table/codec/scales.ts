import type { Scale } from "../../sources/columns.ts";
import { ATOM, eachRun } from "../columns/numeric.ts";

// The scales on which numbers are learned: increasing functions w(v) with their inverses and derivatives, and how they follow from data.

/** The value on a scale of which the straight line below `from` begins, and its slope. */
const logBelow = (from: number, t: number): number => Math.log(from) + (t - from) / from;

/** Yeo and Johnson 2000, "A new family of power transformations to improve normality or symmetry", section 3. */
function powerOf(t: number, lambda: number): number {
  if (t >= 0) return lambda === 0 ? Math.log1p(t) : Math.expm1(lambda * Math.log1p(t)) / lambda;
  const other = 2 - lambda;
  return other === 0 ? -Math.log1p(-t) : -Math.expm1(other * Math.log1p(-t)) / other;
}

function inversePower(w: number, lambda: number): number {
  if (w >= 0) return lambda === 0 ? Math.expm1(w) : Math.expm1(Math.log1p(lambda * w) / lambda);
  const other = 2 - lambda;
  return other === 0 ? -Math.expm1(-w) : -Math.expm1(Math.log1p(-other * w) / other);
}

/** The segment of increasing knots in which x lies, from 0; the outer ones reach to infinity. */
function segmentOf(knots: readonly number[], x: number): number {
  let [low, high] = [0, knots.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x < at(knots, middle)) high = middle;
    else low = middle;
  }
  return low;
}

function at(values: ArrayLike<number>, i: number): number {
  const value = values[i];
  if (value === undefined) throw new RangeError(`value ${i} of ${values.length}`);
  return value;
}

/** The point between knots of one list where x lies between those of the other. */
function between(from: readonly number[], to: readonly number[], x: number): number {
  const k = segmentOf(from, x);
  const [a, b] = [at(from, k), at(from, k + 1)];
  const [c, d] = [at(to, k), at(to, k + 1)];
  // From the nearer knot, so that rounding near either is small.
  return x - a < b - x ? c + ((x - a) / (b - a)) * (d - c) : d - ((b - x) / (b - a)) * (d - c);
}

/** A value that many cells have, and the scores on which it lies. */
export interface Atom {
  readonly value: number;
  readonly from: number;
  readonly to: number;
}

/** The values of a scale that take more than a point of it. */
export function atomsOf(scale: Scale): readonly Atom[] {
  if (scale.kind !== "quantile") return [];
  const { values, scores } = scale;
  return values.flatMap((value, k) =>
    k > 0 && value === values[k - 1] ? [{ value, from: at(scores, k - 1), to: at(scores, k) }] : [],
  );
}

/** The atom that a value is; undefined for others. */
export function atomOf(scale: Scale, value: number): Atom | undefined {
  if (scale.kind !== "quantile") return undefined;
  const { values, scores } = scale;
  const k = segmentOf(values, value);
  if (k === 0 || values[k] !== value || values[k - 1] !== value) return undefined;
  return { value, from: at(scores, k - 1), to: at(scores, k) };
}

/** Whether all of the scores about w are those of one value. */
export function isInAtom(scale: Scale, w: number): boolean {
  if (scale.kind !== "quantile") return false;
  const k = segmentOf(scale.scores, w);
  return scale.values[k] === scale.values[k + 1];
}

/** w(v) of a scale; of an atom, the middle of its scores. */
export function toScale(scale: Scale, value: number): number {
  switch (scale.kind) {
    case "standard":
      return value;
    case "log": {
      const t = (value - scale.edge) / scale.unit;
      return t >= scale.from ? Math.log(t) : logBelow(scale.from, t);
    }
    case "yeo-johnson":
      return powerOf((value - scale.center) / scale.unit, scale.lambda);
    case "quantile": {
      const atom = atomOf(scale, value);
      return atom === undefined ? between(scale.values, scale.scores, value) : (atom.from + atom.to) / 2;
    }
  }
}

/** v(w): `toScale` inverted. */
export function fromScale(scale: Scale, w: number): number {
  switch (scale.kind) {
    case "standard":
      return w;
    case "log": {
      const { edge, unit, from } = scale;
      const t = w >= Math.log(from) ? Math.exp(w) : from + (w - Math.log(from)) * from;
      return edge + unit * t;
    }
    case "yeo-johnson":
      return scale.center + scale.unit * inversePower(w, scale.lambda);
    case "quantile":
      return between(scale.scores, scale.values, w);
  }
}

/** log dw/dv at the value on the scale w; in an atom, the log of the width of its scores. */
export function logSlopeAt(scale: Scale, w: number): number {
  switch (scale.kind) {
    case "standard":
      return 0;
    case "log":
      return -Math.max(w, Math.log(scale.from)) - Math.log(scale.unit);
    case "yeo-johnson": {
      const t = inversePower(w, scale.lambda);
      const power = t >= 0 ? scale.lambda - 1 : 1 - scale.lambda;
      return power * Math.log1p(Math.abs(t)) - Math.log(scale.unit);
    }
    case "quantile": {
      const k = segmentOf(scale.scores, w);
      const height = at(scale.values, k + 1) - at(scale.values, k);
      return Math.log(at(scale.scores, k + 1) - at(scale.scores, k)) - (height === 0 ? 0 : Math.log(height));
    }
  }
}

/** Mean and standard deviation, in two passes; a constant has deviation 1. */
export function statistics(values: Float64Array): { readonly mean: number; readonly deviation: number } {
  const average = (of: (value: number) => number) =>
    values.reduce((sum, value) => sum + of(value), 0) / Math.max(1, values.length);
  const mean = average((value) => value);
  const deviation = Math.sqrt(average((value) => (value - mean) ** 2));
  // Rounding leaves a constant column a deviation of a few ulps.
  const constant = !(deviation > 1e-12 * Math.abs(mean)) || deviation === 0;
  return { mean, deviation: constant ? 1 : deviation };
}

/** A quantile of sorted values, between the two nearest. */
function quantileOf(sorted: Float64Array, share: number): number {
  const position = Math.min(sorted.length - 1, Math.max(0, share * sorted.length - 0.5));
  const below = Math.floor(position);
  const low = at(sorted, below);
  return low + (position - below) * (at(sorted, Math.min(sorted.length - 1, below + 1)) - low);
}

/** The standard normal distribution function: a series near the middle (Marsaglia 2004), a continued fraction in the tails. */
function normalShare(z: number): number {
  const x = Math.abs(z);
  let tail: number;
  if (x < 3) {
    let [sum, term] = [x, x];
    for (let i = 3; Math.abs(term) > 1e-17 * sum; i += 2) {
      term *= (x * x) / i;
      sum += term;
    }
    tail = 0.5 - (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
  } else {
    let fraction = x;
    for (let i = 40; i > 0; i--) fraction = x + i / fraction;
    tail = Math.exp(-0.5 * x * x) / (Math.sqrt(2 * Math.PI) * fraction);
  }
  return z > 0 ? 1 - tail : tail;
}

/** The quantile of the standard normal distribution below the median, by bisection. */
function normalQuantile(share: number): number {
  let [low, high] = [-40, 0];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalShare(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Distance of neighboring knots on the normal scale, and how many there are at most. */
const KNOT_DISTANCE = 0.25;
const MOST_KNOTS = 64;

/** Least distance of a knot from the scores of an atom. */
const CLEAR = 1e-3;

/** The quantile of the standard normal distribution. */
const normalScore = (share: number): number =>
  share <= 0.5 ? normalQuantile(share) : -normalQuantile(1 - share);

/**
 * Knots at equal distances on the normal scale, so that tails have as many as the bulk; knots of equal values become one. A value that half of
 * the cells have takes all of its quantiles, where there are others.
 */
function quantileScale(values: Float64Array, step: number | undefined): Scale {
  const sorted = values.toSorted();
  const count = sorted.length;
  const outermost = -normalQuantile(Math.min(0.5 / count, 0.25));
  const within = (score: number): number => Math.max(-outermost, Math.min(outermost, score));
  const isConstant = sorted[0] === sorted.at(-1);
  const atoms: Atom[] = [];
  eachRun(sorted, (value, first, end) => {
    if (end - first >= Math.max(2, ATOM * count)) {
      const [from, to] = [within(normalScore(first / count)), within(normalScore(end / count))];
      if (!isConstant) atoms.push({ value, from, to });
      return;
    }
    if (step === undefined) return;
    // Equal values of a table with a step are spread evenly over it.
    for (let i = first; i < end; i++) sorted[i] = value + step * ((i - first + 0.5) / (end - first) - 0.5);
  });
  const half = Math.max(2, Math.min(MOST_KNOTS / 2, Math.ceil(outermost / KNOT_DISTANCE)));
  const knots: { value: number; scores: number[] }[] = [];
  for (let k = -half; k <= half; k++) {
    const score = (k / half) * outermost;
    const value = quantileOf(sorted, normalShare(score));
    // Knots keep their distance from atoms, in scores and values.
    const isClear = atoms.every(
      (atom) =>
        (value < atom.value && score < atom.from - CLEAR) || (value > atom.value && score > atom.to + CLEAR),
    );
    if (!isClear) continue;
    const last = knots.at(-1);
    if (last !== undefined && !(value > last.value)) last.scores.push(score);
    else knots.push({ value, scores: [score] });
  }
  const all = [
    ...knots.map(({ value, scores }) => ({
      value,
      score: scores.reduce((sum, score) => sum + score, 0) / scores.length,
    })),
    ...atoms.flatMap(({ value, from, to }) => [
      { value, score: from },
      { value, score: to },
    ]),
  ].toSorted((a, b) => a.score - b.score);
  const [first, last] = [all[0], all.at(-1)];
  if (first === undefined || last === undefined || first.value === last.value) return { kind: "standard" };
  // Beyond an atom at an end there are other values yet.
  const slope = (last.value - first.value) / (last.score - first.score);
  const ends = [
    ...(atoms.some(({ from }) => from === first.score)
      ? [{ value: first.value - slope, score: first.score - 1 }]
      : []),
    ...all,
    ...(atoms.some(({ to }) => to === last.score)
      ? [{ value: last.value + slope, score: last.score + 1 }]
      : []),
  ];
  return {
    kind: "quantile",
    values: ends.map(({ value }) => value),
    scores: ends.map(({ score }) => score),
  };
}

/**
 * Minus the profile log-likelihood of λ a value, up to a constant: log deviation of the transformed values minus the mean of the log-slopes.
 */
function powerLoss(t: Float64Array, lambda: number): number {
  const { deviation } = statistics(t.map((value) => powerOf(value, lambda)));
  const slopes = t.reduce((sum, value) => sum + Math.sign(value) * Math.log1p(Math.abs(value)), 0);
  return Math.log(deviation) - ((lambda - 1) * slopes) / t.length;
}

/** Values from which λ is found, at most. */
const POWER_VALUES = 10_000;

/** The λ of largest likelihood in [0, 2], by golden section. */
function bestPower(values: Float64Array): number {
  const stride = Math.ceil(values.length / POWER_VALUES);
  const t = values.filter((_, i) => i % stride === 0);
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [0, 2];
  for (let i = 0; i < 30; i++) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (powerLoss(t, a) < powerLoss(t, b)) high = b;
    else low = a;
  }
  return Number(((low + high) / 2).toFixed(4));
}

/**
 * A scale of a kind that fits values of the training split.
 * @param values without gaps, at least one
 * @param step of which all are multiples, where they have one
 */
export function fitScale(kind: Scale["kind"], values: Float64Array, step: number | undefined): Scale {
  const sorted = values.toSorted();
  const median = quantileOf(sorted, 0.5);
  switch (kind) {
    case "standard":
      return { kind };
    case "quantile":
      return quantileScale(values, step);
    case "log": {
      const least = at(sorted, 0);
      const spread = quantileOf(sorted, 0.75) - quantileOf(sorted, 0.25);
      const room = step ?? (spread > 0 ? spread / 1000 : Math.abs(least) / 1000 || 1);
      const edge = least > 0 ? 0 : least - room;
      const unit = median > edge ? median - edge : room;
      return { kind, edge, unit, from: (least - edge) / unit / 2 };
    }
    case "yeo-johnson": {
      const { deviation: unit } = statistics(values);
      const lambda = bestPower(values.map((value) => (value - median) / unit));
      return { kind, center: median, unit, lambda };
    }
  }
}
