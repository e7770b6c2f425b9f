import { z } from "zod";
import type { InpaintOptions, SampleOptions } from "../../../src/model/capabilities.ts";
import { defineModel } from "../../../src/model/definition.ts";
import type { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { elementCount, float32, type NdArray } from "../../../src/tensor/array.ts";
import { Parameter, type Tensor } from "../../../src/tensor/index.ts";

/** The probability of a one in element i, as the model begins: from near 0 to near 1. */
export const probability = (i: number, size: number): number => (i + 1) / (size + 1);

/** Independent zeros and ones: the smallest model of binary data that can do everything. */
class Bernoullis {
  readonly likelihood = "exact";
  readonly hasGaussianCodes = false;
  readonly logits: Parameter;
  readonly dimensions: number;
  private readonly sampleShape: readonly number[];

  constructor(sampleShape: readonly number[]) {
    this.sampleShape = sampleShape;
    const size = elementCount(sampleShape);
    this.dimensions = size;
    this.logits = new Parameter([size], (target) => {
      for (let i = 0; i < size; i++) target[i] = Math.log(probability(i, size) / (1 - probability(i, size)));
    });
  }

  logProb(x: Tensor): Tensor {
    const signs = x.reshape([-1, this.dimensions]).mul(2).add(-1);
    return signs.mul(this.logits).neg().softplus().neg().sum([1]);
  }

  loss({ x }: { readonly x: Tensor }) {
    return { total: this.logProb(x).mean().neg() };
  }

  async sample(session: Session, { count, seed }: SampleOptions): Promise<NdArray<"float32">> {
    const size = this.dimensions;
    const x = float32(new Float32Array(count * size), [count, ...this.sampleShape]);
    const known = float32(new Float32Array(count * size), [count, ...this.sampleShape]);
    const { data } = await this.inpaint(session, { x, known, draws: 1, seed });
    return float32(data, [count, ...this.sampleShape]);
  }

  /** The conditional distribution of independent elements is their own. */
  async inpaint(session: Session, { x, known, draws, seed }: InpaintOptions): Promise<NdArray<"float32">> {
    const compiled = session.compiled(this, "ones", [], () => ({ p: this.logits.sigmoid() }));
    const { p } = await compiled.run({});
    const size = this.dimensions;
    const [count = 0] = x.shape;
    const random = new Random(seed);
    const data = new Float32Array(count * draws * size);
    for (let at = 0; at < data.length; at++) {
      const [sample, i] = [Math.floor(at / (draws * size)), at % size];
      const isKnown = known.data[known.data.length === size ? i : sample * size + i] === 1;
      const drawn = Number(random.uniform() < Number(p.data[i]));
      data[at] = isKnown ? (x.data[sample * size + i] ?? 0) : drawn;
    }
    return float32(data, [count, draws, ...this.sampleShape]);
  }

  encode(x: Tensor): Tensor {
    return x.reshape([-1, this.dimensions]).mul(4).add(-2);
  }

  decode(z: Tensor): Tensor {
    return z.sigmoid().reshape([-1, ...this.sampleShape]);
  }

  codeContext(): undefined {
    return undefined;
  }
}

export default defineModel({
  name: "bernoullis",
  summary: "independent zeros and ones",
  paper: "none",
  dataKinds: ["binary"],
  can: ["sample", "score", "inpaint", "encode", "decode"],
  options: z.strictObject({}),
  build: (_, { sampleShape }) => new Bernoullis(sampleShape),
});
