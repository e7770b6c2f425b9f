import { OptionError } from "../errors.ts";
import type { UpdateRule } from "../nn/optimizer.ts";
import { type OpenSharedModule, PAGE, type SharedModule } from "../program/shared-module.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { SHARED_UPDATE_CODE, UPDATE_CODE } from "./update-code.ts";

// The update of a training step outside of the graph. Parameters, slots, average and gradient are vectors in the memory of a WebAssembly module
// (assembly/update.ts), which changes them in place; the graph reads parameters from there and writes gradients there. In the graph, an
// update is some ten passes over these vectors, each into new memory.
//
// Pieces of the vectors that fit into a core's cache are updated one after another, by this thread or by others. What a piece comes to
// does not depend on who has updated it.

/** What the module of `assembly/update.ts` exports. Addresses are in bytes. */
type UpdateFunction = "squareSum" | "add" | "adam" | "sgd" | "average";

type UpdateModule = Readonly<Record<UpdateFunction, (...args: readonly number[]) => number | undefined>>;

/** A call of one of them. */
interface UpdateCall {
  readonly name: UpdateFunction;
  readonly args: readonly number[];
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

/** A step: its learning rate, and its number, 1 for the first from which the optimizer counts. */
export interface StepAt {
  readonly learningRate: number;
  readonly number: number;
}

/** A part of the vectors, from number `from` to before `to`. */
export interface VectorStretch {
  readonly from: number;
  readonly to: number;
}

/** A stretch of the vector that is updated by one call, all of one rate. */
interface Piece {
  /** Where in the vector it begins. */
  readonly at: number;
  readonly count: number;
  readonly rate: number;
}

/** Numbers in a piece at most: with the moments and the average it stays in a core's second cache. */
const PIECE = 16_384;

/** Numbers from which several threads are worth while: two of them take two thirds of the time. */
const SPLIT_FROM = 500_000;

/** Bytes that a module can address. */
const ADDRESSABLE = PAGE * 65_536;

/** Bytes between vectors, so that each begins at a cache line. */
const LINE = 64;

const bytesOf = (count: number): number => Math.ceil((4 * count) / LINE) * LINE;

/** Vectors in the memory of a module, and their update. */
export class VectorUpdate {
  /** The gradient, [N]: what an update is by, where it is not given in parts. Graphs write into it. */
  readonly gradient: Float32Array;
  private readonly module: UpdateModule;
  /** Other threads of the module. */
  private readonly others: SharedModule | undefined;
  private readonly options: VectorUpdateOptions;
  private readonly size: number;
  /** For the gradient of another part of the batch, of a piece. */
  private readonly scratch: Float32Array;
  private readonly vectors: ReadonlyMap<string, Float32Array>;
  /** How stretches are divided. */
  private readonly divisions = new Map<string, readonly Piece[]>();

  private constructor(
    options: VectorUpdateOptions,
    module: UpdateModule,
    others: SharedModule | undefined,
    vectors: ReadonlyMap<string, Float32Array>,
    gradient: Float32Array,
    scratch: Float32Array,
  ) {
    this.options = options;
    this.module = module;
    this.others = others;
    this.size = gradient.length;
    this.vectors = vectors;
    this.gradient = gradient;
    this.scratch = scratch;
  }

  /** Whether vectors of so many numbers fit into the memory that a module can address. */
  static fits(size: number, options: VectorUpdateOptions): boolean {
    return bytesFor(size, namesOf(options)) <= ADDRESSABLE;
  }

