import { ShapeError } from "../errors.ts";
import type { DType, NdArray } from "./array.ts";
import { type Shape, showShape } from "./shape.ts";

/** What is known of a tensor while tracing. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Attributes of an operation: plain values that can be written as JSON. */
export type Attributes = Readonly<Record<string, unknown>>;

/** An ONNX attribute: integers as `{ int }`, since JavaScript cannot tell 1 from 1.0. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  /** A graph within the graph, made by `LowerContext.subgraph`. */
  | { readonly graph: object };

/** One ONNX node to be emitted. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  readonly domain?: string;
  /** Number of outputs. Default: 1. */
  readonly outputs?: number;
}

/** The body of a loop or branch, to be lowered as a graph within the graph. */
export interface Subgraph {
  /** Leaves that are fed at every run of the subgraph, in its order of inputs. */
  readonly inputs: readonly Tensor[];
  /** Leaves that stand for values of the graph around it, by their names there. */
  readonly outside: ReadonlyMap<Tensor, string>;
  readonly outputs: readonly Tensor[];
}

/** What the program is lowered for. */
export interface Target {
  /** Operators of the domain com.microsoft may be used (ONNX Runtime's CPU kernels). */
  readonly contrib: boolean;
  /** Block of the NCHWc convolution kernels of this machine; 0 where they cannot be used. */
  readonly block: 0 | 8 | 16;
  /** Kernels are chosen so that numbers do not depend on the number of threads. Default: false. */
  readonly deterministic?: boolean;
  /**
   * Tensors that one node joins or cuts at most: kernels of WebGPU have a buffer for each, and adapters allow ten of them. Default: any number.
   */
  readonly mostJoined?: number;
}

/**
 * Where an operation writes its ONNX nodes. A four-dimensional value can exist in two layouts, plain NCHW and blocked
 * NCHWc, a weight in two orders; each is made from the other only when somebody asks for it.
 */
export interface LowerContext {
  readonly target: Target;
  /** Emits a node and returns the names of its outputs. */
  emit(node: OnnxNode): readonly string[];
  /** Emits a node with one output. */
  emit1(node: OnnxNode): string;
  /** The node that made a value, if no other node reads the value yet. */
  unreadNode(name: string): OnnxNode | undefined;
  /** Emits a node in place of one that made a value which no other node reads. */
  replaceUnread(name: string, node: OnnxNode): string;
  /** The name of a tensor's value in plain layout. */
  value(tensor: Tensor): string;
  /** The name of a tensor's value in blocked layout, reordered if need be. Channels must be a multiple of the block. */
  blockedValue(tensor: Tensor): string;
  /** True where the value exists in blocked layout and not in plain layout. */
  onlyBlocked(tensor: Tensor): boolean;
  /** True where the value exists in blocked layout. */
  hasBlocked(tensor: Tensor): boolean;
  /**
   * The name of a convolution's weight in the order of the blocked kernels (`convolution/kernel-order.ts`). Its channels must be whole blocks on
   * both sides.
   */
  kernelValue(tensor: Tensor): string;
  /** True where a value exists in the order of the blocked kernels and not in plain layout. */
  onlyKernel(tensor: Tensor): boolean;
  /** The name of an initializer with these values; equal ones are shared. */
  constant(value: NdArray): string;
  /** The name of a one-dimensional int64 tensor that holds the shape, computed from the inputs where it is symbolic. */
  shapeValue(shape: Shape): string;
  /** Lowers a graph within the graph. */
  subgraph(body: Subgraph): OnnxAttribute;
  /** How many nodes read this tensor (program outputs count). */
  uses(tensor: Tensor): number;
}

/** A lowered output: its name in plain layout, in blocked layout, or, of a weight, in the order of the blocked kernels. */
export type Lowered = string | { readonly blocked: string } | { readonly kernel: string };

export interface GradientContext<A extends Attributes> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
  /**
   * Gradients of the outputs; undefined where the loss does not depend on one. Of the output's shape, except that an
   * operation with `broadcastGradient` also receives gradients with axes of size 1 that stand for repetition.
   */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Whether the gradient of each input is asked for. */
  readonly needed: readonly boolean[];
}

