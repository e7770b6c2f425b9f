import { type ContinuousKind, continuousKind, type DataInfo } from "../nn/model.ts";
import { float32, type NdArray, type Tensor, uniform } from "../tensor/index.ts";

/** Offset and factor by kind of data: bytes become [−1, 1]; points, which lie in about [−4, 4]², are halved; table columns
 * are standardised already. */
const UNITS: Readonly<Record<ContinuousKind, readonly [offset: number, factor: number]>> = {
  image: [127.5, 127.5],
  points: [0, 2],
  table: [0, 1],
};

/** Data units and those in which a diffusion model works: data = offset + factor · model. */
export class DataUnits {
  readonly offset: number;
  readonly factor: number;

  /** @throws OptionError for zeros and ones, which have no density */
  constructor(data: Pick<DataInfo, "kind">) {
    [this.offset, this.factor] = UNITS[continuousKind(data)];
  }

  /** Data [n, …] in model units, inside a graph. */
  toModel(x: Tensor): Tensor {
    return x.sub(this.offset).mul(1 / this.factor);
  }

  /** Samples [n, …] in data units, inside a graph. */
  toData(x: Tensor): Tensor {
    return x.mul(this.factor).add(this.offset);
  }

  /** An array of data in model units. */
  arrayToModel({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
    return float32(
      data.map((value) => (value - this.offset) / this.factor),
      shape,
    );
  }

  /** An array of samples in data units. */
  arrayToData({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
    return float32(
      data.map((value) => this.offset + this.factor * value),
      shape,
    );
  }
}

/** Bytes with uniform noise from −½ to ½, which makes reals of them around the values they stand for. */
export function dequantised(bytes: Tensor): Tensor {
  return bytes.add(uniform(bytes.shape).sub(0.5));
}
