import { OptionError } from "../errors.ts";
import type { UpdateRule } from "../nn/optimizer.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { UPDATE_CODE } from "./update-code.ts";

// The update of a training step outside of the graph. Parameters, slots and average are vectors in the memory of a WebAssembly module
// (assembly/update.ts), which changes them in place, and which the graph reads parameters from without a copy. In the graph, an update is
// some ten passes over these vectors, each into new memory.

/** What the module of `assembly/update.ts` exports. Addresses are in bytes. */
interface UpdateModule {
  squareSum(x: number, count: number): number;
  add(x: number, y: number, count: number): void;
  adam(
    parameters: number,
    gradient: number,
    sum: number,
    squares: number,
    count: number,
    scale: number,
    penalty: number,
    keep: number,
    beta1: number,
    beta2: number,
    rate: number,
    epsilon: number,
  ): void;
  sgd(
    parameters: number,
    gradient: number,
    velocity: number,
    count: number,
    scale: number,
    penalty: number,
    momentum: number,
    nesterov: number,
    rate: number,
  ): void;
  average(averages: number, parameters: number, count: number, share: number): void;
}

/** How vectors are updated. */
export interface VectorUpdateOptions {
  readonly rule: UpdateRule;
  /** Names of the rule's state vectors. */
  readonly slots: readonly string[];
  /** Largest global norm of the gradient; none where absent. */
  readonly clipNorm?: number;
  /** Decay of the moving average; 0 for none. */
  readonly averageDecay: number;
  /** Shares of the learning rate, from the first number of the vector to the last. */
  readonly rates: readonly { readonly rate: number; readonly size: number }[];
}

/** The gradient of a part of a batch: arrays that cover the vector one after the other. */
export type GradientArrays = readonly Float32Array[];

/** A part of the vectors, from number `from` to before `to`. */
export interface VectorStretch {
  readonly from: number;
  readonly to: number;
}

/** A stretch of the vector that is updated by one call: within one array of the gradient, and of one rate. */
interface Piece {
  /** Number of the array of the gradient, and where in it the piece begins. */
  readonly array: number;
  readonly from: number;
  /** Where in the vector it begins. */
  readonly at: number;
  readonly count: number;
  readonly rate: number;
}

/** Numbers in a piece at most: with the moments and the average it stays in a core's second cache. */
const PIECE = 16_384;

const PAGE = 65_536;

/** Bytes that a module can address. */
const ADDRESSABLE = PAGE * 65_536;

/** Bytes between vectors, so that each begins at a cache line. */
const LINE = 64;

const bytesOf = (count: number): number => Math.ceil((4 * count) / LINE) * LINE;

/** Vectors in the memory of a module, and their update. */
export class VectorUpdate {
  private readonly module: UpdateModule;
  private readonly options: VectorUpdateOptions;
  private readonly size: number;
  /** The gradient of a piece, and that of another part of the batch. */
  private readonly scratch: readonly [Float32Array, Float32Array];
  private readonly vectors: ReadonlyMap<string, Float32Array>;
  /** How the vector is divided, by the sizes of the arrays of the gradient. */
  private readonly divisions = new Map<string, readonly Piece[]>();

  private constructor(
    module: UpdateModule,
    options: VectorUpdateOptions,
    size: number,
    scratch: readonly [Float32Array, Float32Array],
    vectors: ReadonlyMap<string, Float32Array>,
  ) {
    this.module = module;
    this.options = options;
    this.size = size;
    this.scratch = scratch;
    this.vectors = vectors;
  }

  /** Whether vectors of so many numbers fit into the memory that a module can address. */
  static fits(size: number, { slots, averageDecay }: VectorUpdateOptions): boolean {
    const count = 1 + slots.length + (averageDecay > 0 ? 1 : 0);
    return LINE + 2 * bytesOf(PIECE) + count * bytesOf(size) <= ADDRESSABLE;
  }

