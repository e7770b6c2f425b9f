import type { UsableModel } from "eidos/serve";

// Pictures as a model sees them: numbers [channels, height, width], 0 … 255, or of binary pictures 0 and 1.

export interface PictureForm {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly isBinary: boolean;
}

/** One picture. */
export type Picture = Float32Array;

/** Pictures, one after the other, as the server takes and answers them. */
export interface Pictures {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** The form of a model's pictures; undefined where its samples are rows. */
export function formOf({ sample }: UsableModel): PictureForm | undefined {
  if (sample.kind !== "picture") return undefined;
  const [channels = 1, height = 1, width = 1] = sample.shape;
  return { channels, height, width, isBinary: sample.binary };
}

const sizeOf = ({ channels, height, width }: PictureForm): number => channels * height * width;

/** Pictures one by one. */
export function picturesOf({ data }: Pictures, form: PictureForm): readonly Picture[] {
  const size = sizeOf(form);
  return Array.from({ length: Math.floor(data.length / size) }, (_, i) =>
    Float32Array.from(data.slice(i * size, (i + 1) * size)),
  );
}

/** Pictures as the server takes them. */
export function asNumbers(pictures: readonly Picture[], { channels, height, width }: PictureForm): Pictures {
  return {
    shape: [pictures.length, channels, height, width],
    data: pictures.flatMap((picture) => [...picture]),
  };
}

/** Pictures in a grid as one picture, as nearly square as may be, with a pixel of white between them. */
export function gridOf(
  pictures: readonly Picture[],
  form: PictureForm,
): { readonly picture: Picture; readonly form: PictureForm } {
  const columns = Math.max(1, Math.ceil(Math.sqrt(pictures.length)));
  const lines = Math.max(1, Math.ceil(pictures.length / columns));
  const [width, height] = [columns * (form.width + 1) - 1, lines * (form.height + 1) - 1];
  const grid = new Float32Array(form.channels * width * height).fill(form.isBinary ? 1 : 255);
  for (const [i, picture] of pictures.entries()) {
    const [left, top] = [(i % columns) * (form.width + 1), Math.floor(i / columns) * (form.height + 1)];
    for (let line = 0; line < form.channels * form.height; line++) {
      const [channel, y] = [Math.floor(line / form.height), line % form.height];
      const own = picture.subarray(line * form.width, (line + 1) * form.width);
      grid.set(own, (channel * height + top + y) * width + left);
    }
  }
  return { picture: grid, form: { ...form, width, height } };
}

/** RGBA of a picture. */
export function rgbaOf(
  picture: Picture,
  { channels, height, width, isBinary }: PictureForm,
): Uint8ClampedArray<ArrayBuffer> {
  const plane = height * width;
  const rgba = new Uint8ClampedArray(4 * plane);
  const scale = isBinary ? 255 : 1;
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const own = channels >= 3 ? channel : 0;
      rgba[4 * pixel + channel] = scale * (picture[own * plane + pixel] ?? 0);
    }
    rgba[4 * pixel + 3] = 255;
  }
  return rgba;
}

/** A picture of RGBA in the form of a model: grey by the weights of luma, binary from half on. */
export function pictureOf(
  rgba: ArrayLike<number>,
  { channels, height, width, isBinary }: PictureForm,
): Picture {
  const plane = height * width;
  const picture = new Float32Array(channels * plane);
  for (let pixel = 0; pixel < plane; pixel++) {
    const [red, green, blue] = [0, 1, 2].map((channel) => rgba[4 * pixel + channel] ?? 0);
    const grey = Math.round(0.299 * (red ?? 0) + 0.587 * (green ?? 0) + 0.114 * (blue ?? 0));
    for (let channel = 0; channel < channels; channel++) {
      const value = channels >= 3 ? (rgba[4 * pixel + channel] ?? 0) : grey;
      picture[channel * plane + pixel] = isBinary ? Number(value >= 128) : value;
    }
  }
  return picture;
}
