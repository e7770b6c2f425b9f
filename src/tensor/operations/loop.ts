import { int64, type NdArray } from "../array.ts";
import {
  applyAll,
  type LowerContext,
  type Node,
  type Operation,
  outputAt,
  reachableNodes,
  shapeError,
  substitute,
  type Tensor,
} from "../graph.ts";
import { constant, constantOperation, input } from "../leaves.ts";
import { sameShape } from "../shape.ts";

/** What one round of a loop makes of the state. */
export interface LoopRound {
  /** Of the same number, shapes and dtypes as before. */
  readonly state: readonly Tensor[];
  /** Whether another round follows, a bool scalar; always, where absent. */
  readonly again?: Tensor;
}

/** A state as long as the one that a loop begins with. */
export type LoopState<S extends readonly Tensor[]> = { readonly [K in keyof S]: Tensor };

export interface LoopOptions {
  /** Rounds at most. */
  readonly maximum: number;
}

/** Constants of up to this many elements are written into the loop; others are made once outside. */
const SMALL = 64;

const TRUE: NdArray = { dtype: "bool", shape: [], data: new Uint8Array([1]) };

/**
 * Repeats a round inside the program until it asks to stop, at least once and at most `maximum` times, and returns the last
 * state. What the body uses from outside is computed once, random leaves too: they hold the same draws in every round.
 * A loop has no derivative: gradients do not flow through it.
 * @param body makes the next state from the current one and the number of rounds done (int64 scalar)
 * @throws ShapeError where the body changes the number, shapes or dtypes of the state
 */
export function whileLoop<const S extends readonly Tensor[]>(
  initial: S,
  body: (state: LoopState<S>, step: Tensor) => LoopRound,
  { maximum }: LoopOptions,
): LoopState<S> {
  const step = input("loop.step", [], "int64");
  const state = initial.map((tensor, i) => input(`loop.state.${i}`, tensor.shape, tensor.dtype));
  // As many, of the same types, in the same order.
  const round = body(state as unknown as LoopState<S>, step);
  if (
    round.state.length !== state.length ||
    round.state.some((next, i) => {
      const before = outputAt(state, i);
      return next.dtype !== before.dtype || !sameShape(next.shape, before.shape);
    })
  ) {
    throw shapeError("whileLoop", [...state, ...round.state], "a round must keep the types of the state");
  }
  const outputs = [round.again ?? constant(TRUE), ...round.state];
  const outside = valuesFromOutside(outputs, [step, ...state]);
  const leaves = outside.map((tensor, i) => input(`loop.outside.${i}`, tensor.shape, tensor.dtype));
  const inside = substitute(outputs, new Map(outside.map((tensor, i) => [tensor, outputAt(leaves, i)])));
  const operation = loopOperation({ step, state, leaves, outputs: inside });
  return applyAll(operation, [...initial, ...outside], { maximum }) as unknown as LoopState<S>;
}

/** The traced body of a loop: its leaves, and first whether to go on, then the next state. */
interface LoopBody {
  readonly step: Tensor;
  readonly state: readonly Tensor[];
  /** For the values from outside. */
  readonly leaves: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** Tensors that the body reads but that do not change from round to round. */
function valuesFromOutside(outputs: readonly Tensor[], changing: readonly Tensor[]): readonly Tensor[] {
  const inside = new Set(changing.map(({ node }) => node.id));
  const found = new Map<string, Tensor>();
  const take = (tensor: Tensor): void => {
    const { node, index } = tensor;
    const small =
      node.operation === constantOperation &&
      (node.attributes as { value: NdArray }).value.data.length <= SMALL;
    if (!inside.has(node.id) && !small) found.set(`${node.id}:${index}`, tensor);
  };
  for (const node of reachableNodes(outputs)) {
    if (!node.inputs.some((tensor) => inside.has(tensor.node.id))) continue;
    inside.add(node.id);
    for (const tensor of node.inputs) take(tensor);
  }
  for (const tensor of outputs) take(tensor);
  return [...found.values()];
}

/** Each loop is an operation of its own, since its body is no plain attribute. */
function loopOperation(body: LoopBody): Operation<{ readonly maximum: number }> {
  return {
    name: "whileLoop",
    infer: (inputs) => inputs.slice(0, body.state.length),
    lower: (context, node) => lowerLoop(context, node, body),
  };
}

function lowerLoop(
  context: LowerContext,
  node: Node<{ readonly maximum: number }>,
  { step, state, leaves, outputs }: LoopBody,
): readonly string[] {
  const names = node.inputs.map((tensor) => context.value(tensor));
  const count = state.length;
  const graph = context.subgraph({
    inputs: [step, input("loop.again", [], "bool"), ...state],
    outside: new Map(leaves.map((leaf, i) => [leaf, outputAt(names, count + i)])),
    outputs,
  });
  return context.emit({
    op: "Loop",
    inputs: [
      context.constant(int64([node.attributes.maximum], [])),
      context.constant(TRUE),
      ...names.slice(0, count),
    ],
    attributes: { body: graph },
    outputs: count,
  });
}
