import { shapeError } from "../tensor/index.operations.ts";
import { concat, split, type Tensor } from "../tensor/index.ts";
import { ConvBlock } from "./conv-block.ts";
import { type Dilations, PLAIN, stackedMaps } from "./dilations.ts";

/** A map of features as a detector sees it: its channels, and how many pixels of the image lie between its locations. */
export interface FeatureLevel {
  readonly channels: number;
  readonly stride: number;
}

/** A network from images to maps of features of several strides. */
export interface Backbone {
  /** What `forward` gives, from the finest map to the coarsest: strides 4, 8, 16 and 32, or as far as was asked for. */
  readonly levels: readonly FeatureLevel[];
  /**
   * x [n, 3, H, W], normalized → [n, channels, H / stride, W / stride] of each level.
   * @param dilations of the branches that the last stage runs in after its reduction, for trident networks: the last map is then [branches · n,
   *   …], branch by branch
   * @throws ShapeError
   */
  forward(x: Tensor, dilations?: Dilations): readonly Tensor[];
  /** The stage that a parameter or buffer belongs to, by its name in the backbone: 1 for the stem, 2 … 5 for strides 4 … 32. */
  stageOf(name: string): number;
}

/** Stages of a backbone, the stem among them. */
export const STAGE_COUNT = 5;

/** What a backbone is made from. */
export interface BackboneOptions {
  readonly width: number;
  readonly depth: number;
  /** The stride at which it ends; default: 32. */
  readonly coarsestStride?: number;
  /** Whether the batch norms of a stage, 1 … 5, use the statistics they are given even in training; default: none. */
  readonly frozenNorm?: (stage: number) => boolean;
}

/** Channels that are fast: whole blocks of the runtime's convolutions. */
const BLOCK = 16;

/** Channels times a width, as a multiple of 16 and at least 16. */
export function scaledChannels(channels: number, width: number): number {
  return BLOCK * Math.max(1, Math.round((channels * width) / BLOCK));
}

/** Channels and blocks of each stage, for width and depth 1. */
const STAGES = [
  { channels: 32, blocks: 1, stride: 4 },
  { channels: 64, blocks: 2, stride: 8 },
  { channels: 96, blocks: 2, stride: 16 },
  { channels: 128, blocks: 1, stride: 32 },
] as const;

/** The parts of a backbone: the channels of its stem, which halves the image, and its stages, each of which halves the map. */
function backbonePlan({ width, depth, coarsestStride = 32 }: BackboneOptions): {
  readonly stem: number;
  readonly stages: readonly (FeatureLevel & { readonly inputs: number; readonly blocks: number })[];
} {
  const stem = scaledChannels(16, width);
  const stages = STAGES.filter(({ stride }) => stride <= coarsestStride).map(
    ({ channels, blocks, stride }, i) => ({
      inputs: scaledChannels(STAGES[i - 1]?.channels ?? 16, width),
      channels: scaledChannels(channels, width),
      blocks: Math.max(1, Math.round(blocks * depth)),
      stride,
    }),
  );
  return { stem, stages };
}

/** @throws ShapeError where x is no batch of images with sides that the coarsest stride divides */
export function checkImages(name: string, x: Tensor, levels: readonly FeatureLevel[]): void {
  const coarsest = Math.max(...levels.map(({ stride }) => stride));
  const [, channels, height, width] = x.shape;
  const whole = (side: unknown) => typeof side === "number" && side > 0 && side % coarsest === 0;
  if (x.rank !== 4 || channels !== 3 || !whole(height) || !whole(width)) {
    throw shapeError(name, [x], `takes [n, 3, height, width] with sides that are multiples of ${coarsest}`);
  }
}

const relu = (x: Tensor): Tensor => x.relu();

/** The stage of what a backbone of `stem` and `stages` holds. */
function stageOfField(name: string): number {
  const stage = /^stages\.(\d+)\./.exec(name)?.[1];
  return stage === undefined ? 1 : 2 + Number(stage);
}

/**
 * The basic block of a residual network (He et al. 2016, "Deep residual learning", figure 2): relu(x + conv(relu(conv(x)))) with
 * 3×3 convolutions, each with batch normalization. Where the map is halved or its channels change, x goes through a 1×1
 * convolution.
 */
class BasicBlock {
  readonly conv1: ConvBlock;
  readonly conv2: ConvBlock;
  readonly skip: ConvBlock | undefined;

  constructor(inputs: number, outputs: number, stride: number, frozenNorm: boolean) {
    this.conv1 = new ConvBlock(inputs, outputs, 3, { stride, activation: relu, frozenNorm });
    this.conv2 = new ConvBlock(outputs, outputs, 3, { activation: "none", frozenNorm });
    this.skip =
      stride === 1 && inputs === outputs
        ? undefined
        : new ConvBlock(inputs, outputs, 1, { stride, activation: "none", frozenNorm });
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const inner = this.conv1.forward(x, dilations);
    return this.conv2
      .forward(inner, dilations)
      .add(this.skip?.forward(x) ?? x)
      .relu();
  }

