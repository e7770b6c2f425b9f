import type {
  Codec,
  DataInfo,
  Density,
  Exportable,
  Losses,
  SampleOptions,
  Sampler,
  SymbolicBatch,
  Trainable,
} from "../nn/model.ts";
import { sampleInParts } from "../nn/sampling.ts";
import type { Session } from "../program/session.ts";
import { elementCount, float32, input, type NdArray, type Shape, type Tensor } from "../tensor/index.ts";
import type { Base } from "./base.ts";
import { byteScaling, dequantise } from "./dequantise.ts";
import { Composition, type Transform } from "./transform.ts";

/** Rows, and numbers in them, that a part of the samples may have while it is drawn. */
const PART_ROWS = 4096;
const PART_ELEMENTS = 1 << 20;

/**
 * A normalising flow over data: a base distribution and transforms that lead from data to it, by
 * log p(x) = log p_base(f(x)) + log |det ∂f/∂x|. It works on rows of D numbers; images are dequantised, scaled to [0, 1)
 * and flattened before.
 */
export class FlowModel implements Trainable, Density, Sampler, Codec, Exportable {
  readonly transforms: readonly Transform[];
  readonly likelihood: "exact" | "bound";
  private readonly base: Base;
  private readonly data: DataInfo;
  private readonly dimensions: number;

  constructor(data: DataInfo, base: Base, transforms: readonly Transform[]) {
    this.data = data;
    this.base = base;
    this.transforms = transforms;
    this.dimensions = elementCount(data.sampleShape);
    this.likelihood = data.kind === "image" ? "bound" : "exact";
  }

  private get isImage(): boolean {
    return this.data.kind === "image";
  }

  /** From rows of data units (dequantised bytes, coordinates, standardised columns) to the base's space. */
  private get flow(): Composition {
    return new Composition(
      this.isImage ? [byteScaling(this.dimensions), ...this.transforms] : this.transforms,
    );
  }

  private rows(x: Tensor): Tensor {
    return x.reshape([x.shape[0] ?? 1, this.dimensions]);
  }

  private samples(rows: Tensor): Tensor {
    return rows.reshape([rows.shape[0] ?? 1, ...this.data.sampleShape]);
  }

  /**
   * Log-density in nats of continuous data: [n, …sample] → [n]. Images are dequantised bytes, on [0, 256)ᴰ, and the
   * density is with respect to those units.
   */
  continuousLogProb(x: Tensor): Tensor {
    const { y, logDet } = this.flow.forward(this.rows(x));
    return this.base.logProb(y).add(logDet);
  }

  /** Log-density of samples; images in bytes are dequantised with noise of the runtime's generator. */
  logProb(x: Tensor): Tensor {
    return this.continuousLogProb(this.isImage ? dequantise(x) : x);
  }

  /** Mean negative log-likelihood: in bits per dimension for images, in nats otherwise. */
  loss({ x }: SymbolicBatch): Losses {
    const nats = this.logProb(x).mean().neg();
    return { total: this.isImage ? nats.mul(1 / (this.dimensions * Math.LN2)) : nats };
  }

  /** The code of continuous data, [n, …sample] → [n, D]. Bytes are placed in the middle of their unit interval. */
  encode(x: Tensor): Tensor {
    return this.flow.forward(this.rows(this.isImage ? x.add(0.5) : x)).y;
  }

  /** Data units from codes, [n, D] → [n, …sample]. Images are not rounded and not clipped. */
  decode(z: Tensor): Tensor {
    const rows = this.flow.inverse(z).x;
    return this.samples(this.isImage ? rows.sub(0.5) : rows);
  }

  async sample(session: Session, options: SampleOptions): Promise<NdArray<"float32">> {
    const decoder = session.compiled("decode", ({ z }: { readonly z: Tensor }) => ({ x: this.decode(z) }));
    const limit = Math.max(1, Math.min(PART_ROWS, Math.floor(PART_ELEMENTS / this.dimensions)));
    return sampleInParts(options, this.data.sampleShape, limit, async (randoms) => {
      const codes = new Float32Array(randoms.length * this.dimensions);
      randoms.forEach((random, i) => {
        this.base.draw(codes.subarray(i * this.dimensions, (i + 1) * this.dimensions), random);
      });
      const { x } = await decoder.run({ z: float32(codes, [randoms.length, this.dimensions]) });
      return x as NdArray<"float32">;
    });
  }

  /** The log-density and the code as a graph; for images, the dequantisation noise is an input. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const shape: Shape = ["batch", ...this.data.sampleShape];
    const x = input("x", shape);
    const continuous = this.isImage ? dequantise(x, input("noise", shape)) : x;
    const { y, logDet } = this.flow.forward(this.rows(continuous));
    return {
      outputs: { logProb: this.base.logProb(y).add(logDet), z: y },
      description: this.isImage
        ? `x: images as bytes 0 … 255 in float32, [batch, ${this.data.sampleShape}]; noise: uniform on [0, 1), same ` +
          "shape (0.5 for a fixed answer). logProb: log-density in nats of x + noise on [0, 256)^D; bits per dimension " +
          `are -logProb / (${this.dimensions} ln 2). z: the code.`
        : `x: [batch, ${this.data.sampleShape}] in data units${this.data.kind === "table" ? " (standardised columns)" : ""}. ` +
          "logProb: log-density in nats. z: the code.",
    };
  }
}
