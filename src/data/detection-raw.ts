import type { SplitName } from "./data-set.ts";
import { splitNamed } from "./data-set.ts";
import type { DetectionFault } from "./detection-faults.ts";

/** The formats of annotations that are read and written. */
export const DETECTION_FORMATS = ["voc", "coco", "yolo", "createml", "csv"] as const;

export type DetectionFormat = (typeof DETECTION_FORMATS)[number];

/** A box as four numbers that nothing is known of yet: edges, left, top, right and bottom. */
export type RawBox = readonly [x1: number, y1: number, x2: number, y2: number];

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** An object as a file of annotations has it. */
export interface RawObject {
  /** Name of its class, or its number in the classes that the format lists. */
  readonly class: string | number;
  readonly box: RawBox;
  /** Whether edges are in pixels, or shares of the width and the height. */
  readonly unit: "pixels" | "shares";
  readonly difficult?: boolean;
  readonly crowd?: boolean;
  readonly area?: number;
  /** Where it stands in its file, as in `object 13` or `line 4`. */
  readonly place: string;
}

/** An image as a file of annotations has it. */
export interface RawImage {
  /** Path of the image within the data set, with `/` between folders. */
  readonly file: string;
  /** The file that holds its annotations, likewise. */
  readonly source: string;
  /** The size that the annotations say the image has. */
  readonly declared?: PixelSize | undefined;
  readonly split?: SplitName | undefined;
  readonly objects: readonly RawObject[];
}

/** A data set as its files have it, before boxes and images are checked. */
export interface RawDetections {
  readonly format: DetectionFormat;
  /** The classes, where the format lists them. */
  readonly classes?: readonly string[] | undefined;
  readonly images: readonly RawImage[];
  /** What of the files could not be read. */
  readonly faults: readonly DetectionFault[];
}

/** The split that a name such as `instances_val2017.json` or `valid` speaks of; undefined where it speaks of none. */
export function splitOfName(name: string): SplitName | undefined {
  for (const word of name.split(/[^A-Za-z]+/)) {
    const split = splitNamed(word);
    if (split !== undefined) return split;
  }
  return undefined;
}
