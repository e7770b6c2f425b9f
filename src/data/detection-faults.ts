/** What can be wrong with an image or an object of a detection set, and what is done about it. */
export const FAULTS = {
  "unreadable-annotations": "annotations that cannot be read; their image is left out",
  "missing-annotations": "images listed in a split without annotations; left out",
  "missing-image": "annotations of an image that is not there; left out",
  "unreadable-image": "images that cannot be decoded; left out",
  "huge-image": "images with more pixels than the limit; left out",
  "repeated-image": "images listed more than once; kept once",
  "shared-image": "images in more than one split; kept in the one held out",
  "identical-images": "files with the same bytes as another one; kept",
  "not-in-a-split": "images with annotations that no split lists; left out",
  "turned-image": "images that EXIF data turn; pixels and boxes are upright",
  "other-size": "images of another size than their annotations say; the size of the image counts",
  "unknown-class": "objects of an unknown class; dropped",
  "broken-box": "boxes with a coordinate that is no number; dropped",
  "empty-box": "boxes of zero or negative area; dropped",
  "outside-box": "boxes wholly outside of their image; dropped",
  "clipped-box": "boxes that reach beyond their image; clipped to it",
  "repeated-box": "objects marked twice with the same box and class; dropped",
} as const;

export type FaultKind = keyof typeof FAULTS;

/** Something wrong with a detection set. */
export interface DetectionFault {
  readonly kind: FaultKind;
  /** The file at fault: an image, or annotations; with `/` between folders, within the data set. */
  readonly file: string;
  /** What exactly, as in `object 13 (RBC): [504, 337, 504, 337]`. */
  readonly detail: string;
}

/** How many faults there are of each kind that occurs, in the order of `FAULTS`. */
export function countFaults(faults: readonly DetectionFault[]): ReadonlyMap<FaultKind, number> {
  const counts = new Map<FaultKind, number>();
  for (const kind of Object.keys(FAULTS) as FaultKind[]) {
    const count = faults.filter((fault) => fault.kind === kind).length;
    if (count > 0) counts.set(kind, count);
  }
  return counts;
}

/**
 * A line for each kind of fault: what it is, how many there are, and the files.
 * @param most files named in a line
 */
export function faultLines(faults: readonly DetectionFault[], most = 4): readonly string[] {
  return [...countFaults(faults)].map(([kind, count]) => {
    const files = [...new Set(faults.filter((fault) => fault.kind === kind).map(({ file }) => file))];
    const more = files.length > most ? ", …" : "";
    return `${FAULTS[kind]}: ${count} (${files.slice(0, most).join(", ")}${more})`;
  });
}