/**
 * One operation: shape rule, gradient and ONNX lowering, side by side. Gradients are written with operations, so they
 * have gradients themselves.
 */
export interface Operation<A extends Attributes = Attributes> {
  readonly name: string;
  /** Types of the outputs. @throws ShapeError */
  infer(inputs: readonly Tensor[], attributes: A): readonly TensorType[];
  /** Gradients of the inputs, each broadcastable to its input; absent where the operation has no derivative. */
  gradient?(context: GradientContext<A>): readonly (Tensor | undefined)[];
  /** The gradient rule accepts gradients whose axes of size 1 stand for repetition. */
  readonly broadcastGradient?: boolean;
  /** Writes ONNX nodes and returns one name an output. */
  lower(context: LowerContext, node: Node<A>): readonly Lowered[];
  /** The value for constant inputs, for constant folding. */
  evaluate?(inputs: readonly NdArray[], attributes: A, type: TensorType): NdArray | undefined;
  /** An equal but cheaper tensor, where there is one; inputs are simplified already. */
  simplify?(inputs: readonly Tensor[], attributes: A): Tensor | undefined;
}

/** One application of an operation. Nodes never change; a later node has a larger id. */
export interface Node<A extends Attributes = Attributes> {
  readonly id: number;
  readonly operation: Operation<A>;
  readonly inputs: readonly Tensor[];
  readonly attributes: A;
  readonly outputs: readonly Tensor[];
}

/**
 * An immutable symbolic tensor: one output of a node. It holds no numbers. Methods are attached in `methods.ts`, so
 * that operations can be defined without importing each other in a circle.
 */
export class Tensor implements TensorType {
  readonly node: Node;
  readonly index: number;
  readonly shape: Shape;
  readonly dtype: DType;

  constructor(node: Node, index: number, type: TensorType) {
    this.node = node;
    this.index = index;
    this.shape = type.shape;
    this.dtype = type.dtype;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** One line: the operation, the name where there is one, dtype and shape. */
  toString(): string {
    const { operation, attributes } = this.node;
    const name = "name" in this ? this.name : attributes.name;
    const label = typeof name === "string" && name !== "" ? `${operation.name} ${name}` : operation.name;
    return `${label}: ${this.dtype}${showShape(this.shape)}`;
  }
}

let nodeCount = 0;

/** A fresh node id; ids grow in the order of creation, which is therefore a topological order. */
export function nextNodeId(): number {
  return nodeCount++;
}

/** Applies an operation and returns all its outputs. */
export function applyAll<A extends Attributes>(
  operation: Operation<A>,
  inputs: readonly Tensor[],
  attributes: A,
): readonly Tensor[] {
  const types = operation.infer(inputs, attributes);
  const outputs: Tensor[] = [];
  const node: Node<A> = { id: nextNodeId(), operation, inputs, attributes, outputs };
  types.forEach((type, index) => {
    outputs.push(new Tensor(node, index, type));
  });
  return outputs;
}

/** Applies an operation with one output (or of which only the first is wanted). */
export function apply<A extends Attributes>(
  operation: Operation<A>,
  inputs: readonly Tensor[],
  attributes: A,
): Tensor {
  return outputAt(applyAll(operation, inputs, attributes), 0);
}

/** An item of a list that the operation's definition guarantees. */
export function outputAt<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`no item ${index} in a list of ${list.length}`);
  return item;
}

/** Input `index` of an operation. */
export const inputAt = outputAt<Tensor>;

/** The gradient of an operation's only output: rules are called only where it is known. */
export function onlyGradient(gradients: readonly (Tensor | undefined)[]): Tensor {
  const [gradient] = gradients;
  if (gradient === undefined) throw new RangeError("a gradient rule was called without a gradient");
  return gradient;
}

/** The size of an axis that is known to exist. */
export function dimAt(tensor: TensorType, axis: number): Shape[number] {
  return outputAt(tensor.shape, axis < 0 ? axis + tensor.shape.length : axis);
}

