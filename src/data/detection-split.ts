import type { Annotations, ByteImage, DetectionSplit, SampleRequest } from "./detection-set.ts";

/** Decoded images of a data set, the ones asked for last, up to a number of bytes. */
export class ImageCache {
  private readonly held = new Map<string, { image: Promise<ByteImage>; bytes: number }>();
  private readonly capacity: number;
  private bytes = 0;

  /** @param capacity in bytes; with 0 nothing is kept */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The image of that key, made if it is not held. One that is being made is not made twice. */
  get(key: string, make: () => Promise<ByteImage>): Promise<ByteImage> {
    const known = this.held.get(key);
    if (known !== undefined) {
      // A map keeps the order in which keys were set: the first is the one not asked for longest.
      this.held.delete(key);
      this.held.set(key, known);
      return known.image;
    }
    const entry = { image: make(), bytes: 0 };
    this.held.set(key, entry);
    entry.image.then(
      ({ data }) => this.grow(key, entry, data.length),
      () => this.held.delete(key),
    );
    return entry.image;
  }

  private grow(key: string, entry: { bytes: number }, bytes: number): void {
    if (this.held.get(key) !== entry) return;
    entry.bytes = bytes;
    this.bytes += bytes;
    for (const [oldest, { bytes }] of this.held) {
      if (this.bytes <= this.capacity) break;
      // One that is still being made has no size yet, and is counted when it has.
      if (bytes === 0) continue;
      this.held.delete(oldest);
      this.bytes -= bytes;
    }
  }
}

/** Annotations of an image that is made smaller. */
function resized(
  annotations: Annotations,
  { width, height }: Pick<Annotations, "width" | "height">,
): Annotations {
  const [x, y] = [width / annotations.width, height / annotations.height];
  if (x === 1 && y === 1) return annotations;
  return {
    ...annotations,
    width,
    height,
    boxes: annotations.boxes.map((edge, side) => edge * (side % 2 === 0 ? x : y)),
    areas: annotations.areas.map((area) => area * x * y),
  };
}

/**
 * A split whose images are decoded when they are asked for.
 * @param name of the split, for errors and as a part of the keys in the cache
 */
export function lazySplit(
  name: string,
  count: number,
  annotationsOf: (index: number) => Annotations,
  decode: (index: number, request: SampleRequest) => Promise<ByteImage>,
  cache: ImageCache,
): DetectionSplit {
  const annotations = (index: number): Annotations => {
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new RangeError(`image ${index} asked of the ${name} split, which has ${count}`);
    }
    return annotationsOf(index);
  };
  return {
    count,
    annotations,
    async sample(index, request = {}) {
      const whole = annotations(index);
      const key = `${name} ${index} ${request.longest ?? ""}`;
      const image = await cache.get(key, () => decode(index, request));
      return { ...resized(whole, image), image };
    },
  };
}
