import { append } from "../append.ts";
import { type Node, reachableNodes, type Tensor } from "../tensor/graph.ts";
import { isConcrete } from "../tensor/shape.ts";

/** Bytes of an element. */
const ITEM_BYTES = { float32: 4, float64: 8, int64: 8, bool: 1 } as const;

/** Operations whose result is the memory of their input, under another shape or another name. */
const VIEWS: ReadonlySet<string> = new Set(["reshape", "stopGradient", "broadcastTo"]);

/** Bytes of a tensor; 0 where the batch size is not known yet. */
function bytesOf({ shape, dtype }: Tensor): number {
  return isConcrete(shape) ? shape.reduce((product, size) => product * size, ITEM_BYTES[dtype]) : 0;
}

/**
 * The memory that the values of a graph take together at the worst moment, in bytes, a lower bound: nodes run in the order in which they
 * were traced, a value lives until its last reader has run, a result may take the place of what its node was the last to read, and views
 * take nothing. Leaves and results live throughout. What happens within an operation and in loops is not counted.
 */
export function peakBytes(outputs: readonly Tensor[]): number {
  const nodes = reachableNodes(outputs);
  /** What holds the memory of a node's results. */
  const owners = new Map<Node, Node>();
  const ownerOf = (node: Node): Node => owners.get(node) ?? node;
  const lastRead = new Map<Node, number>();
  nodes.forEach((node, at) => {
    const [first] = node.inputs;
    if (first !== undefined && VIEWS.has(node.operation.name)) owners.set(node, ownerOf(first.node));
    for (const { node: source } of node.inputs) lastRead.set(ownerOf(source), at);
  });
  for (const { node } of outputs) lastRead.set(ownerOf(node), nodes.length);
  const sizeOf = (node: Node): number => node.outputs.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const dying = new Map<number, Node[]>();
  for (const [node, at] of lastRead) {
    if (node.inputs.length > 0) append(dying, at, node);
  }
  let live = 0;
  let peak = 0;
  nodes.forEach((node, at) => {
    for (const dead of dying.get(at) ?? []) live -= sizeOf(dead);
    if (ownerOf(node) === node) live += sizeOf(node);
    peak = Math.max(peak, live);
  });
  return peak;
}
