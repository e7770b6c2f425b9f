import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession } from "onnxruntime-node";
import type { Browser, Locator, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/nn/safetensors.ts";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, openStudio, type PageOptions, violations } from "./studio.ts";

// The playground of the studio, as `eidos studio` serves it from the build, in headless Chromium.

const executablePath = findChromium();

/** The step of a model. */
async function stepOf(page: Page, model: string): Promise<number> {
  const text = await page.locator(`[data-model=${model}] [data-figure=step]`).textContent();
  return Number(text?.replaceAll(/\D/g, ""));
}

async function reaches(page: Page, model: string, step: number): Promise<void> {
  await page.waitForFunction(
    ([name, least]) =>
      Number(
        document.querySelector(`[data-model=${name}] [data-figure=step]`)?.textContent?.replaceAll(/\D/g, ""),
      ) >= Number(least),
    [model, step] as const,
    { timeout: LONG },
  );
}

/** What a canvas shows, as text. */
const shown = (canvas: Locator): Promise<string> =>
  canvas.evaluate((element) => (element as HTMLCanvasElement).toDataURL());

const becomes = async (canvas: Locator, before: string): Promise<void> => {
  await expect.poll(() => shown(canvas), { timeout: LONG }).not.toBe(before);
};

describe.skipIf(executablePath === undefined)("the playground", () => {
  let running: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];

  /** A page with the playground open, whose models are ready. */
  const open = (hash: string, options: PageOptions = {}): Promise<Page> =>
    openStudio(browser, address, hash, { complaints, ...options });

  const ready = (page: Page, model: string): Promise<void> =>
    page.locator(`[data-model=${model}][data-status=ready]`).waitFor({ timeout: LONG });

  beforeAll(async () => {
    running = start(["studio", "--port", "0", "--no-open"], await temporaryFolder());
    address = await running.printed(/open (http:\S+)/);
    browser = await launch(executablePath);
  });
  afterAll(async () => {
    await browser?.close();
    running?.kill("SIGINT");
    await running?.outcome;
    expect(complaints).toEqual([]);
  });

  it("trains two models on the same data, shows the way of particles, and offers what it made", async () => {
    const page = await open("");
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
    expect(page.url()).not.toContain("token");
    for (const model of ["rectified-flow", "spline-flow"]) await ready(page, model);
    const canvas = page.locator("[data-model=rectified-flow] .plane canvas");
    await page.getByRole("button", { name: "Step", exact: true }).click();
    for (const model of ["rectified-flow", "spline-flow"]) await reaches(page, model, 1);
    await page.getByRole("button", { name: "Play" }).click();
    for (const model of ["rectified-flow", "spline-flow"]) await reaches(page, model, 40);
    await page.getByRole("button", { name: "Pause" }).click();
    const energy = page.locator("[data-model=rectified-flow] [data-figure=energy]");
    await expect.poll(() => energy.textContent(), { timeout: LONG }).toMatch(/^−?\d\.\d{4}$/);

    // The way from noise to data, by the scrubber's keys.
    await page.getByRole("radio", { name: "Path" }).check();
    const scrubber = page.getByRole("slider", { name: "Time from noise to data" });
    await scrubber.focus();
    await page.keyboard.press("Home");
    expect(await scrubber.getAttribute("aria-valuetext")).toBe("0 % of the path");
    await page.waitForTimeout(300);
    const noise = await shown(canvas);
    await page.keyboard.press("End");
    await becomes(canvas, noise);
    await page.locator("[data-model=rectified-flow]").getByText("Download").click();
    const [way] = await Promise.all([
      page.waitForEvent("download"),
      page.locator("[data-model=rectified-flow]").getByRole("button", { name: "Way (GIF)" }).click(),
    ]);
    const { format, pages, width } = await sharp(await way.path(), { animated: true }).metadata();
    expect([format, pages, width]).toEqual(["gif", 31, 360]);
    const first = await sharp(await way.path(), { page: 0 })
      .raw()
      .toBuffer();
    expect(
      await sharp(await way.path(), { page: 30 })
        .raw()
        .toBuffer(),
    ).not.toEqual(first);
    await page.getByRole("radio", { name: "Velocity" }).check();
    await page.locator("[data-model=spline-flow] .message").waitFor();
    await page.getByRole("radio", { name: "Density" }).check();
    await page.locator("[data-model=spline-flow] .message").waitFor({ state: "detached" });

    // Fewer steps of the solver, and the address that holds all of it.
    const steps = page.locator("[data-model=rectified-flow]").getByRole("slider", { name: "Steps" });
    await steps.focus();
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.url()).toContain("view=density&rectified-flow.steps=21");

    const panel = page.locator("[data-model=spline-flow]");
    await panel.getByText("Download").click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      panel.getByRole("button", { name: "Weights (safetensors)" }).click(),
    ]);
    const { tensors, metadata } = readSafetensors(
      await readFile(await file.path()),
      file.suggestedFilename(),
    );
    expect(tensors.size).toBeGreaterThan(10);
    expect(metadata).toEqual({ model: "spline-flow", step: String(await stepOf(page, "spline-flow")) });
    const [program] = await Promise.all([
      page.waitForEvent("download"),
      panel.getByRole("button", { name: "Program (TypeScript)" }).click(),
    ]);
    expect(await readFile(await program.path(), "utf8")).toContain('findModel("spline-flow")');
    const [sampler] = await Promise.all([
      page.waitForEvent("download"),
      panel.getByRole("button", { name: "Sampler (ONNX)" }).click(),
    ]);
    expect(sampler.suggestedFilename()).toMatch(/^spline-flow-\d+\.onnx$/);
    const session = await InferenceSession.create(await sampler.path());
    expect([session.inputNames, session.outputNames]).toEqual([["random.0"], ["samples"]]);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("shows a lecture six ways from the same noise to the same moons", async () => {
    const models = ["ddpm", "ddim", "score-sde", "rectified-flow", "nice", "gan"];
    const page = await open(`#/playground?data=two-moons&models=${models.join()}&view=samples&seed=3`, {
      viewport: { width: 1500, height: 1100 },
    });
    for (const model of models) await ready(page, model);
    expect(await page.getByText("Six are chosen; remove one to choose another.").count()).toBe(1);
    const boxes = await Promise.all(
      models.map((model) => page.locator(`[data-model=${model}]`).boundingBox()),
    );
    // Three beside each other, twice.
    expect(new Set(boxes.map((box) => Math.round(box?.x ?? -1))).size).toBe(3);
    expect(new Set(boxes.map((box) => Math.round(box?.y ?? -1))).size).toBe(2);
    await page.getByRole("button", { name: "Play" }).click();
    for (const model of models) await reaches(page, model, 20);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("radio", { name: "Path" }).check();
    const scrubber = page.getByRole("slider", { name: "Time from noise to data" });
    await scrubber.focus();
    await page.keyboard.press("Home");
    const first = page.locator("[data-model=ddpm] .plane canvas");
    await page.waitForTimeout(300);
    const noise = await shown(first);
    await page.keyboard.press("End");
    await becomes(first, noise);
    // A GAN has no way from noise to data, and says so.
    await page.locator("[data-model=gan] .message").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("is drawn on by pointer and by keys, and comes back from its address", async () => {
    const page = await open("#/playground?data=rings&models=nice");
    await page.getByRole("radio", { name: "Draw your own" }).check();
    await page.getByText("Nothing is drawn yet").waitFor();
    const area = page.getByRole("application");
    const box = await area.boundingBox();
    if (box === null) throw new Error("the drawing area is not seen");
    const at = (x: number, y: number) => [box.x + x * box.width, box.y + y * box.height] as const;
    await page.mouse.move(...at(0.2, 0.3));
    await page.mouse.down();
    for (const x of [0.3, 0.5, 0.7]) await page.mouse.move(...at(x, 0.4));
    await page.mouse.up();
    await page.getByText("1 lines drawn").waitFor();
    await ready(page, "nice");
    await area.focus();
    await page.keyboard.press("Space");
    for (let i = 0; i < 6; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Space");
    await page.getByText("2 lines drawn").waitFor();
    await expect.poll(() => page.url()).toMatch(/data=draw:[\w.-]{10,}/);
    await ready(page, "nice");
    await page.keyboard.press("k");
    await reaches(page, "nice", 20);
    const { href, reloaded } = { href: page.url(), reloaded: page.reload() };
    await reloaded;
    await page.getByText("2 lines drawn").waitFor();
    expect(page.url()).toBe(href);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("1 lines drawn").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("is used by keys alone", async () => {
    const page = await open("#/playground?data=two-moons&models=nice");
    await ready(page, "nice");
    /** Moves on by Tab to the element that has this name. */
    const tabTo = async (name: string): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate(() => {
          const element = document.activeElement;
          const label =
            element instanceof HTMLInputElement || element instanceof HTMLSelectElement
              ? element.labels?.[0]
              : element;
          return `${element?.getAttribute("aria-label") ?? ""}|${label?.textContent ?? ""}`;
        });
        if (focused.includes(name)) {
          // What has the focus is seen to have it: itself, or the label around it.
          const outlined = await page.evaluate(() => {
            const element = document.activeElement;
            return [element, element?.nextElementSibling, element?.parentElement].some(
              (candidate) =>
                candidate instanceof Element && getComputedStyle(candidate).outlineStyle === "solid",
            );
          });
          expect(outlined, `the focus on ${name}`).toBe(true);
          return;
        }
      }
      throw new Error(`Tab does not reach ${name}`);
    };
    await tabTo("Skip to the content");
    await page.keyboard.press("Enter");
    await tabTo("Two moons");
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.url()).toContain("data=eight-gaussians");
    await tabTo("MAF");
    await page.keyboard.press("Space");
    await ready(page, "maf");
    await tabTo("Play");
    await page.keyboard.press("Enter");
    await reaches(page, "maf", 5);
    await page.keyboard.press("Space");
    await tabTo("Samples");
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.url()).toContain("view=density");
    await tabTo("Remove NICE");
    await page.keyboard.press("Enter");
    await page.locator("[data-model=nice]").waitFor({ state: "detached" });
    await page.close();
  });

  it("speaks both languages, in light and dark", async () => {
    const page = await open("#/playground?data=spiral&models=gan,vae,ddim,score-sde&view=path");
    const canvas = page.locator("[data-model=ddim] .plane canvas");
    await ready(page, "ddim");
    await page.getByLabel("Language").selectOption("zh-CN");
    await page.getByRole("heading", { name: "看噪声如何变成数据" }).waitFor();
    expect(await page.evaluate(() => [document.documentElement.lang, document.title])).toEqual([
      "zh-CN",
      "演练场 · eidos 工作室",
    ]);
    await page.getByText("这个模型一次就生成样本：没有路径。").first().waitFor({ timeout: LONG });
    expect(await violations(page)).toEqual([]);
    const before = await shown(canvas);
    await page.getByLabel("颜色").selectOption("dark");
    await becomes(canvas, before);
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
      "rgb(12, 15, 19)",
    );
    expect(await violations(page)).toEqual([]);
    // Both choices are kept.
    await page.reload();
    await page.getByRole("heading", { name: "看噪声如何变成数据" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    await page.close();
  });

  it.each([360, 768, 2560])("fits a window of %d pixels", async (width) => {
    const page = await open("#/playground?data=pinwheel&models=real-nvp,nice&view=field", {
      viewport: { width, height: 800 },
      colorScheme: "dark",
    });
    await ready(page, "nice");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    const narrow = await page.locator("[data-model=nice] .plane canvas").boundingBox();
    expect(narrow?.width).toBeGreaterThan(250);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("works from a plain web server, below a path, without any header", async () => {
    const folder = fileURLToPath(new URL("../../dist/studio/", import.meta.url));
    const server = createServer(async ({ url = "/" }, response) => {
      const path = new URL(url, "http://localhost").pathname.replace(/^\/some\/where\//, "");
      const body = await readFile(join(folder, path === "" ? "index.html" : path)).catch(() => undefined);
      const type = {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".css": "text/css",
        "": "text/html",
      }[extname(path)];
      response.writeHead(body === undefined ? 404 : 200, type === undefined ? {} : { "content-type": type });
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const page = await browser.newPage({ locale: "zh-CN" });
    await page.goto(`http://127.0.0.1:${port}/some/where/#/playground?models=nice`);
    await ready(page, "nice");
    await page.keyboard.press("s");
    await reaches(page, "nice", 1);
    const docs = await page.getByRole("link", { name: "NICE：文档" }).getAttribute("href");
    expect((await page.goto(new URL(docs ?? "", page.url()).href))?.status()).toBe(200);
    await page.goto(`http://127.0.0.1:${port}/some/where/#/detection?rule=fcos`);
    await page.getByText(/位置：9 个/).waitFor({ timeout: LONG });
    await page.close();
    server.closeAllConnections();
    server.close();
  });

  it("moves only when asked where a reader wants less motion, and says what it left out of an address", async () => {
    const page = await open("#/playground?models=nice&view=path&colour=red", { reducedMotion: "reduce" });
    await page.getByText("left out: colour=red").waitFor();
    const scrubber = page.getByRole("slider", { name: "Time from noise to data" });
    const run = page.getByRole("button", { name: "Run the path" });
    await run.click();
    expect(await scrubber.getAttribute("aria-valuetext")).toBe("60 % of the path");
    await run.click();
    expect(await scrubber.getAttribute("aria-valuetext")).toBe("70 % of the path");
    await page.close();
  });
});
