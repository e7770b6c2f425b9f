import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

// What a page loads of eidos to use a model: little, and nothing of training.

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The files of a bundle and its size in bytes, without ONNX Runtime. */
async function bundled(entries: readonly string[], platform: "browser" | "node") {
  const { metafile, outputFiles } = await build({
    entryPoints: entries.map((entry) => at(`../../src/use/${entry}.ts`)),
    outdir: at("."),
    bundle: true,
    minify: true,
    splitting: true,
    format: "esm",
    platform,
    external: ["onnxruntime-web", "onnxruntime-node", "sharp"],
    metafile: true,
    write: false,
    logLevel: "error",
  });
  return {
    files: Object.keys(metafile.inputs),
    bytes: outputFiles.reduce((sum, { contents }) => sum + contents.length, 0),
  };
}

/** Rooms of training, and what is large. Of flows there is the loop that fills in gaps. */
const OTHERS =
  /src\/((tensor|nn|train|tasks|diffusion|detection|latent|autoregressive|representation|metrics|report|serve|cli)\/|flows\/(?!completion\/(chains|hamiltonian|space)\.ts|densities\/base-noise\.ts))|catalog\.ts|node_modules\/(zod|onnx-proto)\//;

describe("a page that uses a model", () => {
  it("loads less than 60 kB beside ONNX Runtime, and no code of training", async () => {
    const { files, bytes } = await bundled(["index.web", "worker"], "browser");
    expect(files.filter((file) => OTHERS.test(file))).toEqual([]);
    expect(files.some((file) => file.endsWith("src/use/engine.ts"))).toBe(true);
    expect(bytes).toBeLessThan(60_000);
    console.log(`eidos/use for a page: ${bytes} bytes`);
  });

  it("has the same in Node, without training", async () => {
    const { files, bytes } = await bundled(["index.node"], "node");
    expect(files.filter((file) => OTHERS.test(file))).toEqual([]);
    expect(bytes).toBeLessThan(60_000);
  });
});
