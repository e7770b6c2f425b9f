import { signal } from "@preact/signals";

// What computes in the playground: WebAssembly, or the graphics processor where the browser has WebGPU and its files are there.

export const COMPUTES = ["wasm", "webgpu"] as const;

export type Compute = (typeof COMPUTES)[number];

/** What the reader has chosen, for as long as the page is open: a link may be opened on another machine. */
export const compute = signal<Compute>("wasm");

/** Whether there is a choice. */
export const offersGpu = signal(false);

/** Where the files of ONNX Runtime are. */
export const runtimeFolder = (): string => new URL("./runtime/", document.baseURI).href;

/** Has to be there for WebGPU; it is large, and not part of the page (see `studioFiles` and `vite.config.ts`). */
const GPU_FILE = "ort-wasm-simd-threaded.asyncify.wasm";

interface GpuNavigator {
  readonly gpu?: { requestAdapter(): Promise<object | null> };
}

/** Looks whether WebGPU can be chosen. */
export async function lookForGpu(): Promise<void> {
  const { gpu } = navigator as GpuNavigator;
  if (gpu === undefined) return;
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (adapter === null) return;
  const found = await fetch(runtimeFolder() + GPU_FILE, { method: "HEAD" }).catch(() => undefined);
  offersGpu.value = found?.ok === true;
}
