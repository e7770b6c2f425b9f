import { OptionError, RuntimeError, WeightsError } from "../errors.ts";
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
import type { Runtime, RuntimeSession, RuntimeValue } from "./runtime.ts";
import { simplify } from "./simplify.ts";

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
  const feeds: Record<string, NdArray> = {};
  randoms.forEach(({ name, distribution, shape }, i) => {
    if (given[name] !== undefined) return;
    if (random === undefined) throw new RuntimeError("the program draws random numbers; give it a generator");
    if (!isConcrete(shape)) {
      throw new RuntimeError(`${name} of shape ${showShape(shape)} cannot be drawn: give it as an input`);
    }
    const array = zeros("float32", shape);
    const count = shape[0] ?? 1;
    const first = rows !== undefined && rows.count === count ? rows.first : 0;
    random.split(i).fillRows(array.data, count, first, distribution);
    feeds[name] = array;
  });
  return feeds;
}

export interface RunOptions {
  /** Fills the `normal()` and `uniform()` leaves. The same generator gives the same numbers at every run. */
  readonly random?: Random;
  /** The run does `count` rows of a larger batch, from row `first`: leaves with that many rows are drawn accordingly. */
  readonly rows?: { readonly first: number; readonly count: number };
}

/** Stands before the names of outputs in the model, where an input and an output must not share a name. */
const RESULT = "result.";

/** One traced, simplified, lowered and loaded graph. */
export class Program {
  /** The ONNX model that runs. */
  readonly model: Uint8Array;
  readonly inputNames: readonly string[];
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
    this.randoms = randoms;
    this.session = session;
  }

  /**
   * Builds a program from traced outputs.
   * @param weights values that become constants of the program; parameters without a value are inputs by name.
   */
  static async build(
    outputs: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
    runtime: Runtime,
    weights?: State,
  ): Promise<Program> {
    const named = outputs instanceof Map ? outputs : new Map(Object.entries(outputs));
    const { graph, randoms } = graphOf(named, weights);
    const results = new Map([...graph.outputs].map(([name, tensor]) => [`${RESULT}${name}`, tensor]));
    const model = lowerToOnnx({ ...graph, outputs: results }, runtime.target);
    return new Program(model, graph, randoms, await runtime.load(model, graph.weights.size > 0));
  }

  /** Runs on values that may stay where the runtime keeps them; results stay there too. */
  async runValues(
    feeds: Readonly<Record<string, NdArray | RuntimeValue>>,
    options: RunOptions = {},
  ): Promise<Readonly<Record<string, RuntimeValue>>> {
    const drawn = drawRandoms(this.randoms, feeds, options);
    const results = await this.session.run({ ...feeds, ...drawn });
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => [name.slice(RESULT.length), value]),
    );
  }

  /** Runs and copies all results out. */
  async run(
    feeds: Readonly<Record<string, NdArray | RuntimeValue>>,
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

/** A function of named tensors that can be traced. */
export type Traceable<I extends string, O extends string> = (
  inputs: Readonly<Record<I, Tensor>>,
) => Readonly<Record<O, Tensor>>;

export interface CompileOptions {
  readonly runtime: Runtime;
  /** Values of the parameters and buffers that the function uses. */
  readonly weights?: State;
}

/** A compiled function: traced once for every combination of input shapes, then cached. */
export class Compiled<I extends string, O extends string> {
  private readonly body: Traceable<I, O>;
  private readonly options: CompileOptions;
  private readonly programs = new Map<string, Promise<Program>>();

  constructor(body: Traceable<I, O>, options: CompileOptions) {
    this.body = body;
    this.options = options;
  }

  /** Number of shapes compiled so far. */
  get size(): number {
    return this.programs.size;
  }

  /** Runs the function on arrays. @throws ShapeError while tracing, RuntimeError while running */
  async run(
    feeds: Readonly<Record<I, NdArray>>,
    options: RunOptions = {},
  ): Promise<Readonly<Record<O, NdArray>>> {
    const program = await this.programFor(feeds);
    return (await program.run(feeds, options)) as Readonly<Record<O, NdArray>>;
  }

  /**
   * Runs the function on values that may stay where the runtime keeps them; results stay there too, so that a loop outside
   * of a program copies nothing. @throws as `run`
   */
  async runValues(
    feeds: Readonly<Record<I, NdArray | RuntimeValue>>,
    options: RunOptions = {},
  ): Promise<Readonly<Record<O, RuntimeValue>>> {
    const program = await this.programFor(feeds);
    return (await program.runValues(feeds, options)) as Readonly<Record<O, RuntimeValue>>;
  }

  /** The program for inputs of these types; inputs that its outputs do not depend on are no inputs of it. */
  private async programFor(feeds: Readonly<Record<I, NdArray | RuntimeValue>>): Promise<Program> {
    const entries = Object.entries<NdArray | RuntimeValue>(feeds);
    const types = entries.map(([name, { dtype, shape }]) => `${name} ${dtype} ${shape}`);
    const key = types.sort().join("; ");
    let program = this.programs.get(key);
    if (program === undefined) {
      const tensors = entries.map(([name, { dtype, shape }]) => [name, input(name, shape, dtype)] as const);
      const outputs = this.body(Object.fromEntries(tensors) as Record<I, Tensor>);
      program = Program.build(outputs, this.options.runtime, this.options.weights);
      this.programs.set(key, program);
    }
    try {
      return await program;
    } catch (cause) {
      // A failure is not kept: the next call tries again.
      this.programs.delete(key);
      throw cause;
    }
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    for (const program of this.programs.values()) await (await program).release();
    this.programs.clear();
  }
}

/**
 * Compiles a function of tensors to ONNX and runs it at native speed. It is traced on first use for the shapes it is
 * given, and again for other shapes.
 *
 *     const forward = compile(({ x }) => ({ y: model.forward(x) }), { runtime, weights });
 *     const { y } = await forward.run({ x: float32([1, 2], [1, 2]) });
 */
export function compile<I extends string, O extends string>(
  body: Traceable<I, O>,
  options: CompileOptions,
): Compiled<I, O> {
  return new Compiled(body, options);
}

/**
 * A model's weights on a runtime: what sampling, scoring and detection run in. Functions compiled in it are kept, so
 * that calling a sampler twice compiles once.
 */
export class Session {
  readonly runtime: Runtime;
  readonly weights: State;
  private readonly functions = new Map<string, Compiled<string, string>>();

  constructor(runtime: Runtime, weights: State) {
    this.runtime = runtime;
    this.weights = weights;
  }

  /** The compiled function of this name; `body` is traced the first time, and must be the same at every call. */
  compiled<I extends string, O extends string>(name: string, body: Traceable<I, O>): Compiled<I, O> {
    let held = this.functions.get(name);
    if (held === undefined) {
      held = new Compiled<string, string>(body, { runtime: this.runtime, weights: this.weights });
      this.functions.set(name, held);
    }
    return held as unknown as Compiled<I, O>;
  }

  /** Frees all compiled functions. */
  async release(): Promise<void> {
    for (const held of this.functions.values()) await held.release();
    this.functions.clear();
  }
}

/** What is worth knowing of an exported model; texts are written as they are, everything else as JSON. */
export type ExportMetadata = Readonly<Record<string, unknown>>;

/**
 * Writes traced outputs and weights as one self-contained ONNX model: standard operators only, weights inside, any
 * batch size where the graph was traced with the axis `batch`. Its inputs are the graph's inputs by name and, where
 * the graph draws random numbers, `random.0`, `random.1`, …; the metadata entry `randomInputs` tells the distribution
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
