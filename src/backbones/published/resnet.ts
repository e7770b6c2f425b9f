import type { Conv2d } from "../../nn/convolution.ts";
import { BatchNorm2d } from "../../nn/normalization.ts";
import { maxPool2d, type Tensor } from "../../tensor/index.ts";
import { checkImages, type FeatureLevel } from "../backbone.ts";
import { type Dilations, PLAIN, stackedMaps } from "../dilations.ts";
import {
  applied,
  convolution,
  type NormalizedConvolution,
  type PublishedBackbone,
  type PublishedOptions,
  STRIDES,
} from "./layers.ts";

/** Blocks of the four stages, and what they are. */
const LAYOUTS = {
  resnet18: { blocks: [2, 2, 2, 2], bottleneck: false },
  resnet34: { blocks: [3, 4, 6, 3], bottleneck: false },
  resnet50: { blocks: [3, 4, 6, 3], bottleneck: true },
} as const;

/** Residual networks by their published names. */
export type ResNetName = keyof typeof LAYOUTS;

/** Channels of the stem, and of the 3×3 convolutions of the four stages. */
const STEM = 64;
const CHANNELS = [64, 128, 256, 512] as const;

/** How many times as many channels a bottleneck gives as its 3×3 convolution has. */
const EXPANSION = 4;

/** What blocks are made from. */
interface BlockOptions {
  readonly inputs: number;
  /** Channels of the 3×3 convolutions. */
  readonly channels: number;
  readonly stride: number;
  readonly frozen: boolean;
}

/** The path past a block where it changes the shape of the map: a 1×1 convolution. */
function shortcut(
  outputs: number,
  { inputs, stride, frozen }: BlockOptions,
): NormalizedConvolution | undefined {
  if (stride === 1 && inputs === outputs) return undefined;
  return [convolution(inputs, outputs, { stride }), new BatchNorm2d(outputs, { frozen })];
}

/** Two 3×3 convolutions beside the identity (He et al. 2016, figure 5, left). */
class BasicBlock {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly downsample: NormalizedConvolution | undefined;

  constructor(options: BlockOptions) {
    const { inputs, channels, stride, frozen } = options;
    this.conv1 = convolution(inputs, channels, { kernel: 3, stride });
    this.bn1 = new BatchNorm2d(channels, { frozen });
    this.conv2 = convolution(channels, channels, { kernel: 3 });
    this.bn2 = new BatchNorm2d(channels, { frozen });
    this.downsample = shortcut(channels, options);
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const inner = applied([this.conv1, this.bn1], x, dilations).relu();
    const past = this.downsample === undefined ? x : applied(this.downsample, x);
    return applied([this.conv2, this.bn2], inner, dilations).add(past).relu();
  }
}

/**
 * A 3×3 convolution between two 1×1 ones beside the identity (He et al. 2016, figure 5, right). The 3×3 convolution halves the map,
 * as in torchvision ("ResNet v1.5"); in the paper it is the first 1×1.
 */
class Bottleneck {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;
  readonly downsample: NormalizedConvolution | undefined;

  constructor(options: BlockOptions) {
    const { inputs, channels, stride, frozen } = options;
    const outputs = EXPANSION * channels;
    this.conv1 = convolution(inputs, channels);
    this.bn1 = new BatchNorm2d(channels, { frozen });
    this.conv2 = convolution(channels, channels, { kernel: 3, stride });
    this.bn2 = new BatchNorm2d(channels, { frozen });
    this.conv3 = convolution(channels, outputs);
    this.bn3 = new BatchNorm2d(outputs, { frozen });
    this.downsample = shortcut(outputs, options);
  }

  /** @param dilations of the branches that x is stacked in */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const first = applied([this.conv1, this.bn1], x).relu();
    const second = applied([this.conv2, this.bn2], first, dilations).relu();
    const past = this.downsample === undefined ? x : applied(this.downsample, x);
    return applied([this.conv3, this.bn3], second).add(past).relu();
  }
}

type Stage = readonly (BasicBlock | Bottleneck)[];

/**
 * ResNet-18, -34 or -50 (He et al. 2016, "Deep residual learning for image recognition", table 1) without its classifier, with the
 * layout and the names of torchvision, which are those of timm as well: a 7×7 stem, max pooling, and `layer1` … `layer4`.
 */
export class PublishedResNet implements PublishedBackbone {
  readonly levels: readonly FeatureLevel[];
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly layer1: Stage;
  readonly layer2: Stage;
  readonly layer3: Stage;
  readonly layer4: Stage;

  constructor(name: ResNetName, { coarsestStride = 32, frozenNorm = () => false }: PublishedOptions = {}) {
    const { blocks, bottleneck } = LAYOUTS[name];
    const Block = bottleneck ? Bottleneck : BasicBlock;
    const outputsOf = (channels: number): number => (bottleneck ? EXPANSION * channels : channels);
    this.conv1 = convolution(3, STEM, { kernel: 7, stride: 2 });
    this.bn1 = new BatchNorm2d(STEM, { frozen: frozenNorm(1) });
    const stage = (i: 0 | 1 | 2 | 3): Stage => {
      if (STRIDES[i] > coarsestStride) return [];
      const channels = CHANNELS[i];
      const before = i === 0 ? STEM : outputsOf(channels / 2);
      return Array.from({ length: blocks[i] }, (_, j) => {
        const stride = i > 0 && j === 0 ? 2 : 1;
        const inputs = j === 0 ? before : outputsOf(channels);
        return new Block({ inputs, channels, stride, frozen: frozenNorm(2 + i) });
      });
    };
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
    this.levels = STRIDES.filter((stride) => stride <= coarsestStride).map((stride, i) => ({
      channels: outputsOf(CHANNELS[i] ?? 0),
      stride,
    }));
  }

  /** Stage 1 is the stem (`conv1`, `bn1`), stages 2 … 5 are `layer1` … `layer4`. */
  stageOf(name: string): number {
    const layer = /^layer([1-4])\./.exec(name)?.[1];
    return layer === undefined ? 1 : 1 + Number(layer);
  }

  /** Branches begin behind the first block of the last stage. */
  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    checkImages("ResNet", x, this.levels);
    const stem = applied([this.conv1, this.bn1], x);
    // In the paper the ReLU comes first. The largest number is the same one, and there are four times as few to be cut off.
    let map = maxPool2d(stem, { kernel: 3, stride: 2, padding: 1 }).relu();
    return [this.layer1, this.layer2, this.layer3, this.layer4]
      .filter((stage) => stage.length > 0)
      .map(([first, ...others], i, stages) => {
        const own = i === stages.length - 1 ? dilations : PLAIN;
        const begun = stackedMaps(first === undefined ? map : first.forward(map), own);
        map = others.reduce((h, block) => block.forward(h, own), begun);
        return map;
      });
  }
}
