import type { ByteImage } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import type { Session } from "../../program/program.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Size } from "../boxes/boxes.ts";
import type { Detections } from "../boxes/detections.ts";
import { landmarksFromLetterbox, mirrorLandmarks } from "../boxes/landmarks.ts";
import { fromLetterbox, letterbox } from "../boxes/letterbox.ts";
import {
  mergeDetections,
  mirrorBoxes,
  mirrorImages,
  type TestTimeOptions,
  type View,
  type Views,
  viewsOf,
} from "../scale/test-time.ts";
import { tileOptionsOf, tilingOf } from "../scale/tile-options.ts";
import { sharedPixels } from "../scale/tiles.ts";
import {
  type AnyDetector,
  type CascadeDetector,
  checkTakesSizes,
  completeDetectOptions,
  type DetectOptions,
  detections,
  type LookReports,
} from "./detector.ts";

/** Images that a detector looks at several times. */
export interface PyramidImages {
  /** Their sizes, in whose pixels objects are found. */
  readonly sizes: readonly Size[];
  /** All of them letterboxed in a canvas of that side: [n, 3, side, side] in bytes. */
  at(side: number): NdArray<"float32">;
  /** One of them at its own size, or made smaller, which cascades look at. Absent where images are there in canvases alone. */
  whole?(index: number): Promise<ByteImage>;
  /** Side of the smallest objects that a cascade looks for in what `whole` gives, in its pixels; undefined for the cascade's own. */
  smallest?(index: number): number | undefined;
}

/** What was found in one view of images. */
export interface ViewDetections extends View {
  /** Of each image, in pixels of it. */
  readonly found: readonly Detections[];
}

/** Options of a view, which a cascade does not take. */
const VIEW_OPTIONS = ["testScales", "mirror", "merge", "testRanges"] as const;

/** The one view of a cascade: the image, or each of its tiles, at its own size, in no canvas. @throws OptionError where options ask for others */
function ownView({ imageSize: { width }, smallestObject }: CascadeDetector, options: TestTimeOptions): Views {
  const isPlain = {
    testScales: options.testScales?.join() === "1",
    mirror: false,
    merge: false,
    testRanges: false,
  };
  const other = VIEW_OPTIONS.find(
    (name) => options[name] !== undefined && options[name] !== false && !isPlain[name],
  );
  if (other !== undefined) {
    throw new OptionError(
      `option ${other}: a cascade looks at an image pyramid of its own; leave it out, and see minimumSize and factor`,
    );
  }
  const tiling = tilingOf(options);
  const shared = tiling === undefined ? 0 : sharedPixels(tiling);
  if (tiling?.fullImage === true && shared < smallestObject) {
    throw new OptionError(
      `option fullImage: tiles of ${tiling.side} pixels share ${shared}, and the smallest objects are of ${smallestObject} (minimumSize), which would lie whole in no tile; take larger tiles or more overlap, or leave fullImage out`,
    );
  }
  return {
    views: [{ side: width, mirrored: false, range: undefined }],
    sides: [],
    tiling,
    options: { testScales: [1], mirror: false, merge: "nms", ...tileOptionsOf(tiling) },
  };
}

/**
 * The views of a detector's images that options ask for. A cascade has one, in no canvas, of images or of their tiles.
 * @throws OptionError as `viewsOf`, and where the detector takes images of one size alone, or is a cascade and several views are asked for
 */
export function detectorViews(detector: AnyDetector, options: TestTimeOptions): Views {
  if (detector.looks === "cascade") return ownView(detector, options);
  const views = viewsOf(detector.imageSize.width, options);
  checkTakesSizes(detector, "testScales", views.sides);
  return views;
}

/**
 * What a detector finds in each view of some images: at every size of the image pyramid, and in mirror images where asked.
 * @throws OptionError where an option is not acceptable
 */
export async function detectionsInViews(
  detector: AnyDetector,
  session: Session,
  images: PyramidImages,
  options: DetectOptions & TestTimeOptions & LookReports = {},
): Promise<readonly ViewDetections[]> {
  const { views, tiling } = detectorViews(detector, options);
  if (tiling !== undefined) {
    throw new OptionError(
      "option tiles: an image pyramid looks at whole images; tiledDetections looks at tiles",
    );
  }
  if (detector.looks === "cascade") {
    const [view] = views;
    return view === undefined
      ? []
      : [{ ...view, found: await foundWhole(detector, session, images, options) }];
  }
  const results: ViewDetections[] = [];
  for (const view of views) {
    const { side, mirrored, range } = view;
    const x = images.at(side);
    const seen = await detections(detector, session, mirrored ? mirrorImages(x) : x, options, range);
    results.push(inImages(view, seen, images.sizes));
  }
  return results;
}

