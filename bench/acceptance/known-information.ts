import { Random } from "../../src/random.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";

// Ten tasks after Czyż, Grabowski, Vogt, Beerenwinkel and Marx 2023, "Beyond Normal: on the evaluation of mutual information estimators"
// (arXiv:2306.11078): distributions whose mutual information is known, since invertible maps of either side leave it as it is.

/** Pairs, and the mutual information of their distribution in nats. */
export interface KnownTask {
  readonly name: string;
  readonly nats: number;
  draw(count: number, seed: number): readonly [x: NdArray<"float32">, y: NdArray<"float32">];
}

type Vector = readonly number[];

/** −½ log(1 − ρ²). */
const ofCorrelation = (correlation: number): number => -0.5 * Math.log(1 - correlation ** 2);

/** log Γ(m / 2) for a whole m, by Γ(½) = √π and Γ(1) = 1. */
function logGammaOfHalf(m: number): number {
  let value = m % 2 === 0 ? 0 : 0.5 * Math.log(Math.PI);
  for (let k = m % 2 === 0 ? 2 : 1; k < m; k += 2) value += Math.log(k / 2);
  return value;
}

/** ψ(m / 2) for a whole m, by ψ(½) = −γ − 2 ln 2 and ψ(1) = −γ. */
function digammaOfHalf(m: number): number {
  const euler = 0.5772156649015329;
  let value = m % 2 === 0 ? -euler : -euler - 2 * Math.LN2;
  for (let k = m % 2 === 0 ? 2 : 1; k < m; k += 2) value += 2 / k;
  return value;
}

/** What heavy tails add to the mutual information of a multivariate Student distribution (Arellano-Valle, Contreras-Reyes and Genton 2013). */
function studentCorrection(freedom: number, first: number, second: number): number {
  const f = (m: number): number => logGammaOfHalf(m) - (m / 2) * digammaOfHalf(m);
  return f(freedom) + f(freedom + first + second) - f(freedom + first) - f(freedom + second);
}

/** x and y of each pair; `size` of each side. */
function drawn(
  count: number,
  seed: number,
  pair: (random: Random) => { readonly x: Vector; readonly y: Vector },
): readonly [NdArray<"float32">, NdArray<"float32">] {
  const random = new Random(seed);
  const pairs = Array.from({ length: count }, (_, row) => pair(random.split(row)));
  const side = (of: "x" | "y"): NdArray<"float32"> => {
    const rows = pairs.map((each) => each[of]);
    return float32(rows.flat(), [count, rows[0]?.length ?? 0]);
  };
  return [side("x"), side("y")];
}

/** Coordinates that are correlated pair by pair, and independent beyond `correlations`. */
function normalPairs(random: Random, size: number, correlations: Vector): { x: number[]; y: number[] } {
  const x = Array.from({ length: size }, () => random.normal());
  const y = x.map((value, k) => {
    const correlation = correlations[k] ?? 0;
    return correlation * value + Math.sqrt(1 - correlation ** 2) * random.normal();
  });
  return { x, y };
}

/** Everything over the root of the same chi-squared number: a Student distribution. */
function student(random: Random, freedom: number, { x, y }: { x: number[]; y: number[] }) {
  const squares = Array.from({ length: freedom }, () => random.normal() ** 2);
  const scale = Math.sqrt(freedom / squares.reduce((sum, square) => sum + square, 0));
  return { x: x.map((value) => value * scale), y: y.map((value) => value * scale) };
}

const halfCube = (value: number): number => Math.sign(value) * Math.abs(value) ** 1.5;
const wiggly = (value: number, waves: number, height: number): number =>
  value + height * Math.sin(waves * value);

/** The error function's distribution of a normal number, as Abramowitz and Stegun 7.1.26 has it: for a map alone, not for its value. */
function normalShare(value: number): number {
  const t = 1 / (1 + 0.3275911 * (Math.abs(value) / Math.SQRT2));
  const tail =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp(-(value ** 2) / 2);
  return value >= 0 ? 1 - tail / 2 : tail / 2;
}

/** A point of a rolled-up strip. */
const rolled = (share: number): Vector => {
  const angle = 1.5 * Math.PI * (1 + 2 * share);
  return [(angle * Math.cos(angle)) / 21, (angle * Math.sin(angle)) / 21];
};

const RHO = 0.75;

export const KNOWN_TASKS: readonly KnownTask[] = [
  {
    name: "normal, 1 × 1",
    nats: ofCorrelation(RHO),
    draw: (count, seed) => drawn(count, seed, (random) => normalPairs(random, 1, [RHO])),
  },
  {
    name: "half-cube of a normal, 1 × 1",
    nats: ofCorrelation(RHO),
    draw: (count, seed) =>
      drawn(count, seed, (random) => {
        const { x, y } = normalPairs(random, 1, [RHO]);
        return { x: x.map(halfCube), y: y.map(halfCube) };
      }),
  },
  {
    name: "wiggly, 1 × 1",
    nats: ofCorrelation(RHO),
    draw: (count, seed) =>
      drawn(count, seed, (random) => {
        const { x, y } = normalPairs(random, 1, [RHO]);
        return { x: x.map((value) => wiggly(value, 3, 0.25)), y: y.map((value) => wiggly(value, 2, 0.4)) };
      }),
  },
  ...[0.1, 0.75].map(
    (noise): KnownTask => ({
      name: `uniform with uniform noise of ±${noise}`,
      nats: noise <= 0.5 ? noise - Math.log(2 * noise) : 1 / (4 * noise),
      draw: (count, seed) =>
        drawn(count, seed, (random) => {
          const x = random.uniform();
          return { x: [x], y: [x + noise * (2 * random.uniform() - 1)] };
        }),
    }),
  ),
  {
    name: "Student of 1 degree of freedom under asinh, 1 × 1",
    nats: ofCorrelation(RHO) + studentCorrection(1, 1, 1),
    draw: (count, seed) =>
      drawn(count, seed, (random) => {
        const { x, y } = student(random, 1, normalPairs(random, 1, [RHO]));
        return { x: x.map(Math.asinh), y: y.map(Math.asinh) };
      }),
  },
  {
    name: "Swiss roll, 2 × 1",
    nats: ofCorrelation(RHO),
    draw: (count, seed) =>
      drawn(count, seed, (random) => {
        const { x, y } = normalPairs(random, 1, [RHO]);
        return { x: rolled(normalShare(x[0] ?? Number.NaN)), y: y.map(normalShare) };
      }),
  },
  {
    name: "normal, two pairs of 3 × 3",
    nats: 2 * ofCorrelation(0.8),
    draw: (count, seed) => drawn(count, seed, (random) => normalPairs(random, 3, [0.8, 0.8])),
  },
  {
    name: "normal, two pairs of 25 × 25",
    nats: 2 * ofCorrelation(0.8),
    draw: (count, seed) => drawn(count, seed, (random) => normalPairs(random, 25, [0.8, 0.8])),
  },
  {
    name: "Student of 2 degrees of freedom, two pairs of 3 × 3",
    nats: 2 * ofCorrelation(0.8) + studentCorrection(2, 3, 3),
    draw: (count, seed) =>
      drawn(count, seed, (random) => student(random, 2, normalPairs(random, 3, [0.8, 0.8]))),
  },
];