  /**
   * Copies vectors into a new module.
   * @param start `parameters`, `slot.…` for each slot, and `average` where one is kept, all of one length
   * @param order that their numbers are brought into; default: as they are
   * @param open opens the module on several threads, where the vectors are long; default: this thread alone
   * @throws OptionError where a vector is missing or of another length
   */
  static async create(
    options: VectorUpdateOptions,
    start: ReadonlyMap<string, NdArray>,
    order?: { kept(vector: Float32Array): NdArray<"float32"> },
    open?: OpenSharedModule,
  ): Promise<VectorUpdate> {
    const names = namesOf(options);
    const size = start.get("parameters")?.data.length ?? 0;
    const given = names.map((name) => {
      const array = start.get(name);
      if (array === undefined || array.data.length !== size) {
        throw new OptionError(`training: vector ${name} has ${array?.data.length ?? 0} numbers, not ${size}`);
      }
      return [name, array.data as Float32Array] as const;
    });
    const bytes = bytesFor(size, names);
    const others = size < SPLIT_FROM ? undefined : await open?.(SHARED_UPDATE_CODE, bytes);
    try {
      const { memory, exports } = others ?? (await ownModule(bytes));
      let end = LINE;
      const next = (count: number): Float32Array => {
        const array = new Float32Array(memory.buffer, end, count);
        end += bytesOf(count);
        return array;
      };
      const scratch = next(PIECE);
      const vectors = new Map<string, Float32Array>();
      for (const [name, numbers] of given) {
        const vector = next(size);
        vector.set(order === undefined ? numbers : order.kept(numbers).data);
        vectors.set(name, vector);
      }
      return new VectorUpdate(options, exports as UpdateModule, others, vectors, next(size), scratch);
    } catch (error) {
      await others?.close();
      throw error;
    }
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
   * One update by the gradient, or by the mean of those of parts of the batch.
   * @param stretch of the vectors that changes; default: all of them
   * @param parts gradients of that stretch, each as long as it; default: what `gradient` holds
   * @returns the norm of the gradient before clipping
   * @throws OptionError where a part is of another length
   */
  update(
    { learningRate, number }: StepAt,
    stretch: VectorStretch = { from: 0, to: this.size },
    parts: readonly Float32Array[] = [],
  ): number {
    for (const { length } of parts) {
      if (length !== stretch.to - stretch.from) {
        throw new OptionError(
          `the gradient has ${length} numbers, the parameters have ${stretch.to - stretch.from}`,
        );
      }
    }
    const pieces = this.divided(stretch);
    const count = Math.max(1, parts.length);
    const { clipNorm, averageDecay } = this.options;
    const applied = (clip: number): ((piece: Piece) => readonly UpdateCall[]) => {
      const rule = this.ruleAt(learningRate, number, clip / count);
      return (piece) => [
        rule(piece),
        ...(averageDecay > 0 ? [this.average(piece.at, piece.count, number)] : []),
      ];
    };
    // Where nothing is clipped the norm need not be known before.
    const atOnce = clipNorm === undefined ? applied(1) : undefined;
    const sums = new Float64Array(pieces.length);
    pieces.forEach((piece, i) => {
      this.gather(parts, piece, stretch.from);
      const squares = { name: "squareSum", args: [this.gradientAt(piece), piece.count] } as const;
      this.make([squares, ...(atOnce?.(piece) ?? [])], ([sum = Number.NaN]) => {
        sums[i] = sum;
      });
    });
    this.others?.finish();
    // In the order of the pieces, whoever was first.
    const norm = Math.sqrt(sums.reduce((total, sum) => total + sum, 0)) / count;
    if (clipNorm === undefined) return norm;
    const apply = applied(Math.min(clipNorm / (norm + 1e-6), 1));
    for (const piece of pieces) this.make(apply(piece));
    this.others?.finish();
    return norm;
  }

  /** Has calls made: by another thread, or where all are busy by this one. */
  private make(calls: readonly UpdateCall[], done?: (results: readonly number[]) => void): void {
    if (this.others?.hand(calls, done) === true) return;
    const results = this.call(calls);
    done?.(results);
  }

  /** Makes calls in this thread. */
  private call(calls: readonly UpdateCall[]): readonly number[] {
    return calls.map(({ name, args }) => this.module[name](...args) ?? 0);
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
    if (this.options.averageDecay > 0) this.call([this.average(from, to - from, step)]);
  }

  /** Ends other threads. */
  async release(): Promise<void> {
    await this.others?.close();
  }

  /** Moves so many numbers of the average toward the parameters. */
  private average(at: number, count: number, step: number): UpdateCall {
    const share = 1 - Math.min(this.options.averageDecay, (1 + step) / (10 + step));
    const [averages, parameters] = [this.vector("average"), this.vector("parameters")];
    return {
      name: "average",
      args: [averages.byteOffset + 4 * at, parameters.byteOffset + 4 * at, count, share],
    };
  }

  /** Writes the sum of the gradients of parts. @param begin number of the vector that they begin at */
  private gather(parts: readonly Float32Array[], piece: Piece, begin: number): void {
    const { gradient, scratch } = this;
    const { at, count } = piece;
    parts.forEach((part, i) => {
      const numbers = part.subarray(at - begin, at - begin + count);
      if (i === 0) gradient.set(numbers, at);
      else {
        scratch.set(numbers);
        this.call([{ name: "add", args: [this.gradientAt(piece), scratch.byteOffset, count] }]);
      }
    });
  }

  private gradientAt({ at }: Piece): number {
    return this.gradient.byteOffset + 4 * at;
  }

  /** The rule of one step, for pieces whose gradient is to be multiplied by `scale`. */
  private ruleAt(learningRate: number, step: number, scale: number): (piece: Piece) => UpdateCall {
    const { rule } = this.options;
    const gradient = this.gradient.byteOffset;
    const parameters = this.vector("parameters").byteOffset;
    if (rule.kind === "sgd") {
      const { momentum, nesterov, weightDecay } = rule;
      const velocity = momentum === 0 ? 0 : this.vector("slot.velocity").byteOffset;
      return ({ at, count, rate }) => ({
        name: "sgd",
        args: [
          parameters + 4 * at,
          gradient + 4 * at,
          velocity + 4 * at,
          count,
          scale,
          weightDecay,
          momentum,
          nesterov ? 1 : 0,
          learningRate * rate,
        ],
      });
    }
    const { beta1, beta2, epsilon, weightDecay, decoupled } = rule;
    const sum = this.vector("slot.gradientSum").byteOffset;
    const squares = this.vector("slot.squareSum").byteOffset;
    // √v̂ + ε = unit · (√Σ β₂ᵏ g² + ε / unit), as in src/nn/optimizer.ts.
    const unit = Math.sqrt(overComplement(1 - beta2, beta2, step));
    const stepSize = (learningRate * overComplement(1 - beta1, beta1, step)) / unit;
    return ({ at, count, rate }) => ({
      name: "adam",
      args: [
        parameters + 4 * at,
        gradient + 4 * at,
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
      ],
    });
  }

  /** The pieces of a stretch of the vectors. */
  private divided({ from, to }: VectorStretch): readonly Piece[] {
    const key = `${from}-${to}`;
    const known = this.divisions.get(key);
    if (known !== undefined) return known;
    const pieces: Piece[] = [];
    let begin = 0;
    for (const { rate, size } of this.options.rates) {
      const end = Math.min(begin + size, to);
      for (let at = Math.max(begin, from); at < end; at += PIECE) {
        pieces.push({ at, count: Math.min(PIECE, end - at), rate });
      }
      begin += size;
    }
    this.divisions.set(key, pieces);
    return pieces;
  }
}

/** Names of the vectors that are kept from step to step. */
function namesOf({ slots, averageDecay }: VectorUpdateOptions): readonly string[] {
  return ["parameters", ...slots.map((slot) => `slot.${slot}`), ...(averageDecay > 0 ? ["average"] : [])];
}

/** Bytes of a module's memory: scratch, the vectors of these names, and the gradient. */
function bytesFor(size: number, names: readonly string[]): number {
  return LINE + bytesOf(PIECE) + (names.length + 1) * bytesOf(size);
}

/** The module on this thread alone, with memory of so many bytes. */
async function ownModule(bytes: number): Promise<Pick<SharedModule, "memory" | "exports">> {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
  const { instance } = await WebAssembly.instantiate(UPDATE_CODE, { env: { memory } });
  return { memory, exports: instance.exports };
}

/** a / (1 − βⁿ), which loses no digits where βⁿ is near 1. */
function overComplement(a: number, beta: number, step: number): number {
  return beta === 0 ? a : a / -Math.expm1(step * Math.log(beta));
}
