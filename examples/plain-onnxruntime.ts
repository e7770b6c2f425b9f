// Exports a fitted model and runs it without eidos, in a plain ONNX Runtime session.
//
//     npx tsx examples/plain-onnxruntime.ts [steps]

import { fit, openData, openRun } from "eidos";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [steps = "300"] = process.argv.slice(2);

const { folder } = await fit({ model: "nice", data: "two-moons", steps: Number(steps) });
await using run = await openRun(folder);
const { path, bytes, description } = await run.export(`${folder}/model`);
console.log(`${path}: ${Math.round(bytes / 1024)} kB\n${description}`);

// From here on nothing but ONNX Runtime: the files run the same in Python, C++, a browser or on a phone.
const session = await InferenceSession.create(`${path}/score.onnx`);
console.log(`inputs ${session.inputNames.join()}, outputs ${session.outputNames.join()}`);

const count = 5;
const test = (await openData("two-moons")).splits.test;
const points = test.batch(Uint32Array.from({ length: count }, (_, i) => i)).x.data;
const column = (at: number) =>
  Float64Array.from({ length: count }, (_, i) => points[2 * i + at] ?? Number.NaN);
const { logLikelihood: plainly } = await session.run({
  x: new Tensor("float64", column(0), [count]),
  y: new Tensor("float64", column(1), [count]),
});

// What eidos itself computes for the same points.
const { logLikelihood } = await run.score(undefined, { split: "test" });
let largest = 0;
for (let i = 0; i < count; i++) {
  const [plain, own] = [Number(plainly?.data[i]), Number(logLikelihood[i])];
  largest = Math.max(largest, Math.abs(plain - own));
  console.log(`point ${i}: plain ONNX Runtime ${plain.toFixed(4)}, eidos ${own.toFixed(4)} nats`);
}
console.log(`largest difference: ${largest.toExponential(1)}`);
