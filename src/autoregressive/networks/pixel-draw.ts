import { cumSum } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  constant,
  gather,
  gatherElements,
  slice,
  split,
  type Tensor,
  where,
  whileLoop,
} from "../../tensor/index.ts";
import { bernoulliLogProb, type Draw, type DrawInputs } from "../conditionals.ts";
import type { PixelNetwork } from "./pixel.ts";

/** The distribution of one element of an image, a pixel's channel, given the numbers that a network has for it. */
export interface PixelValues {
  /** How many numbers the network has for an element, K. */
  readonly logits: number;
  /** Data units to about [−1, 1], so that nothing inside an image looks like the zeros around it. */
  scale(x: Tensor): Tensor;
  /**
   * log p(x) of elements in nats.
   * @param logits with K along an axis
   * @param x in data units, of the shape of the logits without that axis
   */
  logProb(logits: Tensor, x: Tensor, axis: number): Tensor;
  /** Elements in data units from logits [n, K] and uniform numbers on [0, 1), [n] → [n]. */
  draw(logits: Tensor, uniforms: Tensor): Tensor;
}

/** Zeros and ones: the logit of a one. */
export const bits: PixelValues = {
  logits: 1,
  scale: (x) => x.mul(2).sub(1),
  logProb: (logits, x, axis) => bernoulliLogProb(logits.squeeze(axis), x),
  draw: (logits, uniforms) => uniforms.less(logits.squeeze(1).sigmoid()).cast("float32"),
};

/** Number of bytes. */
const BYTES = 256;

/** Keeps a level of probability 0, which rounding may pick, from dividing by it. */
const LEAST = 1e-30;

/**
 * Bytes in levels: a byte b belongs to level ⌊b L / 256⌋, which has one of L logits, and is uniform among the bytes of
 * its level. So log p(b) = log p(level) − log(bytes of the level) is a log-probability of the byte, and 256 levels are
 * van den Oord et al. 2016 ("Pixel Recurrent Neural Networks", section 3.3) to the letter. The network sees the level.
 */
export function byteLevels(levels: number): PixelValues {
  // ⌈level · 256 / L⌉; quotients of such whole numbers are never rounded across the next one.
  const first = (level: Tensor): Tensor =>
    level
      .mul(BYTES)
      .add(levels - 1)
      .div(levels)
      .floor();
  const levelOf = (x: Tensor): Tensor => x.mul(levels / BYTES).floor();
  const width = (level: Tensor): Tensor => first(level.add(1)).sub(first(level));
  return {
    logits: levels,
    scale: (x) =>
      levelOf(x)
        .mul(2 / (levels - 1))
        .sub(1),
    logProb: (logits, x, axis) => {
      const level = levelOf(x);
      const own = gatherElements(logits, level.cast("int64").unsqueeze(axis), axis).squeeze(axis);
      return own.sub(logits.logSumExp(axis)).sub(width(level).log());
    },
    draw: (logits, uniforms) => {
      const u = uniforms.unsqueeze(1);
      const probabilities = logits.softmax(1);
      const ends = cumSum(probabilities, 1);
      // The last end may have been rounded to below 1, so it does not count.
      const level = slice(ends, 1, 0, levels - 1)
        .lessEqual(u)
        .cast("float32")
        .sum(1, true);
      const at = level.cast("int64");
      const end = gatherElements(ends, at, 1);
      const size = gatherElements(probabilities, at, 1).maximum(LEAST);
      // What is left of the uniform number within its level is uniform again, and decides which byte of it.
      const share = u.sub(end.sub(size)).div(size).clamp(0, 1);
      const count = width(level);
      return first(level)
        .add(share.mul(count).floor().minimum(count.sub(1)))
        .squeeze(1);
    },
  };
}

export interface PixelDrawing extends DrawInputs {
  /** Classes [n], int64, where the network is conditioned on them. */
  readonly label?: Tensor | undefined;
}

/** Elements of several tensors as one state of a loop. */
const zeros = (shape: readonly number[]): Tensor => constant(0).broadcastTo(shape);

/**
 * Draws images pixel by pixel in raster order. The vertical stack is computed once a row and the horizontal stack once a
 * channel of a pixel, each from a window of what its filters still see, so that an image costs about one forward pass.
 * @param shape [C, H, W] of an image
 */
