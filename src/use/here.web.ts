import { DataError, MissingPackageError, OptionError, RuntimeError } from "../errors.ts";
import { type Backend, type Ort, orElse, ortBackend } from "./backend.ts";
import { Engine } from "./engine.ts";
import { fetchBytes } from "./fetch.ts";
import type { LoadRequest } from "./protocol.ts";
import { readRecord } from "./record.ts";
import { fromAddress, fromMemory, MOST_IMAGE_BYTES, neededOf, RECORD } from "./source.ts";
import type { ImageInput, PixelImage } from "./types.ts";

// Loading and decoding where a browser computes: in a worker, or in the page itself.

/** The most threads by default: beyond this WebAssembly gains little. */
const MOST_THREADS = 8;

/** What is used of onnxruntime-web beyond what it shares with onnxruntime-node. */
interface WebOrt extends Ort {
  readonly env: {
    logLevel?: string;
    readonly wasm: { numThreads?: number; wasmPaths?: unknown; wasmBinary?: unknown };
  };
}

async function library(
  provider: "wasm" | "webgpu",
  { threads, wasmPaths, wasmBinary }: LoadRequest,
): Promise<WebOrt> {
  let ort: WebOrt;
  try {
    // Each address in full, so that bundlers see which files are needed. The build of `onnxruntime-web/webgpu` has no float64 on the processor, which
    // scores and detectors compute with around their networks; that of `onnxruntime-web` has.
    const loaded =
      provider === "wasm" ? await import("onnxruntime-web/wasm") : await import("onnxruntime-web");
    ort = loaded as unknown as WebOrt;
  } catch (cause) {
    throw new MissingPackageError(
      `running a model in a page needs the package onnxruntime-web, which cannot be loaded (${String(cause)}); run \`npm install onnxruntime-web\``,
      { cause },
    );
  }
  const isolated = (globalThis as { readonly crossOriginIsolated?: boolean }).crossOriginIsolated ?? false;
  ort.env.logLevel = "fatal";
  ort.env.wasm.numThreads =
    threads ?? (isolated ? Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, MOST_THREADS) : 1);
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  if (wasmBinary !== undefined) {
    ort.env.wasm.wasmBinary = wasmBinary;
    // Further threads would fetch their script.
    ort.env.wasm.numThreads = 1;
  }
  return ort;
}

async function backendOf(provider: "wasm" | "webgpu", request: LoadRequest): Promise<Backend> {
  const ort = await library(provider, request);
  return ortBackend(ort, provider, { executionProviders: [provider], logSeverityLevel: 4 });
}

interface GpuNavigator {
  readonly gpu?: { requestAdapter(): Promise<object | null> };
}

/** Whether this browser has a graphics processor to compute with. */
async function hasGpu(): Promise<boolean> {
  const { gpu } = (globalThis.navigator ?? {}) as GpuNavigator;
  return gpu !== undefined && (await gpu.requestAdapter().catch(() => null)) !== null;
}

/**
 * What computes. By itself: WebGPU for images where it is there and the file runs, else WebAssembly; for rows, whose networks are small,
 * WebAssembly.
 */
async function chosenBackend(request: LoadRequest, ofImages: boolean): Promise<Backend> {
  const { threads, wasmBinary } = request;
  const { provider = wasmBinary === undefined ? "auto" : "wasm" } = request;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new OptionError(`option threads: must be a whole number from 1 on, not ${threads}`);
  }
  if (provider === "wasm") return backendOf("wasm", request);
  if (provider !== "webgpu" && provider !== "auto") {
    throw new OptionError(`option provider: ${provider} is unknown in a page; there are auto, wasm, webgpu`);
  }
  if (wasmBinary !== undefined)
    throw new OptionError("option wasmBinary: is of the provider wasm; leave it out");
  if (provider === "webgpu") {
    if (!(await hasGpu())) throw new RuntimeError("this browser has no WebGPU here; take wasm, or auto");
    return backendOf("webgpu", request);
  }
  if (!ofImages || !(await hasGpu())) return backendOf("wasm", request);
  return orElse(await backendOf("webgpu", request), () => backendOf("wasm", request));
}

const isPixels = (image: ImageInput): image is PixelImage =>
  typeof image === "object" && image !== null && "data" in image && "width" in image;

/** What can be drawn, of something that is not pixels. @throws DataError, DownloadError */
async function drawable(image: Exclude<ImageInput, PixelImage>): Promise<ImageBitmap> {
  if (typeof image === "string" || image instanceof URL) {
    const address = new URL(image, globalThis.location?.href);
    const bytes = await fetchBytes(address, MOST_IMAGE_BYTES);
    return drawable(new Blob([bytes as BlobPart]));
  }
  const source =
    image instanceof Uint8Array || image instanceof ArrayBuffer ? new Blob([image as BlobPart]) : image;
  try {
    // Upright by the data of the file, and with colors that transparency has not darkened.
    return await createImageBitmap(source as ImageBitmapSource, { premultiplyAlpha: "none" });
  } catch (cause) {
    throw new DataError(
      `the image: not a readable image (${cause instanceof Error ? cause.message : String(cause)})`,
      { cause },
    );
  }
}

let canvas: OffscreenCanvas | undefined;

/** Pixels of an image, upright. */
export async function decode(image: ImageInput): Promise<PixelImage> {
  if (isPixels(image)) return image;
  const bitmap = await drawable(image);
  const { width, height } = bitmap;
  canvas ??= new OffscreenCanvas(width, height);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new RuntimeError("this browser cannot draw on a canvas outside of a page");
  context.clearRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Loads a model here. @throws as `load` */
export async function loadHere(request: LoadRequest, signal?: AbortSignal): Promise<Engine> {
  const { source, needs } = request;
  const read = typeof source === "string" ? fromAddress(new URL(source), signal) : fromMemory(source);
  const record = readRecord(await read(RECORD));
  const needed = neededOf(record, needs);
  const ofImages = Object.values(record.abilities).some((ability) =>
    [...(ability?.inputs ?? []), ...(ability?.outputs ?? [])].some(({ type }) => type === "uint8"),
  );
  const engine = new Engine(record, { read, decode }, await chosenBackend(request, ofImages));
  for (const name of needed) await engine.open(name);
  return engine;
}
