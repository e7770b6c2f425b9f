// Trains a rectified flow on the two moons inside the page, in WebAssembly, and draws its samples as it learns.
// serve.ts bundles and serves this file; nothing of it needs a server afterwards.

import { planePoints } from "eidos/data";
import { RectifiedFlow, rectifiedFlowOptions } from "eidos/diffusion";
import { Session, webRuntime } from "eidos/program/web";
import { train } from "eidos/train";

const steps = Number(new URLSearchParams(location.search).get("steps") ?? 1500);
const status = document.querySelector("#status") as HTMLElement;
const canvas = document.querySelector("#canvas") as HTMLCanvasElement;

const data = planePoints("two-moons", { seed: 0, count: 10_000 });
const options = rectifiedFlowOptions.parse({ width: 64, depth: 3, timeSampling: "uniform" });
const model = new RectifiedFlow(options, { kind: data.kind, sampleShape: data.sampleShape });

const runtime = await webRuntime({ provider: "wasm", wasmPaths: "/onnxruntime-web/" });
const training = train(model, {
  data,
  runtime,
  batchSize: 256,
  learningRate: (step) => 0.01 * (1 - step / steps),
  averageDecay: 0.99,
  steps,
});

const begun = performance.now();
for await (const { step, losses } of training) {
  if (step % 50 === 0) {
    await draw();
    status.textContent = `step ${step} of ${steps}: loss ${losses.total.toFixed(3)}`;
  }
}
const seconds = ((performance.now() - begun) / 1000).toFixed(1);
const distance = await draw();
const threads = globalThis.crossOriginIsolated ? "with threads" : "on one thread";
status.textContent = `done: ${steps} steps in ${seconds} s ${threads}; mean true log-density ${distance.toFixed(2)} nats`;

/** Draws data and samples; returns the mean log-density of the samples under the true distribution. */
async function draw(): Promise<number> {
  const session = new Session(runtime, await training.weights());
  const samples = (await model.sample(session, { count: 1000, seed: 1, steps: 10 })).data;
  await session.release();
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  context.clearRect(0, 0, 800, 800);
  const real = data.splits.test.batch(Uint32Array.from({ length: 1000 }, (_, i) => i)).x.data;
  let total = 0;
  for (const [points, color] of [
    [real, "#bbb"],
    [samples, "#06c"],
  ] as const) {
    context.fillStyle = color;
    for (let i = 0; i < points.length; i += 2) {
      context.fillRect(400 + 95 * (points[i] ?? 0), 400 - 95 * (points[i + 1] ?? 0), 4, 4);
      if (points === samples) total += Math.max(-50, data.logDensity?.(points.subarray(i, i + 2)) ?? 0);
    }
  }
  return total / (samples.length / 2);
}
