import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium } from "./browser.ts";

// The page of examples/webcam, served by its own script from the built package, with the detector of test/fixtures/export: on the camera that
// Chromium pretends to have, and on a screen that shows the photo of the fixtures.

const executablePath = findChromium();
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe.skipIf(executablePath === undefined)("the example of a detector on video", () => {
  let server: ChildProcess;
  let browser: Browser;
  let address: string;

  beforeAll(async () => {
    const script = at("../../examples/webcam/serve.ts");
    server = spawn(process.execPath, ["--import", "tsx", script, at("../fixtures/export/detector"), "0"], {
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
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
      ],
    });
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill();
  });

  async function opened(
    confidence: number,
  ): Promise<{ readonly page: Page; readonly errors: readonly string[] }> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`${address}?confidence=${confidence}`);
    await page.locator("#webcam:enabled").waitFor();
    return { page, errors };
  }

  /** Waits for a picture that was looked at, and for what is said of it. */
  async function said(page: Page, text: RegExp): Promise<string> {
    const status = page.locator("#status", { hasText: text });
    await status.waitFor();
    return (await status.textContent()) ?? "";
  }

  /** Pixels of the canvas over the video that are drawn. */
  const drawn = (page: Page): Promise<{ readonly pixels: number; readonly sides: readonly number[] }> =>
    page.evaluate(() => {
      const canvas = document.querySelector("#boxes") as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height) ?? {
        data: [],
      };
      let pixels = 0;
      for (let i = 3; i < data.length; i += 4) if ((data[i] ?? 0) > 0) pixels++;
      return { pixels, sides: [canvas.width, canvas.height] };
    });

  it("looks at pictures of a camera, one after the other", async () => {
    const { page, errors } = await opened(0.01);
    await page.click("#webcam");
    const text = await said(page, /picture ([3-9]|\d\d+): \d+ objects, .* (wasm|webgpu) in a worker/);
    expect(text).toMatch(/pictures a second/);
    const sides = await page.evaluate(() => {
      const video = document.querySelector("video");
      return [video?.videoWidth, video?.videoHeight];
    });
    expect((await drawn(page)).sides).toEqual(sides);
    expect(errors).toEqual([]);
    await page.close();
  });

  it("draws boxes over a screen that shows objects", async () => {
    const { page, errors } = await opened(0.3);
    const photo = await readFile(at("../fixtures/export/photo.png"));
    await page.evaluate(
      async (source) => {
        const image = new Image();
        image.src = source;
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.width, image.height];
        const context = canvas.getContext("2d");
        // A stream has pictures as long as something is drawn.
        setInterval(() => context?.drawImage(image, 0, 0), 30);
        Object.assign(navigator.mediaDevices, { getDisplayMedia: async () => canvas.captureStream() });
      },
      `data:image/png;base64,${photo.toString("base64")}`,
    );
    await page.click("#screen");
    await said(page, /picture \d+: [1-9]\d* objects/);
    const { pixels, sides } = await drawn(page);
    expect(sides).toEqual([150, 100]);
    expect(pixels).toBeGreaterThan(50);
    expect(errors).toEqual([]);
    await page.close();
  });
});
