export type { Backbone, BackboneOptions, FeatureLevel } from "./backbone.ts";
export { CspNet, ResNet } from "./backbone.ts";
export { BACKBONES, type BackboneName, backboneByName, usualNormalization } from "./by-name.ts";
export type { Dilations } from "./dilations.ts";
export { NORMALIZATIONS, type NormalizationKind, normalizedImages } from "./image-normalization.ts";
export {
  EfficientNetLite0,
  EfficientNetLite0Classifier,
  isPublished,
  MobileNetV2,
  PUBLISHED_NAMES,
  type PublishedBackbone,
  type PublishedName,
  PublishedResNet,
  publishedBackbone,
  publishedNormalization,
  type ResNetName,
} from "./published/index.ts";
