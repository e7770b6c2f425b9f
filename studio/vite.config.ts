import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import packageJson from "../package.json" with { type: "json" };
import { DOCS_OF_MODELS } from "./playground/docs.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The entrances of the package, from its source: the studio uses eidos as any other program does. */
const entrances = Object.entries(packageJson.exports).flatMap(([name, target]) =>
  typeof target === "string"
    ? []
    : [
        {
          find: new RegExp(`^${name.replace(/^\./, "eidos")}$`),
          replacement: at(target.default.replace(/^\.\/dist\/(.*)\.js$/, "../src/$1.ts")),
        },
      ],
);

/** Files of ONNX Runtime that are fetched when the first model is trained. */
const RUNTIME = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

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
      for (const page of new Set(Object.values(DOCS_OF_MODELS))) {
        const text = await readFile(at(`../docs/${page}.md`), "utf8");
        await writeFile(`${out}docs/${page.replaceAll("/", "-")}.html`, docsPage(page, text));
      }
      await copyFile(at("styles/docs.css"), `${out}docs/docs.css`);
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
  plugins: [besideThePage()],
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
  worker: { format: "es" },
});
