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
export { AutoregressiveModel, type AutoregressiveSystem, defineAutoregressive } from "./model.ts";
export {
  Nade,
  type NadeModelOptions,
  type NadeOptions,
  nade,
  nadeDefinition,
  nadeOptions,
  OrderlessNade,
} from "./nade.ts";
export type { Connectivity, NetworkSizes } from "./networks/connectivity.ts";
export { MaskedNetwork, type MaskedNetworkOptions } from "./networks/masked.ts";
export { NadeNetwork, type NadeNetworkOptions } from "./networks/nade.ts";
export { PixelNetwork, type PixelNetworkOptions } from "./networks/pixel.ts";
export { bits, byteLevels, type PixelValues } from "./networks/pixel-draw.ts";
export { TransformerNetwork, type TransformerNetworkOptions } from "./networks/transformer.ts";
export {
  type PixelCnnOptions,
  PixelConditionals,
  pixelCnn,
  pixelCnnDefinition,
  pixelCnnOptions,
} from "./pixel-cnn.ts";
