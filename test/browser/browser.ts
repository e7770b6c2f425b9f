import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium } from "playwright-core";
import type { PageApi } from "./page.ts";

/** Places where Chromium is looked for; CHROMIUM_PATH stands for all of them. */
const CHROMIUM_PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** WebGPU on Chromium's own software driver. */
export const SOFTWARE_WEBGPU_FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** The installed Chromium; undefined where there is none. */
export function findChromium(): string | undefined {
  const given = process.env.CHROMIUM_PATH;
  return (given === undefined ? CHROMIUM_PATHS : [given]).find((path) => existsSync(path));
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

const PAGE =
  '<!doctype html><meta charset="utf-8"><title>eidos</title><script type="module" src="/page.js"></script>';

// Threads in WebAssembly need a page that is isolated from other origins.
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Serves the page, its scripts and the files of onnxruntime-web on the loopback interface. */
async function serve(scripts: string): Promise<{ readonly server: Server; readonly address: string }> {
  const library = fileURLToPath(new URL("../../node_modules/onnxruntime-web/dist", import.meta.url));
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const folder = path.startsWith("/onnxruntime-web/") ? library : scripts;
    try {
      const body = path === "/" ? PAGE : await readFile(join(folder, basename(path)));
      const type = TYPES[path === "/" ? ".html" : extname(path)] ?? "application/octet-stream";
      response.writeHead(200, { ...ISOLATED, "Content-Type": type }).end(body);
    } catch {
      response.writeHead(404, ISOLATED).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { server, address: `http://127.0.0.1:${address.port}/` };
}

/** A browser with the test's page open. */
export interface OpenPage {
  /** Calls a function of the page's interface with plain arguments. */
  call<N extends "randomNumbers" | "runTogether" | "train">(
    name: N,
    ...values: Parameters<PageApi[N]>
  ): Promise<Awaited<ReturnType<PageApi[N]>>>;
  readonly isolated: boolean;
  close(): Promise<void>;
}

/** Bundles the page, serves it and opens it in headless Chromium. */
export async function openPage(executablePath: string, flags: readonly string[] = []): Promise<OpenPage> {
  const scripts = await mkdtemp(join(tmpdir(), "eidos-page-"));
  await build({
    entryPoints: { page: fileURLToPath(new URL("page.ts", import.meta.url)) },
    outdir: scripts,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    logLevel: "error",
  });
  const { server, address } = await serve(scripts);
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    server.closeAllConnections();
    server.close();
    await rm(scripts, { recursive: true, force: true });
  };
  try {
    browser = await chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error.message}`));
    await page.goto(address);
    await page.waitForFunction(() => "eidos" in globalThis);
    const isolated = await page.evaluate(() => (globalThis as unknown as { eidos: PageApi }).eidos.isolated);
    return {
      isolated,
      call: (name, ...values) =>
        page.evaluate(
          ([method, list]) => {
            const { eidos } = globalThis as unknown as {
              eidos: Record<string, (...all: unknown[]) => unknown>;
            };
            return eidos[method as string]?.(...(list as unknown[]));
          },
          [name, values] as const,
        ) as Promise<never>,
      close,
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}
