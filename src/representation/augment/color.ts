import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { concat, type Dim, slice, type Tensor, where } from "../../tensor/index.ts";
import { between, chosen, perSample } from "./draws.ts";

// Changes of brightness and color of images on [0, 1], as torchvision's functions of the same names make them. A factor or shift is a
// tensor [n], a number for each image. All throw a ShapeError where x is no [n, c, h, w].

/** How much red, green and blue count for gray (ITU-R BT.601). */
const GRAY_WEIGHTS = [0.2989, 0.587, 0.114] as const;

/** The three channels of x, [n, 1, h, w] each. */
function channelsOf(x: Tensor): readonly [Tensor, Tensor, Tensor] {
  return [slice(x, 1, 0, 1), slice(x, 1, 1, 2), slice(x, 1, 2, 3)];
}

/** Gray values, [n, 1, h, w]: of red, green and blue by how bright they look, of any other channels their mean. */
export function toGray(x: Tensor): Tensor {
  const channels = sizeAt("toGray", x, 1);
  if (channels === 1) return x;
  if (channels !== 3) return x.mean(1, true);
  const [red, green, blue] = channelsOf(x);
  return red.mul(GRAY_WEIGHTS[0]).add(green.mul(GRAY_WEIGHTS[1])).add(blue.mul(GRAY_WEIGHTS[2]));
}

/** factor · x + (1 − factor) · other, limited to [0, 1]. */
function blend(x: Tensor, other: Tensor | undefined, factor: Tensor): Tensor {
  const weight = perSample(factor, 4);
  const own = x.mul(weight);
  return (other === undefined ? own : own.add(other.mul(weight.neg().add(1)))).clamp(0, 1);
}

/** Every value times the factor. */
export function adjustBrightness(x: Tensor, factor: Tensor): Tensor {
  return blend(x, undefined, factor);
}

/** Values moved from, or with factors below 1 to, the mean of the gray image. */
export function adjustContrast(x: Tensor, factor: Tensor): Tensor {
  return blend(x, toGray(x).mean([1, 2, 3], true), factor);
}

/** Colors moved from, or with factors below 1 to, the gray of their pixel. */
export function adjustSaturation(x: Tensor, factor: Tensor): Tensor {
  return blend(x, toGray(x), factor);
}

/**
 * Hues turned on the circle, on which a shift of 1 is once around; saturation and value of a pixel (HSV) stay as they are. Images have
 * three channels.
 */
export function adjustHue(x: Tensor, shift: Tensor): Tensor {
  const [red, green, blue] = channelsOf(x);
  const value = x.max(1, true);
  const range = value.sub(x.min(1, true));
  const isGray = range.equal(0);
  const safe = where(isGray, 1, range);
  // In sixths of the circle, counted from the largest channel's own hue.
  const sixths = where(
    value.equal(red),
    green.sub(blue).div(safe),
    where(value.equal(green), blue.sub(red).div(safe).add(2), red.sub(green).div(safe).add(4)),
  );
  const turned = sixths.add(perSample(shift.mul(6), 4));
  // A channel falls from the value by the range where the hue is far from its own.
  const channel = (offset: number): Tensor => {
    const k = turned.add(offset);
    const around = k.sub(
      k
        .mul(1 / 6)
        .floor()
        .mul(6),
    );
    const far = around.minimum(around.neg().add(4)).clamp(0, 1);
    return value.sub(range.mul(far));
  };
  return concat([channel(5), channel(3), channel(1)], 1);
}

/** How much colors are changed: with strengths b, factors are drawn from [max(0, 1 − b), 1 + b], hues' shifts from [−b, b]. */
export interface JitterOptions {
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  /** At most ½. */
  readonly hue: number;
  /** Share of the images that are changed. */
  readonly probability: number;
}

/**
 * Color jitter (Chen et al. 2020, "SimCLR", appendix A): brightness, contrast, saturation and hue, in this order, of a share of the images.
 * The paper's order is random; in a graph, which is the same for all images of a batch, it is fixed.
 */
export function colorJitter(x: Tensor, options: JitterOptions): Tensor {
  const { brightness, contrast, saturation, hue, probability } = options;
  const n = dimAt(x, 0);
  if (probability === 0) return x;
  const changed = chosen(n, probability);
  const factor = (strength: number): Tensor =>
    between(n, Math.max(0, 1 - strength), 1 + strength)
      .sub(1)
      .mul(changed)
      .add(1);
  let view = x;
  if (brightness > 0) view = adjustBrightness(view, factor(brightness));
  if (contrast > 0) view = adjustContrast(view, factor(contrast));
  if (saturation > 0) view = adjustSaturation(view, factor(saturation));
  if (hue > 0) view = adjustHue(view, between(n, -hue, hue).mul(changed));
  return view;
}

/** Images that lose their color with this probability: all channels become gray. */
export function randomGray(x: Tensor, probability: number): Tensor {
  const n: Dim = dimAt(x, 0);
  return x.add(
    toGray(x)
      .sub(x)
      .mul(perSample(chosen(n, probability), 4)),
  );
}
