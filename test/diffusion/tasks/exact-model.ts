import { DiffusionModel, GaussianMixture, type Process } from "../../../src/diffusion/index.ts";
import type { Predicted } from "../../../src/diffusion/objective/index.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, type Tensor } from "../../../src/tensor/index.ts";

/** A component whose axes are those of space. */
export interface Cloud {
  readonly weight: number;
  readonly mean: readonly number[];
  readonly variance: readonly number[];
}

/** Three clouds of the plane that touch, so that conditional distributions have several bumps. */
export const CLOUDS: readonly Cloud[] = [
  { weight: 0.5, mean: [-0.8, -0.5], variance: [0.2, 0.1] },
  { weight: 0.3, mean: [0.3, 0.9], variance: [0.3, 0.15] },
  { weight: 0.2, mean: [0.9, -0.8], variance: [0.15, 0.2] },
];

export function mixtureOf(clouds: readonly Cloud[]): GaussianMixture {
  return new GaussianMixture(clouds);
}

/**
 * A diffusion model of rows of a table (whose units are the model's own) whose network is the best denoiser of a mixture, so
 * that what is made with it shows the method's errors alone.
 */
class ExactModel extends DiffusionModel {
  private readonly clouds: readonly Cloud[];

  constructor(clouds: readonly Cloud[], process: Process) {
    const size = clouds[0]?.mean.length ?? 0;
    super(
      {
        options: {
          width: 8,
          depth: 1,
          fourierFeatures: 0,
          channels: 8,
          blocks: 1,
          attention: [],
          middleAttention: false,
          heads: 1,
          dropout: 0,
          conditional: false,
          classDropout: 0,
        },
        process,
        prediction: "data",
        times: () => constant(0),
        objective: () => ({ total: constant(0) }),
        sampling: { solver: "ddim", steps: 50 },
      },
      { kind: "table", sampleShape: [size] },
    );
    this.clouds = clouds;
  }

  override predict(x: Tensor, time: Tensor): Predicted {
    const { process } = this;
    const size = this.dimensions;
    const count = this.clouds.length;
    const rows = (of: (cloud: Cloud) => readonly number[]): Tensor =>
      constant(float32(this.clouds.flatMap(of), [1, count, size]));
    const point = process.symbolic(time.reshape([-1, 1, 1]));
    const [mean, own] = [rows((cloud) => cloud.mean), rows((cloud) => cloud.variance)];
    const logWeight = constant(
      float32(
        this.clouds.map(({ weight }) => Math.log(weight)),
        [1, count],
      ),
    );
    const off = x.unsqueeze(1).sub(mean.mul(point.alpha));
    const variance = own.mul(point.alpha.square()).add(point.sigma.square());
    const shares = off
      .square()
      .div(variance)
      .add(variance.log())
      .sum(2)
      .mul(-0.5)
      .add(logWeight)
      .softmax(1)
      .unsqueeze(2);
    const pulled = mean.add(off.mul(point.alpha).mul(own).div(variance));
    return { output: pulled.mul(shares).sum(1) };
  }
}

/** An exact model and a session to run it in. */
export async function exactModel(
  clouds: readonly Cloud[],
  process: Process,
): Promise<{ readonly model: DiffusionModel; readonly session: Session }> {
  const model = nameParameters(new ExactModel(clouds, process));
  return { model, session: new Session(await nodeRuntime(), initialState(model, 0)) };
}

/** A session with weights drawn at random, so that networks that begin as zero say something. */
export async function randomSession(model: DiffusionModel): Promise<Session> {
  const random = new Random(7);
  const weights = [...initialState(model, 0)].map(([name, { shape, data }]) => {
    const drawn = new Float32Array(data.length);
    random.split(name).fillNormal(drawn);
    return [
      name,
      float32(
        drawn.map((value) => 0.1 * value),
        shape,
      ),
    ] as const;
  });
  return new Session(await nodeRuntime(), new Map(weights));
}
