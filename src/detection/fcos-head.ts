import { Conv2d } from "../nn/convolution.ts";
import { constant, normal, ones, zeros } from "../nn/initialisers.ts";
import { Parameter, type Tensor } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { PRIOR_LOGIT } from "./detector-losses.ts";
import { featureRows } from "./feature-points.ts";
import { SharedTower } from "./shared-tower.ts";

/** What the head says of each of k places. */
export interface FcosOutputs {
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
  /** Distances to the left, top, right and bottom edge in strides, [n, k, 4]; above 0. */
  readonly distances: Tensor;
  /** Logit of how central the place is, [n, k]. */
  readonly centreness: Tensor;
}

/** Largest logarithm of a distance in strides: more than any image has. */
const MOST_LOG = 8;

/** First distances are 2 strides, so that first boxes are 4 strides wide: what is typical for a level. */
const FIRST_LOG = Math.log(2);

/**
 * The head of FCOS (Tian et al. 2019, section 3.1 and figure 2), the same for all levels: one tower for classes, one for
 * distances, which are exp(s x) with a factor s of each level (section 3.2), here in strides. Centre-ness hangs on the tower of
 * distances, as in the version of 2022 ("FCOS: A simple and strong anchor-free object detector", section 3.4).
 */
export class FcosHead {
  readonly classTower: SharedTower;
  readonly boxTower: SharedTower;
  readonly classes: Conv2d;
  readonly distances: Conv2d;
  readonly centreness: Conv2d;
  readonly scales: readonly Parameter[];

  constructor(levels: readonly FeatureLevel[], classes: number, blocks: number) {
    const [{ channels } = { channels: 1 }] = levels;
    const output = (outputs: number, bias: number) =>
      new Conv2d(channels, outputs, 3, {
        padding: 1,
        initialiseWeight: normal(0.01),
        initialiseBias: bias === 0 ? zeros : constant(bias),
      });
    this.classTower = new SharedTower(channels, blocks);
    this.boxTower = new SharedTower(channels, blocks);
    this.classes = output(classes, PRIOR_LOGIT);
    this.distances = output(4, FIRST_LOG);
    this.centreness = output(1, 0);
    this.scales = levels.map(() => new Parameter([1], ones));
  }

  /** Maps of the levels → what is said of all places. @throws ShapeError */
  forward(maps: readonly Tensor[]): FcosOutputs {
    const boxes = maps.map((map) => this.boxTower.forward(map));
    const scaled = boxes.map((tower, i) => {
      const logarithm = this.distances.forward(tower);
      const scale = this.scales[i];
      return (scale === undefined ? logarithm : logarithm.mul(scale)).minimum(MOST_LOG).exp();
    });
    return {
      classes: featureRows(maps.map((map) => this.classes.forward(this.classTower.forward(map)))),
      distances: featureRows(scaled),
      centreness: featureRows(boxes.map((tower) => this.centreness.forward(tower))).squeeze(2),
    };
  }
}
