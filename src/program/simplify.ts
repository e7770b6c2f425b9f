import {
  type Attributes,
  applyAll,
  type Node,
  type Operation,
  outputAt,
  rebuild,
  type Tensor,
} from "../tensor/graph.ts";
import { type ConstantAttributes, constant, constantOperation, constantValue } from "../tensor/leaves.ts";

/** Constants up to this many elements are compared by content. */
const COMPARED_ELEMENTS = 64;

const operationNumbers = new WeakMap<object, number>();
let operationCount = 0;

/** A number that identifies an operation object; two operations may share a name. */
function operationNumber(operation: Operation): number {
  const known = operationNumbers.get(operation);
  if (known !== undefined) return known;
  operationNumbers.set(operation, operationCount);
  return operationCount++;
}

/** Nodes with equal keys compute the same values; undefined for leaves, each of which is one of its kind. */
function commonKey(node: Node, inputs: readonly Tensor[], attributes: Attributes): string | undefined {
  if (node.operation === constantOperation) {
    const { value } = attributes as ConstantAttributes;
    if (value.data.length > COMPARED_ELEMENTS) return undefined;
    return `constant ${value.dtype} [${value.shape}] ${value.data.join()}${signs(value.data)}`;
  }
  if (inputs.length === 0) return undefined;
  const sources = inputs.map((input) => `${input.node.id}:${input.index}`);
  return `${operationNumber(node.operation)} ${sources.join()} ${JSON.stringify(attributes, numberText)}`;
}

// JSON has no infinities, no NaN and no −0.
function numberText(_name: string, value: unknown): unknown {
  return typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
    ? `#${1 / value}#${value}`
    : value;
}

// −0 and 0 print alike.
function signs(data: ArrayLike<number | bigint>): string {
  return Array.from(data, (value) => (Object.is(value, -0) ? "-" : "")).join("");
}

/**
 * Removes what a program need not compute: dead nodes are never visited, equal nodes are merged, operations on
 * constants are evaluated, and each operation's own simplifications are applied.
 */
export function simplify(outputs: readonly Tensor[]): Tensor[] {
  const seen = new Map<string, readonly Tensor[]>();
  const merge = (node: Node, inputs: readonly Tensor[]): readonly Tensor[] | undefined => {
    const key = commonKey(node, inputs, node.attributes);
    if (key === undefined) return undefined;
    const held = seen.get(key);
    if (held !== undefined) return held;
    const made = inputs.every((input, i) => input === node.inputs[i])
      ? node.outputs
      : applyAll(node.operation, inputs, node.attributes);
    seen.set(key, made);
    return made;
  };
  // What a rule returns is an input or new. A new node may be equal to one seen before, or allow another rule.
  const settle = (tensor: Tensor): Tensor => {
    const { node, index } = tensor;
    const again = cheaper(node, node.inputs);
    if (again !== undefined) return settle(again);
    const merged = merge(node, node.inputs);
    return merged === undefined ? tensor : outputAt(merged, index);
  };
  return rebuild(outputs, (node, inputs) => {
    const replaced = cheaper(node, inputs);
    return replaced === undefined ? merge(node, inputs) : [settle(replaced)];
  });
}

/** What an operation's own rule or its value on constants puts instead of it. */
function cheaper({ operation, attributes, outputs }: Node, inputs: readonly Tensor[]): Tensor | undefined {
  const type = outputs[0];
  if (type === undefined || outputs.length > 1 || inputs.length === 0) return undefined;
  const simplified = operation.simplify?.(inputs, attributes);
  if (simplified !== undefined || operation.evaluate === undefined) return simplified;
  const values = inputs.map(constantValue);
  if (!values.every((value) => value !== undefined)) return undefined;
  const folded = operation.evaluate(values, attributes, type);
  return folded && constant(folded);
}
