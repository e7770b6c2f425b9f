import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from "onnxruntime-common";
import { RuntimeError } from "../errors.ts";
import type { MemoryLimit } from "../memory.ts";
import { type DType, elementCount, type NdArray } from "../tensor/array.ts";
import type { Target } from "../tensor/graph.ts";
import type { OpenSharedModule } from "./shared-module.ts";

/** A value that lives where the runtime keeps its values: memory of the process, or of a GPU. */
export interface RuntimeValue {
  readonly kind: "runtime";
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Copies the value out if need be. */
  read(): Promise<NdArray>;
  /** The array itself, which ends with `dispose`. @throws RuntimeError where it lies in memory of a device */
  view(): NdArray;
  /** Frees the memory at once, unless `read` has given it away. Further use is an error. */
  dispose(): void;
}

/** What programs run on: an array of this process, or a value that lives where the runtime keeps its values. */
export type Value = NdArray | RuntimeValue;

/** The array of a value, copied out if need be. */
export async function readValue(value: Value): Promise<NdArray> {
  return value.kind === "runtime" ? value.read() : value;
}

/** Frees a value's memory at once where the runtime keeps it; arrays are left to the garbage collector. */
export function disposeValue(value: Value): void {
  if (value.kind === "runtime") value.dispose();
}

/** A loaded program. */
export interface RuntimeSession {
  /**
   * @param into arrays that float32 outputs of these names may be written into
   * @returns the outputs that were not
   * @throws RuntimeError where an input is missing, or `into` names no output
   */
  run(
    feeds: Readonly<Record<string, Value>>,
    into?: Readonly<Record<string, Float32Array>>,
  ): Promise<Readonly<Record<string, RuntimeValue>>>;
  release(): Promise<void>;
}

/** Something that executes ONNX models: one execution provider of onnxruntime-node or onnxruntime-web. */
export interface Runtime {
  /** The execution provider: cpu, cuda, wasm, webgpu, … */
  readonly provider: string;
  readonly target: Target;
  /** What the values of a program may take together; undefined where that is not known. */
  readonly memory?: MemoryLimit;
  /** Opens a module on threads beside this one, for work between two runs; absent where there are none. */
  readonly openSharedModule?: OpenSharedModule;
  /** @param weightsInside whether the model has weights as constants, which is worth more work while loading */
  load(model: Uint8Array, weightsInside?: boolean): Promise<RuntimeSession>;
}

/**
 * Options that every session must have. Adam's second moments decay into denormals, which many processors are slow
 * with; and the first session of a process decides for all later ones whether these become 0.
 */
export const SESSION_CONFIG = { set_denormal_as_zero: "1" } as const;

/** What the two packages of ONNX Runtime have in common. */
export interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: typeof OrtTensor;
}

/** Of WebGPU: ten buffers that every adapter has, without those of the result and of sizes. */
export const MOST_JOINED = 8;

// onnxruntime-web hangs where, with WebGPU, one run or copy begins before another has ended. In Node runs block the
// thread, so that nothing is lost by a queue.
const queues = new WeakMap<OrtModule, Promise<unknown>>();

/** Makes a call of a library. */
type Guard = <T>(call: () => Promise<T>) => Promise<T>;

const guards = new WeakMap<OrtModule, Guard>();

/** Has every call of a library made by `guard`. */
export function guardCalls(ort: OrtModule, guard: Guard): void {
  guards.set(ort, guard);
}

/** Calls an asynchronous function of the library after all earlier calls have ended. */
function inTurn<T>(ort: OrtModule, call: () => Promise<T>): Promise<T> {
  const guard = guards.get(ort);
  const turn = (queues.get(ort) ?? Promise.resolve()).then(guard === undefined ? call : () => guard(call));
  queues.set(
    ort,
    turn.catch(() => undefined),
  );
  return turn;
}

let nowhere: MessagePort | undefined;

/**
 * Frees the memory of an array buffer, which is empty afterwards. A training step returns all of a model's vectors in new
 * buffers; left to the garbage collector, they make it search the whole heap every few steps, on the cores that the next
 * steps want.
 */
function free(buffer: ArrayBufferLike): void {
  if (!(buffer instanceof ArrayBuffer)) return;
  const owned: ArrayBuffer & { readonly transfer?: (length: number) => ArrayBuffer } = buffer;
  if (owned.transfer !== undefined) {
    owned.transfer(0);
    return;
  }
  // Without that method (Node 20): what is sent to a port that nobody holds the other end of is dropped.
  if (nowhere === undefined) {
    nowhere = new MessageChannel().port1;
    nowhere.close();
  }
  nowhere.postMessage(null, [buffer]);
}

/** A value of ONNX Runtime. */
class OrtValue implements RuntimeValue {
  readonly kind = "runtime";
  readonly tensor: OrtTensor;
  private readonly ort: OrtModule;
  /** Whether somebody has been given the values themselves, not a copy. */
  private shared = false;

  constructor(tensor: OrtTensor, ort: OrtModule) {
    this.tensor = tensor;
    this.ort = ort;
  }

  get dtype(): DType {
    const { type } = this.tensor;
    if (type === "float32" || type === "float64" || type === "int64" || type === "bool") return type;
    throw new RuntimeError(`the runtime returned a tensor of type ${type}, which eidos does not use`);
  }

  get shape(): readonly number[] {
    return this.tensor.dims;
  }

  async read(): Promise<NdArray> {
    const { tensor } = this;
    this.shared = true;
    const data = tensor.location === "cpu" ? tensor.data : await inTurn(this.ort, () => tensor.getData(true));
    return { dtype: this.dtype, shape: this.shape, data } as NdArray;
  }

