import { shapeError, type Tensor } from "../tensor/index.ts";

/** A map of features as a detector sees it: its channels, and how many pixels of the image lie between its places. */
export interface FeatureLevel {
  readonly channels: number;
  readonly stride: number;
}

/** A network from images to maps of features of several strides. */
export interface Backbone {
  /** What `forward` gives, from the finest map to the coarsest: strides 4, 8, 16 and 32, or as far as was asked for. */
  readonly levels: readonly FeatureLevel[];
  /** x [n, 3, H, W], about 0 … 1 → [n, channels, H / stride, W / stride] of each level. @throws ShapeError */
  forward(x: Tensor): readonly Tensor[];
}

/** What a backbone is made from. */
export interface BackboneOptions {
  readonly width: number;
  readonly depth: number;
  /** The stride at which it ends; 32 unless told. */
  readonly coarsestStride?: number;
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
export function backbonePlan({ width, depth, coarsestStride = 32 }: BackboneOptions): {
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
