import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { SampleSpace } from "../../model/sample-space.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { kaimingNormal } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { BatchNorm1d, BatchNorm2d } from "../../nn/normalization.ts";
import type { Tensor } from "../../tensor/index.ts";
import { Block } from "./block.ts";
import type { Encoder, Layers } from "./encoder.ts";
import { channelsOf, type EncoderOptions, LOCAL_SIDE } from "./options.ts";

/** Sides of images that can be halved at all. */
const SMALLEST_SIDE = 4;

/** Maps are halved as long as their shorter side has this length: 28 → 14 → 7, 32 → 16 → 8 → 4. */
const HALVED_SIDE = 8;

/** Channels grow by no more than this. */
const MOST_GROWTH = 8;

interface MapShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** The maps of an image, from half its size down. @throws OptionError where it is too small */
function mapsOf(options: EncoderOptions, { sampleShape }: DataInfo): readonly [MapShape, ...MapShape[]] {
  const channels = channelsOf(options);
  const [, height = 0, width = 0] = sampleShape;
  if (Math.min(height, width) < SMALLEST_SIDE) {
    throw new OptionError(
      `the convolutional encoder takes images of at least ${SMALLEST_SIDE}×${SMALLEST_SIDE} pixels, not ${width}×${height}; enlarge them`,
    );
  }
  const halved = (map: MapShape, growth: number): MapShape => ({
    channels: channels * growth,
    height: Math.floor(map.height / 2),
    width: Math.floor(map.width / 2),
  });
  let last = halved({ channels: 1, height, width }, 1);
  const maps: [MapShape, ...MapShape[]] = [last];
  while (Math.min(last.height, last.width) >= HALVED_SIDE) {
    last = halved(last, Math.min(MOST_GROWTH, 2 ** maps.length));
    maps.push(last);
  }
  return maps;
}

/**
 * The encoder of Deep InfoMax (Hjelm et al. 2019, appendix A): convolutions of 4×4 with a stride of 2, a fully connected layer, and the code. All
 * but the code have batch normalization and rectifiers. Images may have any size and number of channels; the maps are `conv1`, `conv2`, …, one of
 * which has the local features; then come `fc` and `code`.
 */
export class ConvolutionalEncoder implements Encoder {
  readonly conv: readonly Block<Conv2d, BatchNorm2d>[];
  readonly fc: Block<Linear, BatchNorm1d>;
  readonly code: Linear;
  readonly codeSize: number;
  readonly localShape: readonly [number, number, number];
  private readonly space: SampleSpace;
  /** Index of the map with local features. */
  private readonly localMap: number;

  /** @throws OptionError where images are too small, or an option is of no use for images */
  constructor(options: EncoderOptions, data: DataInfo) {
    if (options.groups !== undefined) {
      throw new OptionError(
        "option groups: is for tables and points, and these samples are images; leave it out",
      );
    }
    const maps = mapsOf(options, data);
    const [image = 1] = data.sampleShape;
    const plain = { bias: false, initializeWeight: kaimingNormal() };
    this.conv = maps.map(({ channels }, i) => {
      const inputs = maps[i - 1]?.channels ?? image;
      const layer = new Conv2d(inputs, channels, 4, { stride: 2, padding: 1, ...plain });
      return new Block(layer, new BatchNorm2d(channels));
    });
    const last = maps.at(-1) ?? maps[0];
    const flat = last.channels * last.height * last.width;
    this.fc = new Block(new Linear(flat, options.hidden, plain), new BatchNorm1d(options.hidden));
    this.code = new Linear(options.hidden, options.codeSize);
    this.codeSize = options.codeSize;
    this.localMap = Math.max(
      0,
      maps.findLastIndex(({ height, width }) => Math.min(height, width) >= LOCAL_SIDE),
    );
    const { channels, height, width } = maps[this.localMap] ?? maps[0];
    this.localShape = [channels, height, width];
    this.space = new SampleSpace(data);
  }

  layers(x: Tensor): Layers {
    let map = this.space.seen(x);
    const maps = this.conv.map((block) => {
      map = block.forward(map);
      return map;
    });
    const fc = this.fc.forward(map.reshape([x.shape[0] ?? 1, -1]));
    return {
      ...Object.fromEntries(maps.map((one, i) => [`conv${i + 1}`, one])),
      local: maps[this.localMap] ?? map,
      fc,
      code: this.code.forward(fc),
    };
  }
}
