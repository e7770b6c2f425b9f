import type { ModelKey } from "./models.ts";

/** The page of the documentation of each model, below docs/ and without its extension. */
export const DOCS_OF_MODELS: Readonly<Record<ModelKey, string>> = {
  "rectified-flow": "diffusion/rectified-flow",
  reflow: "diffusion/rectified-flow",
  ddpm: "diffusion/ddpm",
  ddim: "diffusion/ddim",
  "score-sde": "diffusion/score-sde",
  "spline-flow": "flows/spline-flow",
  "real-nvp": "flows/real-nvp",
  maf: "flows/maf",
  nice: "flows/nice",
  vae: "latent/vae",
  gan: "latent/gan",
};
