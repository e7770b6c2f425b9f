import { concat, inputAt, type Tensor, upsampleNearest } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";
import { CspBlock } from "./csp.ts";
import type { Neck } from "./neck.ts";

/** One step up: the finer map is halved and mixed with the map of the next level. */
class StepUp {
  readonly reduce: ConvBlock;
  readonly mix: CspBlock;

  constructor(channels: number) {
    this.reduce = new ConvBlock(channels, channels, 3, { stride: 2 });
    this.mix = new CspBlock(2 * channels, channels, 1);
  }

  forward(finer: Tensor, own: Tensor): Tensor {
    return this.mix.forward(concat([this.reduce.forward(finer), own], 1));
  }
}

/**
 * A path aggregation network (Liu et al. 2018, "Path aggregation network for instance segmentation", section 3.1) as YOLO has had
 * it since YOLOv4: down from the coarsest map as a feature pyramid, and up again from the finest, so that places of coarse maps
 * know exact edges by a short way. Maps are joined by their channels, and cross-stage partial blocks mix them.
 */
export class Pan implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  /** On the way down, for every level but the coarsest. */
  readonly down: readonly CspBlock[];
  /** On the way up, for every level but the finest. */
  readonly up: readonly StepUp[];

  /**
   * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
   * @param outputs how many maps it gives, the finest ones; all unless told
   */
  constructor(levels: readonly FeatureLevel[], channels: number, outputs = levels.length) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = levels.map((level) => new ConvBlock(level.channels, channels, 1));
    this.down = levels.slice(1).map(() => new CspBlock(2 * channels, channels, 1));
    this.up = used.slice(1).map(() => new StepUp(channels));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const own = this.lateral.map((lateral, i) => lateral.forward(inputAt(maps, i)));
    const gathered = own.slice(-1);
    for (const [i, mix] of [...this.down.entries()].reverse()) {
      const coarser = upsampleNearest(inputAt(gathered, 0), 2);
      gathered.unshift(mix.forward(concat([inputAt(own, i), coarser], 1)));
    }
    const results = gathered.slice(0, 1);
    for (const [i, step] of this.up.entries()) {
      results.push(step.forward(inputAt(results, i), inputAt(gathered, i + 1)));
    }
    return results;
  }
}
