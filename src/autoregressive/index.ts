export { AutoregressiveModel } from "./autoregressive-model.ts";
export {
  type CausalTransformerOptions,
  causalTransformer,
  causalTransformerDefinition,
  causalTransformerOptions,
  TransformerConditionals,
} from "./causal-transformer.ts";
export {
  type Conditionals,
  type Draw,
  type DrawInputs,
  type Ensemble,
  type Factors,
  mixtureLogProb,
} from "./conditionals.ts";
export type { Connectivity, NetworkSizes } from "./connectivity.ts";
export { type FvsbnOptions, fvsbn, fvsbnDefinition, fvsbnOptions, SigmoidBeliefNetwork } from "./fvsbn.ts";
export {
  type EnsembleMasks,
  type MadeModelOptions,
  MaskedAutoencoder,
  MaskedEnsemble,
  made,
  madeDefinition,
  madeOptions,
} from "./made.ts";
export { MaskedNetwork, type MaskedNetworkOptions } from "./masked-network.ts";
export {
  Nade,
  type NadeModelOptions,
  type NadeOptions,
  nade,
  nadeDefinition,
  nadeOptions,
  OrderlessNade,
} from "./nade.ts";
export { NadeNetwork, type NadeNetworkOptions } from "./nade-network.ts";
export {
  type PixelCnnOptions,
  PixelConditionals,
  pixelCnn,
  pixelCnnDefinition,
  pixelCnnOptions,
} from "./pixel-cnn.ts";
export { PixelNetwork, type PixelNetworkOptions } from "./pixel-network.ts";
export { bits, byteLevels, type PixelValues } from "./pixel-values.ts";
export { TransformerNetwork, type TransformerNetworkOptions } from "./transformer-network.ts";