  view(): NdArray {
    const { tensor, dtype, shape } = this;
    if (tensor.location !== "cpu")
      throw new RuntimeError("a value of a device is no array before it is read");
    return { dtype, shape, data: tensor.data } as NdArray;
  }

  dispose(): void {
    const { tensor } = this;
    const data: unknown = tensor.location === "cpu" && !this.shared ? tensor.data : undefined;
    tensor.dispose();
    if (ArrayBuffer.isView(data) && data.byteLength === data.buffer.byteLength) free(data.buffer);
  }
}

function toOrt(ort: OrtModule, name: string, value: Value): OrtTensor {
  if (value instanceof OrtValue) return value.tensor;
  if (value.kind === "runtime") throw new RuntimeError(`input ${name} is a value of another runtime`);
  const { dtype, data, shape } = value;
  if (data.length !== elementCount(shape)) {
    throw new RuntimeError(
      `input ${name} holds ${data.length} values, its shape [${shape}] wants another number`,
    );
  }
  return new ort.Tensor(dtype as "float32", data as Float32Array, [...shape]) as TypedTensor<"float32">;
}

/**
 * Rewriting that gains nothing in our graphs, which are simplified already, and takes half of the time of loading a step of training. The last
 * two find a few reshapes that nobody notices, and then have all rewriting begin anew.
 */
const IDLE_OPTIMIZERS = [
  "ConstantFolding",
  "ConstantSharing",
  "TransposeOptimizer",
  "DoubleQDQPairsRemover",
  "EnsureUniqueDQForNodeUnit",
  "QDQPropagationTransformer",
  "WeightBiasQuantization",
  "GatherSliceToSplitFusion",
  "FreeDimensionOverrideTransformer",
  "CommonSubexpressionElimination",
  "ReshapeFusion",
];

/** Names of optimizers that a session leaves out, separated by semicolons. */
const LEFT_OUT = "disable_specified_optimizers";

/**
 * Options of programs whose weights are no constants, on a CPU. Models are lowered to the kernels that are wanted, so that no more than the basic
 * rewriting is allowed, and the search for more takes twice as long as all the rest of loading.
 */
function quickToLoad(options: InferenceSession.SessionOptions): InferenceSession.SessionOptions {
  const { optimization, ...extra } = (options.extra ?? {}) as {
    readonly optimization?: Readonly<Record<string, string>>;
  };
  const names = new Set([...(optimization?.[LEFT_OUT]?.split(";") ?? []), ...IDLE_OPTIMIZERS]);
  return {
    ...options,
    graphOptimizationLevel: "basic",
    extra: { ...extra, optimization: { ...optimization, [LEFT_OUT]: [...names].join(";") } },
  };
}

/** A runtime over one of ONNX Runtime's packages. */
export function ortRuntime(
  ort: OrtModule,
  provider: string,
  target: Target,
  options: InferenceSession.SessionOptions,
): Runtime {
  return {
    provider,
    target,
    async load(model, weightsInside = false) {
      let session: InferenceSession;
      const own = provider === "cpu" && !weightsInside ? quickToLoad(options) : options;
      try {
        session = await inTurn(ort, () => ort.InferenceSession.create(model, own));
      } catch (cause) {
        throw new RuntimeError(`${provider} cannot load the program: ${messageOf(cause)}`, { cause });
      }
      // The shapes of outputs that are to be written into arrays, without which the library does not take these. Not every program declares
      // them: they are those of the first run.
      const shapes = new Map<string, readonly number[]>();
      const outputNames = new Set(session.outputNames);
      return {
        async run(feeds, into = {}) {
          const inputs = new Map<string, OrtTensor>();
          for (const name of session.inputNames) {
            const value = Object.hasOwn(feeds, name) ? feeds[name] : undefined;
            if (value === undefined) throw new RuntimeError(`the program's input ${name} was not given`);
            inputs.set(name, toOrt(ort, name, value));
          }
          const given = new Map<string, OrtTensor>();
          for (const [name, data] of Object.entries(into)) {
            if (!outputNames.has(name))
              throw new RuntimeError(`the program has no output ${name} to write into an array`);
            const shape = shapes.get(name);
            if (shape !== undefined && elementCount(shape) === data.length)
              given.set(name, new ort.Tensor("float32", data, shape));
          }
          let outputs: InferenceSession.OnnxValueMapType;
          try {
            const fed = Object.fromEntries(inputs);
            const wanted = session.outputNames.map((name) => [name, given.get(name) ?? null] as const);
            outputs = await inTurn(ort, () =>
              given.size === 0 ? session.run(fed) : session.run(fed, Object.fromEntries(wanted)),
            );
          } catch (cause) {
            throw new RuntimeError(`${provider} cannot run the program: ${messageOf(cause)}`, { cause });
          }
          const results = new Map<string, OrtValue>();
          for (const name of session.outputNames) {
            const tensor = outputs[name];
            if (tensor === undefined) throw new RuntimeError(`the program did not return its output ${name}`);
            const value = new OrtValue(tensor as OrtTensor, ort);
            if (given.has(name)) {
              // The library has written the array, and returns a copy besides.
              value.dispose();
              continue;
            }
            results.set(name, value);
            // The library for pages does not write into arrays.
            if (provider === "cpu" && Object.hasOwn(into, name)) shapes.set(name, value.shape);
          }
          return Object.fromEntries(results);
        },
        release: () => inTurn(ort, () => session.release()),
      };
    },
  };
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
