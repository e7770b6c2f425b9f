import { DataError } from "../../errors.ts";
import { optional } from "../files/optional.node.ts";

/** Sharp, or an error that names what to install. @throws MissingPackageError @internal */
export function importSharp() {
  return optional("sharp", "reading images", async () => (await import("sharp")).default);
}

/** The most pixels of an image that is decoded where no other limit is given. */
export const MOST_PIXELS = 268_000_000;

/** What sharp calls the formats that are decoded: those of pixels. */
const FORMATS = new Set<string>(["jpeg", "png", "webp", "gif", "tiff", "heif", "avif"]);

/**
 * Refuses the bytes of what is no format of pixels, whatever the file is called: a drawing such as SVG is a program, which may run for
 * long and name other files.
 * @throws DataError without a name in front
 */
export function refuseDrawing(format: string | undefined): void {
  if (format === undefined || FORMATS.has(format)) return;
  throw new DataError(
    `it holds ${format.toUpperCase()}, not pixels; save it as PNG, JPEG, WebP, GIF, TIFF or AVIF`,
  );
}
