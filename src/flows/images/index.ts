export {
  BYTE_LEVELS,
  byteScaling,
  type Dequantization,
  type Dequantized,
  type Dequantizer,
  dequantizationOption,
  dequantizerFor,
  Scaling,
  uniformDequantizer,
  VariationalDequantizer,
  type VariationalDequantizerOptions,
} from "./dequantize.ts";
export {
  type BlockOrder,
  ExchangeQuarters,
  type ImageShape,
  imageLevels,
  type Level,
  MultiScale,
  multiScaleFlow,
  Squeeze,
} from "./multi-scale.ts";
export {
  ContextBias,
  GatedBlock,
  GatedNetwork,
  type GatedNetworkOptions,
  NormalizedConv2d,
  SplitPrior,
  ZeroConv2d,
} from "./networks.ts";
