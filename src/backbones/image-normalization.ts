import { constant, float32, type Tensor } from "../tensor/index.ts";

/** How bytes 0 … 255 become what a network sees. */
export const NORMALIZATIONS = ["imagenet", "half", "unit"] as const;

/** How bytes 0 … 255 become what a network sees: by the mean and deviation of ImageNet, about −1 … 1, or 0 … 1. */
export type NormalizationKind = (typeof NORMALIZATIONS)[number];

/** Means and deviations of red, green and blue in bytes. */
const STATISTICS = {
  /** Of the pixels of ImageNet, as torchvision's models want them. */
  imagenet: {
    means: [0.485 * 255, 0.456 * 255, 0.406 * 255],
    deviations: [0.229 * 255, 0.224 * 255, 0.225 * 255],
  },
  /** MEAN_RGB and STDDEV_RGB of EfficientNet-Lite's authors: tensorflow/tpu, efficientnet_lite_builder.py. */
  half: { means: [127, 127, 127], deviations: [128, 128, 128] },
} as const;

/** Images [n, 3, H, W] in bytes, normalized. */
export function normalizedImages(x: Tensor, kind: NormalizationKind): Tensor {
  if (kind === "unit") return x.mul(1 / 255);
  const { means, deviations } = STATISTICS[kind];
  const each = (values: readonly number[]): Tensor => constant(float32(values, [1, 3, 1, 1]));
  return x.sub(each(means)).mul(each(deviations.map((deviation) => 1 / deviation)));
}
