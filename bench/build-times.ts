import { models } from "../src/catalog.ts";
import type { DataInfo } from "../src/model/index.ts";
import { nameParameters, parameterCount } from "../src/nn/index.ts";
import { nodeRuntime } from "../src/program/node.ts";
import { Program } from "../src/program/program.ts";
import { fitOptions, resolveFitOptions, tracerOf } from "../src/train/options.ts";
import { table } from "./report.ts";

/** Data of each kind, as large as what the product brings along. */
const DATA: readonly DataInfo[] = [
  { kind: "points", sampleShape: [2] },
  { kind: "table", sampleShape: [16] },
  { kind: "image", sampleShape: [1, 28, 28], classes: 10 },
];

/** Seconds from a model's options to a training step that is ready to run, for every model as it is by default. */
export async function buildTimes(threads: number): Promise<string> {
  const runtime = await nodeRuntime({ threads });
  const rows = [["training step, defaults", "of", "parameters", "to trace, s", "to load, s", "in all, s"]];
  for (const definition of models.values()) {
    for (const data of DATA.filter(({ kind }) => definition.dataKinds.includes(kind))) {
      const begun = performance.now();
      const model = nameParameters(definition.build(definition.options.parse({}), data));
      const labeled = data.classes !== undefined;
      const fit = resolveFitOptions(fitOptions.parse({}), definition.preferences?.(data) ?? {}, 1 << 16);
      const graph = tracerOf(model, fit).whole({ x: [fit.batchSize, ...data.sampleShape], labeled });
      const traced = performance.now();
      const program = await Program.build(graph, runtime);
      const loaded = performance.now();
      rows.push([
        definition.name,
        data.kind,
        String(parameterCount(model)),
        ((traced - begun) / 1000).toFixed(2),
        ((loaded - traced) / 1000).toFixed(2),
        ((loaded - begun) / 1000).toFixed(2),
      ]);
      await program.release();
    }
  }
  return table(rows);
}
