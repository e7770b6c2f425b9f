// Bundles page.ts and serves it with an exported detector.
//
//     eidos export runs/yolo-cells --out cells
//     npx tsx examples/webcam/serve.ts cells [port]        then open the address it prints

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [model, port = "8080"] = process.argv.slice(2);
if (model === undefined) throw new Error("name the folder of an exported detector");
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Any bundler will do. The worker of eidos/use is an entry of its own, since esbuild does not follow `new Worker(new URL(…))`.
const scripts = here("../../.cache/webcam-example");
await build({
  entryPoints: { page: here("page.ts"), worker: fileURLToPath(import.meta.resolve("eidos/use/worker")) },
  outdir: scripts,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  logLevel: "error",
});

const library = fileURLToPath(new URL(".", import.meta.resolve("onnxruntime-web/wasm")));
const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

const server = createServer(async ({ url = "/" }, response) => {
  const { pathname } = new URL(url, "http://localhost");
  const folder = pathname.startsWith("/onnxruntime-web/")
    ? library
    : pathname.startsWith("/model/")
      ? model
      : scripts;
  const file = pathname === "/" ? here("index.html") : join(folder, basename(pathname));
  const body = await readFile(file).catch(() => undefined);
  // Without the first two headers the page still works, on one thread.
  response.writeHead(body === undefined ? 404 : 200, {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Type": types[extname(file)] ?? "application/octet-stream",
  });
  response.end(body);
});
server.listen(Number(port), "127.0.0.1", () => {
  const address = server.address();
  const used = typeof address === "object" ? address?.port : port;
  console.log(`open http://127.0.0.1:${used}/  (Ctrl-C ends)`);
});
