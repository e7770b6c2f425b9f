import { normalizedImages } from "../../backbones/image-normalization.ts";
import {
  type Backbone,
  type BackboneName,
  backboneByName,
  usualNormalization,
} from "../../backbones/index.ts";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { kaimingNormal } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { BatchNorm1d } from "../../nn/normalization.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { concat, type Tensor } from "../../tensor/index.ts";
import { Block } from "./block.ts";
import type { Encoder, Layers } from "./encoder.ts";
import { type EncoderOptions, LOCAL_SIDE } from "./options.ts";

/** Pixels between locations of a backbone's last map: sides of images are multiples of it. */
const COARSEST = 32;

/**
 * A backbone of detectors as an encoder, so that what it learns without labels can begin a detector: maps `stride4` to `stride32`, one of which has
 * the local features, the mean of the last one over locations, a fully connected layer `fc` and the code. Images are normalized as detectors
 * normalize them for that backbone; gray ones are seen as three equal channels.
 */
export class BackboneEncoder implements Encoder {
  readonly backbone: Backbone;
  readonly fc: Block<Linear, BatchNorm1d>;
  readonly code: Linear;
  readonly codeSize: number;
  readonly localShape: readonly [number, number, number];
  readonly backboneName: BackboneName;
  /** Index of the map with local features. */
  private readonly localMap: number;

  /** @throws OptionError where samples are no images in bytes that the backbone takes, or an option is of no use for it */
  constructor(name: BackboneName, options: EncoderOptions, { kind, sampleShape }: DataInfo) {
    const [channels, height = 0, width = 0] = sampleShape;
    if (kind !== "image" || sampleShape.length !== 3 || (channels !== 1 && channels !== 3)) {
      throw new OptionError(
        `option backbone: ${name} takes images in bytes of one or three channels, not ${kind} data [${sampleShape}]; leave it out`,
      );
    }
    if (height % COARSEST !== 0 || width % COARSEST !== 0) {
      throw new OptionError(
        `option backbone: the sides of images for ${name} are multiples of ${COARSEST}, and these have ${width}×${height} pixels; of a folder of images give --size ${COARSEST * Math.max(1, Math.round(Math.max(width, height) / COARSEST))}, or leave the backbone out`,
      );
    }
    for (const unused of ["channels", "groups"] as const) {
      if (options[unused] !== undefined) {
        throw new OptionError(`option ${unused}: ${name} has the layers it has; leave one of the two out`);
      }
    }
    this.backboneName = name;
    this.backbone = backboneByName(name, { width: 1, depth: 1 });
    const { levels } = this.backbone;
    const last = levels.at(-1)?.channels ?? 0;
    this.fc = new Block(
      new Linear(last, options.hidden, { bias: false, initializeWeight: kaimingNormal() }),
      new BatchNorm1d(options.hidden),
    );
    this.code = new Linear(options.hidden, options.codeSize);
    this.codeSize = options.codeSize;
    const shortest = Math.min(height, width);
    this.localMap = Math.max(
      0,
      levels.findLastIndex(({ stride }) => shortest / stride >= LOCAL_SIDE),
    );
    const local = levels[this.localMap] ?? { channels: last, stride: COARSEST };
    this.localShape = [local.channels, height / local.stride, width / local.stride];
  }

  layers(x: Tensor): Layers {
    const colored = x.shape[1] === 1 ? concat([x, x, x], 1) : x;
    const maps = this.backbone.forward(normalizedImages(colored, usualNormalization(this.backboneName)));
    const fc = this.fc.forward(inputAt(maps, maps.length - 1).mean([2, 3]));
    return {
      ...Object.fromEntries(maps.map((map, i) => [`stride${this.backbone.levels[i]?.stride}`, map])),
      local: inputAt(maps, this.localMap),
      fc,
      code: this.code.forward(fc),
    };
  }
}
