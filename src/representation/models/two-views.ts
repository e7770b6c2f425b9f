import { layerCount, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { sizeAt } from "../../tensor/graph.ts";
import { concat, isTraining, slice, type Tensor } from "../../tensor/index.ts";
import { type ViewOptions, Views } from "../augment/views.ts";
import type { EncoderOptions } from "../encoders/index.ts";
import { spreadOf } from "./agreement.ts";
import { EncoderModel } from "./define.ts";
import { Projector } from "./projector.ts";

/** Sizes of the head between codes and a loss. */
export interface ProjectorOptions {
  readonly projectorWidth: number;
  readonly projectorLayers: number;
  readonly projectorSize: number;
}

/** The options of the head between codes and a loss, with these defaults. */
export function projectorOptions({ projectorWidth, projectorLayers, projectorSize }: ProjectorOptions) {
  return {
    projectorWidth: unitCount()
      .default(projectorWidth)
      .describe(
        "units of each hidden layer of the head between codes and the loss, which is for training alone",
      ),
    projectorLayers: layerCount(0).default(projectorLayers).describe("hidden layers of that head"),
    projectorSize: unitCount(2)
      .default(projectorSize)
      .describe("numbers that the head makes of a code, which the loss compares"),
  };
}

/** A loss of two views' vectors, [n, d] each, with its parts. */
export type Agreement = (a: Tensor, b: Tensor) => Losses;

/**
 * An encoder that learns to make similar codes of two random views of a sample. They are compared behind a head, which is left away
 * afterwards. That not all codes become the same is the part of the loss in which systems differ.
 */
export class TwoViewModel extends EncoderModel {
  readonly projector: Projector;
  readonly comparesSamples = true;
  private readonly views: Views;
  private readonly agreement: Agreement;

  /** @throws OptionError where options do not fit the data */
  constructor(
    options: EncoderOptions & ViewOptions & ProjectorOptions,
    data: DataInfo,
    agreement: Agreement,
  ) {
    super(options, data);
    const { projectorWidth, projectorLayers, projectorSize } = options;
    const hidden = new Array<number>(projectorLayers).fill(projectorWidth);
    this.projector = new Projector(options.codeSize, hidden, projectorSize);
    this.views = new Views(options, data);
    this.agreement = agreement;
  }

  /**
   * The loss of two views of each sample, with its parts, and how far the codes are spread (`spreadOf`). Both views go through the network
   * as one batch, whose statistics normalize them.
   * @throws OptionError where a sample has no others beside it to train with
   */
  loss({ x }: SymbolicBatch): Losses {
    const n = sizeAt("loss", x, 0);
    if (isTraining() && n < 2) {
      throw new OptionError(
        "option batchSize: a sample is compared with others of its batch; take at least 2 for each replica and part (replicas, accumulate), and 2 samples to train on",
      );
    }
    const { code } = this.encoder.layers(concat(this.views.pair(x), 0));
    const z = this.projector.forward(code);
    return { ...this.agreement(slice(z, 0, 0, n), slice(z, 0, n)), spread: spreadOf(code) };
  }
}

/** Lines for a person on the views of a fit. */
export function viewNotes(options: ViewOptions, data: DataInfo): readonly string[] {
  return [new Views(options, data).describe()];
}
