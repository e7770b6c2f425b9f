import type { DataInfo } from "../nn/model.ts";
import type { Random } from "../random.ts";
import { concat, split, type Tensor } from "../tensor/index.ts";
import {
  CategoryObservation,
  GaussianObservation,
  type ObservationModel,
  type ScaleSource,
} from "./observation.ts";

/** Parts of a sample side by side, independent of each other given z. */
export class JointObservation implements ObservationModel {
  readonly parts: readonly ObservationModel[];

  constructor(parts: readonly ObservationModel[]) {
    this.parts = parts;
  }

  get size(): number {
    return sum(this.sizes);
  }

  get outputs(): number {
    return sum(this.outputSizes);
  }

  get noiseSize(): number {
    return sum(this.noiseSizes);
  }

  private get sizes(): readonly number[] {
    return this.parts.map(({ size }) => size);
  }

  private get outputSizes(): readonly number[] {
    return this.parts.map(({ outputs }) => outputs);
  }

  private get noiseSizes(): readonly number[] {
    return this.parts.map(({ noiseSize }) => noiseSize);
  }

  seen(x: Tensor): Tensor {
    const own = pieces(x, this.sizes);
    return concat(
      this.parts.map((part, i) => part.seen(own(i))),
      1,
    );
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    const [elements, numbers] = [pieces(x, this.sizes), pieces(outputs, this.outputSizes)];
    return this.parts
      .map((part, i) => part.logProb(elements(i), numbers(i)))
      .reduce((total, term) => total.add(term));
  }

  mean(outputs: Tensor): Tensor {
    const numbers = pieces(outputs, this.outputSizes);
    return concat(
      this.parts.map((part, i) => part.mean(numbers(i))),
      1,
    );
  }

  drawNoise(target: Float32Array, random: Random): void {
    let start = 0;
    for (const part of this.parts) {
      part.drawNoise(target.subarray(start, start + part.noiseSize), random);
      start += part.noiseSize;
    }
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    const [numbers, draws] = [pieces(outputs, this.outputSizes), pieces(noise, this.noiseSizes)];
    return concat(
      this.parts.map((part, i) => part.draw(numbers(i), draws(i))),
      1,
    );
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The last axis in pieces of these sizes, by their number. */
function pieces(x: Tensor, sizes: readonly number[]): (i: number) => Tensor {
  const parts = split(x, x.rank - 1, sizes);
  return (i) => parts[i] ?? x;
}

/**
 * Numbers of a table's row as Gaussians, its categories as such.
 * @param given names of columns that the model is told, which are no part of x
 */
export function tableObservation(
  columns: NonNullable<DataInfo["columns"]>,
  given: readonly string[],
  scale: ScaleSource,
): ObservationModel {
  const parts: ObservationModel[] = [];
  let numbers = 0;
  const close = (): void => {
    if (numbers > 0) parts.push(new GaussianObservation(numbers, scale));
    numbers = 0;
  };
  for (const { name, size, mean } of columns) {
    if (given.includes(name)) continue;
    if (mean !== undefined) {
      numbers += size;
      continue;
    }
    close();
    parts.push(new CategoryObservation(size));
  }
  close();
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : new JointObservation(parts);
}
