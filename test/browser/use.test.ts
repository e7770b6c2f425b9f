import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportRun } from "../../src/tasks/export/export.node.ts";
import { load as loadHere } from "../../src/use/index.node.ts";
import { objectsApart, type ShippedObject } from "../shipping.ts";
import { largestDifference } from "../support.ts";
import { findChromium, SOFTWARE_WEBGPU_FLAGS } from "./browser.ts";
import type { UsePage } from "./use-page.ts";

// Exported models of test/fixtures/export in a page: in a worker, in the page itself and with WebGPU they say what Python says of them.

const executablePath = findChromium();
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const FIXTURES = at("../fixtures/export");
const LIBRARY = at("../../node_modules/onnxruntime-web/dist");
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
const PAGE =
  '<!doctype html><meta charset="utf-8"><title>use</title><script type="module" src="/page.js"></script>';

interface Expected {
  readonly scores: readonly number[];
  readonly bytes: readonly number[];
  readonly objects: readonly ShippedObject[];
}

/** What the page finds, as plain data. */
interface Found {
  readonly inWorker: boolean;
  readonly provider: string;
  readonly scores: readonly (number | null)[];
  readonly bytes: readonly number[];
  readonly objects: readonly (readonly ShippedObject[])[];
}

type Global = typeof globalThis & { readonly eidosUse: UsePage };

