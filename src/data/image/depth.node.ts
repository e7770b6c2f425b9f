import type { Sharp } from "sharp";
import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import type { PixelValues, ValueReading } from "./format.ts";
import { importSharp } from "./sharp.node.ts";

/** The largest values of a byte, and of 16 bits. */
const BYTE = 255;
const DEEP = 65_535;

/** Least and largest value. */
type Extent = readonly [least: number, most: number];

const short = (value: number): number => Number(value.toPrecision(4));

/** The option that takes values of an extent as black to white, rounded outward so that none is beyond it. */
export function rangeOption([least, most]: Extent): string {
  const outward = (value: number, round: (x: number) => number): number => {
    const step = 10 ** (Math.floor(Math.log10(Math.max(Math.abs(value), Number.MIN_VALUE))) - 3);
    return short(round(value / step) * step);
  };
  const text = `${least === 0 ? 0 : outward(least, Math.floor)},${most === 0 ? 0 : outward(most, Math.ceil)}`;
  return text.startsWith("-") ? `--value-range=${text}` : `--value-range ${text}`;
}

/** Values of pixels that are no colors. */
export class ValuesError extends DataError {
  readonly extent: Extent;

  /** @param file in front of the message */
  constructor(extent: Extent, file?: string) {
    const [least, most] = extent.map(short);
    super(
      `${file === undefined ? "" : `${file}: `}its values are from ${least} to ${most}, where 0 to 1 or 0 to 255 are read; ${rangeOption(extent)} of eidos data and eidos fit takes them as black to white`,
    );
    this.extent = extent;
  }
}

/** An image in bytes, and what its values were. */
export interface InBytes {
  /** @internal its type is that of an optional package */
  readonly image: Sharp;
  readonly values: PixelValues;
}

/**
 * Brings pixels of other depths to bytes, upright: floats of 0 … 1 are multiplied by 255, values of 16 bits of which only some are used by
 * the rest, and where the values of black and white are given, those between them are spread over all bytes. All else stays as it is.
 * @throws ValuesError for floats, and whole numbers that are neither bytes nor of 16 bits, of another range than 0 … 1 and 0 … 255; DataError
 * for values that are no numbers; both without a name in front
 * @internal its types are those of an optional package
 */
export async function inBytes(
  image: Sharp,
  { depth }: { readonly depth?: string | undefined },
  reading: ValueReading = {},
): Promise<InBytes> {
  const { factor, offset, values } = await scalingOf(image, depth, reading);
  if (factor === 1 && offset === 0) return { image, values };
  // Sharp makes bytes of grey values before it multiplies: in one chain nothing would be left of floats below 1.
  const scaled = image.autoOrient().linear(factor, offset).toColorspace("srgb").raw({ depth: "uchar" });
  const { data, info } = await nativeCall(() => scaled.toBuffer({ resolveWithObject: true }));
  const { width, height, channels } = info;
  return { image: (await importSharp())(data, { raw: { width, height, channels } }), values };
}

/** Whether `inBytes` may change pixels of a depth, for which it holds all of an image in memory. */
export function isScaled(depth: string | undefined, { bits = 16, valueRange }: ValueReading = {}): boolean {
  return isNumeric(depth) || (depth === "ushort" && (bits < 16 || valueRange !== undefined));
}

/** Whether values of a depth are numbers of no usual range: neither bytes nor of 16 bits without a sign. */
const isNumeric = (depth: string | undefined): boolean =>
  depth !== undefined && depth !== "uchar" && depth !== "ushort";

/** What values are multiplied by, and what is added. */
interface Scaling {
  readonly factor: number;
  readonly offset: number;
  readonly values: PixelValues;
}

async function scalingOf(
  image: Sharp,
  depth: string | undefined,
  { bits = 16, valueRange }: ValueReading,
): Promise<Scaling> {
  if (!isNumeric(depth) && (depth !== "ushort" || valueRange === undefined)) {
    const isDeep = depth === "ushort";
    return { factor: isDeep ? 2 ** (16 - bits) : 1, offset: 0, values: isDeep ? "deep" : "bytes" };
  }
  const [least, most] = await extentOf(image);
  // Sharp takes whole numbers of 16 bits as such, with a sign too, and all others as bytes.
  const full = depth === "ushort" || depth === "short" ? DEEP : BYTE;
  if (valueRange !== undefined) {
    const [black = 0, white = 1] = valueRange;
    const factor = full / (white - black);
    const values = least < black || most > white ? "clipped" : "ranged";
    return { factor, offset: -black * factor, values };
  }
  const isWhole = depth !== "float" && depth !== "double";
  if (least >= 0 && most <= 1 && !isWhole) return { factor: full, offset: 0, values: "unit" };
  if (least >= 0 && most <= BYTE) return { factor: full / BYTE, offset: 0, values: "wide" };
  throw new ValuesError([least, most]);
}

