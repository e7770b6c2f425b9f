import onnxProto from "onnx-proto";
import { RuntimeError } from "../errors.ts";
import type { Runtime, RuntimeSession, Value } from "../program/runtime.ts";
import { floatOutput, type GraphProto, ModelEdit, type NodeProto, type Scope } from "./edit.ts";
import type { Range } from "./quantization.ts";

// How large the values inside of a network are on samples: the smallest and largest numbers that are seen (ONNX Runtime's calibration `MinMax`). The
// network itself computes them, as further outputs of two numbers for each value.

const { onnx } = onnxProto;

/** What a network is fed. */
export type NetworkFeeds = Readonly<Record<string, Value>>;

/** A value whose range is wanted, and the graph in which it can be read. */
export interface Watched {
  readonly name: string;
  readonly scope: Scope;
}

const extremes = ["ReduceMin", "ReduceMax"] as const;

/** Hands a number out of the body of a loop: a list of one number for each time that it ran, of which the extreme is taken. */
function handedOut(edit: ModelEdit, inner: string, op: string, { owner, graph }: Scope): string {
  if (owner === undefined) return inner;
  if (owner.node.opType !== "Loop")
    throw new RuntimeError(`a graph within a node ${owner.node.opType} is not watched`);
  graph.output = [...(graph.output ?? []), floatOutput(inner)];
  const all = edit.fresh(`${inner}.all`);
  owner.node.output = [...(owner.node.output ?? []), all];
  const one = edit.fresh(`${inner}.one`);
  append(owner.scope.graph, edit.node(op, [all], one, { keepdims: 0 }));
  return handedOut(edit, one, op, owner.scope);
}

function append(graph: GraphProto, node: NodeProto): void {
  graph.node = [...((graph.node ?? []) as NodeProto[]), node];
}

/** A model with further outputs: the extremes of values. */
function watching(
  model: Uint8Array,
  wanted: (edit: ModelEdit) => readonly Watched[],
): {
  readonly bytes: Uint8Array;
  readonly outputs: readonly (readonly [value: string, names: readonly string[]])[];
} {
  const edit = new ModelEdit(model);
  const outputs = wanted(edit).map(({ name, scope }) => {
    const names = extremes.map((op) => {
      const own = edit.fresh(`${name}.${op}`);
      append(scope.graph, edit.node(op, [name], own, { keepdims: 0 }));
      return handedOut(edit, own, op, scope);
    });
    return [name, names] as const;
  });
  const own = (edit.graph.output ?? []) as InstanceType<typeof onnx.ValueInfoProto>[];
  edit.graph.output = [...own, ...outputs.flatMap(([, names]) => names.map((name) => floatOutput(name)))];
  return { bytes: edit.bytes(), outputs };
}

/** All results of a run as numbers. */
async function numbers(session: RuntimeSession, feeds: NetworkFeeds): Promise<ReadonlyMap<string, number>> {
  const results = await session.run(feeds);
  const found = new Map<string, number>();
  for (const [name, value] of Object.entries(results)) {
    const { data } = await value.read();
    if (data.length === 1) found.set(name, Number(data[0]));
  }
  return found;
}

/**
 * The ranges of values of a network over samples.
 * @param wanted the values, each once
 * @returns ranges by the values' names; values that were not finite have none
 */
export async function calibrate(
  model: Uint8Array,
  wanted: (edit: ModelEdit) => readonly Watched[],
  samples: AsyncIterable<NetworkFeeds>,
  runtime: Runtime,
): Promise<ReadonlyMap<string, Range>> {
  const { bytes, outputs } = watching(model, wanted);
  const ranges = new Map<string, Range>();
  if (outputs.length === 0) return ranges;
  const session = await runtime.load(bytes, true);
  try {
    for await (const feeds of samples) {
      const found = await numbers(session, feeds);
      for (const [name, [least = "", most = ""]] of outputs) {
        const known = ranges.get(name);
        ranges.set(name, {
          minimum: Math.min(known?.minimum ?? Number.POSITIVE_INFINITY, found.get(least) ?? Number.NaN),
          maximum: Math.max(known?.maximum ?? Number.NEGATIVE_INFINITY, found.get(most) ?? Number.NaN),
        });
      }
    }
  } finally {
    await session.release();
  }
  const finite = ({ minimum, maximum }: Range) => Number.isFinite(minimum) && Number.isFinite(maximum);
  return new Map([...ranges].filter(([, range]) => finite(range)));
}
