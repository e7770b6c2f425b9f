// Loads weights that PyTorch saved as safetensors (pytorch/save.py), computes the same, and writes them back.
//
//     npx tsx examples/pytorch-weights.ts

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { checkState, Linear, nameParameters, readSafetensors, writeSafetensors } from "eidos/nn";
import { compile, nodeRuntime } from "eidos/program/node";
import { float32, type Tensor } from "eidos/tensor";

// nn.Sequential(Linear, SiLU, Linear, SiLU, Linear): its parameters are called 0.weight, 0.bias, 2.weight, …
class Net {
  readonly 0 = new Linear(2, 16);
  readonly 2 = new Linear(16, 16);
  readonly 4 = new Linear(16, 1);

  forward(x: Tensor): Tensor {
    return this[4].forward(this[2].forward(this[0].forward(x).silu()).silu());
  }
}

const file = new URL("pytorch/mlp.safetensors", import.meta.url);
const { tensors, metadata } = readSafetensors(await readFile(file), file.pathname);
for (const [name, { dtype, shape }] of tensors) console.log(`${name}: ${dtype} [${shape}]`);

// Names and shapes are compared one by one; what is missing, superfluous or misshapen is listed.
const net = nameParameters(new Net());
const weights = checkState(tensors, net, file.pathname);

const expected: { x: number[]; y: number[] } = JSON.parse(metadata.expected ?? "");
const forward = compile(["x"], ({ x }) => ({ y: net.forward(x) }), {
  runtime: await nodeRuntime(),
  weights,
});
const { y } = await forward.run({ x: float32(expected.x, [expected.x.length / 2, 2]) });
const differences = expected.y.map((value, i) => Math.abs(value - Number(y.data[i])));
console.log(`largest difference to PyTorch: ${Math.max(...differences).toExponential(1)}`);

// PyTorch reads this with safetensors.torch.load_file and model.load_state_dict.
await mkdir("runs", { recursive: true });
await writeFile("runs/mlp-from-eidos.safetensors", writeSafetensors(weights, { format: "pt" }));
console.log("written back: runs/mlp-from-eidos.safetensors");
