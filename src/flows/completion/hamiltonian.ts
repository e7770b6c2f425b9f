import type { Random } from "../../random.ts";

/** Log-density of the state of each chain, [chains], and its gradient, [chains, dimensions] row by row. */
export interface LogDensityAt {
  readonly logDensity: ArrayLike<number>;
  readonly gradient: ArrayLike<number>;
}

/** A log-density, up to a constant, of all chains at once: states are [chains, dimensions], row by row. */
export type LogDensity = (states: Float64Array) => Promise<LogDensityAt>;

/**
 * Changes the state of a chain in place, as a proposal beside those of Hamiltonian dynamics: a leap to another mode that
 * no trajectory finds. Returns log q(old | new) − log q(new | old), which is 0 for symmetric proposals.
 */
export type Jump = (state: Float64Array, chain: number, random: Random) => number;

export interface HamiltonianOptions {
  readonly dimensions: number;
  /** A generator for each chain. */
  readonly randoms: readonly Random[];
  /** Chains of a group follow one distribution, stand side by side and share step size and masses (default: all). */
  readonly groupSize?: number;
  /** 1 where a coordinate moves, 0 where it stays: [chains · dimensions] (default: all move). */
  readonly movable?: ArrayLike<number>;
  /** Guess of the standard deviation of each coordinate, [dimensions] (default: 1). Masses are their inverse squares. */
  readonly scale?: ArrayLike<number>;
  /** Trajectories of each chain, and how many of the first are for adaptation (default: three quarters). */
  readonly iterations: number;
  readonly burnIn?: number;
  /** Mean number of leapfrog steps of a trajectory (default: 10). The number varies, so that none comes full circle. */
  readonly leapfrogs?: number;
  /** Acceptance that the step size is adapted to (default: 0.8). */
  readonly acceptance?: number;
  /** Power of the density that the chains begin with, below 1: flat enough to leave a bad start and cross valleys. */
  readonly startPower?: number;
  readonly jump?: Jump;
  /** Called after each iteration with the states, which must not be changed. */
  readonly onIteration?: (iteration: number, states: Float64Array) => void;
}

/** Where chains stand in the end, and how they came there. */
export interface Chains {
  /** [chains, dimensions], row by row. */
  readonly states: Float64Array;
  readonly logDensity: Float64Array;
  /** Mean acceptance probability of each chain's trajectories after burn-in. */
  readonly acceptance: Float64Array;
  /** Step size of each group, in units of the adapted scales. */
  readonly stepSizes: readonly number[];
}

/** Shares of burn-in at which tempering ends and at which masses are estimated anew. */
const TEMPERED = 0.3;
const WINDOWS = [0.1, 0.2, 0.35, 0.5, 0.7, 0.9];

/** As much as this many iterations does the scale before a window weigh in the estimate of the next. */
const PRIOR_WEIGHT = 5;

/**
 * Hamiltonian Monte Carlo with many chains in one batch (Duane et al. 1987; Neal 2011, "MCMC using Hamiltonian
 * dynamics"). With position q, momentum r ~ N(0, M) and energy H = −log p(q) + rᵀM⁻¹r / 2, a trajectory of leapfrog
 * steps
 *
 *     r ← r + ε/2 ∇log p(q);   q ← q + ε M⁻¹ r;   r ← r + ε/2 ∇log p(q)
 *
 * is accepted with probability min(1, exp(H_before − H_after)). During burn-in the step size ε follows the acceptance by
 * dual averaging (Hoffman and Gelman 2014, section 3.2), the diagonal masses the variances of a group's chains, and the
 * density is raised to a power that grows from `startPower` to 1. After burn-in nothing is adapted, so that the chains
 * leave the density invariant.
 *
 * One evaluation of the log-density serves each leapfrog step of all chains; the rest is arithmetic in float64 here. A
 * trajectory that ends where the density is 0 or not a number is rejected.
 */
