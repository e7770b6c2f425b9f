import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { build, createServer, type InlineConfig, preview } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import webpack from "webpack";
import { findChromium } from "./browser.ts";

// A page that bundlers build with `eidos/use` of the build of this package, by the configuration of docs/guide/use.md and no other: by Vite as it is served
// while one works on it, and as it is built; by webpack as it is built. The worker and the files of WebAssembly are found without being named.

const executablePath = findChromium();
const root = fileURLToPath(new URL("../..", import.meta.url));

const PAGE = `<!doctype html><meta charset="utf-8"><title>page</title><script type="module" src="/page.js"></script>`;

const SCRIPT = `
import { load } from "eidos/use";

globalThis.used = (async () => {
  const model = await load("/models/table/", { needs: "score" });
  const rows = await (await fetch("/models/rows.json")).json();
  const { logLikelihood } = await model.score(rows);
  const { inWorker, provider } = model;
  await model.release();
  return { logLikelihood, inWorker, provider };
})();
`;

interface Used {
  readonly logLikelihood: readonly number[];
  readonly inWorker: boolean;
  readonly provider: string;
}

describe.skipIf(executablePath === undefined)("a page that a bundler builds", () => {
  let project = "";
  let browser: Browser;
  let config: InlineConfig;
  let expected: readonly number[];

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "eidos-vite-"));
    await mkdir(join(project, "node_modules"));
    await symlink(root, join(project, "node_modules/eidos"));
    await mkdir(join(project, "public"));
    await symlink(join(root, "test/fixtures/export"), join(project, "public/models"));
    await writeFile(join(project, "index.html"), PAGE);
    await writeFile(join(project, "page.js"), SCRIPT);
    config = {
      root: project,
      configFile: false,
      logLevel: "error",
      // What the guide tells.
      optimizeDeps: { exclude: ["eidos", "onnxruntime-web"] },
      worker: { format: "es" },
      // The package and its neighbors lie elsewhere, by links.
      server: {
        host: "127.0.0.1",
        port: 0,
        fs: { allow: [project, root, await realpath(join(root, "node_modules"))] },
      },
      preview: { host: "127.0.0.1", port: 0 },
      build: { target: "esnext", chunkSizeWarningLimit: 100_000 },
    };
    const text = await readFile(join(root, "test/fixtures/export/expected.json"), "utf8");
    ({ scores: expected } = JSON.parse(text.replaceAll("NaN", "null")));
    browser = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await rm(project, { recursive: true, force: true });
  });

  async function expectUsed(address: string | undefined): Promise<void> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(address ?? "");
    await page.waitForFunction(() => "used" in globalThis);
    const { used } = await page.evaluate(async () => ({
      used: await (globalThis as unknown as { readonly used: Promise<Used> }).used,
    }));
    expect(errors).toEqual([]);
    expect(used).toMatchObject({ inWorker: true, provider: "wasm" });
    expect(used.logLikelihood).toHaveLength(expected.length);
    for (const [i, value] of used.logLikelihood.entries())
      expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 3);
    await page.close();
  }

  it("scores in a worker as Vite builds it", async () => {
    await build(config);
    const files = await readdir(join(project, "dist/assets"));
    expect(files.some((file) => /^worker-.*\.js$/.test(file))).toBe(true);
    expect(files.some((file) => /^ort-wasm-.*\.wasm$/.test(file))).toBe(true);
    const server = await preview(config);
    try {
      await expectUsed(server.resolvedUrls?.local[0]);
    } finally {
      await server.close();
    }
  });

  it("scores in a worker as Vite serves it while one works on it", async () => {
    const server = await createServer(config);
    try {
      await server.listen();
      await expectUsed(server.resolvedUrls?.local[0]);
    } finally {
      await server.close();
    }
  });

  it("scores in a worker as webpack builds it", async () => {
    const built = join(project, "packed");
    await mkdir(built);
    await symlink(join(root, "test/fixtures/export"), join(built, "models"));
    await writeFile(join(built, "index.html"), PAGE);
    const compiler = webpack({
      mode: "development",
      context: project,
      entry: "./page.js",
      output: { path: built, filename: "page.js", publicPath: "/" },
    });
    const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) =>
      compiler.run((error, result) => (error ? reject(error) : resolve(result))),
    );
    const { errors, warnings } = stats?.toJson({ all: false, errors: true, warnings: true }) ?? {};
    expect({ errors, warnings }).toEqual({ errors: [], warnings: [] });
    const server = await preview({ ...config, build: { outDir: "packed" } });
    try {
      await expectUsed(server.resolvedUrls?.local[0]);
    } finally {
      await server.close();
    }
  });
});
