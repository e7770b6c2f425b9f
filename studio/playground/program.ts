import type { DataSpec } from "./data.ts";
import { MODELS, type ModelKey, type Reflow, type Settings } from "./models.ts";

interface ProgramRequest {
  readonly key: ModelKey;
  readonly data: DataSpec;
  readonly settings: Settings;
  readonly steps: number;
  readonly seed: number;
}

/** A value as the text of a program. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, entry]) => `${name}: ${literal(entry)}`);
    return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
  }
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return JSON.stringify(value);
}

/** The part of a program that fits a flow to pairs of its own. */
function pairsOf({ after, pairs, solver, steps }: Reflow & { readonly steps: number }): string {
  return `
// Reflow: the flow is fitted to pairs of noise and what it makes of it.
const weights = await training.weights();
const drawing = new Session(runtime, weights);
const pairs = await model.drawPairs?.(drawing, ${literal({ ...solver, count: pairs, seed: 0 })});
await drawing.release();
if (pairs === undefined) throw new Error("the model draws no pairs");
training = train(model, { ...how, data: withPairs(data, pairs), weights, steps: ${steps} });
for await (const { step, losses } of training) {
  if (step % 100 === 0) console.log(\`step \${${after} + step}: loss \${losses.total.toFixed(3)}\`);
}
`;
}

/** A program for Node that trains a model of the playground as the page does, and draws samples. */
export function programOf({ key, data, settings, steps, seed }: ProgramRequest): string {
  const { recipe, fixed } = MODELS[key];
  const { reflow } = recipe;
  const again =
    reflow !== undefined && steps > reflow.after ? { ...reflow, steps: steps - reflow.after } : undefined;
  const isDrawing = data.kind === "drawing";
  const source = isDrawing
    ? `drawnPoints(strokesDensity(${literal(data.strokes)}), { seed: 0, count: 20_000 })`
    : `planePoints(${literal(data.name)}, { seed: 0, count: 20_000 })`;
  const imports = [
    ...(isDrawing ? ["drawnPoints", "strokesDensity"] : ["planePoints"]),
    ...(again === undefined ? [] : ["withPairs"]),
  ].join(", ");
  const optimizer = recipe.adam === undefined ? "" : `\n  optimizer: adam(${literal(recipe.adam)}),`;
  return `// Trains what the playground of eidos studio has shown, and draws samples.
//
//     npm install eidos tsx
//     npx tsx ${key}.ts

import { buildModel, findModel } from "eidos/catalog";
import { ${imports} } from "eidos/data";
import { energyDistance } from "eidos/metrics";${recipe.adam === undefined ? "" : '\nimport { adam } from "eidos/nn";'}
import { nodeRuntime, Session } from "eidos/program/node";
import { float32 } from "eidos/tensor";
import { train } from "eidos/train";

const data = ${source};
const model = buildModel(findModel(${literal(recipe.model)}), ${literal(recipe.options)}, {
  kind: data.kind,
  sampleShape: data.sampleShape,
});

const runtime = await nodeRuntime();
const how = {
  runtime,
  batchSize: ${recipe.batchSize},
  learningRate: (step: number) => ${recipe.learningRate} * Math.min(1, (step + 1) / ${recipe.warmupSteps}),
  averageDecay: ${recipe.averageDecay},
  seed: 0,${optimizer}
};
${again === undefined ? "const" : "let"} training = train(model, { ...how, data, steps: ${again === undefined ? steps : again.after} });
for await (const { step, losses } of training) {
  if (step % 100 === 0) console.log(\`step \${step}: loss \${losses.total.toFixed(3)}\`);
}
${again === undefined ? "" : pairsOf(again)}
const session = new Session(runtime, await training.weights());
const options = ${literal({ count: 500, seed, ...fixed, ...settings })};
const samples = await model.sample?.(session, options);
if (samples === undefined) throw new Error("the model draws no samples");
const heldOut = data.splits.test.batch(Uint32Array.from({ length: 500 }, (_, i) => i)).x;
const distance = energyDistance(samples, float32(heldOut.data as Float32Array, heldOut.shape));
console.log(\`energy distance of 500 samples to 500 held-out points: \${distance.toFixed(4)}\`);
await session.release();
`;
}
