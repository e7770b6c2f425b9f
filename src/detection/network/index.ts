export type { Backbone, BackboneOptions, FeatureLevel } from "./backbones.ts";
export { CspNet, ResNet } from "./backbones.ts";
export {
  BACKBONES,
  type BackboneName,
  FeatureNetwork,
  type FeatureNetworkOptions,
  type FeaturePoints,
  featurePoints,
  featureRows,
  levelGrids,
} from "./feature-network.ts";
export { NORMALIZATIONS, type NormalizationKind, normalizedImages } from "./image-normalization.ts";
export {
  type CoarserLevels,
  type ExtraLevels,
  Fpn,
  type Neck,
  type NeckKind,
  type NeckOutputs,
  neckOf,
  Pan,
  PlainFpn,
} from "./necks.ts";
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
export { type Dilations, Trident, type TridentMode, type TridentOptions, tridentOptions } from "./trident.ts";
