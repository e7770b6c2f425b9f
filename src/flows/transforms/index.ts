export {
  AffineBijection,
  type Bijection,
  type Elementwise,
  LogisticMixtureBijection,
  scaleLimitOf,
  sumElements,
} from "./bijections.ts";
export { type ContinuousOptions, ContinuousTransform, type Course } from "./continuous.ts";
export {
  ConcatSquashField,
  type ConcatSquashOptions,
  type FieldAtTime,
  type FieldQuery,
  type FieldValues,
  type VelocityField,
} from "./continuous-field.ts";
export {
  AdditiveCoupling,
  type Conditioner,
  type CoupledHalf,
  Coupling,
  OddEvenOrder,
  ReluNetwork,
} from "./coupling.ts";
export {
  ElementwiseAffine,
  ElementwiseBijection,
  ExpTransform,
  FixedAffine,
  LeakyReluTransform,
  LogitTransform,
  LogTransform,
  SigmoidTransform,
  SoftplusTransform,
  TanhTransform,
} from "./element-wise.ts";
export {
  ELEMENT_ORDERS,
  type ElementOrders,
  elementOrders,
  MadeNetwork,
  type MadeOptions,
  MaskedAutoregressive,
  type MaskedAutoregressiveOptions,
} from "./masked-autoregressive.ts";
export { InvertibleLinear, Permutation, triangularInverse } from "./mixing.ts";
export { ActNorm, BatchNormTransform, type BatchNormTransformOptions } from "./normalization.ts";
export {
  CircularSpline,
  onCircle,
  RationalQuadraticSpline,
  type SplineOptions,
} from "./rational-quadratic.ts";
export {
  Composition,
  type Forward,
  type Inverse,
  Inverted,
  monotoneRoot,
  NumericalInverse,
  type NumericallyInvertible,
  noVolumeChange,
  Reshape,
  type RootOptions,
  type Slope,
  type Transform,
} from "./transform.ts";
