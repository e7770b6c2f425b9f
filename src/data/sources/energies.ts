import type { Random } from "../../random.ts";
import type { DataSet } from "./data-set.ts";
import { drawnPoints, type PlaneDensity, quadrature } from "./toy.ts";

/**
 * The four energies in the plane of Rezende and Mohamed 2015, table 1: the density is exp(−U) / Z. U2, U3 and U4 do not
 * rise along the first axis, so that exp(−U) has no integral; here a wall is added to them, which leaves |x| ≤ 4 as it is.
 */
export interface EnergyDensity extends PlaneDensity {
  /** U, the wall included. */
  energy(point: ArrayLike<number>): number;
  /** log Z. */
  readonly logNormalizer: number;
}

/** Where the wall begins, and the deviation of the half Gaussians that exp(−wall) is beyond. */
export const WALL = { from: 4, deviation: 0.2 } as const;

const wall = (x: number): number => 0.5 * (Math.max(0, Math.abs(x) - WALL.from) / WALL.deviation) ** 2;

/** ∫ exp(−wall). */
const WALL_INTEGRAL = 2 * WALL.from + WALL.deviation * Math.sqrt(2 * Math.PI);

/** Draws x with density exp(−wall) / ∫ exp(−wall). */
function withinWall(random: Random): number {
  const place = random.uniform() * WALL_INTEGRAL;
  if (place < 2 * WALL.from) return place - WALL.from;
  const beyond = WALL.deviation * random.normal();
  return beyond + Math.sign(beyond) * WALL.from;
}

const square = (x: number): number => x * x;
const bump = (x: number, center: number, deviation: number): number => 0.5 * square((x - center) / deviation);

/** −log(exp(−a) + exp(−b)) */
const merged = (a: number, b: number): number => Math.min(a, b) - Math.log1p(Math.exp(-Math.abs(a - b)));

/** The functions w₁, w₂ and w₃ of the paper's table. */
const wave = (x: number): number => Math.sin((Math.PI / 2) * x);
const arch = (x: number): number => 3 * Math.exp(-bump(x, 1, 0.6));
const ramp = (x: number): number => 3 / (1 + Math.exp(-(x - 1) / 0.3));

/** The logarithm of the integral of a function over a disc about the origin. */
function logPolarIntegral(f: (x: number, y: number) => number, radius: number): number {
  const angles = 128;
  let total = 0;
  for (const { at: r, weight } of quadrature(0, radius, 40)) {
    // A periodic function is integrated to all digits by equal steps.
    for (let k = 0; k < angles; k++) {
      const angle = (2 * Math.PI * k) / angles;
      total += ((2 * Math.PI) / angles) * weight * r * f(r * Math.cos(angle), r * Math.sin(angle));
    }
  }
  return Math.log(total);
}

/** A ring of radius 2 of which two arcs are left, about x = −2 and x = 2. */
function twoArcs(): EnergyDensity {
  const energy = ({ 0: x = 0, 1: y = 0 }: ArrayLike<number>): number =>
    bump(Math.hypot(x, y), 2, 0.4) + merged(bump(x, 2, 0.6), bump(x, -2, 0.6));
  let logNormalizer: number | undefined;
  const normalizer = (): number => {
    logNormalizer ??= logPolarIntegral((x, y) => Math.exp(-energy([x, y])), 7);
    return logNormalizer;
  };
  return {
    name: "energy-u1",
    description: "two arcs of a ring of radius 2 (energy U1 of Rezende and Mohamed 2015)",
    exactness: "quadrature",
    get logNormalizer() {
      return normalizer();
    },
    energy,
    sample(random) {
      for (;;) {
        // r exp(−(r − 2)² / 0.32) is below 2 exp((r − 2) / 2) exp(−(r − 2)² / 0.32), a Gaussian of mean 2.08.
        const r = 2.08 + 0.4 * random.normal();
        if (r <= 0 || random.uniform() > (r / 2) * Math.exp(1 - r / 2)) continue;
        const angle = 2 * Math.PI * random.uniform();
        const x = r * Math.cos(angle);
        // The sum of the two bumps is at most 1 + e⁻²².
        if (random.uniform() * (1 + 1e-9) > Math.exp(-merged(bump(x, 2, 0.6), bump(x, -2, 0.6)))) continue;
        return [x, r * Math.sin(angle)];
      }
    },
    logDensity: (point) => -energy(point) - normalizer(),
  };
}

/** A Gaussian across a curve. */
interface Band {
  /** Height of the curve above the first axis. */
  readonly height: (x: number) => number;
  readonly deviation: number;
}

/** Bands along the first axis: for every x a mixture of Gaussians in y, one or two of them. */
function bands(name: string, description: string, parts: readonly Band[]): EnergyDensity {
  const energy = ({ 0: x = 0, 1: y = 0 }: ArrayLike<number>): number =>
    wall(x) +
    parts
      .map(({ height, deviation }) => bump(y, height(x), deviation))
      .reduce((a, b) => merged(a, b), Number.POSITIVE_INFINITY);
  // At every x the integral over y is √2π Σ deviation.
  const total = parts.reduce((sum, { deviation }) => sum + deviation, 0);
  const logNormalizer = Math.log(WALL_INTEGRAL * Math.sqrt(2 * Math.PI) * total);
  return {
    name,
    description,
    exactness: "closed form",
    logNormalizer,
    energy,
    sample(random) {
      const x = withinWall(random);
      let place = random.uniform() * total;
      const band = parts.find(({ deviation }) => {
        place -= deviation;
        return place < 0;
      });
      const { height, deviation } = band ?? parts[0] ?? { height: wave, deviation: 1 };
      return [x, height(x) + deviation * random.normal()];
    },
    logDensity: (point) => -energy(point) - logNormalizer,
  };
}

const SOURCE = "of Rezende and Mohamed 2015, within |x| ≤ 4 by a soft wall";

const makers = {
  "energy-u1": twoArcs,
  "energy-u2": () =>
    bands("energy-u2", `a sine wave (energy U2 ${SOURCE})`, [{ height: wave, deviation: 0.4 }]),
  "energy-u3": () =>
    bands("energy-u3", `a sine wave and one that dips to part from it (energy U3 ${SOURCE})`, [
      { height: wave, deviation: 0.35 },
      { height: (x) => wave(x) - arch(x), deviation: 0.35 },
    ]),
  "energy-u4": () =>
    bands("energy-u4", `a sine wave that forks into two (energy U4 ${SOURCE})`, [
      { height: wave, deviation: 0.4 },
      { height: (x) => wave(x) - ramp(x), deviation: 0.35 },
    ]),
} as const;

/** A name of one of the energies in the plane. */
export type EnergyName = keyof typeof makers;

export const energyNames = Object.keys(makers) as readonly EnergyName[];

export function isEnergyName(name: string): name is EnergyName {
  return Object.hasOwn(makers, name);
}

/** The density of the energy of that name. */
export function energyDensity(name: EnergyName): EnergyDensity {
  return makers[name]();
}

/** A data set of points from the density of an energy, as `planePoints` makes one of the others. */
export function energyPoints(name: EnergyName, options: { seed?: number; count?: number } = {}): DataSet {
  const density = energyDensity(name);
  const points = drawnPoints(density, options);
  return {
    ...points,
    energy: name,
    describe: () => [...points.describe(), `energy known, log Z = ${density.logNormalizer.toFixed(6)}`],
  };
}