describe.skipIf(executablePath === undefined)("a page with eidos/use", () => {
  let scripts: string;
  let server: Server;
  let browser: Browser;
  let address: string;
  let expected: Expected;
  let rows: readonly Readonly<Record<string, string | number | null>>[];
  let noise: readonly number[];

  beforeAll(async () => {
    const json = async (name: string) =>
      JSON.parse((await readFile(join(FIXTURES, name), "utf8")).replaceAll("NaN", "null"));
    expected = await json("expected.json");
    rows = await json("rows.json");
    noise = ((await json("noise.json")) as number[][]).flat();
    scripts = await mkdtemp(join(tmpdir(), "eidos-use-"));
    await build({
      entryPoints: { page: at("use-page.ts"), worker: at("../../src/use/worker.ts") },
      outdir: scripts,
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "browser",
      logLevel: "error",
    });
    server = createServer(async (request, response) => {
      const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
      const folder = path.startsWith("/ort/") ? LIBRARY : path.startsWith("/models/") ? FIXTURES : scripts;
      try {
        const body =
          path === "/" ? PAGE : await readFile(join(folder, path.replace(/^\/(ort|models)\//, "/")));
        const type = TYPES[path === "/" ? ".html" : extname(path)] ?? "application/octet-stream";
        response.writeHead(200, { "Content-Type": type }).end(body);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const bound = server.address();
    address = `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}/`;
    browser = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    await rm(scripts, { recursive: true, force: true });
  });

  async function opened(from: Browser): Promise<{ readonly page: Page; readonly errors: readonly string[] }> {
    const page = await from.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(address);
    await page.waitForFunction(() => "eidosUse" in globalThis);
    return { page, errors };
  }

  /** Scores rows, draws images and finds objects in an image in each of its forms. */
  function used(
    page: Page,
    options: { readonly worker?: boolean; readonly provider?: string },
  ): Promise<Found> {
    return page.evaluate(
      async ({ options, rows, noise }) => {
        const { load } = (globalThis as Global).eidosUse;
        const settings = { ...options, wasmPaths: "/ort/" };
        const table = await load("models/table", { ...settings, needs: "score" });
        const { logLikelihood } = await table.score(rows);
        await table.release();
        const images = await load("models/image", { ...settings, needs: "sample" });
        const { samples } = await images.sample({ count: 2, label: 0, noise: { noise } });
        await images.release();
        const detector = await load("/models/detector/model.json", { ...settings, needs: "detect" });
        const blob = await (await fetch("/models/photo.png")).blob();
        const bitmap = await createImageBitmap(blob);
        const canvas = document.createElement("canvas");
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
        const context = canvas.getContext("2d");
        if (context === null) throw new Error("no canvas");
        context.drawImage(bitmap, 0, 0);
        const data = context.getImageData(0, 0, bitmap.width, bitmap.height);
        const element = new Image();
        element.src = "/models/photo.png";
        await element.decode();
        const forms = [
          "models/photo.png",
          new URL("/models/photo.png", location.href),
          blob,
          await blob.arrayBuffer(),
          bitmap,
          canvas,
          data,
          element,
        ];
        const found = await detector.detect(forms);
        const { provider, inWorker } = detector;
        await detector.release();
        return {
          inWorker,
          provider,
          scores: logLikelihood,
          bytes: Array.from(samples?.data ?? []),
          objects: found.map(({ objects }) =>
            objects.map(({ label, score, box }) => ({ class: label, score, box: [...box] })),
          ),
        };
      },
      { options, rows, noise },
    );
  }

  function expectFound({ scores, bytes, objects }: Found): void {
    expect(largestDifference(scores.map(Number), expected.scores)).toBeLessThan(1e-3);
    expect(largestDifference(bytes, expected.bytes)).toBeLessThanOrEqual(1);
    expect(objects).toHaveLength(8);
    for (const one of objects) {
      const apart = objectsApart(one, expected.objects);
      expect(apart.scores).toBeLessThan(1e-3);
      expect(apart.boxes).toBeLessThan(1);
    }
  }

  it("scores, draws and detects in a worker", async () => {
    const { page, errors } = await opened(browser);
    const found = await used(page, {});
    expect(errors).toEqual([]);
    expect(found).toMatchObject({ inWorker: true, provider: "wasm" });
    expectFound(found);
    await page.close();
  });

  it("does the same in the page itself", async () => {
    const { page, errors } = await opened(browser);
    const found = await used(page, { worker: false });
    expect(errors).toEqual([]);
    expect(found).toMatchObject({ inWorker: false, provider: "wasm" });
    expectFound(found);
    await page.close();
  });

  it("fills in gaps, with the distribution that Node has", async () => {
    await exportRun(at("../fixtures/runs/nice-two-moons"), join(scripts, "moons"));
    const table = [{ x: 0.5, y: null }];
    const options = { draws: 200, seed: 2 };
    await using here = await loadHere(join(scripts, "moons"), { needs: "impute", threads: 1 });
    const wanted = (await here.impute(table, options)).rows.map(({ y }) => Number(y));
    const { page, errors } = await opened(browser);
    const found = await page.evaluate(
      async ({ table, options }) => {
        const { load } = (globalThis as Global).eidosUse;
        const model = await load("moons", { needs: "impute", wasmPaths: "/ort/" });
        const { rows } = await model.impute(table, options);
        await model.release();
        return rows.map(({ x, y, draw }) => [x, y, draw].map(Number));
      },
      { table, options },
    );
    expect(errors).toEqual([]);
    expect(found.every(([x, , draw], i) => x === 0.5 && draw === i)).toBe(true);
    const own = found.map(([, y]) => y ?? Number.NaN);
    const alike = own.filter((y, i) => Math.abs(y - (wanted[i] ?? Number.NaN)) < 1e-3).length;
    console.log(`in WebAssembly ${alike} of ${own.length} gaps are filled in as in Node`);
    const moments = (values: readonly number[]) => {
      const mean = values.reduce((sum, y) => sum + y, 0) / values.length;
      return [mean, Math.sqrt(values.reduce((sum, y) => sum + (y - mean) ** 2, 0) / values.length)] as const;
    };
    const [[mean, deviation], [other, spread]] = [moments(own), moments(wanted)];
    // Five standard errors of a difference of independent draws.
    expect(Math.abs(mean - other)).toBeLessThan(5 * spread * Math.sqrt(2 / 200));
    expect(Math.abs(deviation / spread - 1)).toBeLessThan(0.3);
    await page.close();
  });

  it("takes WebGPU where it is there and the file runs, and says so", async (context) => {
    const gpu = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu", ...SOFTWARE_WEBGPU_FLAGS],
    });
    try {
      const { page, errors } = await opened(gpu);
      const hasGpu = await page.evaluate(
        async () =>
          ((await (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu?.requestAdapter()) ??
            null) !== null,
      );
      const found = await used(page, {});
      expect(errors).toEqual([]);
      if (!hasGpu) console.warn("this Chromium has no WebGPU: WebAssembly has taken its place");
      else console.log(`with WebGPU in the browser, the detector ran on ${found.provider}`);
      expect(hasGpu ? ["webgpu", "wasm"] : ["wasm"]).toContain(found.provider);
      expectFound(found);
      if (!hasGpu) return context.skip("this Chromium has no adapter for WebGPU, not even one of software");
      // Asked for, WebGPU has no other in its place.
      const own = await used(page, { provider: "webgpu" });
      expect(errors).toEqual([]);
      expect(own.provider).toBe("webgpu");
      expectFound(own);
    } finally {
      await gpu.close();
    }
  });

  it("leaves the page free, ends calls at once, and sends errors as what they are", async () => {
    const { page } = await opened(browser);
    const seen = await page.evaluate(async () => {
      const { load } = (globalThis as Global).eidosUse;
      const settings = { wasmPaths: "/ort/" };
      const model = await load("models/detector", { ...settings, needs: "detect" });
      const nameOf = async (call: Promise<unknown>): Promise<string> =>
        call.then(
          () => "nothing",
          (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`,
        );
      let frames = 0;
      const count = (): void => {
        frames++;
        requestAnimationFrame(count);
      };
      requestAnimationFrame(count);
      const before = frames;
      await model.detect(Array(10).fill("models/photo.png"));
      const during = frames - before;
      const controller = new AbortController();
      const asked = model.detect(Array(500).fill("models/photo.png"), { signal: controller.signal });
      controller.abort(new Error("no longer wanted"));
      const aborted = await nameOf(asked);
      const after = (await model.detect("models/photo.png")).objects.length;
      const result = {
        during,
        aborted,
        after,
        noImage: await nameOf(model.detect(new Uint8Array([1, 2, 3]))),
        missing: await nameOf(model.detect("models/none.png")),
        video: await nameOf(model.detect(document.createElement("video"))),
        option: await nameOf(model.detect("models/photo.png", { confidence: 2 })),
        lacking: await nameOf(load("models/table", { ...settings, needs: "detect" })),
        nothing: await nameOf(load("models/none", settings)),
        script: await nameOf(load("models/table", { ...settings, worker: "/none.js" })),
        provider: await nameOf(load("models/table", { ...settings, provider: "cuda" })),
      };
      const late = nameOf(model.detect("models/photo.png"));
      await model.release();
      return { ...result, late: await late, released: await nameOf(model.detect("models/photo.png")) };
    });
    expect(seen.during).toBeGreaterThan(0);
    expect(seen.after).toBe(expected.objects.length);
    expect(seen.aborted).toBe("Error: no longer wanted");
    expect(seen.noImage).toMatch(/^DataError: the image: not a readable image/);
    expect(seen.missing).toMatch(/^DownloadError: .*404/);
    expect(seen.video).toMatch(/^DataError: the image cannot be drawn/);
    expect(seen.option).toMatch(/^OptionError: option confidence/);
    expect(seen.lacking).toMatch(/^AbilityError: the exported nice cannot detect; it can score, sample/);
    expect(seen.nothing).toMatch(/^DownloadError: .*404/);
    expect(seen.script).toMatch(/^RuntimeError: the worker of the model ended/);
    expect(seen.provider).toMatch(/^OptionError: .*auto, wasm, webgpu/);
    expect(seen.late).toMatch(/released/);
    expect(seen.released).toMatch(/released/);
    await page.close();
  });
});
