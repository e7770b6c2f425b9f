import { readFile, writeFile } from "node:fs/promises";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { licensesOf } from "./third-party.ts";

// The command, bundled into bundle/: file by file, it would load some 400, a third of the processor time of a short command. `dist` keeps the
// files apart, for programs that import eidos and for modules of one's own, which `src/cli/main.ts` tells apart.

/** What the command, its threads and its processes start with. */
const ENTRIES = [
  "src/cli/command.ts",
  "src/program/shared-module-thread.node.ts",
  "src/serve/worker.node.ts",
  "src/serve/studio/export-process.node.ts",
  "src/serve/studio/fit-process.node.ts",
  "src/tasks/fit/replica.node.ts",
  "src/tasks/fit/worker.node.ts",
];

/** Packages that are bundled, too: those in many small files that commands load, zod alone 100. Others are CommonJS, or native. */
const PACKAGES = ["fast-png", "fflate", "get-east-asian-width", "iobuffer", "pure-rand", "zod"];

const root = fileURLToPath(new URL("../", import.meta.url));

/** Keeps what a file knows of its own place: from there it finds threads (bundled, too), assets and pages, as from `dist` and `src`. */
const placeOfEachFile: Plugin = {
  name: "place-of-each-file",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
      const compiled = relative(root, path).split(sep).slice(1).join("/").replace(/\.ts$/, ".js");
      const folder = 'import.meta.url.slice(0, import.meta.url.lastIndexOf("/bundle/") + 8)';
      const source = await readFile(path, "utf8");
      // On one line, so that source maps stay true.
      return {
        contents: source.replaceAll("import.meta.url", () => `(${folder} + ${JSON.stringify(compiled)})`),
        loader: "ts",
      };
    });
  },
};

/** Takes no package into the bundle but those that are named: their licences must come along. */
const packagesApart: Plugin = {
  name: "packages-apart",
  setup({ onResolve }) {
    onResolve({ filter: /^[^.]/ }, ({ path, kind }) => {
      const [scope = "", name] = path.split("/");
      const own = scope.startsWith("@") ? `${scope}/${name}` : scope;
      return kind === "entry-point" || PACKAGES.includes(own) ? undefined : { path, external: true };
    });
  },
};

/** Leaves out what zod says in 60 languages: its messages are read in English, by `src/options.ts`. */
const zodInEnglish: Plugin = {
  name: "zod-in-english",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
  },
};

/** Writes the bundle. */
export async function bundleCommand(): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outbase: "src",
    outdir: "bundle",
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: true,
    // Sources stand beside, in the package as in the repository.
    sourcesContent: false,
    logLevel: "warning",
    plugins: [packagesApart, placeOfEachFile, zodInEnglish],
  });
  await writeFile(`${root}bundle/licenses.txt`, await licensesOf(PACKAGES));
}