  /** A block that halves the map, in branches from its second convolution on: [n, …] → [branches · n, …]. */
  divided(x: Tensor, dilations: Dilations): Tensor {
    const inner = this.conv2.forward(stackedMaps(this.conv1.forward(x), dilations), dilations);
    return inner.add(stackedMaps(this.skip?.forward(x) ?? x, dilations)).relu();
  }
}

/** A small residual network of basic blocks; the stem and the first stage halve the image by strides, without pooling. */
export class ResNet implements Backbone {
  readonly levels: readonly FeatureLevel[];
  readonly stem: ConvBlock;
  readonly stages: readonly (readonly BasicBlock[])[];

  constructor(options: BackboneOptions) {
    const { stem, stages } = backbonePlan(options);
    const { frozenNorm = () => false } = options;
    this.levels = stages.map(({ channels, stride }) => ({ channels, stride }));
    this.stem = new ConvBlock(3, stem, 3, { stride: 2, activation: relu, frozenNorm: frozenNorm(1) });
    this.stages = stages.map(({ inputs, channels, blocks }, stage) =>
      Array.from({ length: blocks }, (_, i) =>
        i === 0
          ? new BasicBlock(inputs, channels, 2, frozenNorm(2 + stage))
          : new BasicBlock(channels, channels, 1, frozenNorm(2 + stage)),
      ),
    );
  }

  /** Stage 1 is `stem`, stages 2 … 5 are `stages.0` … `stages.3`. */
  stageOf(name: string): number {
    return stageOfField(name);
  }

  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("ResNet", x, this.levels);
    let map = this.stem.forward(x);
    return this.stages.map((blocks, i) => {
      const own = i === this.stages.length - 1 ? dilations : PLAIN;
      map = blocks.reduce((h, block, j) => (j === 0 ? block.divided(h, own) : block.forward(h, own)), map);
      return map;
    });
  }
}

/** Two 3×3 convolutions beside the identity: [N, C, H, W] → the same shape. */
class Bottleneck {
  readonly conv1: ConvBlock;
  readonly conv2: ConvBlock;

  constructor(channels: number, frozenNorm: boolean) {
    this.conv1 = new ConvBlock(channels, channels, 3, { frozenNorm });
    this.conv2 = new ConvBlock(channels, channels, 3, { frozenNorm });
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    return x.add(this.conv2.forward(this.conv1.forward(x, dilations), dilations));
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

  constructor(inputs: number, outputs: number, blocks: number, frozenNorm = false) {
    const half = scaledChannels(outputs, 0.5);
    this.divide = new ConvBlock(inputs, 2 * half, 1, { frozenNorm });
    this.blocks = Array.from({ length: blocks }, () => new Bottleneck(half, frozenNorm));
    this.merge = new ConvBlock(2 * half, outputs, 1, { frozenNorm });
  }

  /** @param dilations of the branches that the blocks run in: the result is [branches · N, …]. @throws ShapeError */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const [past, through] = split(this.divide.forward(x), 1, 2);
    const inner = this.blocks.reduce(
      (h, block) => block.forward(h, dilations),
      stackedMaps(through, dilations),
    );
    return this.merge.forward(concat([stackedMaps(past, dilations), inner], 1));
  }
}

/** A 3×3 convolution that halves the map, and a cross-stage partial block. */
class CspStage {
  readonly reduce: ConvBlock;
  readonly block: CspBlock;

  constructor(inputs: number, outputs: number, blocks: number, frozenNorm: boolean) {
    this.reduce = new ConvBlock(inputs, outputs, 3, { stride: 2, frozenNorm });
    this.block = new CspBlock(outputs, outputs, blocks, frozenNorm);
  }

  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    return this.block.forward(this.reduce.forward(x), dilations);
  }
}

/** A small network of cross-stage partial blocks, as the backbones of YOLO from YOLOv4 on are (Bochkovskiy et al. 2020). */
export class CspNet implements Backbone {
  readonly levels: readonly FeatureLevel[];
  readonly stem: ConvBlock;
  readonly stages: readonly CspStage[];

  constructor(options: BackboneOptions) {
    const { stem, stages } = backbonePlan(options);
    const { frozenNorm = () => false } = options;
    this.levels = stages.map(({ channels, stride }) => ({ channels, stride }));
    this.stem = new ConvBlock(3, stem, 3, { stride: 2, frozenNorm: frozenNorm(1) });
    this.stages = stages.map(
      ({ inputs, channels, blocks }, i) => new CspStage(inputs, channels, blocks, frozenNorm(2 + i)),
    );
  }

  /** Stage 1 is `stem`, stages 2 … 5 are `stages.0` … `stages.3`. */
  stageOf(name: string): number {
    return stageOfField(name);
  }

  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("CspNet", x, this.levels);
    let map = this.stem.forward(x);
    return this.stages.map((stage, i) => {
      map = stage.forward(map, i === this.stages.length - 1 ? dilations : PLAIN);
      return map;
    });
  }
}
