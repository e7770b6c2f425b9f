import type { FeatureLevel } from "../../backbones/backbone.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { arange, logicalAnd, type Tensor, where } from "../../tensor/index.ts";
import { squeezedSides } from "../boxes/decoding.ts";

/** How regions are read from maps. */
export interface RoiAlignOptions {
  /** Bins along each side of a region; default: 7. */
  readonly bins?: number;
  /** Samples along each side of a bin; default: 2. */
  readonly samples?: number;
  /**
   * Whether the first location of a map stands at half a stride of the image, as pixels do, in place of at its border; with it, a region
   * may be smaller than a location. As torchvision's `aligned`; default: false, as in its detectors.
   */
  readonly aligned?: boolean;
}

/** Where a sample stands that no location is near of. */
const NOWHERE = -10;

/** The part of regions along one axis, in pixels: edges [n, R]. */
interface Extent {
  readonly low: Tensor;
  readonly high: Tensor;
}

/**
 * How much each location along an axis counts for each bin of regions, [n, R · bins, size]: the mean over a bin's samples y of max(0, 1 −
 * |clamp(y) − h|). A sample farther than one location outside of the map counts 0, and so do all samples of regions that are not `taken`
 * [n, R].
 */
function binWeights(
  { low, high }: Extent,
  stride: number,
  size: number,
  { bins = 7, samples = 2, aligned = false }: RoiAlignOptions,
  taken?: Tensor,
): Tensor {
  const offset = aligned ? 0.5 : 0;
  const start = low.mul(1 / stride).sub(offset);
  const extent = high
    .mul(1 / stride)
    .sub(offset)
    .sub(start);
  const bin = (aligned ? extent : extent.maximum(1)).mul(1 / bins).unsqueeze(2);
  const [n, regions] = [dimAt(low, 0), sizeAt("roiAlign", low, 1)];
  const locations = arange(0, size, 1, "float32");
  const terms = Array.from({ length: samples }, (_, sample) => {
    const steps = arange(0, bins, 1, "float32").add((sample + 0.5) / samples);
    const at = bin.mul(steps).add(start.unsqueeze(2));
    const inside = logicalAnd(at.greaterEqual(-1), at.lessEqual(size));
    const kept = taken === undefined ? inside : logicalAnd(inside, taken.unsqueeze(2));
    const place = where(kept, at.clamp(0, size - 1), NOWHERE).reshape([n, regions * bins, 1]);
    return place
      .sub(locations)
      .abs()
      .mul(-1 / samples)
      .add(1 / samples)
      .relu();
  });
  return terms.slice(1).reduce((sum, term) => sum.add(term), inputAt(terms, 0));
}

/**
 * RoIAlign (He et al. 2017, "Mask R-CNN", section 3) with a fixed number of samples: each bin of a region is the mean of its samples,
 * and each sample is interpolated between four locations. With the mean, rows and columns part: the bins of a region are Wy · F · Wxᵀ, two
 * products a map. As a sum over all regions of an image happens inside the product that is its gradient, nothing is scattered, and results
 * do not depend on the order of threads. No gradient flows to the regions, as in the paper.
 *
 * Equal to torchvision's `roi_align` with a fixed `sampling_ratio`.
 * @param map [n, C, H, W]
 * @param regions [n, R, 4] in pixels of the image: R regions of each
 * @param stride pixels between locations of the map
 * @param taken [n, R] (bool): regions whose bins are not 0; default: all
 * @returns [n, R, bins · C, bins]: row of the bin by channel, and column of the bin
 * @throws ShapeError
 */
export function roiAlign(
  map: Tensor,
  regions: Tensor,
  stride: number,
  options: RoiAlignOptions = {},
  taken?: Tensor,
): Tensor {
  const [n, channels] = [dimAt(map, 0), sizeAt("roiAlign", map, 1)];
  const [height, width] = [sizeAt("roiAlign", map, 2), sizeAt("roiAlign", map, 3)];
  const { bins = 7 } = options;
  const [x1, y1, x2, y2] = squeezedSides(regions.stopGradient(), "roiAlign");
  const count = sizeAt("roiAlign", x1, 1);
  const rows = binWeights({ low: y1, high: y2 }, stride, height, options, taken);
  const columns = binWeights({ low: x1, high: x2 }, stride, width, options);
  const byRow = map.transpose([0, 2, 1, 3]).reshape([n, height, channels * width]);
  const read = rows.matmul(byRow).reshape([n, count, bins * channels, width]);
  return read.matmul(columns.reshape([n, count, bins, width]), { transposeB: true });
}

/** Which level of a pyramid a region is read from. */
export interface LevelRule {
  /** Side of a region, the root of its area, that is read from a map of the stride `stride`; up to twice as large ones are, too. */
  readonly side: number;
  readonly stride: number;
}

/** The rule of the paper: sides from 224 on, those of images in ImageNet, belong to stride 16. */
export const PYRAMID_RULE: LevelRule = { side: 224, stride: 16 };

/**
 * The level of each region (Lin et al. 2017, "Feature pyramid networks", equation 1): ⌊k₀ + log₂(√(w h) / 224)⌋, limited to the levels
 * there are: regions [n, R, 4] → [n, R], numbers into `levels` in float32. 10⁻⁶ is added before rounding, as in torchvision.
 */
export function regionLevels(
  regions: Tensor,
  levels: readonly FeatureLevel[],
  { side, stride }: LevelRule = PYRAMID_RULE,
): Tensor {
  const [x1, y1, x2, y2] = squeezedSides(regions.stopGradient(), "regionLevels");
  const area = x2.sub(x1).relu().mul(y2.sub(y1).relu());
  const finest = Math.log2(levels[0]?.stride ?? stride);
  return area
    .maximum(1e-12)
    .log()
    .mul(0.5 / Math.LN2)
    .add(Math.log2(stride / side) + 1e-6)
    .floor()
    .sub(finest)
    .clamp(0, levels.length - 1);
}

/**
 * Features of regions of a pyramid, each from the level of its size: maps [n, C, H, W] of the levels and regions [n, R, 4] → [n, R, bins · C,
 * bins], as `roiAlign` gives them.
 * @throws ShapeError
 */
export function regionFeatures(
  maps: readonly Tensor[],
  levels: readonly FeatureLevel[],
  regions: Tensor,
  options: RoiAlignOptions = {},
  rule: LevelRule = PYRAMID_RULE,
): Tensor {
  const own = levels.length > 1 ? regionLevels(regions, levels, rule) : undefined;
  const parts = levels.map(({ stride }, i) =>
    roiAlign(inputAt(maps, i), regions, stride, options, own?.equal(i)),
  );
  return parts.slice(1).reduce((sum, part) => sum.add(part), inputAt(parts, 0));
}
