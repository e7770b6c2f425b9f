import { MemoryError, OptionError } from "./errors.ts";

// Memory is estimated before it is taken: what would not fit is refused with the estimate, before a process is ended by the system.

/** How much memory there is. */
export interface MemoryLimit {
  readonly bytes: number;
  /** What sets the limit, as it stands in messages: "this machine has". */
  readonly source: string;
}

/** What memory is needed for. */
export interface MemoryNeed {
  /** Who needs it: "nice: weights of 3,000,000,000 numbers". */
  readonly what: string;
  readonly bytes: number;
  /** What to make smaller: "take a smaller width or fewer couplings". */
  readonly instead: string;
}

/** Where no limit is known, none holds. */
export const UNLIMITED: MemoryLimit = { bytes: Number.POSITIVE_INFINITY, source: "there are" };

/** Bytes of a float32. */
export const FLOAT_BYTES = 4;

const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"] as const;

/** 1 image, 2 images; @param many the word for any other number than one */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Bytes as a person reads them, three figures in powers of 1000: 17.2 GB. */
export function showBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const value = bytes / 1000 ** power;
  if (value >= 1e4) return `${value.toExponential(1)} ${UNITS[power]}`;
  return `${power === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${UNITS[power]}`;
}

/** A count as a person reads it. */
export function showCount(count: number): string {
  return count < 1e15 ? count.toLocaleString("en") : count.toExponential(1);
}

/**
 * Refuses what would not fit into memory, before any of it is taken.
 * @param need a lower bound: what is needed at the least
 * @throws MemoryError with the estimate
 */
export function checkMemory(
  { what, bytes, instead }: MemoryNeed,
  { bytes: most, source }: MemoryLimit,
): void {
  if (bytes <= most) return;
  throw new MemoryError(
    `${what}: needs at least ${showBytes(bytes)} of memory, and ${source} ${showBytes(most)}; ${instead}`,
    { bytes },
  );
}

/** Parameters and buffers of a model at most; the largest networks in use have some thousands. */
const MOST_TENSORS = 100_000;

/** Numbers that a model may hold beside its weights while it is built: orders, masks, anchors. */
const MOST_NUMBERS = 2 ** 26;

/** What has been made since `building` began. */
let made: { tensors: number; numbers: number } | undefined;

/**
 * Runs `body`, which builds a model by options that may be a stranger's. Weights take no memory yet, but layers within blocks within
 * levels multiply, and so do masks and orders: a model of far too many parts is refused while it grows.
 * @throws OptionError
 */
export function building<T>(body: () => T): T {
  const outer = made;
  made = { tensors: 0, numbers: 0 };
  try {
    return body();
  } finally {
    made = outer;
  }
}

/** Counts a parameter or buffer of the model that is being built. @throws OptionError where there are too many */
export function countTensor(): void {
  if (made === undefined || ++made.tensors <= MOST_TENSORS) return;
  throw new OptionError(
    `the model would have more than ${showCount(MOST_TENSORS)} parameters and buffers, each an array of its own; take fewer layers, blocks or transforms`,
  );
}

/**
 * Counts numbers that the model that is being built is about to hold, beside its weights.
 * @param what they are: "orders of elements"
 * @throws OptionError where there are too many
 */
export function countNumbers(what: string, count: number): void {
  if (made === undefined) return;
  made.numbers += count;
  if (made.numbers <= MOST_NUMBERS) return;
  throw new OptionError(
    `the model would hold ${showCount(made.numbers)} numbers beside its weights (${what}), more than ${showCount(MOST_NUMBERS)}; take fewer layers or blocks, a smaller width, or smaller samples`,
  );
}