/** @throws DataError where values are no numbers */
async function extentOf(image: Sharp): Promise<Extent> {
  const { channels } = await nativeCall(() => image.clone().stats());
  const least = Math.min(...channels.map(({ min }) => min));
  const most = Math.max(...channels.map(({ max }) => max));
  if (!channels.every(({ mean }) => Number.isFinite(mean))) {
    throw new DataError("some of its values are no finite numbers");
  }
  return [least, most];
}

/**
 * The largest value of an image of 16 bits, as a byte that is none too small: 16 for 4095.
 * @internal its types are those of an optional package
 */
export async function largestByte(image: Sharp): Promise<number> {
  const { channels } = await nativeCall(() => image.clone().stats());
  return Math.ceil((Math.max(...channels.map(({ max }) => max)) + 1) / (BYTE + 1));
}

/** Some images, and the first of them. */
interface Some {
  count: number;
  readonly first: string;
}

const named = ({ count, first }: Some): string => `(${first}${count > 1 ? ", …" : ""})`;

/** Images whose values are no bytes: what was done to them, and whether they come out dark. */
export class DepthWatch {
  private readonly held = new Map<PixelValues, Some>();
  /** The largest byte of images of 16 bits. */
  private most = 0;

  /**
   * Takes an image.
   * @param bytes of it where it has 16 bits, or the largest of them
   */
  see(name: string, values: PixelValues, bytes: Uint8Array | number = 0): void {
    if (values === "bytes") return;
    const before = this.held.get(values);
    if (before === undefined) this.held.set(values, { count: 1, first: name });
    else before.count++;
    if (values !== "deep") return;
    if (typeof bytes === "number") this.most = Math.max(this.most, bytes);
    else for (const value of bytes) if (value > this.most) this.most = value;
  }

  /** Lines for a person. @param isOfRun that they are read by the options of a run, which are not to be chosen */
  lines(isOfRun = false): readonly string[] {
    const lines = [this.darkLine(isOfRun), this.floatLine(), this.clippedLine()];
    return lines.filter((line) => line !== undefined);
  }

  /** Images of 16 bits that use fewer than 15 of them. */
  private darkLine(isOfRun: boolean): string | undefined {
    const deep = this.held.get("deep");
    if (deep === undefined || this.most > 64) return undefined;
    // The largest value is rounded, 4095 to 16.
    const bits = 8 + Math.ceil(Math.log2(Math.max(1, this.most)));
    const remedy = isOfRun
      ? `the run was not fitted with --bits ${bits}`
      : `--bits ${bits} takes their values as ones of ${bits} bits`;
    const have = deep.count === 1 ? "has" : "have";
    return `${counted(deep.count, "image")} of 16 bits ${named(deep)} ${have} no value from ${2 ** bits} on, and ${deep.count === 1 ? "is" : "are"} dark: ${remedy}`;
  }

  private floatLine(): string | undefined {
    const [unit, wide] = [this.held.get("unit"), this.held.get("wide")];
    const parts = [
      unit && `${counted(unit.count, "image")} of floats from 0 to 1 ${named(unit)}, times 255`,
      wide && `${counted(wide.count, "image")} of numbers from 0 to 255 ${named(wide)}, as they are`,
    ].filter((part) => part !== undefined);
    if (parts.length === 0) return undefined;
    const both = parts.length > 1 ? "; --value-range 0,255 or 0,1 takes all alike" : "";
    return `read as bytes: ${parts.join("; ")}${both}`;
  }

  private clippedLine(): string | undefined {
    const clipped = this.held.get("clipped");
    if (clipped === undefined) return undefined;
    const all = clipped.count + (this.held.get("ranged")?.count ?? 0);
    return `${clipped.count} of ${counted(all, "image")} that --value-range is of ${named(clipped)} have values beyond it, which are read as black or white`;
  }
}
