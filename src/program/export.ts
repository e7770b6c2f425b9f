import { OptionError, WeightsError } from "../errors.ts";
import type { Tensor } from "../tensor/graph.ts";
import { Buffer, Parameter } from "../tensor/leaves.ts";
import { lowerToOnnx } from "./lower.ts";
import { graphOf, type State } from "./program.ts";

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
