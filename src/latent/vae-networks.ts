import { Conv2d, ConvTranspose2d } from "../nn/convolution.ts";
import { kaimingNormal, zeros } from "../nn/initializers.ts";
import { Linear, linearLayers } from "../nn/linear.ts";
import { concat, type Tensor } from "../tensor/index.ts";

/** Starting values of layers before a rectifier. */
const RELU_START = { initializeWeight: kaimingNormal(), initializeBias: zeros } as const;

/** From rows [n, inputs] and maybe what is known besides [n, c] to rows [n, outputs]. */
export interface RowNetwork {
  forward(x: Tensor, context?: Tensor): Tensor;
}

export interface PerceptronOptions {
  readonly inputs: number;
  readonly outputs: number;
  /** Units of a hidden layer. */
  readonly width: number;
  readonly hiddenLayers: number;
  /** Length of the context; 0 for none. */
  readonly contextSize: number;
}

/** A perceptron with rectifiers between its layers: encoder or decoder of anything. */
export class PerceptronNetwork implements RowNetwork {
  readonly layers: readonly Linear[];

  constructor({ inputs, outputs, width, hiddenLayers, contextSize }: PerceptronOptions) {
    const sizes = [inputs + contextSize, ...new Array<number>(hiddenLayers).fill(width)];
    this.layers = [...linearLayers(sizes, RELU_START), new Linear(width, outputs)];
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    return this.layers.reduce(
      (h, layer, i) => layer.forward(i === 0 ? h : h.relu()),
      withContext(x, context),
    );
  }
}

function withContext(x: Tensor, context: Tensor | undefined): Tensor {
  return context === undefined ? x : concat([x, context], 1);
}

/** Maps of a convolutional network: how large they are, and of how many channels. */
export interface MapShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Channels grow by no more than this. */
const MOST_GROWTH = 4;

/** Smaller maps than this are not halved. */
const SMALLEST_SIDE = 4;

/**
 * The maps of an image that is halved while its sides are even and above 4, with twice as many channels each time:
 * 28 → 14 → 7, 32 → 16 → 8 → 4. The image itself comes first.
 * @param channels of the first map below the image
 */
export function imageMaps(sampleShape: readonly number[], channels: number): readonly MapShape[] {
  const [own = 1, height = 1, width = 1] = sampleShape;
  const maps: MapShape[] = [{ channels: own, height, width }];
  let [h, w] = [height, width];
  while (h % 2 === 0 && w % 2 === 0 && Math.min(h, w) > SMALLEST_SIDE) {
    [h, w] = [h / 2, w / 2];
    maps.push({ channels: channels * Math.min(MOST_GROWTH, 2 ** (maps.length - 1)), height: h, width: w });
  }
  return maps;
}

/** Whether an image can be halved twice, which convolutional networks want. */
export function canConvolve(sampleShape: readonly number[]): boolean {
  return sampleShape.length === 3 && imageMaps(sampleShape, 1).length > 2;
}

export interface ConvolutionOptions {
  /** The image and its maps, largest first. */
  readonly maps: readonly MapShape[];
  /** Units of the linear layer between the smallest map and the code. */
  readonly width: number;
  readonly contextSize: number;
}

const HALVING = { stride: 2, padding: 1 } as const;

const rowLength = ({ channels, height, width }: MapShape): number => channels * height * width;

const smallestOf = (maps: readonly MapShape[]): MapShape =>
  maps.at(-1) ?? { channels: 1, height: 1, width: 1 };

/** Convolutions that halve an image, then two linear layers; rectifiers between. */
export class ConvolutionalEncoder implements RowNetwork {
  readonly down: readonly Conv2d[];
  readonly hidden: Linear;
  readonly output: Linear;
  private readonly sampleShape: readonly number[];

  constructor(outputs: number, { maps, width, contextSize }: ConvolutionOptions) {
    const [image, ...below] = maps;
    this.sampleShape = image === undefined ? [] : [image.channels, image.height, image.width];
    this.down = below.map(
      (map, i) => new Conv2d(maps[i]?.channels ?? 1, map.channels, 3, { ...HALVING, ...RELU_START }),
    );
    this.hidden = new Linear(rowLength(smallestOf(maps)) + contextSize, width, RELU_START);
    this.output = new Linear(width, outputs);
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    const rows = x.shape[0] ?? 1;
    const map = this.down.reduce(
      (h, layer) => layer.forward(h).relu(),
      x.reshape([rows, ...this.sampleShape]),
    );
    return this.output.forward(this.hidden.forward(withContext(map.reshape([rows, -1]), context)).relu());
  }
}

/**
 * The decoder of an image: two linear layers to the smallest map, then transposed convolutions that double it. Kernels of 4×4 double
 * sizes without overlapping unevenly.
 */
export class ConvolutionalDecoder implements RowNetwork {
  readonly hidden: Linear;
  readonly project: Linear;
  readonly up: readonly ConvTranspose2d[];
  private readonly smallest: MapShape;

  /** @param channels numbers for each location of the image */
  constructor(inputs: number, channels: number, { maps, width, contextSize }: ConvolutionOptions) {
    const upwards = maps.toReversed();
    const smallest = smallestOf(maps);
    this.smallest = smallest;
    this.hidden = new Linear(inputs + contextSize, width, RELU_START);
    this.project = new Linear(width, rowLength(smallest), RELU_START);
    this.up = upwards.slice(1).map((map, i) => {
      const from = upwards[i]?.channels ?? 1;
      return i === upwards.length - 2
        ? new ConvTranspose2d(from, channels, 4, HALVING)
        : new ConvTranspose2d(from, map.channels, 4, { ...HALVING, ...RELU_START });
    });
  }

  forward(z: Tensor, context?: Tensor): Tensor {
    const { channels, height, width } = this.smallest;
    const rows = z.shape[0] ?? 1;
    const hidden = this.hidden.forward(withContext(z, context)).relu();
    const map = this.up.reduce(
      (h, layer) => layer.forward(h.relu()),
      this.project.forward(hidden).reshape([rows, channels, height, width]),
    );
    return map.reshape([rows, -1]);
  }
}
