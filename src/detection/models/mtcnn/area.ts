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
  const [begins, ends] = [new Int32Array(columns), new Int32Array(columns)];
  for (let column = 0; column < columns; column++) {
    begins[column] = Math.floor(((left + column) * part.width) / size.width);
    ends[column] = Math.ceil(((left + column + 1) * part.width) / size.width);
  }
  const from = begins[0] ?? 0;
  const width = (ends[columns - 1] ?? 0) - from;
  const sums = new Float64Array(Math.max(0, width));
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
