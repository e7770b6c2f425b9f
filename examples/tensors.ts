// Symbolic tensors: derivatives of any order, compiled to one ONNX program and run.
//
//     npx tsx examples/tensors.ts

import { compile, nodeRuntime } from "eidos/program/node";
import { float32, grad } from "eidos/tensor";

const runtime = await nodeRuntime();

// A tensor holds no numbers: it stands for a computation. `grad` makes another one, so it can be applied again.
const wave = compile(
  ["x"],
  ({ x }) => {
    const y = x.mul(x.sin());
    const [slope] = grad(y.sum(), [x]);
    const [curvature] = grad(slope.sum(), [x]);
    return { y, slope, curvature };
  },
  { runtime },
);

const points = [0, 1, 2, 3];
const { y, slope, curvature } = await wave.run({ x: float32(points, [4]) });
console.log("x    x sin x  slope    curvature");
for (const [i, x] of points.entries()) {
  const row = [y, slope, curvature].map(({ data }) => Number(data[i]).toFixed(4).padStart(7));
  console.log(`${x}    ${row.join("  ")}`);
}

// Training is the same thing: forward, backward and update are one program, called in a loop.
const step = compile(
  ["x", "target", "w"],
  ({ x, target, w }) => {
    const loss = x.matmul(w).sub(target).square().mean();
    const [slope] = grad(loss, [w]);
    return { loss, w: w.sub(slope.mul(0.1)) };
  },
  { runtime },
);

const x = float32([1, 0, 0, 1, 1, 1, 2, -1], [4, 2]);
const target = float32([3, -2, 1, 8], [4, 1]); // 3 a − 2 b
let w = float32([0, 0], [2, 1]);
for (let i = 0; i < 100; i++) {
  const next = await step.run({ x, target, w });
  w = float32(next.w.data as Float32Array, [2, 1]);
}
console.log(`weights after 100 steps: ${Array.from(w.data, (value) => value.toFixed(3)).join(", ")}`);
