export type { Backbone, BackboneOptions, Dilations, FeatureLevel } from "../../backbones/index.ts";
export {
  BACKBONES,
  type BackboneName,
  CspNet,
  EfficientNetLite0,
  EfficientNetLite0Classifier,
  isPublished,
  MobileNetV2,
  NORMALIZATIONS,
  type NormalizationKind,
  normalizedImages,
  PUBLISHED_NAMES,
  type PublishedBackbone,
  type PublishedName,
  PublishedResNet,
  publishedBackbone,
  publishedNormalization,
  ResNet,
  type ResNetName,
} from "../../backbones/index.ts";
export {
  FeatureNetwork,
  type FeatureNetworkOptions,
  type FeaturePoints,
  featurePoints,
  featureRows,
  levelGrids,
} from "./feature-network.ts";
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
export { Trident, type TridentMode, type TridentOptions, tridentOptions } from "./trident.ts";