  /**
   * Copies vectors into a new module.
   * @param start `parameters`, `slot.…` for each slot, and `average` where one is kept, all of one length
   * @param order that their numbers are brought into; default: as they are
   * @throws OptionError where a vector is missing or of another length
   */
  static async create(
    options: VectorUpdateOptions,
    start: ReadonlyMap<string, NdArray>,
    order?: { kept(vector: Float32Array): NdArray<"float32"> },
  ): Promise<VectorUpdate> {
    const names = [
      "parameters",
      ...options.slots.map((slot) => `slot.${slot}`),
      ...(options.averageDecay > 0 ? ["average"] : []),
    ];
    const size = start.get("parameters")?.data.length ?? 0;
    const total = LINE + 2 * bytesOf(PIECE) + names.length * bytesOf(size);
    const memory = new WebAssembly.Memory({ initial: Math.ceil(total / PAGE) });
    let end = LINE;
    const next = (count: number): Float32Array => {
      const array = new Float32Array(memory.buffer, end, count);
      end += bytesOf(count);
      return array;
    };
    const scratch = [next(PIECE), next(PIECE)] as const;
    const vectors = new Map<string, Float32Array>();
    for (const name of names) {
      const given = start.get(name);
      if (given === undefined || given.data.length !== size) {
        throw new OptionError(`training: vector ${name} has ${given?.data.length ?? 0} numbers, not ${size}`);
      }
      const vector = next(size);
      const numbers = given.data as Float32Array;
      vector.set(order === undefined ? numbers : order.kept(numbers).data);
      vectors.set(name, vector);
    }
    const { instance } = await WebAssembly.instantiate(UPDATE_CODE, { env: { memory } });
    return new VectorUpdate(instance.exports as unknown as UpdateModule, options, size, scratch, vectors);
  }

  /** All vectors by name, [N]. They are views: an update changes them. */
  get views(): Readonly<Record<string, NdArray<"float32">>> {
    return Object.fromEntries([...this.vectors].map(([name, data]) => [name, float32(data, [this.size])]));
  }

  has(name: string): boolean {
    return this.vectors.has(name);
  }

  /** A vector of this name. @throws OptionError where there is none */
  vector(name: string): Float32Array {
    const vector = this.vectors.get(name);
    if (vector === undefined) throw new OptionError(`training keeps no vector ${name}`);
    return vector;
  }

  /**
   * One update by the mean of the gradients of parts.
   * @param step number of this step; the first is 1
   * @param stretch of the vectors that changes, and that the gradients are of; default: all of them
   * @returns the norm of the gradient before clipping
   */
  update(
    parts: readonly GradientArrays[],
    learningRate: number,
    step: number,
    stretch: VectorStretch = { from: 0, to: this.size },
  ): number {
    const [first] = parts;
    if (first === undefined) throw new OptionError("an update needs a gradient");
    const pieces = this.divided(first, stretch);
    const { module } = this;
    const [scratch] = this.scratch;
    const { clipNorm, averageDecay } = this.options;
    const applied = (clip: number): ((piece: Piece) => void) => {
      const rule = this.ruleAt(learningRate, step, clip / parts.length);
      return (piece) => {
        rule(piece);
        if (averageDecay > 0) this.average(piece.at, piece.count, step);
      };
    };
    // Where nothing is clipped the norm need not be known before.
    const atOnce = clipNorm === undefined ? applied(1) : undefined;
    let squares = 0;
    for (const piece of pieces) {
      this.gather(parts, piece);
      squares += module.squareSum(scratch.byteOffset, piece.count);
      atOnce?.(piece);
    }
    const norm = Math.sqrt(squares) / parts.length;
    if (clipNorm === undefined) return norm;
    const apply = applied(Math.min(clipNorm / (norm + 1e-6), 1));
    for (const piece of pieces) {
      // In an only piece the gradient still lies there.
      if (pieces.length > 1) this.gather(parts, piece);
      apply(piece);
    }
    return norm;
  }

  /**
   * Takes over a stretch of vectors that was updated elsewhere, and has its average follow.
   * @param values by the name of the vector, as many as the stretch has
   * @param step number of this step; the first is 1
   */
  take({ from, to }: VectorStretch, values: Readonly<Record<string, Float32Array>>, step: number): void {
    for (const [name, numbers] of Object.entries(values)) {
      if (numbers.length !== to - from) {
        throw new OptionError(`training: ${numbers.length} numbers of ${name} stand for ${to - from}`);
      }
      this.vector(name).set(numbers, from);
    }
    if (this.options.averageDecay > 0) this.average(from, to - from, step);
  }

