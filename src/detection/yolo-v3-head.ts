import { Conv2d } from "../nn/convolution.ts";
import { type Initialiser, split, type Tensor } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";
import { PRIOR_LOGIT } from "./detector-losses.ts";
import { featureRows } from "./feature-points.ts";

/** What the head says of each of k anchors. */
export interface YoloV3Outputs {
  /** t_x, t_y, t_w, t_h: [n, k, 4]. */
  readonly codes: Tensor;
  /** Logit of there being an object, [n, k]. */
  readonly objectness: Tensor;
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
}

/**
 * The last convolutions of YOLOv3 (Redmon and Farhadi 2018, section 2.3): at each level a 3×3 and a 1×1 convolution of its own.
 */
export class YoloV3Head {
  readonly hidden: readonly ConvBlock[];
  readonly output: readonly Conv2d[];
  private readonly shapes: number;
  private readonly classes: number;

  /** @param shapes anchors of a place */
  constructor(levels: readonly FeatureLevel[], classes: number, shapes: number) {
    const values = 5 + classes;
    const start: Initialiser = (target) => {
      for (let i = 0; i < target.length; i++) target[i] = i % values === 4 ? PRIOR_LOGIT : 0;
    };
    this.hidden = levels.map(({ channels }) => new ConvBlock(channels, channels, 3));
    this.output = levels.map(
      ({ channels }) => new Conv2d(channels, shapes * values, 1, { initialiseBias: start }),
    );
    this.shapes = shapes;
    this.classes = classes;
  }

  /** Maps of the levels → what is said of all anchors, place by place, shape by shape. @throws ShapeError */
  forward(maps: readonly Tensor[]): YoloV3Outputs {
    const outputs = this.output.map((output, i) => {
      const [map, hidden] = [maps[i], this.hidden[i]];
      return map === undefined || hidden === undefined ? [] : [output.forward(hidden.forward(map))];
    });
    const rows = featureRows(outputs.flat());
    const [n = 1, places] = rows.shape;
    const all = rows.reshape([n, Number(places) * this.shapes, 5 + this.classes]);
    const [codes = all, objectness = all, classes = all] = split(all, 2, [4, 1, this.classes]);
    return { codes, objectness: objectness.squeeze(2), classes };
  }
}
