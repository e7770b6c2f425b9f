import { OptionError } from "../../errors.ts";
import type { Random } from "../../random.ts";
import { logSumExp, type PlaneDensity } from "./toy.ts";

/** A line that was drawn: the corners of a polygon, x and y one after the other. A single point is a dot. */
export interface Stroke {
  readonly points: readonly number[];
  /** Standard deviation of the Gaussian noise around the line. */
  readonly deviation: number;
}

/** A straight piece of a stroke. */
interface Segment {
  readonly x: number;
  readonly y: number;
  /** Direction, of length 1; anything for a dot. */
  readonly dx: number;
  readonly dy: number;
  readonly length: number;
  readonly deviation: number;
  /** Probability of the segment. */
  readonly weight: number;
}

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);

/** Coefficients of W. J. Cody 1969, "Rational Chebyshev approximations for the error function", as erfcx is computed with them. */
const NEAR = [
  [3.1611237438705655, 113.86415415105016, 377.485237685302, 3209.3775891384694, 0.18577770618460315],
  [23.601290952344122, 244.02463793444417, 1282.6165260773723, 2844.236833439171],
] as const;
const MIDDLE = [
  [
    0.5641884969886701, 8.883149794388377, 66.11919063714163, 298.6351381974001, 881.952221241769,
    1712.0476126340707, 2051.0783778260716, 1230.3393547979972, 2.1531153547440383e-8,
  ],
  [
    15.744926110709835, 117.6939508913125, 537.1811018620099, 1621.3895745666903, 3290.7992357334597,
    4362.619090143247, 3439.3676741437216, 1230.3393548037495,
  ],
] as const;
const FAR = [
  [
    0.30532663496123236, 0.36034489994980445, 0.12578172611122926, 0.016083785148742275,
    0.0006587491615298378, 0.016315387137302097,
  ],
  [2.568520192289822, 1.8729528499234604, 0.5279051029514285, 0.06051834131244132, 0.0023352049762686918],
] as const;

/** A quotient of polynomials; the last coefficient above is that of the highest power, as Cody has it. */
function rational(x: number, above: readonly number[], below: readonly number[]): number {
  let [top, bottom] = [(above.at(-1) ?? 0) * x, x];
  for (let i = 0; i < below.length - 1; i++) {
    top = (top + (above[i] ?? 0)) * x;
    bottom = (bottom + (below[i] ?? 0)) * x;
  }
  return (top + (above[below.length - 1] ?? 0)) / (bottom + (below.at(-1) ?? 0));
}

/** exp(x²) erfc(x) for x ≥ 0, to about 1e-15. */
function scaledErfc(x: number): number {
  if (x <= 0.46875) return Math.exp(x * x) * (1 - x * rational(x * x, ...NEAR));
  if (x <= 4) return rational(x, ...MIDDLE);
  const inverse = 1 / (x * x);
  return (1 / Math.sqrt(Math.PI) - inverse * rational(inverse, ...FAR)) / x;
}

/** log P(a < Z < b) of a standard normal Z, for a < b; accurate in the tails. */
function logNormalMass(a: number, b: number): number {
  // Both ends on one side of 0, by symmetry the upper one.
  if (b < 0) return logNormalMass(-b, -a);
  const tail = (z: number): number => Math.log(0.5 * scaledErfc(z / Math.SQRT2)) - (z * z) / 2;
  if (a >= 0) {
    const upper = tail(a);
    return upper + Math.log(-Math.expm1(tail(b) - upper));
  }
  return Math.log1p(-Math.exp(tail(-a)) - Math.exp(tail(b)));
}

/** Log-density of a point on a segment, evenly chosen, plus round Gaussian noise. */
function logDensityOf(segment: Segment, px: number, py: number): number {
  const { x, y, dx, dy, length, deviation } = segment;
  const [rx, ry] = [px - x, py - y];
  const [along, across] = [rx * dx + ry * dy, rx * dy - ry * dx];
  const off = -0.5 * (across / deviation) ** 2 - HALF_LOG_2PI - Math.log(deviation);
  // A piece that is much shorter than the noise is wide is a dot: its middle.
  if (length < 1e-6 * deviation) {
    return off - 0.5 * ((along - length / 2) / deviation) ** 2 - HALF_LOG_2PI - Math.log(deviation);
  }
  return off + logNormalMass(-along / deviation, (length - along) / deviation) - Math.log(length);
}

/** The pieces of strokes, weighted by their length; a dot counts as a piece as long as its noise is wide. */
function segmentsOf(strokes: readonly Stroke[]): readonly Segment[] {
  const pieces = strokes.flatMap(({ points, deviation }, i) => {
    if (points.length < 2 || points.length % 2 !== 0 || !points.every(Number.isFinite)) {
      throw new OptionError(`stroke ${i}: its points are pairs of finite numbers, at least one pair`);
    }
    if (!(deviation > 0) || !Number.isFinite(deviation)) {
      throw new OptionError(`stroke ${i}: deviation must be a number above 0, not ${deviation}`);
    }
    const corners = Array.from(
      { length: points.length / 2 },
      (_, k) => [points[2 * k] ?? 0, points[2 * k + 1] ?? 0] as const,
    );
    const lines = corners.slice(1).flatMap(([toX, toY], k) => {
      const [x, y] = corners[k] ?? [toX, toY];
      const length = Math.hypot(toX - x, toY - y);
      if (length === 0) return [];
      return [{ x, y, dx: (toX - x) / length, dy: (toY - y) / length, length, deviation, share: length }];
    });
    const [[x, y] = [0, 0]] = corners;
    return lines.length > 0 ? lines : [{ x, y, dx: 1, dy: 0, length: 0, deviation, share: deviation }];
  });
  if (pieces.length === 0) throw new OptionError("strokes: nothing is drawn; give at least one stroke");
  const total = pieces.reduce((sum, { share }) => sum + share, 0);
  return pieces.map(({ share, ...piece }) => ({ ...piece, weight: share / total }));
}

/**
 * What somebody drew as a distribution in the plane: a point on the strokes, evenly along their length, plus round Gaussian noise. The
 * log-density is exact: along a straight piece the noise integrates to a difference of normal distribution functions.
 *
 *     const data = drawnPoints(strokesDensity([{ points: [-2, 0, 0, 2, 2, 0], deviation: 0.2 }]));
 *
 * @throws OptionError where there is no stroke, or one has no pair of finite coordinates or no positive deviation
 */
export function strokesDensity(strokes: readonly Stroke[]): PlaneDensity {
  const segments = segmentsOf(strokes);
  const logWeights = segments.map(({ weight }) => Math.log(weight));
  return {
    name: "drawing",
    description: `${strokes.length} ${strokes.length === 1 ? "stroke" : "strokes"} drawn by hand, with Gaussian noise around them`,
    exactness: "closed form",
    sample(random: Random) {
      let left = random.uniform();
      const segment = segments.find(({ weight }) => {
        left -= weight;
        return left < 0;
      });
      // Rounding may leave nothing: the last piece.
      const { x, y, dx, dy, length, deviation } = segment ?? (segments.at(-1) as Segment);
      const along = length * random.uniform();
      return [x + along * dx + deviation * random.normal(), y + along * dy + deviation * random.normal()];
    },
    logDensity: ({ 0: x = 0, 1: y = 0 }) =>
      logSumExp(segments.map((segment, i) => logDensityOf(segment, x, y) + (logWeights[i] ?? 0))),
  };
}
