import { OptionError } from "../errors.ts";
import { type Backbone, type BackboneOptions, CspNet, ResNet } from "./backbone.ts";
import type { NormalizationKind } from "./image-normalization.ts";
import {
  isPublished,
  PUBLISHED_NAMES,
  publishedBackbone,
  publishedNormalization,
} from "./published/index.ts";

/** Backbones by name: two small ones, and those that others have published, with weights. */
export const BACKBONES = ["csp", "resnet", ...PUBLISHED_NAMES] as const;

/** A backbone by name. */
export type BackboneName = (typeof BACKBONES)[number];

/**
 * A backbone with random weights. The width of published ones is given, whatever is asked for.
 * @throws OptionError where a published one is to have another depth
 */
export function backboneByName(name: BackboneName, options: BackboneOptions): Backbone {
  if (!isPublished(name)) return new (name === "csp" ? CspNet : ResNet)(options);
  if (options.depth !== 1) {
    throw new OptionError(
      `option depth: ${name} has the depth it was published with; leave it out, or take the backbone csp or resnet`,
    );
  }
  return publishedBackbone(name, options);
}

/** How images are normalized for a backbone where nothing else is asked for. */
export function usualNormalization(name: BackboneName): NormalizationKind {
  return isPublished(name) ? publishedNormalization(name) : "unit";
}
