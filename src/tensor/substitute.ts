import { applyAll, type Node, outputAt, type Tensor } from "./graph.ts";

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
