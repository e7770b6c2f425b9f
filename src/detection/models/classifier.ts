import { z } from "zod";
import type { Backbone } from "../../backbones/backbone.ts";
import { type BackboneName, backboneByName, usualNormalization } from "../../backbones/by-name.ts";
import { type NormalizationKind, normalizedImages } from "../../backbones/image-normalization.ts";
import { backboneNames } from "../../backbones/published/names.ts";
import { OptionError } from "../../errors.ts";
import type { Embedder, Exportable, Losses, Trainable } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { defineModel } from "../../model/definition.ts";
import { Linear } from "../../nn/linear.ts";
import type { ForeignNames } from "../../nn/names.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { gatherElements, input, type Tensor } from "../../tensor/index.ts";
import { featureOptions, imageSize } from "../network/feature-network.ts";

const classifierOptions = z.strictObject({
  backbone: featureOptions.backbone,
  width: featureOptions.width,
  depth: featureOptions.depth,
  normalize: featureOptions.normalize,
});

type ClassifierOptions = z.output<typeof classifierOptions>;

/**
 * A classifier of images: a backbone, the mean of its coarsest map over locations, and a linear layer of that to the classes, trained with cross-entropy. It is
 * what encoders without labels are compared with. Imported, where nobody names classes, it has no linear layer, and serves for its features.
 */
export class ImageClassifier implements Trainable, Embedder, Exportable {
  readonly backbone: Backbone;
  readonly head: Linear | undefined;
  private readonly name: BackboneName;
  private readonly normalize: NormalizationKind;
  private readonly data: DataInfo;

  /** @throws OptionError where the data are no color images whose sides divide by 32 */
  constructor(options: ClassifierOptions, data: DataInfo) {
    imageSize("classifier", data.sampleShape);
    this.name = options.backbone;
    this.normalize = options.normalize ?? usualNormalization(options.backbone);
    this.data = data;
    const { backbone, width, depth } = options;
    this.backbone = backboneByName(backbone, { width, depth });
    const channels = this.backbone.levels.at(-1)?.channels ?? 0;
    if (data.classes !== undefined) this.head = new Linear(channels, data.classes);
  }

  /** Maps of the backbone by their strides; `local`, the coarsest; `code`, its mean over locations. @throws ShapeError */
  features(x: Tensor): Readonly<Record<string, Tensor>> & { readonly code: Tensor; readonly local: Tensor } {
    const maps = this.backbone.forward(normalizedImages(x, this.normalize));
    const named = Object.fromEntries(maps.map((map, i) => [`stride${this.backbone.levels[i]?.stride}`, map]));
    const local = inputAt(maps, maps.length - 1);
    return { ...named, local, code: local.mean([2, 3]) };
  }

  /** Logits of the classes, [n, classes]. @throws OptionError where there are none */
  logits(x: Tensor): Tensor {
    if (this.head === undefined) {
      throw new OptionError(
        "classifier: the data has no classes; give images in a folder for each class, or fit a model that learns without labels",
      );
    }
    return this.head.forward(this.features(x).code);
  }

  loss({ x, label }: SymbolicBatch): Losses {
    const logits = this.logits(x);
    if (label === undefined) throw new OptionError("classifier: the samples have no classes");
    return { total: gatherElements(logits.logSoftmax(1), label.unsqueeze(1), 1).mean().neg() };
  }

  foreignNames(): ForeignNames {
    return backboneNames(this.name, "backbone.");
  }

  /** Code and, where there are classes, their probabilities, as a graph. */
  exported(): ReturnType<Exportable["exported"]> {
    const { sampleShape, classes } = this.data;
    const x = input("x", ["batch", ...sampleShape]);
    const { code } = this.features(x);
    const probabilities = this.head?.forward(code).softmax(1);
    return {
      outputs: { code, ...(probabilities && { probabilities }) },
      description: `x: RGB images as bytes 0 … 255 in float32, [batch, ${sampleShape}]; they are normalized inside. code: features of each image, [batch, ${code.shape[1]}].${
        probabilities ? ` probabilities: of the classes, [batch, ${classes}].` : ""
      }`,
    };
  }
}

/** The classifier as the catalogue knows it. */
export const classifierDefinition = defineModel({
  name: "classifier",
  summary:
    "classifier of images: a backbone and a linear layer; the measure of features learnt without labels",
  paper: "He, Zhang, Ren and Sun 2016, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
  dataKinds: ["image"],
  can: ["embed", "export"],
  options: classifierOptions,
  build: (options, data) => new ImageClassifier(options, data),
  preferences: () => ({
    optimizer: "adamw",
    learningRate: 1e-3,
    batchSize: 64,
    weightDecay: 0.05,
    averageDecay: 0.99,
    warmupSteps: 100,
  }),
});