/** What was found in an image of one size, in pixels of another. */
function enlarged(found: Detections, from: Size, to: Size): Detections {
  if (from.width === to.width && from.height === to.height) return found;
  const [sx, sy] = [to.width / from.width, to.height / from.height];
  const scaled = (values: ArrayLike<number>) =>
    Float64Array.from(values, (value, at) => value * (at % 2 === 0 ? sx : sy));
  return {
    ...found,
    boxes: scaled(found.boxes),
    ...(found.landmarks && { landmarks: scaled(found.landmarks) }),
  };
}

/** What a cascade finds in images, in pixels of their sizes. @throws OptionError where they are there in canvases alone */
async function foundWhole(
  detector: CascadeDetector,
  session: Session,
  images: PyramidImages,
  options: DetectOptions & LookReports,
): Promise<readonly Detections[]> {
  const { whole } = images;
  if (whole === undefined) {
    throw new OptionError(
      "a cascade looks at whole images at their own size, not at parts or canvases of them",
    );
  }
  const found: Detections[] = [];
  for (const [index, size] of images.sizes.entries()) {
    const image = await whole.call(images, index);
    const smallest = images.smallest?.(index);
    found.push(enlarged(await detector.find(session, image, { ...options, smallest }), image, size));
  }
  return found;
}

/**
 * What was found in a view of images, led back to them.
 * @param seen of each image, in pixels of the canvas
 * @param sizes of the images
 * @throws OptionError where there are more images than sizes
 */
export function inImages(view: View, seen: readonly Detections[], sizes: readonly Size[]): ViewDetections {
  const { side, mirrored } = view;
  const found = seen.map((own, i): Detections => {
    const size = sizes[i];
    if (size === undefined) throw new OptionError(`image pyramid: the size of image ${i} is not given`);
    const boxes = mirrored ? mirrorBoxes(own.boxes, side) : own.boxes;
    const placed = letterbox(size, { width: side, height: side });
    const inImage = { ...own, boxes: fromLetterbox(boxes, placed) };
    if (own.landmarks === undefined) return inImage;
    const points = mirrored ? mirrorLandmarks(own.landmarks, side, own.scores.length) : own.landmarks;
    return { ...inImage, landmarks: landmarksFromLetterbox(points, placed) };
  });
  return { ...view, found };
}

/** What was found in all views of images as one set for each image, from the best down. @throws OptionError where an option is not acceptable */
export function mergeViews(
  detector: Pick<AnyDetector, "imageSize">,
  results: readonly ViewDetections[],
  options: DetectOptions & TestTimeOptions = {},
): readonly Detections[] {
  const [first, ...others] = results;
  if (first === undefined || others.length === 0) return first?.found ?? [];
  const { merge } = viewsOf(detector.imageSize.width, options).options;
  const settings = {
    ...completeDetectOptions(options),
    merge,
    partial: results.some(({ range }) => range !== undefined),
  };
  return first.found.map((_, i) =>
    mergeDetections(
      results.flatMap(({ found }) => found[i] ?? []),
      settings,
    ),
  );
}

/**
 * What a detector finds in images that it looks at several times (test-time augmentation): at every size of an image pyramid, each for the
 * objects of its valid range, and in mirror images; of each image the detections from the best down, in pixels of it. Duplicates of a view
 * are taken away, then those of all views are merged. With one view the result is that of `detections`. A cascade looks once, at each image
 * at its own size.
 *
 *     const [found] = await pyramidDetections(yolo, session, images, { testScales: [0.5, 1, 2], mirror: true, merge: "fusion" });
 *
 * @throws OptionError where an option is not acceptable, or the detector takes images of one size alone
 */
export async function pyramidDetections(
  detector: AnyDetector,
  session: Session,
  images: PyramidImages,
  options: DetectOptions & TestTimeOptions & LookReports = {},
): Promise<readonly Detections[]> {
  return mergeViews(detector, await detectionsInViews(detector, session, images, options), options);
}
