import { showCount } from "../../memory.ts";

// What images are decoded to where that is not given: grey where all are, small ones of one size at their own size.

/** How values of pixels that are no bytes become bytes. */
export interface ValueReading {
  /** Bits that are used of images of 16 bits, 10, 12 or 14 of a camera or scanner; default: all. */
  readonly bits?: number | undefined;
  /** The values of black and white of images of floats, of 16 bits and of other whole numbers; default: 0 and 1, or 0 and 255, by the values. */
  readonly valueRange?: readonly number[] | undefined;
}

/** How decoded images come out: square, `size` × `size`. */
export interface ImageFormat extends ValueReading {
  readonly size: number;
  readonly channels: "grey" | "rgb";
}

/**
 * What the values of an image were: bytes; of 16 bits; floats of 0 … 1; other numbers of 0 … 255; numbers that a given range of values takes as
 * black to white, all within it, or some beyond.
 */
export type PixelValues = "bytes" | "deep" | "unit" | "wide" | "ranged" | "clipped";

/** What an image file holds, before it is decoded to a format. */
export interface Original {
  /** Of the upright image, in pixels. */
  readonly width: number;
  readonly height: number;
  readonly values: PixelValues;
  /** Whether its channels differ anywhere; undefined where that was not looked for. */
  readonly colored: boolean | undefined;
}

/** The side of images where neither they nor an option say. */
const USUAL_SIZE = 32;

/** The shortest and the longest side of images that are read at their own size. */
const OWN_SIZE = { least: 8, most: 64 } as const;

/** What of a format is given. */
export interface AskedFormat {
  readonly size: number | undefined;
  readonly channels: ImageFormat["channels"] | undefined;
  readonly reading?: ValueReading;
}

interface Kind {
  count: number;
  readonly width: number;
  readonly height: number;
  /** Of the first of them. */
  readonly name: string;
}

/** What the images are that have been looked at. */
export class Originals {
  private readonly kinds = new Map<string, Kind>();
  private seen = 0;
  private compared = 0;
  private colored: { count: number; readonly name: string } | undefined;

  see(name: string, { width, height, colored }: Original): void {
    this.seen++;
    if (colored !== undefined) this.compared++;
    if (colored === true) {
      this.colored ??= { count: 0, name };
      this.colored.count++;
    }
    const key = `${width} × ${height}`;
    const kind = this.kinds.get(key);
    if (kind === undefined) this.kinds.set(key, { count: 1, width, height, name });
    else kind.count++;
  }

  /** Takes over that some are colored from those that were looked at before, where the channels of all were not compared. */
  withColorsOf({ colored }: Originals): this {
    this.colored ??= colored && { ...colored };
    return this;
  }

  /** Whether more of them can change neither the size nor the color that is chosen. */
  settles({ size, channels }: AskedFormat): boolean {
    const isSized = size !== undefined || this.size().size === USUAL_SIZE;
    return this.seen > 0 && isSized && (channels !== undefined || this.colored !== undefined);
  }

  /** What they are decoded to, as far as that is not given, and a line that says why where some of it is not. */
  choose(asked: AskedFormat): { readonly format: ImageFormat; readonly note: string | undefined } {
    const size = asked.size === undefined ? this.size() : undefined;
    const color = asked.channels === undefined ? this.color() : undefined;
    const chosen = [color, size].flatMap((each) => each?.why ?? []);
    const options = [color && "--color", size && "--size"].filter((option) => option !== undefined);
    return {
      format: {
        size: asked.size ?? size?.size ?? USUAL_SIZE,
        channels: asked.channels ?? color?.channels ?? "rgb",
        ...asked.reading,
      },
      note:
        chosen.length === 0
          ? undefined
          : `chosen by the images (${options.join(", ")}): read as ${chosen.join("; ")}`,
    };
  }

  private color(): { readonly channels: ImageFormat["channels"]; readonly why: string } {
    if (this.colored === undefined) return { channels: "grey", why: "grey, as all images are" };
    const { count, name } = this.colored;
    const isCounted = this.compared === this.seen && this.seen > 1;
    const how = !isCounted
      ? `${name} is colored`
      : count === this.seen
        ? "all images are colored"
        : `${showCount(count)} of ${showCount(this.seen)} images are colored, as ${name}`;
    return { channels: "rgb", why: `rgb, since ${how}` };
  }

  private size(): { readonly size: number; readonly why: string } {
    const [most, ...others] = [...this.kinds.values()].toSorted((a, b) => b.count - a.count);
    const usual = (why: string) => ({ size: USUAL_SIZE, why: `${USUAL_SIZE} × ${USUAL_SIZE}, ${why}` });
    if (most === undefined) return usual("the default");
    const { width, height, count } = most;
    const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
    const own = `${width} × ${height}`;
    const [other] = others;
    if (other !== undefined) {
      return usual(
        `the default for images of several sizes: ${showCount(this.seen - count)} of ${showCount(this.seen)} are not ${own}, as ${other.name} (${other.width} × ${other.height})`,
      );
    }
    if (longer > OWN_SIZE.most)
      return usual(`the default for images with a side of more than ${OWN_SIZE.most}: ${own}`);
    if (shorter < OWN_SIZE.least)
      return usual(`the default for images with a side of less than ${OWN_SIZE.least}: ${own}`);
    const why = width === height ? "the size of all" : `cut from the center of images that are all ${own}`;
    return { size: shorter, why: `${shorter} × ${shorter}, ${why}` };
  }
}
