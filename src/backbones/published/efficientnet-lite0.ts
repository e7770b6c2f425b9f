import type { Conv2d } from "../../nn/convolution.ts";
import { Linear } from "../../nn/linear.ts";
import { BatchNorm2d } from "../../nn/normalization.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import type { Tensor } from "../../tensor/index.ts";
import { relu6 } from "../../tensor/operations/elementwise.ts";
import { checkImages, type FeatureLevel } from "../backbone.ts";
import { type Dilations, PLAIN } from "../dilations.ts";
import { applied, convolution, type PublishedBackbone, type PublishedOptions } from "./layers.ts";
import { blocksOf, levelsOf, type MobileBlockShape, throughBlocks } from "./mobile-blocks.ts";

/** The table of the authors' `efficientnet_lite_builder.py`, which is that of EfficientNet-B0; and the stage that blocks belong to. */
const ROWS = [
  { kernel: 3, expansion: 1, channels: 16, count: 1, stride: 1, stage: 1 },
  { kernel: 3, expansion: 6, channels: 24, count: 2, stride: 2, stage: 2 },
  { kernel: 5, expansion: 6, channels: 40, count: 2, stride: 2, stage: 3 },
  { kernel: 3, expansion: 6, channels: 80, count: 3, stride: 2, stage: 4 },
  { kernel: 5, expansion: 6, channels: 112, count: 3, stride: 1, stage: 4 },
  { kernel: 5, expansion: 6, channels: 192, count: 4, stride: 2, stage: 5 },
  { kernel: 3, expansion: 6, channels: 320, count: 1, stride: 1, stage: 5 },
] as const;

/** Channels of the first and the last convolution, which no member of the family scales. */
const STEM = 32;
const HEAD = 1280;

/** As the authors have it (momentum 0.99 and ε 10⁻³ in TensorFlow's terms). */
function batchNorm(channels: number, frozen: boolean): BatchNorm2d {
  return new BatchNorm2d(channels, { epsilon: 1e-3, momentum: 0.01, frozen });
}

/**
 * A mobile inverted bottleneck (Tan and Le 2019, section 4) without squeeze-and-excitation and with ReLU6: 1×1 up, depthwise, 1×1
 * down without activation, beside the identity where shapes agree. Paths are never dropped at random, as they are when the network
 * is trained on ImageNet.
 */
class MobileBlock {
  readonly _expand_conv: Conv2d | undefined;
  readonly _bn0: BatchNorm2d | undefined;
  readonly _depthwise_conv: Conv2d;
  readonly _bn1: BatchNorm2d;
  readonly _project_conv: Conv2d;
  readonly _bn2: BatchNorm2d;
  private readonly residual: boolean;

  constructor({ inputs, channels, kernel, expansion, stride }: MobileBlockShape, frozen: boolean) {
    const inner = inputs * expansion;
    if (expansion > 1) {
      this._expand_conv = convolution(inputs, inner);
      this._bn0 = batchNorm(inner, frozen);
    }
    this._depthwise_conv = convolution(inner, inner, { kernel, stride, groups: inner, padding: "same" });
    this._bn1 = batchNorm(inner, frozen);
    this._project_conv = convolution(inner, channels);
    this._bn2 = batchNorm(channels, frozen);
    this.residual = stride === 1 && inputs === channels;
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const { _expand_conv, _bn0 } = this;
    const wide = _expand_conv && _bn0 ? relu6(applied([_expand_conv, _bn0], x)) : x;
    const inner = relu6(applied([this._depthwise_conv, this._bn1], wide, dilations));
    const y = applied([this._project_conv, this._bn2], inner);
    return this.residual ? x.add(y) : y;
  }
}

/**
 * EfficientNet-Lite0 (Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks", and
 * `models/official/efficientnet/lite` of the authors' code) without its last 1×1 convolution and classifier, with the names of
 * lukemelas' PyTorch version. Paddings are TensorFlow's "same". The maps are those before each halving, of 24, 40, 112 and 320
 * channels.
 */
export class EfficientNetLite0 implements PublishedBackbone {
  readonly levels: readonly FeatureLevel[];
  readonly _conv_stem: Conv2d;
  readonly _bn0: BatchNorm2d;
  readonly _blocks: readonly MobileBlock[];
  private readonly blocks: readonly MobileBlockShape[];

  constructor({ coarsestStride = 32, frozenNorm = () => false }: PublishedOptions = {}) {
    this.blocks = blocksOf(ROWS, STEM, coarsestStride);
    this._conv_stem = convolution(3, STEM, { kernel: 3, stride: 2, padding: "same" });
    this._bn0 = batchNorm(STEM, frozenNorm(1));
    this._blocks = this.blocks.map((block) => new MobileBlock(block, frozenNorm(block.stage)));
    this.levels = levelsOf(this.blocks);
  }

  /** Stage 1 is what halves the image once, the stem and `_blocks.0`; stages 2 … 5 end at strides 4 … 32. */
  stageOf(name: string): number {
    const index = /^_blocks\.(\d+)\./.exec(name)?.[1];
    return (index === undefined ? undefined : this.blocks[Number(index)]?.stage) ?? 1;
  }

  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("EfficientNet-Lite0", x, this.levels);
    const stem = relu6(applied([this._conv_stem, this._bn0], x));
    return throughBlocks(this.blocks, this._blocks, stem, dilations);
  }
}

/** EfficientNet-Lite0 as it was trained, with the classifier of its classes: what its weights can be checked with. */
export class EfficientNetLite0Classifier extends EfficientNetLite0 {
  readonly _conv_head: Conv2d;
  readonly _bn1: BatchNorm2d;
  readonly _fc: Linear;

  constructor(classes = 1000) {
    super();
    this._conv_head = convolution(this.levels.at(-1)?.channels ?? 0, HEAD);
    this._bn1 = batchNorm(HEAD, false);
    this._fc = new Linear(HEAD, classes);
  }

  /** Images [n, 3, H, W], normalized, with sides that divide by 32 → logits [n, classes]. @throws ShapeError */
  logits(x: Tensor): Tensor {
    const maps = this.forward(x);
    const top = relu6(applied([this._conv_head, this._bn1], inputAt(maps, maps.length - 1)));
    return this._fc.forward(top.mean([2, 3]));
  }
}