  /** Moves so many numbers of the average toward the parameters. */
  private average(at: number, count: number, step: number): void {
    const share = 1 - Math.min(this.options.averageDecay, (1 + step) / (10 + step));
    const [averages, parameters] = [this.vector("average"), this.vector("parameters")];
    this.module.average(averages.byteOffset + 4 * at, parameters.byteOffset + 4 * at, count, share);
  }

  /** The sum of the gradients of the parts, in the module's memory. */
  private gather(parts: readonly GradientArrays[], { array, from, count }: Piece): void {
    const [sum, other] = this.scratch;
    parts.forEach((arrays, part) => {
      const numbers = (arrays[array] ?? sum).subarray(from, from + count);
      (part === 0 ? sum : other).set(numbers);
      if (part > 0) this.module.add(sum.byteOffset, other.byteOffset, count);
    });
  }

  /** The rule of one step, for a piece whose gradient lies in the module's memory, to be multiplied by `scale`. */
  private ruleAt(learningRate: number, step: number, scale: number): (piece: Piece) => void {
    const { module } = this;
    const { rule } = this.options;
    const gradient = this.scratch[0].byteOffset;
    const parameters = this.vector("parameters").byteOffset;
    if (rule.kind === "sgd") {
      const { momentum, nesterov, weightDecay } = rule;
      const velocity = momentum === 0 ? 0 : this.vector("slot.velocity").byteOffset;
      return ({ at, count, rate }) =>
        module.sgd(
          parameters + 4 * at,
          gradient,
          velocity + 4 * at,
          count,
          scale,
          weightDecay,
          momentum,
          nesterov ? 1 : 0,
          learningRate * rate,
        );
    }
    const { beta1, beta2, epsilon, weightDecay, decoupled } = rule;
    const sum = this.vector("slot.gradientSum").byteOffset;
    const squares = this.vector("slot.squareSum").byteOffset;
    // √v̂ + ε = unit · (√Σ β₂ᵏ g² + ε / unit), as in src/nn/optimizer.ts.
    const unit = Math.sqrt(overComplement(1 - beta2, beta2, step));
    const stepSize = (learningRate * overComplement(1 - beta1, beta1, step)) / unit;
    return ({ at, count, rate }) =>
      module.adam(
        parameters + 4 * at,
        gradient,
        sum + 4 * at,
        squares + 4 * at,
        count,
        scale,
        decoupled ? 0 : weightDecay,
        decoupled ? 1 - learningRate * rate * weightDecay : 1,
        beta1,
        beta2,
        stepSize * rate,
        epsilon / unit,
      );
  }

  /** Pieces of the vector for a gradient in arrays of these sizes. @throws OptionError where they do not cover the vector */
  private divided(arrays: GradientArrays, { from: begin, to: end }: VectorStretch): readonly Piece[] {
    const key = `${begin}-${end}: ${arrays.map(({ length }) => length).join()}`;
    const known = this.divisions.get(key);
    if (known !== undefined) return known;
    const covered = arrays.reduce((total, { length }) => total + length, 0);
    if (covered !== end - begin) {
      throw new OptionError(`the gradient has ${covered} numbers, the parameters have ${end - begin}`);
    }
    const pieces: Piece[] = [];
    let at = begin;
    let stretch = 0;
    let stretchEnd = this.options.rates[0]?.size ?? this.size;
    arrays.forEach(({ length }, array) => {
      for (let from = 0; from < length; ) {
        while (at >= stretchEnd) stretchEnd += this.options.rates[++stretch]?.size ?? this.size;
        const count = Math.min(PIECE, length - from, stretchEnd - at);
        pieces.push({ array, from, at, count, rate: this.options.rates[stretch]?.rate ?? 1 });
        from += count;
        at += count;
      }
    });
    this.divisions.set(key, pieces);
    return pieces;
  }
}

/** a / (1 − βⁿ), which loses no digits where βⁿ is near 1. */
function overComplement(a: number, beta: number, step: number): number {
  return beta === 0 ? a : a / -Math.expm1(step * Math.log(beta));
}
