// How far a location of a map sees, in each of the three branches of a TridentNet: the gradient of one location in the middle to the
// image, averaged over images of noise. The weights are the same for all three, and random: nothing is trained.
//
//     npx tsx examples/receptive-fields.ts

import { mkdir, writeFile } from "node:fs/promises";
import { FeatureNetwork } from "eidos/detection/network";
import { initialState, nameParameters } from "eidos/nn";
import { nodeRuntime, Program } from "eidos/program/node";
import { encodePng, imageGrid } from "eidos/report";
import { constant, float32, grad, input } from "eidos/tensor";

const [SIDE, STRIDE, IMAGES] = [256, 8, 8];
const BRANCHES = [1, 2, 3];

const network = nameParameters(
  new FeatureNetwork({
    backbone: "resnet",
    width: 1,
    depth: 1,
    neck: "none",
    finestStride: STRIDE,
    levels: 1,
    trident: "full",
  }),
);
const cells = SIDE / STRIDE;
const middle = new Float32Array(cells * cells);
middle[(cells / 2) * cells + cells / 2] = 1;

const x = input("x", [IMAGES, 3, SIDE, SIDE]);
const outputs = BRANCHES.map((dilation) => {
  const [map] = network.forward(x, [dilation]);
  if (map === undefined) throw new Error("the network has no map");
  const seen = map.square().mul(constant(float32(middle, [1, 1, cells, cells])));
  const [slopes] = grad(seen.sum(), [x]);
  return [`dilation ${dilation}`, slopes.square().mean([0, 1]).sqrt()] as const;
});
const program = await Program.build(
  Object.fromEntries(outputs),
  await nodeRuntime(),
  initialState(network, 0),
);
const noise = Float32Array.from(
  { length: IMAGES * 3 * SIDE * SIDE },
  (_, i) => (Math.abs(Math.sin(12.9898 * i)) * 43758.5453) % 256,
);
const fields = await program.run({ x: float32(noise, x.shape as number[]) });

/** Half the side of the square around the middle that holds so much of the squared gradient. */
function reach(field: Float32Array, share: number): number {
  const rings = new Float64Array(SIDE / 2 + 1);
  const center = SIDE / 2 + STRIDE / 2;
  for (const [i, value] of field.entries()) {
    const [row, column] = [Math.floor(i / SIDE), i % SIDE];
    const ring = Math.max(Math.abs(row + 0.5 - center), Math.abs(column + 0.5 - center));
    const at = Math.min(rings.length - 1, Math.floor(ring));
    rings[at] = (rings[at] ?? 0) + value * value;
  }
  const total = rings.reduce((a, b) => a + b);
  return rings.findIndex((_, i) => rings.subarray(0, i + 1).reduce((a, b) => a + b) >= share * total);
}

const panels = BRANCHES.map((dilation) => fields[`dilation ${dilation}`]?.data as Float32Array);
const largest = Math.max(...panels.flatMap((field) => field.reduce((a, b) => Math.max(a, b), 0)));
for (const [i, field] of panels.entries()) {
  const [half, most] = [0.5, 0.9].map((share) => reach(field, share));
  console.log(
    `dilation ${BRANCHES[i]}: half of the squared gradient within ${half} pixels, 90 % within ${most} pixels`,
  );
}

// The cube root lets faint edges be seen.
const pictures = panels.flatMap((field) => Array.from(field, (value) => 255 * Math.cbrt(value / largest)));
await mkdir("runs", { recursive: true });
await writeFile(
  "runs/receptive-fields.png",
  await encodePng(imageGrid(float32(pictures, [3, 1, SIDE, SIDE]), { columns: 3, padding: 6 })),
);
console.log("runs/receptive-fields.png");
