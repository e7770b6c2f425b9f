import { concat, split, type Tensor } from "../tensor/index.ts";
import {
  type Backbone,
  type BackboneOptions,
  backbonePlan,
  checkImages,
  type FeatureLevel,
  scaledChannels,
} from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";

/** Two 3×3 convolutions beside the identity: [N, C, H, W] → the same shape. */
class Bottleneck {
  readonly conv1: ConvBlock;
  readonly conv2: ConvBlock;

  constructor(channels: number) {
    this.conv1 = new ConvBlock(channels, channels, 3);
    this.conv2 = new ConvBlock(channels, channels, 3);
  }

  forward(x: Tensor): Tensor {
    return x.add(this.conv2.forward(this.conv1.forward(x)));
  }
}

/**
 * A cross-stage partial block (Wang et al. 2020, "CSPNet", section 3.2): one half of the channels goes through residual blocks,
 * the other past them, and a 1×1 convolution mixes both. [N, C, H, W] → [N, O, H, W].
 */
export class CspBlock {
  readonly divide: ConvBlock;
  readonly blocks: readonly Bottleneck[];
  readonly merge: ConvBlock;

  constructor(inputs: number, outputs: number, blocks: number) {
    const half = scaledChannels(outputs, 0.5);
    this.divide = new ConvBlock(inputs, 2 * half, 1);
    this.blocks = Array.from({ length: blocks }, () => new Bottleneck(half));
    this.merge = new ConvBlock(2 * half, outputs, 1);
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const [past = x, through = x] = split(this.divide.forward(x), 1, 2);
    return this.merge.forward(concat([past, this.blocks.reduce((h, block) => block.forward(h), through)], 1));
  }
}

/** A 3×3 convolution that halves the map, and a cross-stage partial block. */
class CspStage {
  readonly reduce: ConvBlock;
  readonly block: CspBlock;

  constructor(inputs: number, outputs: number, blocks: number) {
    this.reduce = new ConvBlock(inputs, outputs, 3, { stride: 2 });
    this.block = new CspBlock(outputs, outputs, blocks);
  }

  forward(x: Tensor): Tensor {
    return this.block.forward(this.reduce.forward(x));
  }
}

/** A small network of cross-stage partial blocks, as the backbones of YOLO from YOLOv4 on are (Bochkovskiy et al. 2020). */
export class CspNet implements Backbone {
  readonly levels: readonly FeatureLevel[];
  readonly stem: ConvBlock;
  readonly stages: readonly CspStage[];

  constructor(options: BackboneOptions) {
    const { stem, stages } = backbonePlan(options);
    this.levels = stages.map(({ channels, stride }) => ({ channels, stride }));
    this.stem = new ConvBlock(3, stem, 3, { stride: 2 });
    this.stages = stages.map(({ inputs, channels, blocks }) => new CspStage(inputs, channels, blocks));
  }

  forward(x: Tensor): readonly Tensor[] {
    checkImages("CspNet", x, this.levels);
    let map = this.stem.forward(x);
    return this.stages.map((stage) => {
      map = stage.forward(map);
      return map;
    });
  }
}
