import { OptionError, RuntimeError, WeightsError } from "../errors.ts";
import { checkMemory } from "../memory.ts";
import type { Random } from "../random.ts";
import { type NdArray, zeros } from "../tensor/array.ts";
import { outputAt, reachableNodes, type Tensor } from "../tensor/graph.ts";
import {
  Buffer,
  type InputAttributes,
  input,
  inputOperation,
  Parameter,
  type RandomAttributes,
  randomOperation,
} from "../tensor/leaves.ts";
import { isConcrete, type Shape, sameShape, showShape } from "../tensor/shape.ts";
import { type Graph, lowerToOnnx } from "./lower.ts";
import { peakBytes } from "./memory.ts";
import type { Runtime, RuntimeSession, RuntimeValue, Value } from "./runtime.ts";
import { simplify } from "./simplify.ts";

/** What to do where the values of a program do not fit into memory. */
const SMALLER = "take a smaller batchSize (accumulate splits batches), smaller samples or a narrower model";

/** Values of parameters and buffers by name. */
export type State = ReadonlyMap<string, NdArray>;

/** A random leaf of a program: its input name, distribution and shape. */
export interface RandomInput {
  readonly name: string;
  readonly distribution: RandomAttributes["distribution"];
  readonly shape: Shape;
}

/** Finds the leaves of a graph and names them; parameters and buffers with values in `weights` become constants. */
export function graphOf(
  outputs: ReadonlyMap<string, Tensor>,
  weights?: State,
): { readonly graph: Graph; readonly randoms: readonly RandomInput[] } {
  const simplified = simplify([...outputs.values()]);
  const named = new Map([...outputs.keys()].map((name, i) => [name, outputAt(simplified, i)]));
  const inputs = new Map<Tensor, string>();
  const baked = new Map<Tensor, { readonly name: string; readonly value: NdArray }>();
  const randoms: RandomInput[] = [];
  const taken = new Set<string>();
  for (const node of reachableNodes(simplified)) {
    const leaf = node.outputs[0];
    if (leaf === undefined || node.inputs.length > 0) continue;
    let name: string;
    if (node.operation === inputOperation) {
      ({ name } = node.attributes as InputAttributes);
    } else if (node.operation === randomOperation) {
      name = `random.${randoms.length}`;
      const { distribution } = node.attributes as RandomAttributes;
      randoms.push({ name, distribution, shape: leaf.shape });
    } else if (leaf instanceof Parameter || leaf instanceof Buffer) {
      name = leaf.name;
      if (name === "")
        throw new OptionError("a parameter has no name; call nameParameters(model) before compiling");
      const value = weights?.get(name);
      if (value !== undefined) {
        if (!sameShape(value.shape, leaf.shape) || value.dtype !== leaf.dtype) {
          throw new WeightsError(
            `weight ${name}: is ${value.dtype}${showShape(value.shape)}, the model wants ${leaf.dtype}${showShape(leaf.shape)}`,
          );
        }
        baked.set(leaf, { name, value });
      }
    } else continue;
    if (taken.has(name))
      throw new OptionError(`two leaves of the program are called ${name}; each needs its own name`);
    taken.add(name);
    if (!baked.has(leaf)) inputs.set(leaf, name);
  }
  return { graph: { inputs, outputs: named, weights: baked }, randoms };
}

/**
 * Draws the random inputs of a program, each from its own child of the generator and each row of it from a child of
 * that, so that a part of a batch gets the numbers that it would get within the whole batch. Those that are given by
 * name are not drawn.
 */