export async function hamiltonianMonteCarlo(
  logDensity: LogDensity,
  start: ArrayLike<number>,
  options: HamiltonianOptions,
): Promise<Chains> {
  const { dimensions, randoms, iterations, jump, movable } = options;
  const { leapfrogs = 10, acceptance = 0.8, startPower = 1, onIteration } = options;
  const chains = randoms.length;
  const groupSize = options.groupSize ?? chains;
  const burnIn = Math.min(options.burnIn ?? Math.floor(0.75 * iterations), iterations);
  const tempered = startPower < 1 ? Math.floor(TEMPERED * burnIn) : 0;
  const windowEnds = WINDOWS.map((share) => Math.floor(share * burnIn));
  const groups = Array.from(
    { length: Math.ceil(chains / groupSize) },
    () => new Adaptation(dimensions, options.scale, acceptance),
  );
  const groupOf = (chain: number): Adaptation => groups[Math.floor(chain / groupSize)] as Adaptation;
  const moves = (place: number): boolean => movable === undefined || movable[place] === 1;

  const states = Float64Array.from(start);
  const values = new Float64Array(chains);
  const gradients = new Float64Array(chains * dimensions);
  const proposal = new Float64Array(states.length);
  const momentum = new Float64Array(states.length);
  const accepted = new Float64Array(chains);

  /** Makes a proposal the state of a chain. */
  const move = (chain: number, at: LogDensityAt): void => {
    values[chain] = at.logDensity[chain] ?? Number.NaN;
    for (let i = chain * dimensions; i < (chain + 1) * dimensions; i++) {
      states[i] = proposal[i] ?? 0;
      gradients[i] = at.gradient[i] ?? 0;
    }
  };
  proposal.set(states);
  const begin = await logDensity(proposal);
  for (let chain = 0; chain < chains; chain++) move(chain, begin);

  const tryJumps = async (propose: Jump, power: number): Promise<void> => {
    proposal.set(states);
    const ratios = randoms.map((random, chain) =>
      propose(proposal.subarray(chain * dimensions, (chain + 1) * dimensions), chain, random),
    );
    const at = await logDensity(proposal);
    for (const [chain, random] of randoms.entries()) {
      const proposed = at.logDensity[chain] ?? Number.NaN;
      const held = values[chain] ?? Number.NaN;
      // A chain that starts where there is no density leaves at the first chance.
      const gain = Number.isFinite(held) ? power * (proposed - held) + (ratios[chain] ?? 0) : 0;
      if (Math.log(random.uniform()) < gain && Number.isFinite(proposed)) move(chain, at);
    }
  };

  /** Half a step of the momenta, which are kept in units in which masses are 1. */
  const kick = (gradient: ArrayLike<number>, steps: readonly number[], power: number): void => {
    for (const [chain, step] of steps.entries()) {
      const { scale } = groupOf(chain);
      const offset = chain * dimensions;
      for (let d = 0; d < dimensions; d++) {
        if (!moves(offset + d)) continue;
        const push = 0.5 * step * power * (scale[d] ?? 1) * (gradient[offset + d] ?? 0);
        momentum[offset + d] = (momentum[offset + d] ?? 0) + push;
      }
    }
  };
  const drift = (steps: readonly number[]): void => {
    for (const [chain, step] of steps.entries()) {
      const { scale } = groupOf(chain);
      const offset = chain * dimensions;
      for (let d = 0; d < dimensions; d++) {
        const way = step * (scale[d] ?? 1) * (momentum[offset + d] ?? 0);
        proposal[offset + d] = (proposal[offset + d] ?? 0) + way;
      }
    }
  };

  for (let iteration = 0; iteration < iterations; iteration++) {
    const power = iteration < tempered ? startPower ** (1 - iteration / tempered) : 1;
    if (jump !== undefined) await tryJumps(jump, power);

    const steps = randoms.map((random, chain) => groupOf(chain).stepSize * (0.8 + 0.4 * random.uniform()));
    const before = new Float64Array(chains);
    for (const [chain, random] of randoms.entries()) {
      let kinetic = 0;
      for (let i = chain * dimensions; i < (chain + 1) * dimensions; i++) {
        const r = moves(i) ? random.normal() : 0;
        momentum[i] = r;
        kinetic += r * r;
      }
      before[chain] = kinetic / 2 - power * (values[chain] ?? 0);
    }
    // The same number for all chains, and for a chain whatever others it runs beside.
    const spread = Math.floor(leapfrogs / 2);
    const count = leapfrogs - spread + ((iteration * 7919) % (2 * spread + 1));
    proposal.set(states);
    let at: LogDensityAt = { logDensity: values, gradient: gradients };
    for (let step = 0; step < count; step++) {
      kick(at.gradient, steps, power);
      drift(steps);
      at = await logDensity(proposal);
      kick(at.gradient, steps, power);
    }
    const probabilities = randoms.map((random, chain) => {
      let kinetic = 0;
      for (let i = chain * dimensions; i < (chain + 1) * dimensions; i++) kinetic += (momentum[i] ?? 0) ** 2;
      const after = kinetic / 2 - power * (at.logDensity[chain] ?? Number.NaN);
      const probability = Math.min(1, Math.exp((before[chain] ?? 0) - after));
      const usable = Number.isFinite(after) ? (Number.isNaN(probability) ? 1 : probability) : 0;
      if (random.uniform() < usable) move(chain, at);
      return usable;
    });

    if (iteration < burnIn) {
      for (const [g, group] of groups.entries()) {
        const own = probabilities.slice(g * groupSize, (g + 1) * groupSize);
        group.follow(own.reduce((sum, p) => sum + p, 0) / own.length);
        for (let chain = g * groupSize; chain < g * groupSize + own.length; chain++) {
          const [from, to] = [chain * dimensions, (chain + 1) * dimensions];
          group.watch(states.subarray(from, to), gradients.subarray(from, to));
        }
        if (windowEnds.includes(iteration + 1)) group.rescale(own.length);
        if (iteration + 1 === burnIn) group.settle();
      }
    } else {
      for (const [chain, p] of probabilities.entries()) {
        accepted[chain] = (accepted[chain] ?? 0) + p / (iterations - burnIn);
      }
    }
    onIteration?.(iteration, states);
  }
  return {
    states,
    logDensity: values,
    acceptance: accepted,
    stepSizes: groups.map(({ stepSize }) => stepSize),
  };
}

