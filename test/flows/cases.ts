import { GlowNetwork } from "../../src/flows/glow.ts";
import { byteScaling, ExchangeQuarters, MultiScale, Squeeze } from "../../src/flows/images/index.ts";
import {
  BatchNormTransform,
  Coupling,
  LogisticMixtureBijection,
  Planar,
  Radial,
  ReluNetwork,
  type Transform,
} from "../../src/flows/index.ts";
import { DiagonalScaling } from "../../src/flows/nice.ts";
import {
  ActNorm,
  AffineBijection,
  CircularSpline,
  Composition,
  ConcatSquashField,
  ContinuousTransform,
  type CoupledHalf,
  ElementwiseAffine,
  ElementwiseBijection,
  ExpTransform,
  InvertibleLinear,
  LeakyReluTransform,
  LogitTransform,
  LogTransform,
  MaskedAutoregressive,
  NumericalInverse,
  type NumericallyInvertible,
  OddEvenOrder,
  Permutation,
  RationalQuadraticSpline,
  Reshape,
  SigmoidTransform,
  SoftplusTransform,
  TanhTransform,
} from "../../src/flows/transforms/index.ts";
import type { DataKind } from "../../src/model/data-info.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import type { CheckOptions } from "./check-transform.ts";

/** A transform to be checked, with what is special about it. */
export interface TransformCase extends CheckOptions {
  readonly name: string;
  /** Shape of a sample, and that of its image where it is another. */
  readonly sample: readonly number[];
  readonly image?: readonly number[];
  readonly make: () => Transform;
  /** The inverse has no formula. */
  readonly noInverse?: boolean;
  /** Gives the transform as one that can be inverted by iteration. */
  readonly numerical?: (transform: Transform) => NumericallyInvertible;
  readonly tolerance?: number;
  /** Points of the image, where it is not all numbers. */
  readonly imagePoints?: CheckOptions["points"];
  /** Moves numbers to other places or to none: may look like the identity. */
  readonly preserves?: boolean;
}

/** Normal numbers moved into (0, 1). */
const onUnit = (x: NdArray<"float32">): NdArray<"float32"> =>
  float32(
    x.data.map((value) => 0.05 + 0.9 / (1 + Math.exp(-value))),
    x.shape,
  );

/** Normal numbers moved into (−π, π). */
const onCircles = (x: NdArray<"float32">): NdArray<"float32"> =>
  float32(
    x.data.map((value) => 3 * Math.tanh(value)),
    x.shape,
  );

