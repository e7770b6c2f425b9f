// A normalizing flow of one's own, put together from parts: the two moons are carried into a mixture of Gaussians by
// couplings, batch normalization and a rotation that is written here.
//
//     npx tsx examples/own-flow.ts [steps]

import { openData } from "eidos";
import {
  BatchNormTransform,
  Coupling,
  FlowModel,
  GaussianMixture,
  LogisticMixtureBijection,
  ReluNetwork,
  type Transform,
} from "eidos/flows";
import { initializers } from "eidos/nn";
import { compile, nodeRuntime, Session } from "eidos/program/node";
import { concat, constant, Parameter, split, type Tensor } from "eidos/tensor";
import { train } from "eidos/train";

const [steps = "300"] = process.argv.slice(2);

/** Turns the plane by a learned angle. Volume stays, so the log-determinant is 0. */
class Rotation implements Transform {
  readonly angle = new Parameter([1, 1], initializers.constant(0.5));

  private turn(points: Tensor, angle: Tensor): Tensor {
    const [a, b] = split(points, 1, 2) as [Tensor, Tensor];
    const [sin, cos] = [angle.sin(), angle.cos()];
    return concat([a.mul(cos).sub(b.mul(sin)), a.mul(sin).add(b.mul(cos))], 1);
  }

  forward(x: Tensor) {
    return { y: this.turn(x, this.angle), logDet: constant(0).broadcastTo([x.shape[0] ?? 1]) };
  }

  inverse(y: Tensor) {
    return { x: this.turn(y, this.angle.neg()), logDet: constant(0).broadcastTo([y.shape[0] ?? 1]) };
  }
}

// A coupling changes one half of the numbers by a monotonic function whose parameters a network reads off the other.
const bijection = new LogisticMixtureBijection(6);
const transforms = Array.from({ length: 4 }, () => [
  new Rotation(),
  new Coupling([1, 1], "second", bijection, new ReluNetwork([1, 32, 32, bijection.parameterCount])),
  new BatchNormTransform(2),
]).flat();
const points = { kind: "points", sampleShape: [2] } as const;
const flow = new FlowModel(points, { base: new GaussianMixture(2, 4), transforms });

const data = await openData("two-moons");
const runtime = await nodeRuntime();
const training = train(flow, {
  data,
  runtime,
  batchSize: 512,
  learningRate: (step) => 0.01 * (1 - step / Number(steps)), // decays to 0
  averageDecay: 0.99,
  steps: Number(steps),
});
for await (const { step, losses } of training) {
  if (step % 50 === 0) console.log(`step ${step}: loss ${losses.total.toFixed(3)}`);
}

const weights = await training.weights();
const score = compile(["x"], ({ x }) => ({ logProb: flow.logProb(x) }), { runtime, weights });
const { x } = data.splits.test.batch(Uint32Array.from({ length: 2000 }, (_, i) => i));
const { logProb } = await score.run({ x });
const mean = (values: Iterable<number | bigint>) => Array.from(values, Number).reduce((a, b) => a + b) / 2000;
const truth = Array.from(
  { length: 2000 },
  (_, i) => data.logDensity?.(x.data.subarray(2 * i, 2 * i + 2)) ?? 0,
);
console.log(`log-likelihood of 2000 test points: ${mean(logProb.data).toFixed(3)} nats`);
console.log(`by the true density: ${mean(truth).toFixed(3)} nats`);

const samples = await flow.sample(new Session(runtime, weights), { count: 3, seed: 1 });
for (let i = 0; i < 3; i++)
  console.log(`sample: ${[...samples.data.subarray(2 * i, 2 * i + 2)].map((v) => v.toFixed(2))}`);