/** Step size and scales of a group of chains. Names of constants are those of Hoffman and Gelman 2014, algorithm 5. */
class Adaptation {
  readonly scale: Float64Array;
  stepSize: number;
  private readonly delta: number;
  private mu: number;
  private steps = 0;
  private shortfall = 0;
  private logAverage: number;
  private readonly positions: RunningVariance;
  private readonly slopes: RunningVariance;

  constructor(dimensions: number, scale: ArrayLike<number> | undefined, delta: number) {
    this.scale = scale === undefined ? new Float64Array(dimensions).fill(1) : Float64Array.from(scale);
    this.delta = delta;
    this.stepSize = 0.3;
    this.mu = Math.log(10 * this.stepSize);
    this.logAverage = Math.log(this.stepSize);
    this.positions = new RunningVariance(dimensions);
    this.slopes = new RunningVariance(dimensions);
  }

  /** One step of dual averaging (equation 6), towards an acceptance of δ. */
  follow(acceptance: number): void {
    this.steps++;
    const t = this.steps;
    const weight = 1 / (t + 10);
    this.shortfall = (1 - weight) * this.shortfall + weight * (this.delta - acceptance);
    const logStep = this.mu - (Math.sqrt(t) / 0.05) * this.shortfall;
    const eta = t ** -0.75;
    this.logAverage = eta * logStep + (1 - eta) * this.logAverage;
    this.stepSize = Math.exp(logStep);
  }

  watch(state: Float64Array, gradient: Float64Array): void {
    this.positions.add(state);
    this.slopes.add(gradient);
  }

  /**
   * Takes √(deviation of positions / deviation of gradients) for new scales, and finds the step size anew. For a Gaussian
   * both that deviation and the inverse of that of gradients are the scale where coordinates are independent; where they
   * are not, the first is that of the marginal, the second that of the conditional, and the mean between them does best.
   * It is the same at every power of the density.
   */
  rescale(chains: number): void {
    // Successive states of a chain are much alike: what counts is the number of iterations.
    const weight = this.positions.count / chains;
    const share = weight / (weight + PRIOR_WEIGHT);
    for (const [d, scale] of this.scale.entries()) {
      const found = (this.positions.variance(d) / this.slopes.variance(d)) ** 0.25;
      // A coordinate that never moved keeps its scale.
      if (found > 0 && Number.isFinite(found)) this.scale[d] = scale ** (1 - share) * found ** share;
    }
    this.positions.reset();
    this.slopes.reset();
    this.settle();
    this.mu = Math.log(2 * this.stepSize);
    this.steps = 0;
    this.shortfall = 0;
  }

  /** Goes on with the average of the step sizes tried, as adaptation ends. */
  settle(): void {
    this.stepSize = Math.exp(this.logAverage);
  }
}

/** Running variance of each of some numbers (Welford 1962). */
class RunningVariance {
  count = 0;
  private readonly mean: Float64Array;
  private readonly squares: Float64Array;

  constructor(size: number) {
    this.mean = new Float64Array(size);
    this.squares = new Float64Array(size);
  }

  add(values: Float64Array): void {
    this.count++;
    for (const [d, value] of values.entries()) {
      const difference = value - (this.mean[d] ?? 0);
      const mean = (this.mean[d] ?? 0) + difference / this.count;
      this.mean[d] = mean;
      this.squares[d] = (this.squares[d] ?? 0) + difference * (value - mean);
    }
  }

  variance(d: number): number {
    return (this.squares[d] ?? 0) / Math.max(1, this.count - 1);
  }

  reset(): void {
    this.count = 0;
    this.mean.fill(0);
    this.squares.fill(0);
  }
}
