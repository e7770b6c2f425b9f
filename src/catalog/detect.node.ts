import { readFile } from "node:fs/promises";
import { type ImageHeader, uprightSize } from "../data/boxes/check.ts";
import { decodeRgb, examineImage, reasonOf } from "../data/boxes/image.node.ts";
import { detectionOptionsSchema } from "../data/boxes/options.ts";
import type { ByteImage } from "../data/boxes/set.ts";
import { drawImage, letterboxPlacement, PADDING } from "../detection/augment/draw.ts";
import { type Detection, listDetections } from "../detection/boxes/detections.ts";
import { fromLetterbox, letterbox } from "../detection/boxes/letterbox.ts";
import { type DetectOptions, detections } from "../detection/models/detector.ts";
import { DataError } from "../errors.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { DetectorRun } from "./detection-run.node.ts";
import type { ImagePath } from "./image-paths.node.ts";

/** Images that are decoded while the detector looks at one. */
const AHEAD = 3;

/** Score from which on detections count where the run does not tell a better one. */
const USUAL_SCORE = 0.25;

export interface DetectFilesOptions extends DetectOptions {
  /** Images of more pixels are not decoded. */
  readonly pixelLimit?: number;
  /** Told the image and the reason where one cannot be read: it is left out. */
  readonly onUnreadable?: (image: ImagePath, reason: string) => void;
  readonly signal?: AbortSignal;
}

/** An image with what was found in it. */
export interface DetectedImage extends ImagePath {
  /** Size in pixels of the image, turned upright as its EXIF data say. */
  readonly width: number;
  readonly height: number;
  /** From the best down, in pixels of the upright image. */
  readonly found: readonly Detection[];
  /** The image with its longer side at most so long. @throws DataError where it can no longer be read */
  decode(longest?: number): Promise<ByteImage>;
}

/** The score from which on detections count unless told: that at which F₁ was highest on the validation split. */
export async function usualConfidence({ folder }: Pick<DetectorRun, "folder">): Promise<number> {
  const text = await readFile(folder.file("validation.json"), "utf8").catch(() => "{}");
  try {
    const score: unknown = JSON.parse(text)?.best?.score;
    return typeof score === "number" && score >= 0 && score <= 1 ? score : USUAL_SCORE;
  } catch {
    return USUAL_SCORE;
  }
}

/** An image in the middle of a square canvas of that side, as a detector is validated with it: [1, 3, side, side]. */
export function letterboxed(
  image: ByteImage,
  whole: Pick<ByteImage, "width" | "height">,
  side: number,
): NdArray<"float32"> {
  const data = new Float32Array(3 * side * side).fill(PADDING);
  drawImage({ side, data }, image, letterboxPlacement(whole, side));
  return float32(data, [1, 3, side, side]);
}

/** An image that is ready for a detector, or the reason why it is not. */
type Ready =
  | { readonly ok: true; readonly image: ImagePath; readonly header: ImageHeader; readonly small: ByteImage }
  | { readonly ok: false; readonly image: ImagePath; readonly reason: string };

async function ready(image: ImagePath, longest: number, pixelLimit: number): Promise<Ready> {
  const finding = await examineImage(image.path, { pixelLimit, verify: false });
  if (!finding.ok) return { ok: false, image, reason: finding.detail };
  try {
    const { header } = finding;
    return {
      ok: true,
      image,
      header,
      small: await decodeRgb(image.path, image.name, header, { longest, pixelLimit }),
    };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { ok: false, image, reason: reasonOf(error.cause) };
  }
}

/**
 * What a detector finds in image files, one after the other; while it looks at one the next are decoded.
 * @throws OptionError where an option is not acceptable; MissingPackageError where sharp is not installed
 */
export async function* detectFiles(
  run: DetectorRun,
  images: readonly ImagePath[],
  options: DetectFilesOptions = {},
): AsyncGenerator<DetectedImage> {
  const { onUnreadable, signal, pixelLimit = detectionOptionsSchema.parse({}).pixelLimit } = options;
  const { model, session } = run;
  const side = model.imageSize.width;
  const confidence = options.confidence ?? (await usualConfidence(run));
  const coming = images.slice(0, AHEAD).map((image) => ready(image, side, pixelLimit));
  for (let next = coming.length; coming.length > 0; next++) {
    const taken = await coming.shift();
    const following = images[next];
    if (following !== undefined) coming.push(ready(following, side, pixelLimit));
    if (taken === undefined || signal?.aborted) break;
    const { image } = taken;
    if (!taken.ok) {
      onUnreadable?.(image, taken.reason);
      continue;
    }
    const { header, small } = taken;
    const whole = uprightSize(header);
    const [seen] = await detections(model, session, letterboxed(small, whole, side), {
      ...options,
      confidence,
    });
    const found =
      seen === undefined
        ? []
        : listDetections({ ...seen, boxes: fromLetterbox(seen.boxes, letterbox(whole, model.imageSize)) });
    yield {
      ...image,
      ...whole,
      found,
      decode: (longest) => decodeRgb(image.path, image.name, header, { longest, pixelLimit }),
    };
  }
  await Promise.allSettled(coming);
}
