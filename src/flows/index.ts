export { BASES, type Base, type BaseName, gaussian, logistic } from "./base.ts";
export { AdditiveCoupling, type CoupledHalf, OddEvenOrder, type RowNetwork } from "./coupling.ts";
export { BYTE_LEVELS, byteScaling, dequantise, Scaling } from "./dequantise.ts";
export { FlowModel } from "./flow-model.ts";
export {
  DiagonalScaling,
  type NiceOptions,
  nice,
  niceDefinition,
  niceOptions,
  ReluNetwork,
} from "./nice.ts";
export { Composition, type Forward, type Inverse, Inverted, type Transform } from "./transform.ts";
