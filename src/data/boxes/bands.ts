import { type ByteImage, cutOut, type ImagePart } from "./set.ts";

/** Bytes of the rows of an image that are held at once, unless a part that is asked for has more rows. */
export const BAND_BYTES = 96e6;

/** Bytes of a pixel. */
const CHANNELS = 3;

/**
 * Parts of an image that is never decoded as a whole: bands of rows over its whole width are, one at a time, as JPEG and PNG can be read from
 * the top down alone. Parts that are asked for from the top down are of one band after the other, each decoded once.
 */
export class Bands {
  private readonly size: Pick<ByteImage, "width" | "height">;
  private readonly read: (part: ImagePart) => Promise<ByteImage>;
  private readonly capacity: number;
  private band: { readonly top: number; readonly image: ByteImage } | undefined;
  /** What was asked for before: parts are cut one after the other, so that a band that several want is decoded once. */
  private before: Promise<unknown> = Promise.resolve();
  private most = 0;
  private count = 0;

  /**
   * @param size of the image
   * @param read decodes a part of it
   * @param capacity bytes that may be held; a band has at least the rows of the part that is asked for
   */
  constructor(
    size: Pick<ByteImage, "width" | "height">,
    read: (part: ImagePart) => Promise<ByteImage>,
    capacity = BAND_BYTES,
  ) {
    this.size = size;
    this.read = read;
    this.capacity = capacity;
  }

  /** Most bytes of pixels that were held at once. */
  get peak(): number {
    return this.most;
  }

  /** Bands that were decoded. */
  get decoded(): number {
    return this.count;
  }

  /** A part of the image; parts may be asked for at once. @throws what `read` throws */
  part(part: ImagePart): Promise<ByteImage> {
    const cut = this.before.then(() => this.cut(part));
    this.before = cut.catch(() => undefined);
    return cut;
  }

  private async cut(part: ImagePart): Promise<ByteImage> {
    const { top, height } = part;
    const held = this.band;
    if (held !== undefined && top >= held.top && top + height <= held.top + held.image.height) {
      return cutOut(held.image, { ...part, top: top - held.top });
    }
    // What was held is given up before more is decoded.
    this.band = undefined;
    const { width } = this.size;
    const rows = Math.max(height, Math.floor(this.capacity / (CHANNELS * width)));
    const band: ImagePart = { left: 0, top, width, height: Math.min(rows, this.size.height - top) };
    const image = await this.read(band);
    this.count++;
    this.most = Math.max(this.most, image.data.length);
    this.band = { top, image };
    return cutOut(image, { ...part, top: 0 });
  }
}
