import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { licensesOf } from "../scripts/third-party.ts";
import { DOCS_OF_DETECTION } from "./detection/docs.ts";
import { entrances } from "./entrances.ts";
import { DOCS_OF_MODELS } from "./playground/docs.ts";
import { docsFile } from "./ui/docs.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * Files of ONNX Runtime that are fetched when the first model is trained. Those for WebGPU are 27 MB: `eidos studio` takes them from
 * onnxruntime-web where that is installed; a page for other web servers has them where it is built with EIDOS_STUDIO_WEBGPU=1.
 */
const RUNTIME = [
  "ort-wasm-simd-threaded.mjs",
  "ort-wasm-simd-threaded.wasm",
  ...(process.env.EIDOS_STUDIO_WEBGPU === "1"
    ? ["ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"]
    : []),
];

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A page of the documentation as it is written, readable in a browser. */
function docsPage(name: string, text: string): string {
  const title = /^# (.*)$/m.exec(text)?.[1] ?? name;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escaped(title)}</title><link rel="stylesheet" href="docs.css"></head>
<body><main><pre>${escaped(text)}</pre></main></body></html>
`;
}

/** Packages that are part of the page. */
const bundled = new Set<string>(["onnxruntime-web"]);

/** Notes the packages of a bundle. */
function noteOfPackages(): Plugin {
  return {
    name: "note-of-packages",
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const id of Object.keys(chunk.modules)) {
          const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
          if (name !== undefined) bundled.add(name);
        }
      }
    },
  };
}

/** Puts ONNX Runtime and the pages that the studio links to beside the page: nothing is fetched from elsewhere. */
function besideThePage(): Plugin {
  let out = "";
  return {
    name: "beside-the-page",
    configResolved(config) {
      out = `${config.build.outDir}/`;
    },
    async writeBundle() {
      await mkdir(`${out}runtime`, { recursive: true });
      for (const name of RUNTIME)
        await copyFile(at(`../node_modules/onnxruntime-web/dist/${name}`), `${out}runtime/${name}`);
      await mkdir(`${out}docs`, { recursive: true });
      for (const page of new Set([...Object.values(DOCS_OF_MODELS), ...DOCS_OF_DETECTION])) {
        const text = await readFile(at(`../docs/${page}.md`), "utf8");
        await writeFile(`${out}docs/${docsFile(page)}`, docsPage(page, text));
      }
      await copyFile(at("styles/docs.css"), `${out}docs/docs.css`);
      await writeFile(`${out}licenses.txt`, await licensesOf(bundled));
    },
  };
}

export default defineConfig({
  root: at("."),
  // Relative addresses: the page works below any path of any web server.
  base: "./",
  resolve: {
    alias: entrances,
    conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"],
  },
  plugins: [noteOfPackages(), besideThePage()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: at("../dist/studio"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // Nothing is inlined: the security policy of the page allows files of its own origin.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
  },
  worker: { format: "es", plugins: () => [noteOfPackages()] },
});
