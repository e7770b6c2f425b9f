export type { Backbone, BackboneOptions, FeatureLevel } from "./backbones.ts";
export { CspNet, ResNet } from "./backbones.ts";
export {
  FeatureNetwork,
  type FeatureNetworkOptions,
  type FeaturePoints,
  featurePoints,
  featureRows,
  levelGrids,
} from "./feature-network.ts";
export { Fpn, type Neck, type NeckKind, neckOf, Pan } from "./necks.ts";
export { type Dilations, Trident, type TridentMode, type TridentOptions, tridentOptions } from "./trident.ts";
