import type { Conv2d } from "../../../nn/convolution.ts";
import { BatchNorm2d } from "../../../nn/normalization.ts";
import type { Tensor } from "../../../tensor/index.ts";
import { checkImages, type FeatureLevel } from "../backbones.ts";
import { type Dilations, PLAIN, stackedMaps } from "../trident.ts";
import {
  applied,
  convolution,
  type NormalizedConvolution,
  type PlainConvolution,
  type PublishedBackbone,
  type PublishedOptions,
  relu6,
} from "./layers.ts";

/** Sandler et al. 2018, table 2: expansion, channels, repetitions, stride of the first; and the stage they belong to. */
const ROWS = [
  { expansion: 1, channels: 16, count: 1, stride: 1, stage: 1 },
  { expansion: 6, channels: 24, count: 2, stride: 2, stage: 2 },
  { expansion: 6, channels: 32, count: 3, stride: 2, stage: 3 },
  { expansion: 6, channels: 64, count: 4, stride: 2, stage: 4 },
  { expansion: 6, channels: 96, count: 3, stride: 1, stage: 4 },
  { expansion: 6, channels: 160, count: 3, stride: 2, stage: 5 },
  { expansion: 6, channels: 320, count: 1, stride: 1, stage: 5 },
] as const;

const STEM = 32;

/** The blocks one by one. */
const BLOCKS = ROWS.flatMap(({ expansion, channels, count, stride, stage }, row) =>
  Array.from({ length: count }, (_, i) => ({
    inputs: i > 0 ? channels : (ROWS[row - 1]?.channels ?? STEM),
    channels,
    expansion,
    stride: i > 0 ? 1 : stride,
    stage,
  })),
);

type Block = (typeof BLOCKS)[number];

/** The stride of a stage's last map. */
const strideOf = (stage: number): number => 2 ** stage;

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

  constructor({ inputs, channels, expansion, stride }: Block, frozen: boolean) {
    const inner = inputs * expansion;
    const up = expansion === 1 ? [] : [normalized(inputs, inner, frozen)];
    const depthwise = normalized(inner, inner, frozen, { kernel: 3, stride, groups: inner });
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
  private readonly blocks: readonly Block[];

  constructor({ coarsestStride = 32, frozenNorm = () => false }: PublishedOptions = {}) {
    this.blocks = BLOCKS.filter(({ stage }) => strideOf(stage) <= coarsestStride);
    this.features = [
      normalized(3, STEM, frozenNorm(1), { kernel: 3, stride: 2 }),
      ...this.blocks.map((block) => new InvertedResidual(block, frozenNorm(block.stage))),
    ];
    this.levels = this.blocks
      .filter((_, i) => this.endsStage(i))
      .map(({ channels, stage }) => ({ channels, stride: strideOf(stage) }));
  }

  /** Whether a block is the last one of a stage that gives a map. */
  private endsStage(index: number): boolean {
    const stage = this.blocks[index]?.stage ?? 1;
    return stage > 1 && this.blocks[index + 1]?.stage !== stage;
  }

  /** Stage 1 is what halves the image once, `features.0` and `features.1`; stages 2 … 5 end at strides 4 … 32. */
  stageOf(name: string): number {
    const index = Number(/^features\.(\d+)\./.exec(name)?.[1] ?? 0);
    return this.blocks[index - 1]?.stage ?? 1;
  }

  /** Branches begin behind the first block of the last stage, which halves the map. */
  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("MobileNetV2", x, this.levels);
    const [stem, ...blocks] = this.features;
    const branching = this.blocks.findIndex(({ stage }) => stage === this.blocks.at(-1)?.stage);
    let map = relu6(applied(stem, x));
    return blocks.flatMap((block, i) => {
      map = block.forward(map, i > branching ? dilations : PLAIN);
      if (i === branching) map = stackedMaps(map, dilations);
      return this.endsStage(i) ? [map] : [];
    });
  }
}
