import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium } from "./browser.ts";

// The page of examples/browser, served by its own script from the built package.

const executablePath = findChromium();

describe.skipIf(executablePath === undefined)("the example of a page that trains", () => {
  let server: ChildProcess;
  let browser: Browser;
  let address: string;

  beforeAll(async () => {
    const script = fileURLToPath(new URL("../../examples/browser/serve.ts", import.meta.url));
    server = spawn(process.execPath, ["--import", "tsx", script, "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    address = await new Promise<string>((resolve, reject) => {
      server.stdout?.on("data", (chunk) => {
        const found = /open (http:\S+)/.exec(String(chunk));
        if (found?.[1] !== undefined) resolve(found[1]);
      });
      server.on("exit", (code) => reject(new Error(`the server ended with code ${code}`)));
    });
    browser = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill();
  });

  it("learns the two moons in WebAssembly with threads and draws them", async () => {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`${address}?steps=100`);
    const status = page.locator("#status", { hasText: /^done/ });
    await status.waitFor({ timeout: 120_000 });
    expect(errors).toEqual([]);
    const text = (await status.textContent()) ?? "";
    expect(text).toContain("100 steps");
    expect(text).toContain("with threads");
    // Noise would be below −10 nats.
    expect(Number(/log-density (-?[\d.]+)/.exec(text)?.[1])).toBeGreaterThan(-5);
    // Blue pixels: drawn samples.
    const blue = await page.evaluate(() => {
      const context = (document.querySelector("#canvas") as HTMLCanvasElement).getContext("2d");
      const { data } = context?.getImageData(0, 0, 800, 800) ?? { data: [] };
      let count = 0;
      for (let i = 0; i < data.length; i += 4) if ((data[i + 2] ?? 0) > 150 && data[i] === 0) count++;
      return count;
    });
    expect(blue).toBeGreaterThan(2000);
  });
});