/** The size of an axis that must be a number while tracing. @throws ShapeError naming the operation. */
export function sizeAt(operation: string, tensor: Tensor, axis: number): number {
  const dim = tensor.shape[axis < 0 ? axis + tensor.rank : axis];
  if (typeof dim !== "number") {
    throw shapeError(operation, [tensor], `axis ${axis} must have a size that is known while tracing`);
  }
  return dim;
}

/** An axis counted from the front. @throws ShapeError naming the operation. */
export function resolveAxis(operation: string, tensor: Tensor, axis: number): number {
  const resolved = axis < 0 ? axis + tensor.rank : axis;
  if (!Number.isInteger(resolved) || resolved < 0 || resolved >= tensor.rank) {
    throw shapeError(operation, [tensor], `there is no axis ${axis}`);
  }
  return resolved;
}

/** The name of the nearest parameter above the inputs: it names the layer in which an error happened. */
function nearestParameter(inputs: readonly Tensor[]): string | undefined {
  let level = [...inputs];
  for (let depth = 0; depth < 6 && level.length > 0; depth++) {
    for (const tensor of level) {
      if ("name" in tensor && typeof tensor.name === "string" && tensor.name !== "") return tensor.name;
    }
    level = level.flatMap((tensor) => tensor.node.inputs).slice(0, 64);
  }
  return undefined;
}

/** An error that names the operation, the shapes of all inputs, what is wrong and the nearest parameter. */
export function shapeError(operation: string, inputs: readonly Tensor[], why: string): ShapeError {
  const types = inputs.map(
    (input) => `${input.dtype === "float32" ? "" : `${input.dtype} `}${showShape(input.shape)}`,
  );
  const near = nearestParameter(inputs);
  return new ShapeError(
    `${operation}: ${types.join(" and ")}: ${why}${near === undefined ? "" : ` (near parameter ${near})`}`,
  );
}

/** All nodes that the tensors depend on, in an order in which every node follows its inputs. */
export function reachableNodes(tensors: readonly Tensor[]): readonly Node[] {
  const found = new Map<number, Node>();
  const open = tensors.map((tensor) => tensor.node);
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (found.has(node.id)) continue;
    found.set(node.id, node);
    for (const { node: next } of node.inputs) if (!found.has(next.id)) open.push(next);
  }
  return [...found.values()].sort((a, b) => a.id - b.id);
}

/**
 * Rebuilds the graph below the tensors. `visit` sees each node with its rebuilt inputs and returns what replaces its
 * outputs, or undefined to leave the node as it is (with its new inputs).
 */
export function rebuild(
  tensors: readonly Tensor[],
  visit: (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | undefined,
): Tensor[] {
  const rebuilt = new Map<number, readonly Tensor[]>();
  const current = (tensor: Tensor): Tensor => {
    const outputs = rebuilt.get(tensor.node.id);
    return outputs === undefined ? tensor : outputAt(outputs, tensor.index);
  };
  for (const node of reachableNodes(tensors)) {
    const inputs = node.inputs.map(current);
    const replaced = visit(node, inputs);
    if (replaced !== undefined) rebuilt.set(node.id, replaced);
    else if (inputs.some((input, i) => input !== node.inputs[i])) {
      rebuilt.set(node.id, applyAll(node.operation, inputs, node.attributes));
    }
  }
  return tensors.map(current);
}

/** The tensors with some tensors of their graph replaced by others of the same type. */
export function substitute(tensors: readonly Tensor[], replacements: ReadonlyMap<Tensor, Tensor>): Tensor[] {
  // Several outputs of one node may be replaced.
  const byNode = new Map<number, Map<number, Tensor>>();
  for (const [{ node, index }, to] of replacements) {
    const outputs = byNode.get(node.id) ?? new Map<number, Tensor>();
    byNode.set(node.id, outputs.set(index, to));
  }
  return rebuild(tensors, (node, inputs) => {
    const replaced = byNode.get(node.id);
    if (replaced === undefined) return undefined;
    const kept = replaced.size < node.outputs.length ? applyAll(node.operation, inputs, node.attributes) : [];
    return node.outputs.map((_, i) => replaced.get(i) ?? outputAt(kept, i));
  });
}
