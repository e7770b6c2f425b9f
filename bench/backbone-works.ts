import { type Backbone, publishedBackbone } from "../src/backbones/index.ts";
import type { DataInfo, SymbolicBatch, Trainable } from "../src/model/index.ts";
import { Linear } from "../src/nn/index.ts";
import { inputAt } from "../src/tensor/index.operations.ts";
import type { Tensor } from "../src/tensor/index.ts";

/** Pixels along a side of the images that backbones are trained on, and of those of small and large batches. */
const SIDE = 160;
const SMALL_SIDE = 128;
const OUTPUTS = 10;

/** The images of a work. */
export function backboneImages(work: string): DataInfo {
  const side = /-\d+-step$/.test(work) ? SMALL_SIDE : SIDE;
  return { kind: "image", sampleShape: [3, side, side] };
}
/** Images in memory. */
export const PICTURES = 64;

/** Stages of the residual network that are frozen in one of the works: the stem and what ends at strides 4 and 8. */
const FROZEN_STAGES = 3;

/** A backbone, the mean of its last map over positions and a linear layer, fitted to ones by squared errors. */
class BackboneRegression implements Trainable {
  readonly backbone: Backbone;
  readonly head: Linear;
  readonly rateOf?: (name: string) => number;

  constructor(backbone: Backbone, frozen = 0) {
    this.backbone = backbone;
    this.head = new Linear(backbone.levels.at(-1)?.channels ?? 0, OUTPUTS);
    if (frozen > 0) {
      const field = "backbone.";
      this.rateOf = (name) =>
        name.startsWith(field) && backbone.stageOf(name.slice(field.length)) <= frozen ? 0 : 1;
    }
  }

  loss({ x }: SymbolicBatch): { readonly total: Tensor } {
    const maps = this.backbone.forward(x.div(255));
    const features = inputAt(maps, maps.length - 1).mean([2, 3]);
    return { total: this.head.forward(features).sub(1).square().mean() };
  }
}

/** Training steps of backbones. */
export const BACKBONE_STEPS = [
  "mobilenet-step",
  "resnet-step",
  "resnet-4-step",
  "resnet-16-step",
  "resnet-frozen-step",
] as const;

export function benchBackbone(work: string): Trainable {
  if (work === "mobilenet-step") return new BackboneRegression(publishedBackbone("mobilenet-v2"));
  if (work === "resnet50-step") return new BackboneRegression(publishedBackbone("resnet50"));
  if (work !== "resnet-frozen-step") return new BackboneRegression(publishedBackbone("resnet18"));
  const frozenNorm = (stage: number): boolean => stage <= FROZEN_STAGES;
  return new BackboneRegression(publishedBackbone("resnet18", { frozenNorm }), FROZEN_STAGES);
}
