import type { DataInfo } from "../nn/model.ts";
import { elementCount } from "../tensor/index.ts";
import { DequantisedGaussianObservation, DiscretisedLogisticObservation } from "./byte-observations.ts";
import { tableObservation } from "./joint-observation.ts";
import { BernoulliObservation, GaussianObservation, type ObservationModel } from "./observation.ts";
import {
  ConvolutionalDecoder,
  ConvolutionalEncoder,
  imageMaps,
  PerceptronNetwork,
  type RowNetwork,
} from "./vae-networks.ts";
import type { SettledVaeOptions } from "./vae-options.ts";

/** p(x | z) by the options of a VAE. */
export function observationOf(
  { likelihood, scale, given }: SettledVaeOptions,
  { kind, sampleShape, columns }: DataInfo,
): ObservationModel {
  const size = elementCount(sampleShape);
  switch (likelihood) {
    case "discretised-logistic":
      return new DiscretisedLogisticObservation(size, scale);
    case "bernoulli":
      return new BernoulliObservation(size - given.length);
    case "gaussian":
      if (kind === "image") return new DequantisedGaussianObservation(size, scale);
      return columns === undefined
        ? new GaussianObservation(size, scale)
        : tableObservation(columns, given, scale);
  }
}

/** What networks lead from and to. */
export interface NetworkSizes {
  readonly latentSize: number;
  readonly contextSize: number;
  /** Numbers that the encoder makes for each sample. */
  readonly encoded: number;
  readonly observation: ObservationModel;
}

/** Encoder and decoder by the options of a VAE. */
export function networksOf(
  { network, width, hiddenLayers, channels }: SettledVaeOptions,
  { sampleShape }: DataInfo,
  { latentSize, contextSize, encoded, observation }: NetworkSizes,
): { readonly encoder: RowNetwork; readonly decoder: RowNetwork } {
  if (network === "mlp") {
    const sizes = { width, hiddenLayers, contextSize };
    return {
      encoder: new PerceptronNetwork({ ...sizes, inputs: observation.size, outputs: encoded }),
      decoder: new PerceptronNetwork({ ...sizes, inputs: latentSize, outputs: observation.outputs }),
    };
  }
  const maps = imageMaps(sampleShape, channels);
  const [, height = 1, breadth = 1] = sampleShape;
  const places = observation.outputs / (height * breadth);
  const options = { maps, width, contextSize };
  return {
    encoder: new ConvolutionalEncoder(encoded, options),
    decoder: new ConvolutionalDecoder(latentSize, places, options),
  };
}
