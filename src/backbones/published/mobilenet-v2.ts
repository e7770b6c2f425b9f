import type { Conv2d } from "../../nn/convolution.ts";
import { BatchNorm2d } from "../../nn/normalization.ts";
import type { Tensor } from "../../tensor/index.ts";
import { relu6 } from "../../tensor/operations/elementwise.ts";
import { checkImages, type FeatureLevel } from "../backbone.ts";
import { type Dilations, PLAIN } from "../dilations.ts";
import {
  applied,
  convolution,
  type NormalizedConvolution,
  type PlainConvolution,
  type PublishedBackbone,
  type PublishedOptions,
} from "./layers.ts";
import { blocksOf, levelsOf, type MobileBlockShape, throughBlocks } from "./mobile-blocks.ts";

/** Sandler et al. 2018, table 2: expansion, channels, repetitions, stride of the first; and the stage they belong to. */
const ROWS = [
  { kernel: 3, expansion: 1, channels: 16, count: 1, stride: 1, stage: 1 },
  { kernel: 3, expansion: 6, channels: 24, count: 2, stride: 2, stage: 2 },
  { kernel: 3, expansion: 6, channels: 32, count: 3, stride: 2, stage: 3 },
  { kernel: 3, expansion: 6, channels: 64, count: 4, stride: 2, stage: 4 },
  { kernel: 3, expansion: 6, channels: 96, count: 3, stride: 1, stage: 4 },
  { kernel: 3, expansion: 6, channels: 160, count: 3, stride: 2, stage: 5 },
  { kernel: 3, expansion: 6, channels: 320, count: 1, stride: 1, stage: 5 },
] as const;

const STEM = 32;

function normalized(
  inputs: number,
  outputs: number,
  frozen: boolean,
  options: PlainConvolution = {},
): NormalizedConvolution {
  return [convolution(inputs, outputs, options), new BatchNorm2d(outputs, { frozen })];
}

/**
 * An inverted residual (Sandler et al. 2018, figure 4d): 1×1 up, 3×3 depthwise, 1×1 down without activation, beside the identity
 * where shapes agree. Steps with an activation are sequences of their own in torchvision, so that they have two indices.
 */
class InvertedResidual {
  readonly conv: readonly (NormalizedConvolution | Conv2d | BatchNorm2d)[];
  private readonly active: readonly NormalizedConvolution[];
  private readonly down: NormalizedConvolution;
  private readonly residual: boolean;

  constructor({ inputs, channels, kernel, expansion, stride }: MobileBlockShape, frozen: boolean) {
    const inner = inputs * expansion;
    const up = expansion === 1 ? [] : [normalized(inputs, inner, frozen)];
    const depthwise = normalized(inner, inner, frozen, { kernel, stride, groups: inner });
    const down = normalized(inner, channels, frozen);
    this.conv = [...up, depthwise, ...down];
    this.active = [...up, depthwise];
    this.down = down;
    this.residual = stride === 1 && inputs === channels;
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const inner = this.active.reduce((h, step) => relu6(applied(step, h, dilations)), x);
    const y = applied(this.down, inner);
    return this.residual ? x.add(y) : y;
  }
}

/**
 * MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted residuals and linear bottlenecks") without its last 1×1 convolution and
 * classifier, with the layout and the names of torchvision: `features.0` is the stem, `features.1` … `features.17` are the blocks.
 * The maps are those before each halving, of 24, 32, 96 and 320 channels.
 */
export class MobileNetV2 implements PublishedBackbone {
  readonly levels: readonly FeatureLevel[];
  readonly features: readonly [NormalizedConvolution, ...InvertedResidual[]];
  private readonly blocks: readonly MobileBlockShape[];

  constructor({ coarsestStride = 32, frozenNorm = () => false }: PublishedOptions = {}) {
    this.blocks = blocksOf(ROWS, STEM, coarsestStride);
    this.features = [
      normalized(3, STEM, frozenNorm(1), { kernel: 3, stride: 2 }),
      ...this.blocks.map((block) => new InvertedResidual(block, frozenNorm(block.stage))),
    ];
    this.levels = levelsOf(this.blocks);
  }

  /** Stage 1 is what halves the image once, `features.0` and `features.1`; stages 2 … 5 end at strides 4 … 32. */
  stageOf(name: string): number {
    const index = Number(/^features\.(\d+)\./.exec(name)?.[1] ?? 0);
    return this.blocks[index - 1]?.stage ?? 1;
  }

  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("MobileNetV2", x, this.levels);
    const [stem, ...blocks] = this.features;
    return throughBlocks(this.blocks, blocks, relu6(applied(stem, x)), dilations);
  }
}
