import { inflateSync } from "node:zlib";
import { crc32 } from "../../crc32.ts";

// PNG files of the plainest kind, as data sets of small images have them: tens of thousands of files in which starting a decoder takes
// longer than decoding. All others are left to sharp.

/** Grey or colored pixels of eight bits, row by row, channels side by side. */
export interface PlainPixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Chunks that say nothing about pixels; any other makes the file no plain one: palettes, transparency, profiles, orientation, gamma. */
const PLAIN_CHUNKS = new Set(["IHDR", "IDAT", "IEND", "tEXt", "zTXt", "iTXt", "tIME", "pHYs"]);

/** The most sides of a plain image: what is larger takes its time in any decoder. */
const LARGEST = 256;

/**
 * Decodes a PNG file of eight bits, grey or RGB, not interlaced, without palette, transparency, color profile, gamma or orientation, with a side
 * of at most 256 (PNG specification, third edition, sections 5, 7 and 9). Undefined for every other file, a damaged one among them: its
 * decoder says what is wrong with it.
 */
export function decodePlainPng(file: Uint8Array): PlainPixels | undefined {
  if (file.length < 45 || SIGNATURE.some((byte, i) => file[i] !== byte)) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [depth, color, compression, filtering, interlace] = file.subarray(24, 29);
  const channels = color === 0 ? 1 : color === 2 ? 3 : undefined;
  const isPlain = depth === 8 && compression === 0 && filtering === 0 && interlace === 0;
  if (!isPlain || channels === undefined) return undefined;
  if (width < 1 || height < 1 || width > LARGEST || height > LARGEST) return undefined;
  const packed = packedOf(file, view);
  if (packed === undefined) return undefined;
  const stride = width * channels;
  let rows: Uint8Array;
  try {
    rows = inflateSync(packed, { maxOutputLength: (stride + 1) * height });
  } catch {
    return undefined;
  }
  if (rows.length !== (stride + 1) * height) return undefined;
  const data = unfiltered(rows, { stride, height, channels });
  return data && { width, height, channels, data };
}

/** The compressed rows of a file all of whose chunks are sound and plain. */
function packedOf(file: Uint8Array, view: DataView): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const end = at + 12 + length;
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (end > file.length || !PLAIN_CHUNKS.has(type)) return undefined;
    if (at === 8 && (type !== "IHDR" || length !== 13)) return undefined;
    if (crc32(file.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) return undefined;
    if (type === "IDAT") parts.push(file.subarray(at + 8, end - 4));
    if (type === "IEND") return parts.length === 1 ? parts[0] : Buffer.concat(parts);
    at = end;
  }
  return undefined;
}

/** Undoes the filters of rows, each of which begins with the number of its own. */
function unfiltered(
  rows: Uint8Array,
  {
    stride,
    height,
    channels,
  }: { readonly stride: number; readonly height: number; readonly channels: number },
): Uint8Array | undefined {
  const data = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (stride + 1)] ?? 0;
    if (filter > 4) return undefined;
    const from = y * (stride + 1) + 1;
    const to = y * stride;
    for (let i = 0; i < stride; i++) {
      const left = i < channels ? 0 : (data[to + i - channels] ?? 0);
      const above = y === 0 ? 0 : (data[to + i - stride] ?? 0);
      const corner = y === 0 || i < channels ? 0 : (data[to + i - stride - channels] ?? 0);
      const guess =
        filter === 0
          ? 0
          : filter === 1
            ? left
            : filter === 2
              ? above
              : filter === 3
                ? (left + above) >> 1
                : paeth(left, above, corner);
      data[to + i] = (rows[from + i] ?? 0) + guess;
    }
  }
  return data;
}

/** Whichever of three neighbors is nearest to left + above − corner. */
function paeth(left: number, above: number, corner: number): number {
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}
