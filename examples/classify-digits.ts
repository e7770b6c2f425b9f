// Training is not only for generative models: a small convolutional network learns to tell digits apart. Here the
// steps are driven by hand; `fit` would do the same in a worker, with checkpoints and a run folder.
//
//     npx tsx examples/classify-digits.ts [steps]

import { openData } from "eidos";
import type { SymbolicBatch } from "eidos/model";
import { Conv2d, Linear } from "eidos/nn";
import { compile, nodeRuntime } from "eidos/program/node";
import { gatherElements, type Tensor } from "eidos/tensor";
import { train } from "eidos/train";

const [steps = "300"] = process.argv.slice(2);

class DigitNet {
  readonly conv1 = new Conv2d(1, 16, 5, { stride: 2, padding: 2 }); // 28 × 28 → 14 × 14
  readonly conv2 = new Conv2d(16, 32, 3, { stride: 2, padding: 1 }); // → 7 × 7
  readonly head = new Linear(32 * 7 * 7, 10);

  forward(bytes: Tensor): Tensor {
    const x = bytes.mul(1 / 255);
    const features = this.conv2.forward(this.conv1.forward(x).relu()).relu();
    return this.head.forward(features.reshape([-1, 32 * 7 * 7]));
  }

  /** Cross-entropy: the mean negative log-probability of the right class. */
  loss({ x, label }: SymbolicBatch) {
    if (label === undefined) throw new Error("this network wants labels");
    const logProbs = this.forward(x).logSoftmax(1);
    return { total: gatherElements(logProbs, label.unsqueeze(1), 1).mean().neg() };
  }
}

const data = await openData("digits");
const runtime = await nodeRuntime();
const net = new DigitNet();

const training = train(net, { data, runtime, batchSize: 64, learningRate: 2e-3, steps: Number(steps) });
for await (const { step, losses } of training) {
  if (step % 50 === 0) console.log(`step ${step}: loss ${losses.total.toFixed(3)}`);
}

const weights = await training.weights();
const classify = compile(["x"], ({ x }) => ({ digit: net.forward(x).argMax(1) }), {
  runtime,
  weights,
});
const { test } = data.splits;
const { x, label } = test.batch(Uint32Array.from({ length: test.count }, (_, i) => i));
const { digit } = await classify.run({ x });
const right = digit.data.filter((value, i) => value === label?.data[i]).length;
console.log(`accuracy on ${test.count} test digits: ${((100 * right) / test.count).toFixed(1)} %`);