function drawRandoms(
  randoms: readonly RandomInput[],
  given: Readonly<Record<string, unknown>>,
  { random, rows }: RunOptions,
): Record<string, NdArray> {
  const feeds = new Map<string, NdArray>();
  randoms.forEach(({ name, distribution, shape }, i) => {
    if (Object.hasOwn(given, name) && given[name] !== undefined) return;
    if (random === undefined) throw new RuntimeError("the program draws random numbers; give it a generator");
    if (!isConcrete(shape)) {
      throw new RuntimeError(`${name} of shape ${showShape(shape)} cannot be drawn: give it as an input`);
    }
    const array = zeros("float32", shape);
    const count = shape[0] ?? 1;
    const first = rows !== undefined && rows.count === count ? rows.first : 0;
    random.split(i).fillRows(array.data, count, first, distribution);
    feeds.set(name, array);
  });
  return Object.fromEntries(feeds);
}

/** Writes the numbers of a result into an array, and frees it. @throws RuntimeError where they are not float32, or not as many */
function write(value: RuntimeValue, array: Float32Array, name: string): void {
  try {
    const { dtype, shape, data } = value.view();
    if (dtype !== "float32" || data.length !== array.length) {
      throw new RuntimeError(
        `result ${name} is ${dtype}[${shape}], which ${array.length} float32 numbers do not hold`,
      );
    }
    array.set(data as Float32Array);
  } finally {
    value.dispose();
  }
}

export interface RunOptions {
  /** Fills the `normal()` and `uniform()` leaves. The same generator gives the same numbers at every run. */
  readonly random?: Random;
  /** The run does `count` rows of a larger batch, from row `first`: leaves with that many rows are drawn accordingly. */
  readonly rows?: { readonly first: number; readonly count: number };
  /** Arrays that float32 results of these names are written into, which are not returned then. Results have to be in memory of the processor. */
  readonly into?: Readonly<Record<string, Float32Array>>;
}

/** Stands before the names of outputs in the model, where an input and an output must not share a name. */
const RESULT = "result.";

/** Names of inputs and outputs that hold weights of convolutions, or their gradients, in the order of the blocked kernels. */
export interface Ordered {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const NONE_ORDERED: Ordered = { inputs: [], outputs: [] };

/** One traced, simplified, lowered and loaded graph. */
export class Program {
  /** The ONNX model that runs. */
  readonly model: Uint8Array;
  readonly inputNames: readonly string[];
  /** Shapes of the parameters and buffers that are inputs, by name. */
  readonly weightShapes: ReadonlyMap<string, Shape>;
  private readonly randoms: readonly RandomInput[];
  private readonly session: RuntimeSession;

  private constructor(
    model: Uint8Array,
    graph: Graph,
    randoms: readonly RandomInput[],
    session: RuntimeSession,
  ) {
    this.model = model;
    this.inputNames = [...graph.inputs.values()];
    this.weightShapes = new Map(
      [...graph.inputs].flatMap(([leaf, name]) =>
        leaf instanceof Parameter || leaf instanceof Buffer ? [[name, leaf.shape] as const] : [],
      ),
    );
    this.randoms = randoms;
    this.session = session;
  }

  /**
   * Builds a program from traced outputs.
   * @param weights values that become constants of the program; parameters without a value are inputs by name.
   * @param ordered names of inputs and outputs that hold weights of convolutions in the order of the blocked kernels
   * @throws MemoryError where its values would not fit into the runtime's memory, with an estimate from below
   */
  static async build(
    outputs: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
    runtime: Runtime,
    weights?: State,
    ordered: Ordered = NONE_ORDERED,
  ): Promise<Program> {
    const named = outputs instanceof Map ? outputs : new Map(Object.entries(outputs));
    const { graph, randoms } = graphOf(named, weights);
    if (runtime.memory !== undefined) {
      const bytes = peakBytes([...graph.outputs.values()]);
      checkMemory({ what: "a program of this model", bytes, instead: SMALLER }, runtime.memory);
    }
    const results = new Map([...graph.outputs].map(([name, tensor]) => [`${RESULT}${name}`, tensor]));
    const names = new Set([...ordered.inputs, ...[...ordered.outputs].map((name) => `${RESULT}${name}`)]);
    const model = lowerToOnnx({ ...graph, outputs: results, ordered: names }, runtime.target);
    return new Program(model, graph, randoms, await runtime.load(model, graph.weights.size > 0));
  }

