/** Vectors of zeros and ones, one after the other. */
export interface BinaryRows {
  readonly values: ArrayLike<number>;
  readonly count: number;
  /** Variables of each. */
  readonly width: number;
}

/** Added to every count, so that what never occurred in training is not impossible. */
const SMOOTHING = 1;

/** Mean log-likelihood in nats of rows under independent variables whose probabilities are fitted to others. */
export function independentLogLikelihood(train: BinaryRows, test: BinaryRows): number {
  const probability = new Float64Array(train.width).fill(SMOOTHING);
  for (let i = 0; i < train.count * train.width; i++) {
    probability[i % train.width] = (probability[i % train.width] ?? 0) + (train.values[i] ?? 0);
  }
  for (let j = 0; j < train.width; j++)
    probability[j] = (probability[j] ?? 0) / (train.count + 2 * SMOOTHING);
  let total = 0;
  for (let i = 0; i < test.count * test.width; i++) {
    const one = probability[i % test.width] ?? 0;
    total += Math.log(test.values[i] === 1 ? one : 1 - one);
  }
  return total / test.count;
}

/**
 * Mean log-likelihood in nats of rows under the tree of maximum mutual information fitted to others (Chow and Liu 1968,
 * "Approximating discrete probability distributions with dependence trees").
 */
export function chowLiuLogLikelihood(train: BinaryRows, test: BinaryRows): number {
  const { width } = train;
  const pairs = jointOnes(train);
  const total = train.count + 4 * SMOOTHING;
  /** Smoothed p(x_i = a, x_j = b). */
  const joint = (i: number, j: number, a: number, b: number): number => {
    const [both, ones, others] = [pairs[i * width + j], pairs[i * width + i], pairs[j * width + j]];
    const count =
      a === 1
        ? b === 1
          ? (both ?? 0)
          : (ones ?? 0) - (both ?? 0)
        : b === 1
          ? (others ?? 0) - (both ?? 0)
          : train.count - (ones ?? 0) - (others ?? 0) + (both ?? 0);
    return (count + SMOOTHING) / total;
  };
  const single = (i: number, a: number, j: number): number => joint(i, j, a, 0) + joint(i, j, a, 1);
  const information = (i: number, j: number): number => {
    let sum = 0;
    for (const a of [0, 1]) {
      for (const b of [0, 1]) {
        const p = joint(i, j, a, b);
        sum += p * Math.log(p / (single(i, a, j) * single(j, b, i)));
      }
    }
    return sum;
  };
  const parents = maximumSpanningTree(width, information);
  let sum = 0;
  for (let row = 0; row < test.count; row++) {
    const at = (i: number): number => test.values[row * width + i] ?? 0;
    sum += parents.reduce((logProb, parent, i) => {
      if (parent < 0) return logProb + Math.log(single(i, at(i), i === 0 ? 1 : 0));
      return logProb + Math.log(joint(i, parent, at(i), at(parent)) / single(parent, at(parent), i));
    }, 0);
  }
  return sum / test.count;
}

/** How often two variables are one together, [width, width]; on the diagonal, how often each is. */
function jointOnes({ values, count, width }: BinaryRows): Float64Array {
  const ones = new Float64Array(width * width);
  for (let row = 0; row < count; row++) {
    const present: number[] = [];
    for (let i = 0; i < width; i++) if (values[row * width + i] === 1) present.push(i);
    for (const i of present) {
      for (const j of present) ones[i * width + j] = (ones[i * width + j] ?? 0) + 1;
    }
  }
  return ones;
}

/** The parent of every variable in a tree of greatest weight, −1 for its root (Prim's algorithm). */
function maximumSpanningTree(size: number, weight: (i: number, j: number) => number): readonly number[] {
  const parents = new Array<number>(size).fill(-1);
  const best = new Array<number>(size).fill(Number.NEGATIVE_INFINITY);
  const open = new Set(Array.from({ length: size }, (_, i) => i));
  let next = 0;
  while (open.delete(next) && open.size > 0) {
    for (const i of open) {
      const value = weight(i, next);
      if (value > (best[i] ?? 0)) {
        best[i] = value;
        parents[i] = next;
      }
    }
    next = [...open].reduce((a, b) => ((best[b] ?? 0) > (best[a] ?? 0) ? b : a));
  }
  return parents;
}
