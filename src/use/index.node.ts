import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { DataFolder } from "../data/files/data-folder.node.ts";
import { FILE_KINDS, readRegularFile } from "../data/files/files.node.ts";
import { optional } from "../data/files/optional.node.ts";
import { inBytes } from "../data/image/depth.node.ts";
import { importSharp, MOST_PIXELS, refuseDrawing } from "../data/image/sharp.node.ts";
import { DataError, OptionError } from "../errors.ts";
import { nativeCall } from "../program/native-calls.node.ts";
import { type Backend, type Ort, ortBackend } from "./backend.ts";
import { Engine } from "./engine.ts";
import { fetchBytes } from "./fetch.ts";
import { abortable, modelOf } from "./model.ts";
import { MOST_RECORD_BYTES, readRecord } from "./record.ts";
import {
  checkLoading,
  fromAddress,
  fromMemory,
  isFiles,
  MOST_FILE_BYTES,
  MOST_IMAGE_BYTES,
  neededOf,
  RECORD,
  type ReadFile,
} from "./source.ts";
import type {
  ExportedAbilityName,
  ImageInput,
  LoadOptions,
  Model,
  ModelSource,
  PixelImage,
} from "./types.ts";

// Exported models in Node. In a page, `eidos/use` is index.web.ts.

export {
  AbilityError,
  DataError,
  DownloadError,
  EidosError,
  FileError,
  InverseError,
  MissingPackageError,
  OptionError,
  RuntimeError,
} from "../errors.ts";
export { pixelsOf } from "./pixels.ts";
export type * from "./types.ts";

/** A URL that a text is, where it is one of files or of the web; a letter and a colon begin a path of Windows. */
const addressOf = (text: string): URL | undefined =>
  /^(https?|file|data):/i.test(text) ? new URL(text) : undefined;

/** Files in a folder, and in no other. @throws DataError */
async function fromFolder(path: string): Promise<ReadFile> {
  const folder = await DataFolder.open(path.endsWith(`/${RECORD}`) ? dirname(path) : path);
  return (name) =>
    folder.read(
      name,
      name === RECORD
        ? { what: "a record of a model", limit: MOST_RECORD_BYTES }
        : { what: "an ONNX file", limit: MOST_FILE_BYTES },
    );
}

async function filesOf(source: ModelSource, signal: AbortSignal | undefined): Promise<ReadFile> {
  if (isFiles(source)) return fromMemory(source);
  const address = typeof source === "string" ? addressOf(source) : source;
  if (address === undefined) return fromFolder(String(source));
  return address.protocol === "file:" ? fromFolder(fileURLToPath(address)) : fromAddress(address, signal);
}

/** The bytes of an image file. */
async function bytesOf(
  image: Exclude<ImageInput, PixelImage>,
): Promise<{ readonly bytes: Uint8Array; readonly name: string }> {
  if (image instanceof Uint8Array) return { bytes: image, name: "the image" };
  if (image instanceof ArrayBuffer) return { bytes: new Uint8Array(image), name: "the image" };
  if (image instanceof Blob) return { bytes: new Uint8Array(await image.arrayBuffer()), name: "the image" };
  if (typeof image !== "string" && !(image instanceof URL)) {
    throw new DataError(
      "this is no image: give pixels ({ width, height, data }), the bytes of an image file, its path or its URL",
    );
  }
  const address = typeof image === "string" ? (addressOf(image) ?? pathToFileURL(image)) : image;
  if (address.protocol === "file:") {
    const path = fileURLToPath(address);
    return { bytes: await readRegularFile(path, FILE_KINDS.image), name: path };
  }
  return { bytes: await fetchBytes(address, MOST_IMAGE_BYTES), name: "the image" };
}

const isPixels = (image: ImageInput): image is PixelImage =>
  typeof image === "object" &&
  image !== null &&
  "width" in image &&
  "data" in image &&
  !(image instanceof Uint8Array);

/** Pixels of an image, upright. */
async function decode(image: ImageInput): Promise<PixelImage> {
  if (isPixels(image)) return image;
  const sharp = await importSharp();
  const { bytes, name } = await bytesOf(image as Exclude<ImageInput, PixelImage>);
  try {
    const opened = sharp(bytes, { limitInputPixels: MOST_PIXELS });
    const header = await nativeCall(() => opened.metadata());
    refuseDrawing(header.format);
    const { image: inside } = await inBytes(opened, header);
    const upright = inside.autoOrient().toColorspace("srgb").ensureAlpha();
    const raw = upright.raw({ depth: "uchar" });
    const { data, info } = await nativeCall(() => raw.toBuffer({ resolveWithObject: true }));
    return { width: info.width, height: info.height, data };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new DataError(`${name}: not a readable image (${reason})`, { cause: error });
  }
}

/** @throws OptionError, MissingPackageError */
async function nodeBackend({ provider = "cpu", threads }: LoadOptions): Promise<Backend> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new OptionError(`option threads: must be a whole number from 1 on, not ${threads}`);
  }
  await import("../program/no-telemetry.node.ts");
  const ort = await optional("onnxruntime-node", "running a model", () => import("onnxruntime-node"));
  const known = ort.listSupportedBackends().map(({ name }) => name);
  if (!known.includes(provider)) {
    throw new OptionError(
      `option provider: ${provider} is not part of onnxruntime-node here; there are ${known.join(", ")}`,
    );
  }
  ort.env.logLevel = "fatal";
  return ortBackend(
    ort as unknown as Ort,
    provider,
    {
      executionProviders: [provider],
      logSeverityLevel: 4,
      ...(threads !== undefined && { intraOpNumThreads: threads }),
      // The first session of a process decides for all later ones: see SESSION_CONFIG of program/runtime.ts.
      extra: { session: { set_denormal_as_zero: "1" } },
    },
    nativeCall,
  );
}

/**
 * Loads a model that `eidos export` has written: a folder, its address, or its files in memory.
 *
 *     const model = await load("runs/yolo-cells/model", { needs: "detect" });
 *     const { objects } = await model.detect("photo.jpg");
 *
 * @throws AbilityError where the model lacks what is needed, with the reason; DataError where model.json or a file is not what it should be;
 * FileError, DownloadError, OptionError, RuntimeError, MissingPackageError
 */
export async function load<A extends ExportedAbilityName = never>(
  source: ModelSource,
  options: LoadOptions<A> = {},
): Promise<Model<A>> {
  checkLoading(options);
  const { signal, needs } = options;
  signal?.throwIfAborted();
  const opening = async (): Promise<Model<A>> => {
    const read = await filesOf(source, signal);
    const record = readRecord(await read(RECORD));
    const needed = neededOf(record, needs);
    const engine = new Engine(record, { read, decode }, await nodeBackend(options));
    for (const name of needed) await engine.open(name);
    return modelOf<A>({
      record,
      inWorker: false,
      get provider() {
        return engine.provider;
      },
      do: (work, watch) => engine.do(work, watch),
      release: () => engine.release(),
    });
  };
  const opened = opening();
  // A model that came too late is not kept.
  opened.then(
    (model) => (signal?.aborted ? model.release() : undefined),
    () => undefined,
  );
  return abortable(opened, signal);
}
