import {
  CategoryObservation,
  ConvolutionalDecoder,
  PerceptronNetwork,
  type RowNetwork,
} from "../../latent/index.ts";
import { canConvolve, imageMaps } from "../../latent/vae-networks.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { concat, elementCount, split, type Tensor } from "../../tensor/index.ts";
import { columnSizes, imageUnit } from "../augment/views.ts";

// What a decoder is to say of a sample, and how wrong it is: numbers by their squared error, zeros and ones and categories by the
// logarithm of their probability.

export interface DecoderOptions {
  readonly codeSize: number;
  /** Channels at half the size of an image. */
  readonly channels: number;
  /** Units of hidden layers. */
  readonly width: number;
}

/** A network from codes [n, codeSize] to rows [n, D]: transposed convolutions for images that can be halved twice. */
export function decoderOf(
  { codeSize, channels, width }: DecoderOptions,
  { sampleShape }: DataInfo,
): RowNetwork {
  if (!canConvolve(sampleShape)) {
    const outputs = elementCount(sampleShape);
    return new PerceptronNetwork({ inputs: codeSize, outputs, width, hiddenLayers: 2, contextSize: 0 });
  }
  const [own = 1] = sampleShape;
  return new ConvolutionalDecoder(codeSize, own, {
    maps: imageMaps(sampleShape, channels),
    width,
    contextSize: 0,
  });
}

/** Columns of a table that are categories: those without a mean. */
function categories({ columns, sampleShape: [size = 0] }: DataInfo): readonly boolean[] {
  return columns?.map(({ mean }) => mean === undefined) ?? new Array<boolean>(size).fill(false);
}

/** Each of a row's columns, made to something else: rows [n, D] of `inputs` → [n, D′]. */
function byColumn(
  data: DataInfo,
  inputs: readonly Tensor[],
  number: (...parts: Tensor[]) => Tensor,
  category: (observation: CategoryObservation, ...parts: Tensor[]) => Tensor,
): Tensor {
  const sizes = columnSizes(data);
  const pieces = inputs.map((input) => split(input, 1, sizes));
  return concat(
    categories(data).map((isCategory, i) => {
      const parts = pieces.map((piece) => inputAt(piece, i));
      return isCategory ? category(new CategoryObservation(sizes[i] ?? 1), ...parts) : number(...parts);
    }),
    1,
  );
}

/**
 * The error of each number of a sample, or of each column of a table: x [n, …sampleShape] in data units and a decoder's outputs [n, D] → [n, D
 * or columns]. Of images it is the squared error of brightness from 0 to 1, of numbers of a table that of standardized ones, of zeros and
 * ones and of categories −log p, in nats.
 */
export function reconstructionErrors(x: Tensor, outputs: Tensor, data: DataInfo): Tensor {
  const target = x.reshape([x.shape[0] ?? 1, -1]);
  switch (data.kind) {
    case "image":
      return target
        .mul(1 / imageUnit(data))
        .sub(outputs)
        .square();
    case "binary":
      return outputs.softplus().sub(target.mul(outputs));
    case "points":
      return target.sub(outputs).square();
    case "table":
      return byColumn(
        data,
        [target, outputs],
        (own, guess) => own.sub(guess).square().sum(1, true),
        (observation, own, logits) => observation.logProb(own, logits).neg().unsqueeze(1),
      );
  }
}

/** What is expected of samples, in data units, by a decoder's outputs [n, D] → [n, …sampleShape]: probabilities of ones and of categories. */
export function reconstructed(outputs: Tensor, data: DataInfo): Tensor {
  const shape = [outputs.shape[0] ?? 1, ...data.sampleShape] as const;
  switch (data.kind) {
    case "image":
      return outputs.mul(imageUnit(data)).clamp(0, imageUnit(data)).reshape(shape);
    case "binary":
      return outputs.sigmoid().reshape(shape);
    case "points":
      return outputs.reshape(shape);
    case "table":
      return byColumn(
        data,
        [outputs],
        (own) => own,
        (_, logits) => logits.softmax(1),
      );
  }
}