export const transformCases: readonly TransformCase[] = [
  { name: "scaling of bytes", sample: [4], make: () => byteScaling(4) },
  {
    name: "reshaping",
    sample: [2, 2, 2],
    image: [8],
    make: () => new Reshape([2, 2, 2], [8]),
    preserves: true,
  },
  { name: "diagonal scaling", sample: [5], make: () => new DiagonalScaling(5) },
  { name: "odd–even order", sample: [7], make: () => new OddEvenOrder(7) },
  {
    name: "affine coupling",
    sample: [5],
    make: () => new Coupling([3, 2], "second", new AffineBijection(), new ReluNetwork([3, 8, 4])),
  },
  {
    name: "affine coupling with context",
    sample: [5],
    contextSize: 3,
    make: () => new Coupling([3, 2], "first", new AffineBijection(), new ReluNetwork([2, 8, 6], 3)),
  },
  {
    name: "masked autoregressive",
    sample: [5],
    make: () =>
      new MaskedAutoregressive(5, new AffineBijection(), { hidden: [12, 12], order: [3, 0, 4, 1, 2] }),
  },
  {
    name: "masked autoregressive with context",
    sample: [4],
    contextSize: 3,
    make: () => new MaskedAutoregressive(4, new AffineBijection(), { hidden: [12], contextSize: 3 }),
  },
  {
    name: "planar map",
    sample: [4],
    make: () => new Planar(4),
    noInverse: true,
    numerical: (transform) => transform as Planar,
  },
  {
    name: "planar map with context",
    sample: [4],
    contextSize: 3,
    make: () => new NumericalInverse(new Planar(4, 3)),
  },
  { name: "radial map", sample: [4], make: () => new Radial(4) },
  { name: "radial map with context", sample: [4], contextSize: 3, make: () => new Radial(4, 3) },
  ...[0, 3].map(
    (contextSize): TransformCase => ({
      name: `continuous flow${contextSize === 0 ? "" : " with context"}`,
      sample: [3],
      ...(contextSize > 0 && { contextSize }),
      tolerance: 1e-3,
      deviation: 0.3,
      make: () =>
        new ContinuousTransform(
          new ConcatSquashField({
            dimensions: 3,
            hidden: [8, 8],
            contextSize,
            activation: "tanh",
            timeFeatures: 1,
          }),
          { solver: "rk4", steps: 5, trace: "auto", probe: "rademacher" },
        ),
    }),
  ),
  { name: "leaky ReLU", sample: [4], make: () => new LeakyReluTransform(0.3) },
  { name: "element-wise affine map", sample: [4], make: () => new ElementwiseAffine(4) },
  {
    name: "element-wise affine map with context",
    sample: [4],
    contextSize: 3,
    make: () => new ElementwiseAffine(4, 3),
  },
  { name: "permutation", sample: [5], make: () => Permutation.random(5, 1), preserves: true },
  {
    name: "mixture of logistics, coupling",
    sample: [5],
    deviation: 0.3,
    make: () =>
      new Coupling([3, 2], "second", new LogisticMixtureBijection(3), new ReluNetwork([3, 8, 2 * 11])),
  },
  { name: "actnorm", sample: [4], make: () => new ActNorm(4) },
  { name: "actnorm of maps", sample: [3, 2, 2], make: () => new ActNorm(3) },
  { name: "invertible linear map", sample: [5], make: () => new InvertibleLinear(5) },
  { name: "invertible 1×1 convolution", sample: [4, 2, 2], make: () => new InvertibleLinear(4) },
  { name: "squeeze", sample: [1, 4, 4], image: [4, 2, 2], make: () => new Squeeze(), preserves: true },
  {
    name: "checkerboard squeeze and exchange",
    sample: [2, 2, 4],
    image: [8, 1, 2],
    make: () => new Composition([new Squeeze("checkerboard"), new ExchangeQuarters()]),
    preserves: true,
  },
  ...[0, 3].map(
    (contextSize): TransformCase => ({
      name: `multi-scale image couplings${contextSize === 0 ? "" : " with context"}`,
      sample: [1, 4, 4],
      image: [16],
      ...(contextSize > 0 && { contextSize }),
      deviation: 0.2,
      make: () => {
        const coupling = (channels: number, changes: CoupledHalf): Coupling => {
          const network = new GlowNetwork(channels / 2, 4, channels, contextSize);
          return new Coupling([channels / 2, channels / 2], changes, new AffineBijection(), network);
        };
        return new MultiScale([
          {
            transform: new Composition([new Squeeze(), coupling(4, "second"), coupling(4, "first")]),
            shape: [4, 2, 2],
          },
          { transform: new Composition([new Squeeze(), coupling(8, "second")]), shape: [8, 1, 1] },
        ]);
      },
    }),
  ),
  {
    name: "spline coupling",
    sample: [5],
    make: () => {
      const spline = new RationalQuadraticSpline({ bins: 5, bound: 3 });
      return new Coupling([3, 2], "second", spline, new ReluNetwork([3, 8, 2 * spline.parameterCount]));
    },
  },
  {
    name: "autoregressive splines with context",
    sample: [4],
    contextSize: 3,
    tolerance: 5e-4,
    make: () =>
      new MaskedAutoregressive(4, new RationalQuadraticSpline({ bins: 5, bound: 3 }), {
        hidden: [12],
        contextSize: 3,
      }),
  },
  {
    name: "splines on circles",
    sample: [3],
    points: onCircles,
    imagePoints: onCircles,
    make: () => new ElementwiseBijection(3, new CircularSpline({ bins: 5 })),
  },
  { name: "batch normalization", sample: [4], make: () => new BatchNormTransform(4) },
  { name: "batch normalization of maps", sample: [3, 2, 2], make: () => new BatchNormTransform(3) },
  { name: "logit", sample: [4], points: onUnit, make: () => new LogitTransform() },
  { name: "sigmoid", sample: [4], imagePoints: onUnit, make: () => new SigmoidTransform() },
  { name: "hyperbolic tangent", sample: [4], imagePoints: onUnit, make: () => new TanhTransform() },
  { name: "softplus", sample: [4], imagePoints: onUnit, make: () => new SoftplusTransform() },
  { name: "exponential", sample: [4], points: onUnit, imagePoints: onUnit, make: () => new ExpTransform() },
  { name: "logarithm", sample: [4], points: onUnit, make: () => new LogTransform() },
  { name: "the empty composition", sample: [3], make: () => new Composition([]), preserves: true },
];

