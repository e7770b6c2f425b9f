import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { type DataSet, describeSplits, Fingerprint, randomSplit, range, storedSplit } from "./data-set.ts";
import type { PlainPoints } from "./memory.ts";
import type { ResolvedDataOptions } from "./options.ts";

/** Nodes and weights of the five-point Gauss–Legendre rule on [−1, 1] (Abramowitz and Stegun, table 25.4). */
const NODES = [-0.906179845938664, -0.538469310105683, 0, 0.538469310105683, 0.906179845938664];
const WEIGHTS = [
  0.236926885056189, 0.478628670499366, 0.568888888888889, 0.478628670499366, 0.236926885056189,
];

/** Where an integral over an interval is evaluated, and with which weight. */
export interface Node {
  readonly at: number;
  readonly weight: number;
}

/** The composite five-point Gauss–Legendre rule on [from, to] with the given number of equal panels. */
export function quadrature(from: number, to: number, panels: number): readonly Node[] {
  const half = (to - from) / panels / 2;
  return Array.from({ length: panels }, (_, panel) =>
    NODES.map((node, i) => ({
      at: from + half * (2 * panel + 1 + node),
      weight: half * (WEIGHTS[i] ?? 0),
    })),
  ).flat();
}

/** log Σ exp, without overflow. */
export function logSumExp(terms: readonly number[]): number {
  const largest = terms.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  return largest + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - largest), 0));
}

/** A distribution in the plane that can be drawn from and whose log-density is known. Nearly all of it is in [−4, 4]². */
export interface PlaneDensity {
  readonly name: string;
  readonly description: string;
  /** How the log-density is had: by a formula, or by an integral along a curve (to 1e-7 near samples). */
  readonly exactness: "closed form" | "quadrature";
  sample(random: Random): readonly [x: number, y: number];
  /** Log-density in nats at a point; −Infinity outside the support. */
  logDensity(point: ArrayLike<number>): number;
}

const LOG_2PI = Math.log(2 * Math.PI);

function logNormal(value: number, mean: number, deviation: number): number {
  const z = (value - mean) / deviation;
  return -0.5 * (z * z + LOG_2PI) - Math.log(deviation);
}

/** Eight round Gaussians of deviation 0.3, evenly on a circle of radius 2√2. */
function eightGaussians(): PlaneDensity {
  const deviation = 0.3;
  const centers = Array.from({ length: 8 }, (_, k) => {
    const angle = (k * Math.PI) / 4;
    return [2 * Math.SQRT2 * Math.cos(angle), 2 * Math.SQRT2 * Math.sin(angle)] as const;
  });
  return {
    name: "eight-gaussians",
    description: "eight Gaussians of deviation 0.3 on a circle of radius 2.83",
    exactness: "closed form",
    sample(random) {
      const [x, y] = centers[random.integer(8)] ?? [0, 0];
      return [x + deviation * random.normal(), y + deviation * random.normal()];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      const terms = centers.map(([a, b]) => logNormal(x, a, deviation) + logNormal(y, b, deviation));
      return logSumExp(terms) - Math.log(8);
    },
  };
}

/** Uniform on every other field of a 4 × 4 board of side 8: eight fields of side 2, density 1/32. */
function checkerboard(): PlaneDensity {
  return {
    name: "checkerboard",
    description: "uniform on the eight dark fields of a 4 × 4 board on [−4, 4]²",
    exactness: "closed form",
    sample(random) {
      const row = random.integer(4);
      const column = 2 * random.integer(2) + (row % 2);
      return [2 * (column + random.uniform()) - 4, 2 * (row + random.uniform()) - 4];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      if (Math.abs(x) >= 4 || Math.abs(y) >= 4) return Number.NEGATIVE_INFINITY;
      const field = Math.floor((x + 4) / 2) + Math.floor((y + 4) / 2);
      return field % 2 === 0 ? -Math.log(32) : Number.NEGATIVE_INFINITY;
    },
  };
}

/** Four rings: a radius is normal (folded at 0) about 0.8, 1.6, 2.4 or 3.2 with deviation 0.1, the angle uniform. */
function rings(): PlaneDensity {
  const radii = [0.8, 1.6, 2.4, 3.2];
  const deviation = 0.1;
  return {
    name: "rings",
    description: "four rings of radius 0.8, 1.6, 2.4 and 3.2 and of deviation 0.1, equally likely",
    exactness: "closed form",
    sample(random) {
      const radius = (radii[random.integer(radii.length)] ?? 0) + deviation * random.normal();
      const angle = 2 * Math.PI * random.uniform();
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      const rho = Math.hypot(x, y);
      const terms = radii.flatMap((radius) => [
        logNormal(rho, radius, deviation),
        logNormal(-rho, radius, deviation),
      ]);
      return logSumExp(terms) - Math.log(radii.length) - LOG_2PI - Math.log(rho);
    },
  };
}

