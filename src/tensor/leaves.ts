import { OptionError } from "../errors.ts";
import { countTensor } from "../memory.ts";
import type { Random } from "../random.ts";
import { type DataOf, type DType, elementCount, type NdArray } from "./array.ts";
import {
  type Attributes,
  apply,
  type Node,
  nextNodeId,
  type Operation,
  Tensor,
  type TensorType,
} from "./graph.ts";
import { isConcrete, type Shape } from "./shape.ts";

function leaf<A extends Attributes>(name: string): Operation<A> {
  return {
    name,
    infer: () => {
      throw new TypeError(`${name} is a leaf`);
    },
    lower: () => {
      throw new TypeError(`${name} is fed, not computed`);
    },
  };
}

function leafNode<A extends Attributes>(
  operation: Operation<A>,
  attributes: A,
): Node<A> & { outputs: Tensor[] } {
  return { id: nextNodeId(), operation, inputs: [], attributes, outputs: [] };
}

function leafTensor<A extends Attributes>(operation: Operation<A>, attributes: A, type: TensorType): Tensor {
  const node = leafNode(operation, attributes);
  const tensor = new Tensor(node, 0, type);
  node.outputs.push(tensor);
  return tensor;
}

export interface InputAttributes extends Attributes {
  readonly name: string;
}

/** The operation of program inputs. */
export const inputOperation = leaf<InputAttributes>("input");

/** A named input of a program. */
export function input(name: string, shape: Shape, dtype: DType = "float32"): Tensor {
  return leafTensor(inputOperation, { name }, { shape, dtype });
}

export interface RandomAttributes extends Attributes {
  readonly distribution: "normal" | "uniform";
}

/** The operation of random leaves. Two leaves are never merged: each is a draw of its own. */
export const randomOperation = leaf<RandomAttributes>("random");

/** Standard normals, drawn anew by the runtime at every run, in the order of declaration. */
export function normal(shape: Shape): Tensor {
  return leafTensor(randomOperation, { distribution: "normal" }, { shape, dtype: "float32" });
}

/** Uniforms on [0, 1), drawn anew by the runtime at every run, in the order of declaration. */
export function uniform(shape: Shape): Tensor {
  return leafTensor(randomOperation, { distribution: "uniform" }, { shape, dtype: "float32" });
}

/** Fills an array with starting values. */
export type Initializer = (target: Float32Array, shape: readonly number[], random: Random) => void;

/** The operations under which parameters and buffers are found in a graph. */
const parameterOperation = leaf<Attributes>("parameter");
const bufferOperation = leaf<Attributes>("buffer");

/**
 * A trainable tensor. It holds no values: those live in a state (a map from names to arrays), so that one model can be
 * run with several sets of weights. The name is its property path in the model, given by `nameParameters`.
 */
export class Parameter extends Tensor {
  name = "";
  readonly initialize: Initializer;
  override readonly shape: readonly number[];

  constructor(shape: readonly number[], initialize: Initializer) {
    countTensor();
    const node = leafNode(parameterOperation, {});
    super(node, 0, { shape, dtype: "float32" });
    node.outputs.push(this);
    this.shape = shape;
    this.initialize = initialize;
  }

  /**
   * In a trace of data-dependent initialization, makes `value` the parameter's content before the first step; the layer
   * goes on with `value` in place of the parameter. Elsewhere this does nothing.
   */
  startFrom(value: Tensor): void {
    currentTrace?.starts?.set(this, value);
  }
}

/** A tensor that belongs to a model's state but is not trained: running statistics, fixed permutations. */
export class Buffer extends Tensor {
  name = "";
  readonly initialize: Initializer;
  override readonly shape: readonly number[];

  constructor(shape: readonly number[], initialize: Initializer) {
    countTensor();
    const node = leafNode(bufferOperation, {});
    super(node, 0, { shape, dtype: "float32" });
    node.outputs.push(this);
    this.shape = shape;
    this.initialize = initialize;
  }