export function drawPixels(
  network: PixelNetwork,
  values: PixelValues,
  shape: readonly [number, number, number],
  { uniforms, given, known, label }: PixelDrawing,
): Draw {
  const [channels, height, width] = shape;
  const n = Number(uniforms.shape[0]);
  const { layers } = network;
  const marginals = network.marginals(shape).reshape([1, -1]).broadcastTo(uniforms.shape);
  // By position first, [H, W, n, C], since loops go over positions.
  const byPosition = (x: Tensor): Tensor => x.reshape([n, ...shape]).transpose([2, 3, 0, 1]);
  const sources = [uniforms, given, known, marginals].map(byPosition);
  const reaches = layers.map(({ vertical }) => (Number(vertical.weight.shape[3]) - 1) / 2);
  const inputs = layers.map(({ vertical }) => Number(vertical.weight.shape[1]));

  const [image, logKnown] = whileLoop(
    [
      zeros([height, width, n, channels]),
      zeros([n]),
      ...layers.map((_, l) => zeros([n, inputs[l] ?? 1, reaches[l] ?? 1, width])),
    ],
    ([before, weight, ...windows], r) => {
      const next: Tensor[] = [];
      const sideways: Tensor[] = [];
      let vertical: Tensor | undefined;
      layers.forEach((layer, l) => {
        const held = windows[l] ?? uniforms;
        const window = vertical === undefined ? held : concat([held, vertical], 2);
        const made = layer.row(window, label);
        if (vertical !== undefined) next.push(slice(window, 2, 1));
        vertical = made.vertical;
        sideways.push(made.sideways);
      });
      const across = concat(sideways, 1).squeeze(2).transpose([2, 0, 1]);
      const rows = sources.map((source) => gather(source, r));
      const { row, logKnown: total } = drawRow(rows, across, weight);
      const own = arange(0, height).equal(r).reshape([height, 1, 1, 1]);
      const scaled = values.scale(row).transpose([1, 2, 0]).unsqueeze(2);
      const first = slice(concat([windows[0] ?? scaled, scaled], 2), 2, 1);
      return { state: [where(own, row, before), total, first, ...next] };
    },
    { maximum: height },
  );
  return { x: image.transpose([2, 3, 0, 1]).reshape(uniforms.shape), logKnown };

  /** One row [W, n, C], from what the vertical stack sends to each layer, [W, n, layers · 2p]. */
  function drawRow(
    rows: readonly Tensor[],
    across: Tensor,
    weight: Tensor,
  ): { readonly row: Tensor; readonly logKnown: Tensor } {
    const [row, total] = whileLoop(
      [
        zeros([width, n, channels]),
        weight,
        ...layers.map((_, l) => zeros([n, inputs[l] ?? 1, reaches[l] ?? 1])),
      ],
      ([before, sum, ...windows], column) => {
        const [u, fixed, isKnown, begin] = rows.map((source) => gather(source, column)) as [
          Tensor,
          Tensor,
          Tensor,
          Tensor,
        ];
        const sideways = split(gather(across, column), 1, layers.length);
        const pixel: Tensor[] = [];
        let found: Pixel = { features: u, windows };
        let logs = sum;
        for (let c = 0; c < channels; c++) {
          const at = (x: Tensor): Tensor => slice(x, 1, c, c + 1).squeeze(1);
          found = pixelFeatures(pixel.map(values.scale), windows, sideways);
          const logits = network.logitsAt(found.features, c).add(at(begin).unsqueeze(1));
          const held = at(isKnown).greater(0.5);
          const value = where(held, at(fixed), values.draw(logits, at(u)));
          logs = logs.add(where(held, values.logProb(logits, value, 1), 0));
          pixel.push(value.unsqueeze(1));
        }
        const drawn = concat(pixel, 1);
        const own = arange(0, width).equal(column).reshape([width, 1, 1]);
        const first = slice(concat([windows[0] ?? drawn, values.scale(drawn).unsqueeze(2)], 2), 2, 1);
        return { state: [where(own, drawn, before), logs, first, ...found.windows.slice(1)] };
      },
      { maximum: width },
    );
    return { row, logKnown: total };
  }

  /** The last layer's features of a pixel whose first channels are known, and the windows of the next pixel. */
  function pixelFeatures(
    pixel: readonly Tensor[],
    windows: readonly Tensor[],
    sideways: readonly Tensor[],
  ): Pixel {
    const next: Tensor[] = [];
    let features = channels === 1 ? undefined : concat([...pixel, zeros([n, channels - pixel.length])], 1);
    layers.forEach((layer, l) => {
      const held = windows[l] ?? uniforms;
      const window = features === undefined ? held : concat([held, features.unsqueeze(2)], 2);
      next.push(slice(window, 2, 1));
      features = layer.pixel(window, sideways[l] ?? held);
    });
    return { features: features ?? uniforms, windows: next };
  }
}

interface Pixel {
  readonly features: Tensor;
  readonly windows: readonly Tensor[];
}