/** Five blades: a Gaussian beside the origin, turned to its blade's angle and then by a swirl that grows with the radius. */
function pinwheel(): PlaneDensity {
  const blades = 5;
  // The swirl turns a point by an angle that depends on its distance from the origin alone; such a map keeps areas, so
  // the density of a blade is the Gaussian's at the point turned back.
  const swirl = (rho: number) => 0.25 * Math.exp(rho / 2);
  return {
    name: "pinwheel",
    description: "five blades, each a Gaussian swirled around the origin",
    exactness: "closed form",
    sample(random) {
      const u = 2 + 0.5 * random.normal();
      const v = 0.2 * random.normal();
      const angle = (2 * Math.PI * random.integer(blades)) / blades + swirl(Math.hypot(u, v));
      return [u * Math.cos(angle) - v * Math.sin(angle), u * Math.sin(angle) + v * Math.cos(angle)];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      const turned = swirl(Math.hypot(x, y));
      const terms = Array.from({ length: blades }, (_, k) => {
        const angle = (2 * Math.PI * k) / blades + turned;
        const u = x * Math.cos(angle) + y * Math.sin(angle);
        const v = y * Math.cos(angle) - x * Math.sin(angle);
        return logNormal(u, 2, 0.5) + logNormal(v, 0, 0.2);
      });
      return logSumExp(terms) - Math.log(blades);
    },
  };
}

/** Points on a curve and the probability of each. */
interface Curve {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly weight: Float64Array;
}

/** The curves `paths` for a parameter that has the given density on [0, end], each path equally likely. */
function curve(
  paths: readonly ((parameter: number) => readonly [x: number, y: number])[],
  end: number,
  panels: number,
  density: (parameter: number) => number,
): Curve {
  const nodes = quadrature(0, end, panels).flatMap(({ at, weight }) =>
    paths.map((path) => ({ point: path(at), weight: (weight * density(at)) / paths.length })),
  );
  return {
    x: Float64Array.from(nodes, ({ point }) => point[0]),
    y: Float64Array.from(nodes, ({ point }) => point[1]),
    weight: Float64Array.from(nodes, ({ weight }) => weight),
  };
}

/** Log-density of a random point on a curve plus round Gaussian noise: an integral over the curve. */
function logDensityAround({ x, y, weight }: Curve, deviation: number, px: number, py: number): number {
  const squares = new Float64Array(x.length);
  let nearest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < x.length; i++) {
    const square = (px - (x[i] ?? 0)) ** 2 + (py - (y[i] ?? 0)) ** 2;
    squares[i] = square;
    if (square < nearest) nearest = square;
  }
  let sum = 0;
  for (let i = 0; i < squares.length; i++) {
    const exponent = (nearest - (squares[i] ?? 0)) / (2 * deviation ** 2);
    // what is below e⁻⁴⁰ of the largest term cannot be seen in the sum
    if (exponent > -40) sum += (weight[i] ?? 0) * Math.exp(exponent);
  }
  return Math.log(sum) - nearest / (2 * deviation ** 2) - LOG_2PI - 2 * Math.log(deviation);
}

/** Two interleaved half circles of radius 2, plus noise of deviation 0.2. */
function twoMoons(): PlaneDensity {
  const deviation = 0.2;
  const upper = (angle: number) => [2 * Math.cos(angle) - 1, 2 * Math.sin(angle) - 0.5] as const;
  const lower = (angle: number) => [1 - 2 * Math.cos(angle), 0.5 - 2 * Math.sin(angle)] as const;
  let moons: Curve | undefined;
  return {
    name: "two-moons",
    description: "two interleaved half circles of radius 2, with Gaussian noise of deviation 0.2",
    exactness: "quadrature",
    sample(random) {
      const moon = random.integer(2) === 0 ? upper : lower;
      const [x, y] = moon(Math.PI * random.uniform());
      return [x + deviation * random.normal(), y + deviation * random.normal()];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      moons ??= curve([upper, lower], Math.PI, 100, () => 1 / Math.PI);
      return logDensityAround(moons, deviation, x, y);
    },
  };
}

