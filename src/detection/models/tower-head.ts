import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import { amount, layerCount, share, unitCount } from "../../bounds.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { constant, normal } from "../../nn/initializers.ts";
import { sharedChannels } from "../network/feature-network.ts";
import { SharedTower } from "../network/tower.ts";

/** Options of a head of two towers. */
export const towerOptions = {
  headBlocks: layerCount().default(2).describe("3×3 convolutions of each tower of the head; 4 in the paper"),
  headGroups: unitCount(0)
    .default(8)
    .describe(
      "groups of the normalizations in the towers; 32 in the paper of FCOS; 0: none, as in that of RetinaNet",
    ),
  headBias: z
    .boolean()
    .default(false)
    .describe(
      "convolutions of the towers have a bias before the normalization, too, as in torchvision's FCOS; without normalization they always have",
    ),
};

/** How a head's towers are made. */
export interface HeadTowerOptions {
  readonly headBlocks: number;
  readonly headGroups: number;
  readonly headBias: boolean;
}

/** Options of the focal loss (Lin et al. 2017, "Focal loss for dense object detection", equation 5). */
export const focalOptions = {
  focalAlpha: share().default(0.25).describe("focal loss: weight of objects"),
  focalGamma: amount().default(2).describe("focusing parameter γ: down-weights easy examples"),
};

/**
 * A head that is the same for all levels of a pyramid: one tower of convolutions for classes and one for boxes, as RetinaNet (Lin et al.
 * 2017, figure 3) and FCOS (Tian et al. 2019, figure 2) have it. Unlike in RetinaNet's paper, towers have group normalization unless
 * `headGroups` is 0: networks are trained from scratch here.
 */
export abstract class TowerHead {
  readonly classTower: SharedTower;
  readonly boxTower: SharedTower;

  constructor(levels: readonly FeatureLevel[], { headBlocks, headGroups, headBias }: HeadTowerOptions) {
    const tower = (): SharedTower =>
      new SharedTower(sharedChannels(levels), headBlocks, {
        groups: headGroups,
        bias: headBias || headGroups === 0,
      });
    this.classTower = tower();
    this.boxTower = tower();
  }
}

/** The last convolution of a tower, 3×3, with small first weights. @param bias of all outputs */
export function towerOutput(levels: readonly FeatureLevel[], outputs: number, bias: number): Conv2d {
  return new Conv2d(sharedChannels(levels), outputs, 3, {
    padding: 1,
    initializeWeight: normal(0.01),
    initializeBias: constant(bias),
  });
}
