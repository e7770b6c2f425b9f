import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { FileError } from "../../errors.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

const typeOf = (name: string): string => TYPES[extname(name)] ?? "application/octet-stream";

/** Files of ONNX Runtime for WebGPU, which are too large to be part of the page. */
const GPU_FILES = ["ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"] as const;

/** A file of onnxruntime-web; undefined where that is not installed. */
function installedRuntime(name: string): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve(`onnxruntime-web/${name}`));
  } catch {
    return undefined;
  }
}

/** A file of the built page. */
export interface StudioFile {
  readonly path: string;
  readonly type: string;
  /** Whether its name changes with its content, so that a browser may keep it. */
  readonly isNamedByContent: boolean;
}

/**
 * The files of the built page by their addresses, listed once: no request can name another.
 * @throws FileError where the page was not built
 */
export async function studioFiles(folder: string): Promise<ReadonlyMap<string, StudioFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new FileError(`${folder}: the studio is not built; run npm run build`, { cause });
  });
  const files = new Map<string, StudioFile>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const address = `/${relative(folder, path).split(sep).join("/")}`;
    files.set(address, { path, type: typeOf(entry.name), isNamedByContent: address.startsWith("/assets/") });
  }
  for (const name of GPU_FILES) {
    const path = installedRuntime(name);
    if (path !== undefined && !files.has(`/runtime/${name}`))
      files.set(`/runtime/${name}`, { path, type: typeOf(name), isNamedByContent: false });
  }
  const index = files.get("/index.html");
  if (index === undefined) throw new FileError(`${folder}: the studio is not built; run npm run build`);
  files.set("/", index);
  return files;
}

const squeeze = promisify(gzip);
const squeezed = new Map<string, Promise<Buffer>>();

/** The bytes of a file, squeezed where that is worth it and the browser takes it; squeezed once. */
export async function bytesOf(
  { path, type }: StudioFile,
  takesGzip: boolean,
): Promise<{ readonly bytes: Buffer; readonly isSqueezed: boolean }> {
  // On loopback, squeezing WebAssembly costs more than it saves.
  if (!takesGzip || !/^text|svg/.test(type)) return { bytes: await readFile(path), isSqueezed: false };
  const made = squeezed.get(path) ?? readFile(path).then((bytes) => squeeze(bytes));
  squeezed.set(path, made);
  return { bytes: await made, isSqueezed: true };
}

/** The first page, which is told that there is a server: without one it has the rooms alone that need none. */
export async function pageWithServer({ path }: StudioFile): Promise<string> {
  const page = await readFile(path, "utf8");
  return page.replace('name="eidos-server" content="none"', 'name="eidos-server" content="here"');
}
