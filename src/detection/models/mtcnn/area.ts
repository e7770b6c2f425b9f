import type { ByteImage, ImagePart } from "../../../data/boxes/set.ts";
import type { Size } from "../../boxes/boxes.ts";

/** A square of float32 planes, one a channel, within a larger array. */
export interface Canvas {
  readonly data: Float32Array;
  /** Where its first plane begins. */
  readonly offset: number;
  /** Height and width of a plane. */
  readonly side: number;
}

/**
 * Resizes a part of an image by the mean of areas, as `interpolate(mode="area")` of PyTorch does it (adaptive average pooling): pixel i of n is
 * the mean of the pixels ⌊i m / n⌋ … ⌈(i + 1) m / n⌉ − 1 of m, along both axes. Where a part is made larger, pixels are repeated.
 *
 * Of the result, of that size, what begins at `left` and `top` is written to the upper left corner of the canvas, as much as there is room for;
 * the rest of the canvas stays as it is.
 */
export function drawArea(
  image: ByteImage,
  part: ImagePart,
  size: Size,
  canvas: Canvas,
  { left, top }: { readonly left: number; readonly top: number } = { left: 0, top: 0 },
): void {
  const { data, offset, side } = canvas;
  const columns = Math.min(side, size.width - left);
  const rows = Math.min(side, size.height - top);
  const { begins, ends } = spans(part.width, size.width, left, columns);
  const from = begins[0] ?? 0;
  const width = (ends[columns - 1] ?? 0) - from;
  // Sums of a column of a window: bytes of fewer rows than would leave the range of int32.
  const sums = new Int32Array(Math.max(0, width));
  for (let channel = 0; channel < 3; channel++) {
    const plane = channel * image.width * image.height;
    for (let row = 0; row < rows; row++) {
      const first = Math.floor(((top + row) * part.height) / size.height);
      const last = Math.ceil(((top + row + 1) * part.height) / size.height);
      sums.fill(0);
      for (let y = first; y < last; y++) {
        const line = plane + (part.top + y) * image.width + part.left + from;
        for (let x = 0; x < width; x++) sums[x] = (sums[x] ?? 0) + (image.data[line + x] ?? 0);
      }
      const target = offset + (channel * side + row) * side;
      for (let column = 0; column < columns; column++) {
        const [begin, end] = [(begins[column] ?? 0) - from, (ends[column] ?? 0) - from];
        let sum = 0;
        for (let x = begin; x < end; x++) sum += sums[x] ?? 0;
        data[target + column] = sum / ((end - begin) * (last - first));
      }
    }
  }
}

/** Which pixels of a side are covered by pixels `first` … `first + count - 1` of it at another length. */
function spans(
  side: number,
  length: number,
  first = 0,
  count = length,
): { readonly begins: Int32Array; readonly ends: Int32Array } {
  const covered = Array.from({ length: Math.max(0, count) }, (_, i) => first + i);
  return {
    begins: Int32Array.from(covered, (i) => Math.floor((i * side) / length)),
    ends: Int32Array.from(covered, (i) => Math.ceil(((i + 1) * side) / length)),
  };
}

/**
 * A whole image at several sizes, as `drawArea` draws it at each, to the bit: three planes of float32 a size. Its pixels are read once for all
 * sizes, and each row costs a size no more than the columns that it has, so that much smaller ones come nearly free.
 */
export function drawAreas(image: ByteImage, sizes: readonly Size[]): readonly Float32Array[] {
  const { width, height } = image;
  const drawn = sizes.map((size) => ({
    size,
    columns: spans(width, size.width),
    rows: spans(height, size.height),
    sums: new Float64Array(size.width * size.height),
    data: new Float32Array(3 * size.width * size.height),
    firstRow: 0,
  }));
  const before = new Float64Array(width + 1);
  for (let channel = 0; channel < 3; channel++) {
    for (const each of drawn) {
      each.sums.fill(0);
      each.firstRow = 0;
    }
    for (let y = 0; y < height; y++) {
      const line = (channel * height + y) * width;
      let sum = 0;
      for (let x = 0; x < width; x++) {
        sum += image.data[line + x] ?? 0;
        before[x + 1] = sum;
      }
      for (const each of drawn) {
        const { size, columns, rows, sums } = each;
        while ((rows.ends[each.firstRow] ?? height) <= y) each.firstRow++;
        // A pixel row may be the last of a row of the size and the first of the next.
        for (let row = each.firstRow; row < size.height && (rows.begins[row] ?? height) <= y; row++) {
          for (let column = 0, at = row * size.width; column < size.width; column++, at++) {
            const own = (before[columns.ends[column] ?? 0] ?? 0) - (before[columns.begins[column] ?? 0] ?? 0);
            sums[at] = (sums[at] ?? 0) + own;
          }
        }
      }
    }
    for (const { size, columns, rows, sums, data } of drawn) {
      const plane = channel * sums.length;
      for (const at of sums.keys()) {
        const [row, column] = [Math.floor(at / size.width), at % size.width];
        const across = (columns.ends[column] ?? 0) - (columns.begins[column] ?? 0);
        const down = (rows.ends[row] ?? 0) - (rows.begins[row] ?? 0);
        data[plane + at] = (sums[at] ?? 0) / (across * down);
      }
    }
  }
  return drawn.map(({ data }) => data);
}

/** Writes what begins at `left` and `top` of an image that is drawn at its size to a canvas, as `drawArea` does it. */
export function drawPart(
  drawn: Float32Array,
  { width, height }: Size,
  { data, offset, side }: Canvas,
  { left, top }: { readonly left: number; readonly top: number },
): void {
  const columns = Math.min(side, width - left);
  const rows = Math.min(side, height - top);
  for (let channel = 0; channel < 3; channel++) {
    for (let row = 0; row < rows; row++) {
      const from = (channel * height + top + row) * width + left;
      data.set(drawn.subarray(from, from + columns), offset + (channel * side + row) * side);
    }
  }
}
