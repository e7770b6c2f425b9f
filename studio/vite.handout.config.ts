import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { entrances } from "./entrances.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * Keeps files that modules name by their own address out of the script: the page has them once, squeezed. Nothing is fetched from the address that
 * stands in its place, but it has to be one that others can be relative to, as that of a worker made of text is not.
 */
const withoutFiles: Plugin = {
  name: "without-files",
  enforce: "pre",
  transform: (code) => code.replaceAll("import.meta.url", '"https://page.invalid/"'),
};

// `vite build --mode worker`, then `--mode page`: a script each, with all that it imports inside, and one style sheet. `eidos export --page` puts them
// into a page.

export default defineConfig(({ mode }) => ({
  root: at("handout"),
  resolve: {
    alias: [
      { find: /^eidos\/use$/, replacement: at("../src/use/index.web.ts") },
      // WebAssembly alone: WebGPU has files of its own.
      { find: /^onnxruntime-web$/, replacement: "onnxruntime-web/wasm" },
      ...entrances,
    ],
  },
  plugins: [withoutFiles],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: at("../dist/handout"),
    emptyOutDir: mode === "worker",
    target: "es2022",
    lib: {
      entry: { [mode]: at(mode === "worker" ? "handout/worker.ts" : "handout/handout.tsx") },
      formats: ["es"],
      cssFileName: "page",
    },
    rolldownOptions: { output: { codeSplitting: false, entryFileNames: "[name].js" } },
  },
}));
