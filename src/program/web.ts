import { MissingPackageError, OptionError, RuntimeError } from "../errors.ts";
import type { Target } from "../tensor/graph.ts";
import { MOST_JOINED, messageOf, type OrtModule, ortRuntime, type Runtime } from "./runtime.ts";

export interface WebRuntimeOptions {
  /** wasm (default): the CPU kernels compiled to WebAssembly; webgpu: the graphics processor. */
  readonly provider?: "wasm" | "webgpu";
  /**
   * Threads of the WebAssembly kernels. Default: as many as there are cores, at most 8; 1 where the page is not
   * cross-origin isolated (headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy:
   * require-corp), since WebAssembly threads need shared memory. Settled by the first runtime of a page.
   */
  readonly threads?: number;
  /**
   * Address of the folder that holds the `ort-wasm-simd-threaded*` files of onnxruntime-web's `dist`, with a slash at
   * the end, or the addresses of the files themselves. Without it they are looked for beside the script.
   */
  readonly wasmPaths?: string | { readonly wasm?: string; readonly mjs?: string };
  /** Overrides what programs are lowered for; for tests of lowering rules. */
  readonly target?: Partial<Target>;
}

/** What is used of onnxruntime-web beyond what it shares with onnxruntime-node. */
interface WebModule extends OrtModule {
  readonly env: {
    logLevel?: string;
    readonly wasm: { numThreads?: number; wasmPaths?: unknown };
  };
}

/** The most threads by default: beyond this WebAssembly gains little. */
const MOST_THREADS = 8;

/**
 * The runtime of browsers: ONNX Runtime's WebAssembly library. With the provider `webgpu`, what a program returns
 * stays on the graphics processor until it is read, so that weights do not travel between training steps.
 * @throws MissingPackageError where onnxruntime-web is not installed
 * @throws OptionError where the provider or the number of threads is not acceptable
 * @throws RuntimeError where the browser has no WebGPU adapter
 */
export async function webRuntime(options: WebRuntimeOptions = {}): Promise<Runtime> {
  const { provider = "wasm", threads, wasmPaths } = options;
  if (provider !== "wasm" && provider !== "webgpu") {
    throw new OptionError(`provider ${String(provider)} is unknown; a browser has: wasm, webgpu`);
  }
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new OptionError(`threads: ${threads} is not a positive integer`);
  }
  if (provider === "webgpu") await requireAdapter();
  const ort = await loadLibrary(provider);
  ort.env.logLevel = "fatal";
  ort.env.wasm.numThreads = threads ?? defaultThreads();
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  const wasm = provider === "wasm";
  // The WebAssembly build has the CPU's fused kernels, but not those in blocked layout.
  const target: Target = {
    contrib: wasm,
    block: 0,
    ...(!wasm && { mostJoined: MOST_JOINED }),
    ...options.target,
  };
  return ortRuntime(ort, provider, target, {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    logSeverityLevel: 4,
    ...(!wasm && { preferredOutputLocation: "gpu-buffer" }),
  });
}

async function loadLibrary(provider: "wasm" | "webgpu"): Promise<WebModule> {
  try {
    // Each address in full, so that bundlers see which files are needed.
    const library =
      provider === "wasm" ? await import("onnxruntime-web/wasm") : await import("onnxruntime-web/webgpu");
    return library as unknown as WebModule;
  } catch (cause) {
    throw new MissingPackageError(
      `the ${provider} runtime needs a package that cannot be loaded; run: npm install onnxruntime-web (${messageOf(cause)})`,
      { cause },
    );
  }
}

function defaultThreads(): number {
  const isolated = (globalThis as { readonly crossOriginIsolated?: boolean }).crossOriginIsolated ?? false;
  return isolated ? Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, MOST_THREADS) : 1;
}

interface GpuNavigator {
  readonly gpu?: { requestAdapter(): Promise<object | null> };
}

async function requireAdapter(): Promise<void> {
  const { gpu } = (globalThis.navigator ?? {}) as GpuNavigator;
  if (gpu === undefined) {
    throw new RuntimeError("this browser has no WebGPU (or the page is not served over https); use wasm");
  }
  if ((await gpu.requestAdapter()) === null) {
    throw new RuntimeError("this browser finds no WebGPU adapter on this machine; use wasm");
  }
}