/** Two arms of an Archimedean spiral, one and a half turns to radius 3.6, plus noise of deviation 0.1. */
function spiral(): PlaneDensity {
  const deviation = 0.1;
  const turns = 3 * Math.PI;
  const arm = (sign: number) => (angle: number) => {
    const radius = (sign * 3.6 * angle) / turns;
    return [radius * Math.cos(angle), radius * Math.sin(angle)] as const;
  };
  const arms = [arm(1), arm(-1)] as const;
  let both: Curve | undefined;
  return {
    name: "spiral",
    description: "two spiral arms of one and a half turns, with Gaussian noise of deviation 0.1",
    exactness: "quadrature",
    sample(random) {
      const onArm = random.integer(2) === 0 ? arms[0] : arms[1];
      const [x, y] = onArm(turns * Math.sqrt(random.uniform()));
      return [x + deviation * random.normal(), y + deviation * random.normal()];
    },
    logDensity({ 0: x = 0, 1: y = 0 }) {
      // With angle = turns √u and u uniform, the density of the angle is 2 angle / turns².
      both ??= curve(arms, turns, 400, (angle) => (2 * angle) / turns ** 2);
      return logDensityAround(both, deviation, x, y);
    },
  };
}

const makers = {
  "two-moons": twoMoons,
  "eight-gaussians": eightGaussians,
  checkerboard,
  spiral,
  rings,
  pinwheel,
} as const;

/** A name of one of the densities in the plane. */
export type PlaneName = keyof typeof makers;

export const planeNames = Object.keys(makers) as readonly PlaneName[];

export function isPlaneName(name: string): name is PlaneName {
  return Object.hasOwn(makers, name);
}

/** The density of that name. */
export function planeDensity(name: PlaneName): PlaneDensity {
  return makers[name]();
}

/**
 * A data set of points from one of the densities in the plane: `count` training points and a fifth of that for each of
 * validation and test, all determined by the seed.
 */
export function planePoints(name: PlaneName, options: { seed?: number; count?: number } = {}): DataSet {
  return drawnPoints(planeDensity(name), options);
}

/** A data set of points drawn from a density in the plane, as `planePoints` makes it. */
export function drawnPoints(density: PlaneDensity, options: { seed?: number; count?: number } = {}): DataSet {
  const { seed = 0, count = 50_000 } = options;
  const { name } = density;
  const heldOut = Math.max(1, Math.floor(count / 5));
  const random = new Random(seed).split(name);
  const draw = (part: string, length: number) => {
    const source = random.split(part);
    const store = new Float32Array(2 * length);
    for (let i = 0; i < length; i++) store.set(density.sample(source), 2 * i);
    return store;
  };
  const stores = {
    train: draw("train", count),
    validation: draw("validation", heldOut),
    test: draw("test", heldOut),
  };
  const split = (store: Float32Array) => storedSplit(store, [2], range(0, store.length / 2));
  const splits = {
    train: split(stores.train),
    validation: split(stores.validation),
    test: split(stores.test),
  };
  const fingerprint = new Fingerprint().text(`${name} ${seed}`);
  for (const store of Object.values(stores)) fingerprint.values(store);
  return {
    name,
    kind: "points",
    sampleShape: [2],
    splits,
    logDensity: density.logDensity,
    fingerprint: fingerprint.toString(),
    describe: () => [
      `${name}: ${density.description}; log-density known (${density.exactness})`,
      `${describeSplits(splits)}, drawn with seed ${seed}`,
    ],
  };
}

/** Points of the plane in memory as a data set, split at random by seed. */
export function openPoints(
  { points, shape: [count] }: PlainPoints,
  options: Pick<ResolvedDataOptions, "splitSeed" | "validation" | "test">,
): DataSet {
  const { splitSeed: seed } = options;
  const parts = randomSplit(count, options, new Random(seed).split("points"));
  const splits = {
    train: storedSplit(points, [2], parts.train),
    validation: storedSplit(points, [2], parts.validation),
    test: storedSplit(points, [2], parts.test),
  };
  const fingerprint = new Fingerprint().text("points").values(points);
  for (const part of Object.values(parts)) fingerprint.values(part);
  return {
    name: "points",
    kind: "points",
    sampleShape: [2],
    splits,
    fingerprint: fingerprint.toString(),
    describe: () => [
      `points in memory: ${counted(count, "point")} of the plane`,
      `${describeSplits(splits)}, split with seed ${seed}`,
    ],
  };
}
