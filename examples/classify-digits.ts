// Training is not only for generative models: a small convolutional network learns to tell digits apart. Here the
// steps are driven by hand; `fit` would do the same in a worker, with checkpoints and a run folder.
//
//     npx tsx examples/classify-digits.ts [steps]

import { openData } from "eidos";
import type { SymbolicBatch } from "eidos/model";
import { adam, Conv2d, Linear, nameParameters } from "eidos/nn";
import { compile, nodeRuntime, Random } from "eidos/program/node";
import { gatherElements, type Tensor } from "eidos/tensor";
import { initialVectors, StepTracer, Trainer } from "eidos/train";

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

const { splits } = await openData("digits");
const runtime = await nodeRuntime();
const random = new Random(0);
const net = nameParameters(new DigitNet());

const tracer = new StepTracer(net, { optimizer: adam(), averageDecay: 0 });
const source = { split: splits.train, batchSize: 64, random };
const start = { step: 0, vectors: initialVectors(tracer, random) };
const trainer = await Trainer.create(tracer, source, runtime, start);
while (trainer.step < Number(steps)) {
  const { losses } = await trainer.train(2e-3);
  if (trainer.step % 50 === 0) console.log(`step ${trainer.step}: loss ${losses.total?.toFixed(3)}`);
}

const weights = await trainer.weights();
const classify = compile(["x"], ({ x }) => ({ digit: net.forward(x).argMax(1) }), {
  runtime,
  weights,
});
const { x, label } = splits.test.batch(Uint32Array.from({ length: splits.test.count }, (_, i) => i));
const { digit } = await classify.run({ x });
const right = digit.data.filter((value, i) => value === label?.data[i]).length;
console.log(
  `accuracy on ${splits.test.count} test digits: ${((100 * right) / splits.test.count).toFixed(1)} %`,
);
