import type { Tensor } from "../tensor/index.ts";
import {
  type Backbone,
  type BackboneOptions,
  backbonePlan,
  checkImages,
  type FeatureLevel,
} from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";

const relu = (x: Tensor): Tensor => x.relu();

/**
 * The basic block of a residual network (He et al. 2016, "Deep residual learning", figure 2): relu(x + conv(relu(conv(x)))) with
 * 3×3 convolutions, each with batch normalisation. Where the map is halved or its channels change, x goes through a 1×1
 * convolution.
 */
class BasicBlock {
  readonly conv1: ConvBlock;
  readonly conv2: ConvBlock;
  readonly skip: ConvBlock | undefined;

  constructor(inputs: number, outputs: number, stride: number) {
    this.conv1 = new ConvBlock(inputs, outputs, 3, { stride, activation: relu });
    this.conv2 = new ConvBlock(outputs, outputs, 3, { activation: "none" });
    this.skip =
      stride === 1 && inputs === outputs
        ? undefined
        : new ConvBlock(inputs, outputs, 1, { stride, activation: "none" });
  }

  forward(x: Tensor): Tensor {
    const sum = this.conv2.forward(this.conv1.forward(x)).add(this.skip?.forward(x) ?? x);
    return sum.relu();
  }
}

/** A small residual network of basic blocks; the stem and the first stage halve the image by strides, without pooling. */
export class ResNet implements Backbone {
  readonly levels: readonly FeatureLevel[];
  readonly stem: ConvBlock;
  readonly stages: readonly (readonly BasicBlock[])[];

  constructor(options: BackboneOptions) {
    const { stem, stages } = backbonePlan(options);
    this.levels = stages.map(({ channels, stride }) => ({ channels, stride }));
    this.stem = new ConvBlock(3, stem, 3, { stride: 2, activation: relu });
    this.stages = stages.map(({ inputs, channels, blocks }) =>
      Array.from({ length: blocks }, (_, i) =>
        i === 0 ? new BasicBlock(inputs, channels, 2) : new BasicBlock(channels, channels, 1),
      ),
    );
  }

  forward(x: Tensor): readonly Tensor[] {
    checkImages("ResNet", x, this.levels);
    let map = this.stem.forward(x);
    return this.stages.map((blocks) => {
      map = blocks.reduce((h, block) => block.forward(h), map);
      return map;
    });
  }
}
