// A rectified flow learns the two moons; its samples are drawn as a picture and evaluated by the true density.
//
//     npx tsx examples/two-moons.ts [steps]

import { fit, openData, openRun } from "eidos";

const [steps = "1000"] = process.argv.slice(2);

// Options of training and of the model stand side by side; `npx eidos fit rectified-flow --help` lists them.
const { folder, seconds } = await fit(
  {
    model: "rectified-flow",
    data: "two-moons",
    steps: Number(steps),
    batchSize: 256,
    learningRate: 0.01,
    width: 64,
    depth: 3,
    timeSampling: "uniform",
  },
  { onProgress: ({ step, share }) => process.stdout.write(`\r${Math.round(100 * share)} %, step ${step} `) },
);
console.log(`\nfitted in ${seconds.toFixed(1)} s: ${folder}`);

await using run = await openRun(folder);
const samples = await run.sample({ count: 2000, seed: 1, solver: "heun", steps: 25 });
const picture = `${folder}/two-moons.png`;
await run.save(samples, picture);
console.log(`${samples.shape[0]} samples: ${picture}`);

// The two moons have a known density. Noise would score far below the data.
const data = await openData("two-moons");
const meanLogDensity = (points: Float32Array): number => {
  let total = 0;
  for (let i = 0; i < points.length; i += 2) {
    total += Math.max(-50, data.logDensity?.(points.subarray(i, i + 2)) ?? 0);
  }
  return total / (points.length / 2);
};
const real = data.splits.test.batch(Uint32Array.from({ length: 2000 }, (_, i) => i)).x;
console.log(`mean true log-density of samples: ${meanLogDensity(samples.data).toFixed(2)} nats`);
console.log(`mean true log-density of test points: ${meanLogDensity(real.data).toFixed(2)} nats`);
