import type { NormalizationKind } from "../image-normalization.ts";
import { EfficientNetLite0 } from "./efficientnet-lite0.ts";
import type { PublishedBackbone, PublishedOptions } from "./layers.ts";
import { MobileNetV2 } from "./mobilenet-v2.ts";
import { PublishedResNet } from "./resnet.ts";

export { EfficientNetLite0, EfficientNetLite0Classifier } from "./efficientnet-lite0.ts";
export type { PublishedBackbone, PublishedOptions } from "./layers.ts";
export { MobileNetV2 } from "./mobilenet-v2.ts";
export { PublishedResNet, type ResNetName } from "./resnet.ts";

/** Backbones by their published names. */
export const PUBLISHED_NAMES = [
  "resnet18",
  "resnet34",
  "resnet50",
  "mobilenet-v2",
  "efficientnet-lite0",
] as const;

/** The published name of a backbone. */
export type PublishedName = (typeof PUBLISHED_NAMES)[number];

/** Whether a backbone has the layout and the names of a published one. */
export function isPublished(name: string): name is PublishedName {
  return PUBLISHED_NAMES.some((published) => published === name);
}

/** A backbone by its published name. */
export function publishedBackbone(name: PublishedName, options: PublishedOptions = {}): PublishedBackbone {
  switch (name) {
    case "resnet18":
    case "resnet34":
    case "resnet50":
      return new PublishedResNet(name, options);
    case "mobilenet-v2":
      return new MobileNetV2(options);
    case "efficientnet-lite0":
      return new EfficientNetLite0(options);
  }
}

/** How images are normalized for the weights that the authors of a network have published. */
export function publishedNormalization(name: PublishedName): NormalizationKind {
  return name === "efficientnet-lite0" ? "half" : "imagenet";
}
