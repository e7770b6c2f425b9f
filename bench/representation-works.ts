import { buildModel } from "../src/catalog.ts";
import type { DataInfo, Model } from "../src/model/index.ts";
import { deepInfoMaxDefinition, simClrDefinition } from "../src/representation/index.ts";
import { IMAGE_SIZE } from "./works.ts";

/** Training steps of encoders without labels. */
export const REPRESENTATION_STEPS = ["deep-infomax-step", "simclr-step"] as const;

export const REPRESENTATION_IMAGES: DataInfo = { kind: "image", sampleShape: [1, IMAGE_SIZE, IMAGE_SIZE] };

/** The models that a fit to digits makes by default. */
export function benchEncoder(work: string): Model {
  const definition = work === "simclr-step" ? simClrDefinition : deepInfoMaxDefinition;
  return buildModel(definition, {}, REPRESENTATION_IMAGES);
}
