import { z } from "zod";
import { amount, share } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { dimAt } from "../../tensor/graph.ts";
import type { Tensor } from "../../tensor/index.ts";
import { randomBlur } from "./blur.ts";
import { colorJitter, randomGray } from "./color.ts";
import { addNoise, cutout, swapColumns } from "./corrupt.ts";
import { cropAndResize, randomCrop } from "./crop.ts";

/** How views of samples are made. What is left open depends on the data. */
export const viewOptions = z.strictObject({
  cropArea: share()
    .optional()
    .describe(
      "smallest share of an image's area that a view shows; 1 shows all of it (default: color 0.2, gray 0.5)",
    ),
  cropRatio: z
    .number()
    .min(1)
    .max(8)
    .optional()
    .describe(
      "largest ratio of the sides of a view's part to those of the image (default: 4/3, or 1 where cropArea is 1)",
    ),
  flip: share()
    .optional()
    .describe("share of the views that are mirrored left to right (default: color 0.5, gray 0)"),
  brightness: share()
    .optional()
    .describe("change of brightness: factors of 1 − this to 1 + this (default: 0.4)"),
  contrast: share().optional().describe("change of contrast, likewise (default: 0.4)"),
  saturation: share().optional().describe("change of saturation, likewise (default: color 0.4, gray 0)"),
  hue: z
    .number()
    .min(0)
    .max(0.5)
    .optional()
    .describe("largest turn of hues, of a circle of 1 (default: color 0.1, gray 0)"),
  jitter: share()
    .optional()
    .describe("share of the views whose brightness, contrast, saturation and hue are changed (default: 0.8)"),
  grayscale: share()
    .optional()
    .describe("share of the views that lose their color (default: color 0.2, gray 0)"),
  blur: share()
    .optional()
    .describe(
      "share of the views that are blurred (default: images of 64 pixels a side and more 0.5, smaller ones 0)",
    ),
  cutout: share()
    .optional()
    .describe("side of a hidden square, relative to the shorter side of the image (default: 0, none)"),
  noise: amount()
    .max(10)
    .optional()
    .describe(
      "deviation of noise: of images of brightness 0 to 1, of standardized columns of tables (default: 0)",
    ),
  swap: share()
    .optional()
    .describe(
      "tables: share of the columns of a view that have the values of other rows of the batch (default: 0.6)",
    ),
});

export type ViewOptions = z.output<typeof viewOptions>;

/** Images as high and wide as this are blurred. */
const LARGE_SIDE = 64;

/** Options that are decided: all that data of other kinds have are 0. */
type SettledViews = { readonly [Name in keyof ViewOptions]-?: NonNullable<ViewOptions[Name]> };

/** What options of each kind change, in the order in which they are described. */
const OF_IMAGES = [
  "cropArea",
  "cropRatio",
  "flip",
  "brightness",
  "contrast",
  "saturation",
  "hue",
  "jitter",
  "grayscale",
  "blur",
  "cutout",
] as const;
const OF_COLORS = ["saturation", "hue", "grayscale"] as const;

/**
 * Options with what depends on the data filled in.
 * @throws OptionError where an option is of no use for the data
 */
function settle(options: ViewOptions, { kind, sampleShape }: DataInfo): SettledViews {
  const [channels = 1, height = 1, width = 1] = sampleShape;
  const refuse = (names: readonly (keyof ViewOptions)[], why: string): void => {
    const wrong = names.find((name) => (options[name] ?? 0) > 0);
    if (wrong !== undefined) throw new OptionError(`option ${wrong}: ${why}; leave it out`);
  };
  if (sampleShape.length !== 3) {
    refuse(OF_IMAGES, `is for images, and these samples are ${kind === "table" ? "rows of a table" : kind}`);
    const none = Object.fromEntries(OF_IMAGES.map((name) => [name, 0])) as Record<
      (typeof OF_IMAGES)[number],
      0
    >;
    return { ...none, noise: options.noise ?? 0, swap: options.swap ?? 0.6 };
  }
  refuse(["swap"], "is for tables, and these samples are images");
  const hasColor = channels === 3;
  if (!hasColor)
    refuse(
      OF_COLORS,
      `is for color images, and these have ${channels === 1 ? "one channel" : `${channels} channels`}`,
    );
  const cropArea = options.cropArea ?? (hasColor ? 0.2 : 0.5);
  return {
    cropArea,
    cropRatio: options.cropRatio ?? (cropArea < 1 ? 4 / 3 : 1),
    flip: options.flip ?? (hasColor ? 0.5 : 0),
    brightness: options.brightness ?? 0.4,
    contrast: options.contrast ?? 0.4,
    saturation: options.saturation ?? (hasColor ? 0.4 : 0),
    hue: options.hue ?? (hasColor ? 0.1 : 0),
    jitter: options.jitter ?? 0.8,
    grayscale: options.grayscale ?? (hasColor ? 0.2 : 0),
    blur: options.blur ?? (Math.min(height, width) >= LARGE_SIDE ? 0.5 : 0),
    cutout: options.cutout ?? 0,
    noise: options.noise ?? 0,
    swap: 0,
  };
}