  /** Runs on values that may stay where the runtime keeps them; results stay there too. */
  async runValues(
    feeds: Readonly<Record<string, Value>>,
    options: RunOptions = {},
  ): Promise<Readonly<Record<string, RuntimeValue>>> {
    const drawn = drawRandoms(this.randoms, feeds, options);
    const into = new Map<string, Float32Array>(
      Object.entries(options.into ?? {}).map(([name, array]) => [`${RESULT}${name}`, array]),
    );
    const results = await this.session.run({ ...feeds, ...drawn }, Object.fromEntries(into));
    const returned: (readonly [string, RuntimeValue])[] = [];
    for (const [name, value] of Object.entries(results)) {
      const array = into.get(name);
      if (array === undefined) returned.push([name.slice(RESULT.length), value]);
      else write(value, array, name.slice(RESULT.length));
    }
    return Object.fromEntries(returned);
  }

  /** Runs and copies all results out. */
  async run(
    feeds: Readonly<Record<string, Value>>,
    options: RunOptions = {},
  ): Promise<Readonly<Record<string, NdArray>>> {
    const values = await this.runValues(feeds, options);
    const entries = Object.entries(values).map(async ([name, value]) => [name, await value.read()] as const);
    return Object.fromEntries(await Promise.all(entries));
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/**
 * The tensors that a compiled function is given, from the names of its inputs: `"x"` is always there, `"label?"` is a
 * tensor or undefined, and with `"..."` there are others besides, of any name.
 */
export type Inputs<I extends string> = {
  readonly [Name in I as Name extends `${string}?` | "..." ? never : Name]: Tensor;
} & {
  readonly [Name in I as Name extends `${infer Optional}?` ? Optional : never]?: Tensor;
} & ("..." extends I ? Readonly<Record<string, Tensor>> : unknown);

/** What a compiled function runs on, from the names of its inputs; an optional input may be left out or undefined. */
export type Feeds<I extends string, V> = {
  readonly [Name in I as Name extends `${string}?` | "..." ? never : Name]: V;
} & {
  readonly [Name in I as Name extends `${infer Optional}?` ? Optional : never]?: V | undefined;
} & ("..." extends I ? Readonly<Record<string, V | undefined>> : unknown);

/** Named tensors. Written so, so that interfaces without an index signature are outputs as well. */
type Outputs<O> = { readonly [Name in keyof O]: Tensor };

/** A function of named tensors that can be traced. */
export type Traceable<I extends string, O extends Outputs<O>> = (inputs: Inputs<I>) => O;

export interface CompileOptions {
  readonly runtime: Runtime;
  /** Values of the parameters and buffers that the function uses. */
  readonly weights?: State;
  /**
   * Whether the values of `weights` may change between runs: they are then inputs of programs, not constants, and each run takes those
   * of that moment. A run is a little slower; nothing is compiled anew.
   */
  readonly live?: boolean;
}

/** A compiled function: traced once for every combination of input shapes, then cached. */
export class Compiled<I extends string, O extends Outputs<O>> {
  private readonly inputs: ReadonlySet<string>;
  private readonly body: Traceable<I, O>;
  private readonly options: CompileOptions;
  private readonly programs = new Map<string, Promise<Program>>();

  constructor(inputs: readonly I[], body: Traceable<I, O>, options: CompileOptions) {
    this.inputs = new Set(inputs);
    this.body = body;
    this.options = options;
  }

  /** Number of shapes compiled so far. */
  get size(): number {
    return this.programs.size;
  }

  /**
   * Runs the function on arrays.
   * @throws ShapeError while tracing
   * @throws RuntimeError where an input is missing or unknown, and while running
   */
  async run(
    feeds: Feeds<I, NdArray>,
    options: RunOptions = {},
  ): Promise<{ readonly [Name in keyof O]: NdArray }> {
    const { program, given } = await this.programFor(feeds);
    return (await program.run(given, options)) as { readonly [Name in keyof O]: NdArray };
  }

  /**
   * Runs the function on values that may stay where the runtime keeps them; results stay there too, so that a loop outside
   * of a program copies nothing. @throws as `run`
   */
  async runValues(
    feeds: Feeds<I, Value>,
    options: RunOptions = {},
  ): Promise<{ readonly [Name in keyof O]: RuntimeValue }> {
    const { program, given } = await this.programFor(feeds);
    return (await program.runValues(given, options)) as { readonly [Name in keyof O]: RuntimeValue };
  }

  /** The program for inputs of these types; inputs that its outputs do not depend on are no inputs of it. */
  private async programFor(feeds: Feeds<I, Value>): Promise<{
    readonly program: Program;
    readonly given: Readonly<Record<string, Value>>;
  }> {
    const given = this.checked(feeds);
    const entries = Object.entries(given);
    const types = entries.map(([name, { dtype, shape }]) => `${name} ${dtype} ${shape}`);
    const key = types.sort().join("; ");
    let program = this.programs.get(key);
    if (program === undefined) {
      const tensors = entries.map(([name, { dtype, shape }]) => [name, input(name, shape, dtype)] as const);
      const outputs = this.body(Object.fromEntries(tensors) as Inputs<I>);
      const { runtime, weights, live = false } = this.options;
      program = Program.build(outputs, runtime, live ? undefined : weights);
      this.programs.set(key, program);
    }
    try {
      const built = await program;
      return { program: built, given: { ...this.weightsFor(built), ...given } };
    } catch (cause) {
      // A failure is not kept: the next call tries again.
      this.programs.delete(key);
      throw cause;
    }
  }

  /** The weights that a program takes as inputs, as they are now. @throws WeightsError where one is missing or misshapen */
  private weightsFor({ weightShapes }: Program): Readonly<Record<string, NdArray>> {
    const { weights, live = false } = this.options;
    if (!live) return {};
    const entries = [...weightShapes].map(([name, shape]) => {
      const value = weights?.get(name);
      if (value === undefined) throw new WeightsError(`weight ${name} of the model is not among those given`);
      if (!sameShape(value.shape, shape)) {
        throw new WeightsError(
          `weight ${name}: is ${showShape(value.shape)}, the model wants ${showShape(shape)}`,
        );
      }
      return [name, value] as const;
    });
    return Object.fromEntries(entries);
  }

  /** The feeds that are given, by name. @throws RuntimeError where one is missing or unknown */
  private checked(feeds: Feeds<I, Value>): Readonly<Record<string, Value>> {
    const { inputs } = this;
    const given = new Map<string, Value>();
    for (const [name, value] of Object.entries<Value | undefined>(feeds)) {
      if (value === undefined) continue;
      if (!inputs.has(name) && !inputs.has(`${name}?`) && !inputs.has("...")) {
        throw new RuntimeError(
          `the compiled function has no input ${name}; it has: ${[...inputs].join(", ")}`,
        );
      }
      given.set(name, value);
    }
    for (const name of inputs) {
      if (name !== "..." && !name.endsWith("?") && !given.has(name)) {
        throw new RuntimeError(`the compiled function's input ${name} was not given`);
      }
    }
    return Object.fromEntries(given);
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    for (const program of this.programs.values()) await (await program).release();
    this.programs.clear();
  }
}

/**
 * Compiles a function of tensors to ONNX and runs it at native speed. It is traced on first use for the shapes it is
 * given, and again for other shapes. The names of its inputs come first, from which the rest is typed: `"label?"` may be
 * left out, and `"..."` stands for further inputs of any name.
 *
 *     const forward = compile(["x"], ({ x }) => ({ y: model.forward(x) }), { runtime, weights });
 *     const { y } = await forward.run({ x: float32([1, 2], [1, 2]) });
 */
export function compile<I extends string, O extends Outputs<O>>(
  inputs: readonly I[],
  body: Traceable<I, O>,
  options: CompileOptions,
): Compiled<I, O> {
  return new Compiled(inputs, body, options);
}

/**
 * A model's weights on a runtime: what sampling, scoring and detection run in. Functions compiled in it are kept, so
 * that calling a sampler twice compiles once.
 */
export class Session {
  readonly runtime: Runtime;
  readonly weights: State;
  private readonly live: boolean;
  private readonly functions = new Map<object, Map<string, Releasable>>();

  /**
   * @param options.live whether `weights` may change while the session is used, as those of a model that is being trained do: every
   * run then takes the values of that moment, and nothing is compiled anew
   */
  constructor(runtime: Runtime, weights: State, { live = false }: { readonly live?: boolean } = {}) {
    this.runtime = runtime;
    this.weights = weights;
    this.live = live;
  }

  /**
   * The compiled function of this name of an owner, usually the model whose method asks for it: names of two owners never
   * clash. `body` is traced the first time, and must be the same at every call with the same owner and name.
   *
   *     const { boxes } = await session
   *       .compiled(detector, "detections", ["x"], ({ x }) => detector.decoded(x))
   *       .run({ x: images });
   *
   * @param inputs names of the inputs, as for `compile`
   */
  compiled<I extends string, O extends Outputs<O>>(
    owner: object,
    name: string,
    inputs: readonly I[],
    body: Traceable<I, O>,
  ): Compiled<I, O> {
    const ofOwner = this.functions.get(owner) ?? new Map<string, Releasable>();
    this.functions.set(owner, ofOwner);
    const held = ofOwner.get(name);
    if (held !== undefined) return held as Compiled<I, O>;
    const made = compile(inputs, body, { runtime: this.runtime, weights: this.weights, live: this.live });
    ofOwner.set(name, made);
    return made;
  }

  /** Frees all compiled functions. */
  async release(): Promise<void> {
    for (const ofOwner of this.functions.values()) {
      for (const held of ofOwner.values()) await held.release();
    }
    this.functions.clear();
  }
}

/** A compiled function, whatever its inputs and outputs. */
interface Releasable {
  release(): Promise<void>;
}

/** What is worth knowing of an exported model; texts are written as they are, everything else as JSON. */
export type ExportMetadata = Readonly<Record<string, unknown>>;

/**
 * Writes traced outputs and weights as one self-contained ONNX model: standard operators only, weights inside, any
 * batch size where the graph was traced with the axis `batch`. Its inputs are the graph's inputs by name and, where
 * the graph draws random numbers, `random.0`, `random.1`, …; the metadata entry `randomInputs` names the distribution
 * of each (`normal`: standard normals, `uniform`: uniform on [0, 1)).
 * @throws OptionError where an input and an output have the same name
 * @throws WeightsError naming a weight that is missing or misshapen
 */
export function exportOnnx(
  outputs: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  weights: State,
  metadata: ExportMetadata = {},
): Uint8Array {
  const named = outputs instanceof Map ? outputs : new Map(Object.entries(outputs));
  const { graph, randoms } = graphOf(named, weights);
  for (const [leaf, name] of graph.inputs) {
    if (leaf instanceof Parameter || leaf instanceof Buffer) {
      throw new WeightsError(`export: weight ${name} of the model is not among the weights given`);
    }
    if (named.has(name)) throw new OptionError(`export: ${name} is both an input and an output; rename one`);
  }
  const distributions = Object.fromEntries(randoms.map(({ name, distribution }) => [name, distribution]));
  const entries = Object.entries({
    ...metadata,
    ...(randoms.length > 0 && { randomInputs: distributions }),
  })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
  return lowerToOnnx(graph, { contrib: false, block: 0 }, Object.fromEntries(entries));
}
