import { z } from "zod";
import { inputAt, type Tensor } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";
import { Fpn } from "./fpn.ts";
import { Pan } from "./pan.ts";

/** A network from the maps of a backbone to the maps that heads look at, all with the same channels. */
export interface Neck {
  /** What `forward` gives, from the finest map to the coarsest. */
  readonly levels: readonly FeatureLevel[];
  /** A map for each level that the neck was made for → a map for each of its own. @throws ShapeError */
  forward(maps: readonly Tensor[]): readonly Tensor[];
}

const NECKS = ["fpn", "pan", "none"] as const;

/** How maps of several strides are joined. */
export type NeckKind = (typeof NECKS)[number];

/** The option `neck` with a default of the detector's own. */
export function neckOption(usual: NeckKind) {
  return z
    .enum(NECKS)
    .default(usual)
    .describe("how maps of several strides are joined: top down, top down and up again, or not at all");
}

/** Each map by itself through a 1×1 and a 3×3 convolution: a pyramid without its ways, to compare with. */
class SeparateLevels implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  readonly output: readonly ConvBlock[];

  constructor(levels: readonly FeatureLevel[], channels: number, outputs: number) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = used.map((level) => new ConvBlock(level.channels, channels, 1, { activation: "none" }));
    this.output = used.map(() => new ConvBlock(channels, channels, 3));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const inner = this.lateral.map((lateral, i) => lateral.forward(inputAt(maps, i)));
    return this.output.map((output, i) => output.forward(inputAt(inner, i)));
  }
}

/**
 * A neck by name.
 * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
 * @param channels of the maps that it gives
 * @param outputs how many maps it gives, the finest ones
 */
export function neckOf(
  kind: NeckKind,
  levels: readonly FeatureLevel[],
  channels: number,
  outputs = levels.length,
): Neck {
  switch (kind) {
    case "fpn":
      return new Fpn(levels, channels, outputs);
    case "pan":
      return new Pan(levels, channels, outputs);
    case "none":
      return new SeparateLevels(levels, channels, outputs);
  }
}
