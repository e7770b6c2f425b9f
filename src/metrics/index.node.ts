export {
  digitFeatureNetwork,
  digitFeatures,
  digitFeaturesAsset,
  digitFrechetDistance,
} from "./digit-features.node.ts";
export * from "./index.ts";
