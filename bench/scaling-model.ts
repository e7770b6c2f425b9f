// A model of the time of a training step on several ranks, and what follows from it. Ranks keep their batch: more ranks, larger batches (weak scaling).

/** What lies between ranks. */
export interface Link {
  /** Seconds until the first byte of a message is there. */
  readonly latency: number;
  /** Bytes a second. */
  readonly bandwidth: number;
}

/** What a step does on each rank. */
export interface StepWork {
  /** Seconds of forward, backward and update. */
  readonly compute: number;
  /** Bytes of the gradient. */
  readonly bytes: number;
}

/** Small messages of a step, of which each goes through all ranks: the order, the agreement, losses, and buffers. */
export const SMALL_MESSAGES = 4;

/**
 * Seconds of adding up `bytes` over n ranks in a ring: 2(n−1)/n · bytes / bandwidth + 2(n−1) · latency (Patarasuk and Yuan 2009): each rank sends n−1 pieces of
 * bytes / n to add up, and as many to pass the sums on.
 */
export function ringSeconds(bytes: number, ranks: number, { latency, bandwidth }: Link): number {
  const hops = 2 * (ranks - 1);
  return (hops / ranks) * (bytes / bandwidth) + hops * latency;
}

/** Seconds of the small messages of a step, which go through a tree: ⌈log₂ n⌉ · latency each. */
export function smallSeconds(ranks: number, { latency }: Pick<Link, "latency">): number {
  return SMALL_MESSAGES * Math.ceil(Math.log2(ranks)) * latency;
}

/** Seconds in which a step does not compute. Gradients are there when the step's program has ended, so that nothing overlaps. */
export function exchangeSeconds(bytes: number, ranks: number, link: Link): number {
  return ringSeconds(bytes, ranks, link) + smallSeconds(ranks, link);
}

/** Seconds of a step. */
export function stepSeconds({ compute, bytes }: StepWork, ranks: number, link: Link): number {
  return compute + exchangeSeconds(bytes, ranks, link);
}

/** The share of a step in which a rank computes: n ranks do n times this as many samples a second as one. */
export function efficiency(work: StepWork, ranks: number, link: Link): number {
  return work.compute / stepSeconds(work, ranks, link);
}

/** Seconds of exchange in a step of which the share `least` is computing. */
const allowance = (compute: number, least: number): number => compute * (1 / least - 1);

/**
 * By how much gradients must be compressed for an efficiency: 1 where they need not be, ∞ where latency alone takes too long. What packing costs is
 * not counted.
 */
export function compressionFor(work: StepWork, ranks: number, link: Link, least: number): number {
  const fixed = exchangeSeconds(0, ranks, link);
  const left = allowance(work.compute, least) - fixed;
  if (left <= 0) return Number.POSITIVE_INFINITY;
  return Math.max(1, (exchangeSeconds(work.bytes, ranks, link) - fixed) / left);
}

/** How many steps ranks must make by themselves between two exchanges for an efficiency; 1 where they need not. */
export function localStepsFor(work: StepWork, ranks: number, link: Link, least: number): number {
  // Rounding of the quotient must not ask for one step more.
  const steps = exchangeSeconds(work.bytes, ranks, link) / allowance(work.compute, least);
  return Math.max(1, Math.ceil(steps - 1e-9));
}

/** The link through which bytes go when they cross a network and are then handled by the machine: the times of a byte add up. */
export function through(network: Link, machine: Pick<Link, "bandwidth">): Link {
  return { latency: network.latency, bandwidth: 1 / (1 / network.bandwidth + 1 / machine.bandwidth) };
}

/** How long adding up so many bytes took. */
export interface Exchange {
  readonly bytes: number;
  readonly ranks: number;
  readonly seconds: number;
}

/**
 * The link by which the ring's formula is nearest to what was measured, by least squares of relative errors; neither latency nor the time of a byte is below 0.
 * @throws Error where fewer than two sizes were measured
 */
export function fitLink(measured: readonly Exchange[]): Link {
  if (new Set(measured.map(({ bytes }) => bytes)).size < 2) throw new Error("two sizes at least give a link");
  // seconds ≈ a · latency + b / bandwidth, each row divided by what was measured.
  let [aa, ab, bb, a1, b1] = [0, 0, 0, 0, 0];
  for (const { bytes, ranks, seconds } of measured) {
    const a = (2 * (ranks - 1)) / seconds;
    const b = ((2 * (ranks - 1)) / ranks) * (bytes / seconds);
    aa += a * a;
    ab += a * b;
    bb += b * b;
    a1 += a;
    b1 += b;
  }
  const determinant = aa * bb - ab * ab;
  let latency = (a1 * bb - b1 * ab) / determinant;
  let perByte = (b1 * aa - a1 * ab) / determinant;
  if (latency < 0) [latency, perByte] = [0, b1 / bb];
  if (perByte < 0) [latency, perByte] = [a1 / aa, 0];
  return { latency, bandwidth: 1 / perByte };
}