/** Largest value of an image in data units. */
export function imageUnit({ kind }: Pick<DataInfo, "kind">): number {
  return kind === "image" ? 255 : 1;
}

/** How many of a row's numbers each of its columns takes. */
export function columnSizes({ columns, sampleShape: [size = 0] }: DataInfo): readonly number[] {
  return columns?.map((column) => column.size) ?? new Array<number>(size).fill(1);
}

const percent = (value: number): string => `${Math.round(100 * value)} %`;

/**
 * Random views of samples, made inside the graph: of images as in SimCLR (Chen et al. 2020, appendix A), of rows as in SCARF (Bahri et al.
 * 2022, algorithm 1).
 */
export class Views {
  private readonly options: SettledViews;
  private readonly data: DataInfo;

  /** @throws OptionError where an option is of no use for the data */
  constructor(options: ViewOptions, data: DataInfo) {
    this.options = settle(options, data);
    this.data = data;
  }

  private get isImage(): boolean {
    return this.data.sampleShape.length === 3;
  }

  /** Two views of each sample, x [n, …sampleShape] in data units. Of rows the first is the row itself. */
  pair(x: Tensor): readonly [Tensor, Tensor] {
    return this.isImage ? [this.view(x), this.view(x)] : [x, this.view(x)];
  }

  /** A view of each sample, x [n, …sampleShape] in data units → the same. */
  view(x: Tensor): Tensor {
    const { noise, swap } = this.options;
    if (this.isImage) return this.imageView(x);
    const swapped = swap > 0 ? swapColumns(x, swap, columnSizes(this.data)) : x;
    return noise > 0 ? addNoise(swapped, noise) : swapped;
  }

  private imageView(x: Tensor): Tensor {
    const { cropArea, cropRatio, flip, jitter, grayscale, blur, noise, ...others } = this.options;
    const [, height = 1, width = 1] = this.data.sampleShape;
    const unit = imageUnit(this.data);
    let view = x.mul(1 / unit);
    if (cropArea < 1 || cropRatio > 1 || flip > 0) {
      const part = { area: Math.max(cropArea, 1 / (height * width)), ratio: cropRatio, flip };
      view = cropAndResize(view, randomCrop(dimAt(x, 0), [height, width], part));
    }
    view = colorJitter(view, { ...others, probability: jitter });
    if (grayscale > 0) view = randomGray(view, grayscale);
    if (blur > 0) view = randomBlur(view, blur);
    if (others.cutout > 0) view = cutout(view, others.cutout);
    if (noise > 0) view = addNoise(view, noise).clamp(0, 1);
    return view.mul(unit);
  }

  /** A line for a person on what views are. */
  describe(): string {
    const { cropArea, flip, brightness, hue, jitter, grayscale, blur, cutout, noise, swap } = this.options;
    if (!this.isImage) {
      return `views: a row itself, and one with ${percent(swap)} of its columns from other rows${noise > 0 ? `, with noise of ${noise}` : ""}`;
    }
    const [channels] = this.data.sampleShape;
    const mirrored =
      flip > 0 ? `${percent(flip)} mirrored` : "never mirrored (--flip 0.5 mirrors half of them)";
    return [
      `views: ${cropArea < 1 ? `parts of ${percent(cropArea)} of the area or more` : "whole images"}, ${mirrored}`,
      ...(jitter > 0 && brightness + hue > 0
        ? [`${percent(jitter)} with other ${channels === 3 ? "colors" : "brightness and contrast"}`]
        : []),
      ...(grayscale > 0 ? [`${percent(grayscale)} gray`] : []),
      ...(blur > 0 ? [`${percent(blur)} blurred`] : []),
      ...(cutout > 0 ? [`a square of ${percent(cutout)} of the side hidden`] : []),
      ...(noise > 0 ? [`noise of ${noise}`] : []),
    ].join(", ");
  }
}
