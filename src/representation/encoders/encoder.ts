import type { Tensor } from "../../tensor/index.ts";

/** What an encoder makes of samples, by name of the layer and in their order. */
export type Layers = Readonly<Record<string, Tensor>> & {
  /** What stands for the parts of a sample: [n, channels, height, width], one vector at each location. */
  readonly local: Tensor;
  /** What stands for the whole sample: [n, codeSize]. */
  readonly code: Tensor;
};

/** A network from samples to features of their parts and a code of the whole. */
export interface Encoder {
  /** Length of a code. */
  readonly codeSize: number;
  /** Channels, height and width of the local features. */
  readonly localShape: readonly [channels: number, height: number, width: number];
  /** x [n, …sampleShape] in data units. @throws ShapeError */
  layers(x: Tensor): Layers;
}
