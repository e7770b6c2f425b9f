import { ganDefinition, ganOptions, vaeDefinition, vaeOptions } from "../src/latent/index.ts";
import type { DataInfo, Model } from "../src/model/index.ts";
import { IMAGE_SIZE } from "./works.ts";

const sampleShape = [1, IMAGE_SIZE, IMAGE_SIZE];

export const LATENT_IMAGES: DataInfo = { kind: "image", sampleShape };
export const LATENT_BITS: DataInfo = { kind: "binary", sampleShape };

/** The networks and the game of DCGAN, without penalties. */
export function benchGan(): Model {
  return ganDefinition.build(ganOptions.parse({ latentSize: 64, channels: 64, r1: 0 }), LATENT_IMAGES);
}

/** A VAE of convolutions, of zeros and ones. */
export function benchVae(): Model {
  const options = vaeOptions.parse({ latentSize: 16, channels: 32, width: 128, network: "convolutional" });
  return vaeDefinition.build(options, LATENT_BITS);
}

/** Training steps of latent-variable models. */
export const LATENT_STEPS = ["dcgan-step", "conv-vae-step"] as const;
