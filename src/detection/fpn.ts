import { inputAt, type Tensor, upsampleNearest } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";
import type { Neck } from "./neck.ts";

/**
 * A feature pyramid network (Lin et al. 2017, "Feature pyramid networks for object detection", section 3 and figure 3): from the
 * coarsest map down, what has been gathered so far is doubled in size by repetition and added to the next finer map, which a 1×1
 * convolution has brought to the same channels; a 3×3 convolution then smooths each sum. So a fine map knows what is seen only
 * from afar. Unlike in the paper, convolutions have batch normalisation, the last ones SiLU: networks are trained from scratch
 * here.
 */
export class Fpn implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  readonly output: readonly ConvBlock[];

  /**
   * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
   * @param outputs how many maps it gives, the finest ones; all unless told
   */
  constructor(levels: readonly FeatureLevel[], channels: number, outputs = levels.length) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = levels.map((level) => new ConvBlock(level.channels, channels, 1, { activation: "none" }));
    this.output = used.map(() => new ConvBlock(channels, channels, 3));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const sums: Tensor[] = [];
    for (const [i, lateral] of [...this.lateral.entries()].reverse()) {
      const own = lateral.forward(inputAt(maps, i));
      const [coarser] = sums;
      sums.unshift(coarser === undefined ? own : own.add(upsampleNearest(coarser, 2)));
    }
    return this.output.map((output, i) => output.forward(inputAt(sums, i)));
  }
}
