import { z } from "zod";
import { pixelCount, positiveAmount, share, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { RowNetwork } from "../../latent/index.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { Codec } from "../../model/codes.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { builderOf } from "../../model/definition.ts";
import { input, type Tensor } from "../../tensor/index.ts";
import { addNoise, patchMask, swapColumns } from "../augment/corrupt.ts";
import { columnSizes, imageUnit } from "../augment/views.ts";
import { encoderOptions } from "../encoders/index.ts";
import { spreadOf } from "./agreement.ts";
import { defineEncoder, EncoderModel } from "./define.ts";
import { decoderOf, reconstructed, reconstructionErrors } from "./reconstruction.ts";

/** What is done to a sample before it is encoded. */
export const CORRUPTIONS = ["none", "noise", "mask"] as const;

export type Corruption = (typeof CORRUPTIONS)[number];

/** Options of an autoencoder. */
export const autoencoderOptions = encoderOptions.extend({
  corrupt: z
    .enum(CORRUPTIONS)
    .default("none")
    .describe(
      "what is done to a sample before it is encoded: none; noise, Gaussian; mask: images lose patches, which are to be found again, rows have columns of other rows",
    ),
  noise: positiveAmount()
    .max(10)
    .optional()
    .describe(
      "corrupt noise: deviation, of images of brightness 0 to 1, of standardized columns of tables (default: 0.3)",
    ),
  mask: share().optional().describe("corrupt mask: share of the patches or columns (default: 0.5)"),
  patch: pixelCount().optional().describe("corrupt mask: side of a patch of images, in pixels (default: 4)"),
  decoderChannels: unitCount()
    .default(32)
    .describe(
      "images: channels of the decoder at half the size of an image; twice as many at half of that, 4 times as many at most",
    ),
});

export type AutoencoderOptions = z.output<typeof autoencoderOptions>;

/** What becomes of a sample before it is encoded, in data units; and 1 where an image is hidden, [n, 1, h, w], where patches are. */
interface Corrupted {
  readonly x: Tensor;
  readonly hidden?: Tensor;
}

/** Deviation of noise, share and size of what is masked, where they are not given. */
const USUAL = { noise: 0.3, mask: 0.5, patch: 4 } as const;

/** @throws OptionError where an option of a corruption is given that is not asked for, or is of no use for the data */
function checkCorruption(options: AutoencoderOptions, data: DataInfo): void {
  const { corrupt, noise, mask, patch } = options;
  const { sampleShape } = data;
  if (noise !== undefined && corrupt !== "noise") {
    throw new OptionError(`option noise: is for --corrupt noise, not ${corrupt}; leave one of the two out`);
  }
  for (const [name, value] of Object.entries({ mask, patch })) {
    if (value !== undefined && corrupt !== "mask") {
      throw new OptionError(
        `option ${name}: is for --corrupt mask, not ${corrupt}; leave one of the two out`,
      );
    }
  }
  const [, height = 0, width = 0] = sampleShape;
  if (patch !== undefined && (sampleShape.length !== 3 || patch > Math.min(height, width))) {
    throw new OptionError(
      sampleShape.length === 3
        ? `option patch: ${patch} pixels are more than a side of an image of ${width}×${height}`
        : "option patch: is for images, and these samples are rows of numbers; leave it out",
    );
  }
  if (corrupt !== "mask") return;
  const side = patch ?? USUAL.patch;
  const parts =
    sampleShape.length === 3 ? Math.ceil(height / side) * Math.ceil(width / side) : columnSizes(data).length;
  const masked = Math.round((mask ?? USUAL.mask) * parts);
  if (masked < 1 || masked >= parts) {
    throw new OptionError(
      `option mask: ${masked} of ${parts} ${sampleShape.length === 3 ? "patches" : "columns"} would be masked; some must be, and some not`,
    );
  }
}

/**
 * An autoencoder (Hinton and Salakhutdinov 2006): a code from which a decoder makes the sample again. Where the sample is corrupted before, the
 * original is to be made all the same: with noise (Vincent et al. 2008, "denoising autoencoders", section 2.3), or with hidden patches, of
 * which alone the error counts (He et al. 2022, "masked autoencoders", section 3). Rows have columns of other rows in place of hidden ones,
 * since 0 is a value like others, and the error of all of them counts.
 */
export class Autoencoder extends EncoderModel implements Codec {
  readonly decoder: RowNetwork;
  readonly hasGaussianCodes = false;
  private readonly options: AutoencoderOptions;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: AutoencoderOptions, data: DataInfo) {
    checkCorruption(options, data);
    super(options, data);
    this.options = options;
    const { codeSize, decoderChannels: channels, hidden: width } = options;
    this.decoder = decoderOf({ codeSize, channels, width }, data);
  }

  get dimensions(): number {
    return this.encoder.codeSize;
  }

  private corrupted(x: Tensor): Corrupted {
    const { corrupt, noise = USUAL.noise, mask = USUAL.mask, patch = USUAL.patch } = this.options;
    const isImage = this.data.sampleShape.length === 3;
    switch (corrupt) {
      case "none":
        return { x };
      case "noise":
        return { x: addNoise(x, isImage ? noise * imageUnit(this.data) : noise) };
      case "mask": {
        if (!isImage) return { x: swapColumns(x, mask, columnSizes(this.data)) };
        const kept = patchMask(x, mask, patch);
        const hidden = kept.neg().add(1);
        // The mean in place of what is hidden, so that statistics of maps stay near those of whole images.
        return { x: x.mul(kept).add(x.mean([2, 3], true).mul(hidden)), hidden };
      }
    }
  }

  /**
   * The mean error of a sample's numbers, or columns (`reconstructionErrors`), of hidden ones alone where patches are hidden: the error of what
   * is seen is then the part `seen`. `spread` is that of the codes (`spreadOf`).
   */
  loss({ x }: SymbolicBatch): Losses {
    const { x: given, hidden } = this.corrupted(x);
    const { code } = this.encoder.layers(given);
    const errors = reconstructionErrors(x, this.decoder.forward(code), this.data);
    const spread = spreadOf(code);
    if (hidden === undefined) return { total: errors.mean(), spread };
    const maps = errors.reshape([x.shape[0] ?? 1, ...this.data.sampleShape]);
    const meanOver = (mask: Tensor): Tensor => maps.mean(1, true).mul(mask).sum().div(mask.sum().maximum(1));
    return { total: meanOver(hidden), seen: meanOver(hidden.neg().add(1)), spread };
  }

  /** The code of each sample, [n, …sampleShape] in data units → [n, codeSize]. */
  encode(x: Tensor): Tensor {
    return this.encoder.layers(x).code;
  }

  /** What is expected of samples given their codes, [n, codeSize] → [n, …sampleShape] in data units; probabilities of ones and of categories. */
  decode(z: Tensor): Tensor {
    return reconstructed(this.decoder.forward(z), this.data);
  }

  /** No condition. */
  codeContext(): undefined {
    return undefined;
  }

  /** The encoder as a graph, and what the decoder makes of its codes. */
  override exported(): ReturnType<EncoderModel["exported"]> {
    const x = input("x", ["batch", ...this.data.sampleShape]);
    const { code, local } = this.features(x);
    return {
      outputs: { code, local, reconstruction: this.decode(code) },
      description: `${super.exported().description} reconstruction: what the decoder makes of the code, in the units of x.`,
    };
  }
}

/** Autoencoders as the catalogue knows them. */
export const autoencoderDefinition = {
  ...defineEncoder({
    name: "autoencoder",
    summary: "autoencoder: features from which a sample can be made again; denoising and masked as well",
    paper:
      "Vincent, Larochelle, Bengio and Manzagol 2008, Extracting and Composing Robust Features with Denoising Autoencoders; He et al. 2022, arXiv:2111.06377",
    options: autoencoderOptions,
    model: (options, data) => new Autoencoder(options, data),
    preferences: () => ({ learningRate: 2e-3, batchSize: 64 }),
  }),
  can: ["encode", "decode", "embed", "export"],
} as const;

/** An autoencoder for data. @throws OptionError where options do not fit the data or each other */
export const autoencoder = builderOf(autoencoderDefinition);