/** Settings of the checks of one variant of a model. */
export interface VariantSettings {
  readonly tolerance?: number;
  /** True where codes far out lead to pixels so near black or white that float32 cannot tell them apart. */
  readonly saturates?: boolean;
  /** The square [−half, half]² over which the density is summed, in cells of this step; default: 15 and 0.25. */
  readonly grid?: { readonly half: number; readonly step: number };
  /** False where the log-density is an estimate. */
  readonly exact?: boolean;
  /** False where a temperature does not make samples vary less. */
  readonly temperature?: boolean;
}

/** Small options by model. */
const SMALL: Readonly<Record<string, object>> = {
  nice: { width: 8, couplings: 4 },
  planar: { layers: 4 },
  radial: { layers: 4 },
  "real-nvp": { width: 8, couplings: 2, blocks: 1 },
  glow: { width: 8, flowSteps: 2 },
  maf: { width: 16, blocks: 3 },
  iaf: { width: 16, blocks: 3 },
  "continuous-flow": { width: 8, solverSteps: 1, evaluationSteps: 8 },
  "spline-flow": { width: 16, transforms: 2, bins: 5 },
  "flow-plus-plus": { width: 4, couplings: 1, components: 2 },
};

/** What is special about a model of a kind of data. */
const SETTINGS: Readonly<Record<string, VariantSettings>> = {
  "real-nvp image": { saturates: true },
  "glow image": { saturates: true },
  "flow-plus-plus image": { saturates: true },
  // With these weights 4 % of the mass lie beyond ±15.
  "flow-plus-plus points": { grid: { half: 120, step: 0.6 } },
};

/** Variants of a model beside those that every model has. */
const VARIANTS: Readonly<Record<string, readonly (readonly [variant: string, options: object])[]>> = {
  "spline-flow": [
    ["couplings", { kind: "coupling" }],
    ["autoregressive", { kind: "autoregressive" }],
  ],
  maf: [["one order", { order: "same" }]],
};

/** Variants of a model of images. */
const IMAGE_VARIANTS: Readonly<Record<string, readonly (readonly [variant: string, options: object])[]>> = {
  glow: [["learned noise", { dequantization: "variational" }]],
};

/** The variants in which a flow of the catalogue is checked: as it is, and conditional. */
export function modelVariants(
  name: string,
  kind: DataKind,
): readonly (readonly [variant: string, options: object, settings?: VariantSettings])[] {
  const options = SMALL[name] ?? {};
  const settings = SETTINGS[`${name} ${kind}`] ?? {};
  return [
    ["", options, settings],
    ...(kind === "points" ? [] : [["of classes", { ...options, conditional: true }, settings] as const]),
    ...(kind === "table" ? [["given columns", { ...options, given: ["b", "e"] }, settings] as const] : []),
    ...[...(VARIANTS[name] ?? []), ...((kind === "image" && IMAGE_VARIANTS[name]) || [])].map(
      ([variant, special]) => [variant, { ...options, ...special }, settings] as const,
    ),
  ];
}