  /**
   * In a training program, makes `value` the buffer's content after the step. Outside of training this does nothing,
   * so that a layer can call it unconditionally.
   */
  update(value: Tensor): void {
    currentTrace?.updates.set(this, value);
  }
}

/** What a training trace gathers besides its outputs. */
export interface TraceContext {
  readonly updates: Map<Buffer, Tensor>;
  /** Values that parameters start from; present while data-dependent initialization is traced. */
  readonly starts?: Map<Parameter, Tensor>;
}

let currentTrace: TraceContext | undefined;

/** Runs `body` as a training trace: layers see `isTraining()` and buffer updates are gathered. */
export function traceTraining<T>(body: () => T): {
  readonly result: T;
  readonly updates: ReadonlyMap<Buffer, Tensor>;
} {
  const trace: TraceContext = { updates: new Map() };
  return { result: within(trace, body), updates: trace.updates };
}

function within<T>(trace: TraceContext, body: () => T): T {
  const outer = currentTrace;
  currentTrace = trace;
  try {
    return body();
  } finally {
    currentTrace = outer;
  }
}

/**
 * Runs `body`, a forward pass on the first batch, as a trace of data-dependent initialization: gathers the values that
 * layers want their parameters to start from (Salimans and Kingma 2016, section 3). Layers see `isTraining()` too.
 */
export function traceInitialization(body: () => unknown): ReadonlyMap<Parameter, Tensor> {
  const starts = new Map<Parameter, Tensor>();
  within({ updates: new Map(), starts }, body);
  return starts;
}

/** True while data-dependent initialization is traced. */
export function isInitializing(): boolean {
  return currentTrace?.starts !== undefined;
}

/** True while a training program is being traced: dropout drops, batch normalization uses the batch. */
export function isTraining(): boolean {
  return currentTrace !== undefined;
}

export interface ConstantAttributes extends Attributes {
  readonly value: NdArray;
}

/** The operation of values known while tracing. */
export const constantOperation: Operation<ConstantAttributes> = {
  name: "constant",
  infer: (_inputs, { value }): readonly TensorType[] => [{ shape: value.shape, dtype: value.dtype }],
  lower: (context, node) => [context.constant(node.attributes.value)],
};

/** A value known while tracing: an array, or a number that becomes a scalar of the dtype (default: float32). */
export function constant(value: NdArray | number, dtype: DType = "float32"): Tensor {
  return apply(constantOperation, [], {
    value: typeof value === "number" ? filled(dtype, [], value) : value,
  });
}

/** The array behind a constant tensor; undefined for any other tensor. */
export function constantValue(tensor: Tensor): NdArray | undefined {
  const { operation, attributes } = tensor.node;
  return operation === constantOperation ? (attributes as ConstantAttributes).value : undefined;
}

/** An array of one repeated number. */
export function filled(dtype: DType, shape: readonly number[], value: number): NdArray {
  const count = elementCount(shape);
  switch (dtype) {
    case "float32":
      return { dtype, shape, data: new Float32Array(count).fill(value) };
    case "float64":
      return { dtype, shape, data: new Float64Array(count).fill(value) };
    case "int64":
      return { dtype, shape, data: new BigInt64Array(count).fill(BigInt(Math.trunc(value))) };
    case "bool":
      return { dtype, shape, data: new Uint8Array(count).fill(value === 0 ? 0 : 1) };
  }
}

/** Reads an element of an array as a number. */
export function numberAt(data: DataOf[DType], index: number): number {
  return Number(data[index] ?? 0);
}

/** A constant of zeros or of any number at every location; the shape must be concrete. */
export function full(shape: Shape, value: number, dtype: DType = "float32"): Tensor {
  if (!isConcrete(shape))
    throw new OptionError(`full: shape [${shape}] holds a symbolic axis; broadcast a scalar instead`);
  return constant(filled(dtype, shape, value));
}
