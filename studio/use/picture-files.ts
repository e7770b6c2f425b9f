import { t } from "../i18n/index.ts";
import { ask } from "../ui/server.ts";
import { GivenError } from "./given-error.ts";
import { type Picture, type PictureForm, pictureOf, rgbaOf } from "./pictures.ts";
import { abilityPath } from "./store.ts";

// Files of images: what a model sees of them, and what is saved.

/** A canvas of so many pixels, and its context. */
function canvasOf(width: number, height: number) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("the browser draws on no canvas");
  return { canvas, context };
}

/** The image of a file. @throws GivenError where the browser cannot read it */
async function imageOf(file: File): Promise<ImageBitmap> {
  const image = await createImageBitmap(file).catch(() => undefined);
  if (image === undefined) throw new GivenError(t("use.no-image", { name: file.name }));
  return image;
}

/** The picture of a file: its middle, in the size of the model. @throws GivenError where the browser cannot read it */
export async function readPicture(file: File, form: PictureForm): Promise<Picture> {
  const image = await imageOf(file);
  const { width, height } = form;
  const scale = Math.max(width / image.width, height / image.height);
  const [wide, high] = [scale * image.width, scale * image.height];
  const { context } = canvasOf(width, height);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, (width - wide) / 2, (height - high) / 2, wide, high);
  image.close();
  return pictureOf(context.getImageData(0, 0, width, height).data, form);
}

const pngOf = (canvas: HTMLCanvasElement): Promise<Blob> =>
  new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob === null ? reject(new Error("no PNG was made")) : resolve(blob)));
  });

/** A picture as a PNG file. */
export function fileOfPicture(picture: Picture, form: PictureForm): Promise<Blob> {
  const { canvas, context } = canvasOf(form.width, form.height);
  context.putImageData(new ImageData(rgbaOf(picture, form), form.width, form.height), 0, 0);
  return pngOf(canvas);
}

/** Pixels of the longer side of a small picture. */
const SMALL = 128;

/** The address of a small picture of a file, which is to be revoked. @throws GivenError where the browser cannot read it */
export async function smallPicture(file: File): Promise<string> {
  const image = await imageOf(file);
  const scale = Math.min(1, SMALL / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(scale * side)));
  const { canvas, context } = canvasOf(width ?? 1, height ?? 1);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return URL.createObjectURL(await pngOf(canvas));
}

/** Asks a run about a file of an image. @throws ServerError */
export function askAboutFile<T>(name: string, ability: string, file: Blob): Promise<T> {
  return ask<T>(abilityPath(name, ability), {
    method: "POST",
    headers: { "content-type": "application/octet-stream", accept: "application/json" },
    body: file,
  });
}
