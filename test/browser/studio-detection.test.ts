import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, openStudio, type PageOptions, violations } from "./studio.ts";

// The room of detection, as `eidos studio` serves it from the build, in headless Chromium.

const executablePath = findChromium();

/** One ball of 80 × 80 pixels whose center is that of a cell of 8 pixels, by the rule of FCOS. */
const ONE = "#/detection?scene=ball.100.100.180.180&object=1&rule=fcos";

describe.skipIf(executablePath === undefined)("the room of detection", () => {
  let running: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];

  const open = (hash: string, options: PageOptions = {}): Promise<Page> =>
    openStudio(browser, address, hash, { complaints, ...options });

  /** What the chosen object is given, in words. */
  const summary = (page: Page): Locator => page.locator("#scene-summary");
  const says = (page: Page, text: string | RegExp): Promise<void> =>
    expect.poll(() => summary(page).textContent(), { timeout: LONG }).toMatch(text);

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

  it("assigns live while a box is dragged, moved and resized by pointer", async () => {
    const page = await open(ONE);
    // Within 12 pixels of the center are three locations of the finest map along each side; within 24, those of the next map are at most 60 from
    // an edge, which is below its 64.
    await says(
      page,
      /80 × 80 pixels at 100, 100\. Locations: 9 \(9 at stride 8, 0 at stride 16, 0 at stride 32\)/,
    );
    const area = page.getByRole("application");
    const box = await area.boundingBox();
    if (box === null) throw new Error("the scene is not seen");
    const at = (x: number, y: number) =>
      [box.x + (x / 320) * box.width, box.y + (y / 320) * box.height] as const;
    await page.mouse.move(...at(140, 140));
    await page.mouse.down();
    await page.mouse.move(...at(156, 146));
    await page.mouse.move(...at(172, 156));
    // While the pointer is still down.
    await says(page, /80 × 80 pixels at 132, 116\. Locations: /);
    await page.mouse.up();
    await page.mouse.move(...at(10, 10));
    await expect.poll(() => page.url()).toContain("scene=ball.132.116.212.196");

    // Its lower right corner: an object of 160 is of the next map.
    await page.mouse.move(...at(212, 196));
    await page.mouse.down();
    await page.mouse.move(...at(292, 276));
    await page.mouse.up();
    await says(
      page,
      /160 × 160 pixels at 132, 116\. Locations: \d+ \(0 at stride 8, [1-9]\d* at stride 16, 0 at stride 32\)/,
    );

    // Without dragging: a click beside it brings it there, sliders give it its sides.
    await page.mouse.click(...at(100, 60));
    await says(page, /160 × 160 pixels at 20, 0\./);
    await page.getByRole("slider", { name: "Width" }).fill("40");
    await says(page, /40 × 160 pixels at 20, 0\./);
    await page.getByRole("slider", { name: "Width" }).fill("160");
    await page.mouse.click(...at(270, 196));
    await says(page, /160 × 160 pixels at 160, 116\./);

    // Every rule has an answer of its own, and the address comes back as it is.
    await page.waitForFunction(
      () => [...document.querySelectorAll(".given")].every((given) => given.textContent !== "…"),
      undefined,
      { timeout: LONG },
    );
    expect(await page.locator(".given").count()).toBe(10);
    await page.getByRole("radio", { name: /^RetinaNet/ }).check();
    await says(page, /Anchors: /);
    await page.getByRole("radio", { name: "Anchors of a cell" }).check();
    await page.getByRole("heading", { name: /^Anchors of the cells/ }).waitFor();
    const href = page.url();
    expect(href).toContain("rule=retina-net&show=cell");
    await page.reload();
    await says(page, /160 × 160 pixels at 160, 116\. Anchors: /);
    expect(page.url()).toBe(href);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("is used by keys alone", async () => {
    const page = await open(`${ONE.replace("180.180", "180.180,bird.20.20.60.40")}`);
    await says(page, /Locations: 9/);
    const tabTo = async (target: Locator): Promise<void> => {
      for (let i = 0; i < 80; i++) {
        await page.keyboard.press("Tab");
        if (await target.evaluate((element) => element === document.activeElement)) {
          expect(await target.evaluate((element) => getComputedStyle(element).outlineStyle)).toBe("solid");
          return;
        }
      }
      throw new Error(`Tab does not reach ${target}`);
    };
    await tabTo(page.getByRole("application"));
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowUp");
    await says(page, /80 × 80 pixels at 104, 96\. Locations: /);
    for (let i = 0; i < 20; i++) await page.keyboard.press("Shift+ArrowRight");
    await says(page, /160 × 80 pixels at 104, 96\. Locations: \d+ \(0 at stride 8, [1-9]/);
    await page.keyboard.press("n");
    await says(page, /^Bird 2: /);
    await page.keyboard.press("Delete");
    await says(page, /^Ball 1: 160 × 80/);
    await tabTo(page.getByRole("button", { name: "Add: House" }));
    await page.keyboard.press("Enter");
    await says(page, /^House 2: /);
    await tabTo(page.getByRole("radio", { name: "FCOS" }));
    await page.keyboard.press("ArrowDown");
    await expect.poll(() => page.url()).toMatch(/rule=yolo$/);
    await tabTo(page.getByRole("slider", { name: "Locations of an object" }));
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => page.url()).toContain("yolo.candidates=9");

    // Suppression: at an IoU of 1 nothing is a duplicate, at 0 all that touch are.
    const left = page.locator("[data-figure=left]");
    await tabTo(page.getByRole("slider", { name: "IoU of duplicates" }));
    await page.keyboard.press("End");
    await tabTo(page.getByRole("slider", { name: "Least score" }));
    await page.keyboard.press("Home");
    await expect.poll(() => left.textContent(), { timeout: LONG }).toBe("18 detections, 18 left");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Home");
    await expect.poll(() => left.textContent(), { timeout: LONG }).toMatch(/^18 detections, [23] left$/);

    // The image pyramid: at half the size the house has 48 pixels, below the valid range until that begins at 0.
    const smallest = page.locator(".pyramid").first().locator("li").last();
    await expect
      .poll(() => smallest.textContent(), { timeout: LONG })
      .toBe("Scale 0.5: 48 pixels, 3.0 cells; it is left out.");
    await tabTo(page.getByRole("slider", { name: "Valid range from" }));
    await page.keyboard.press("Home");
    await expect.poll(() => smallest.textContent(), { timeout: LONG }).toMatch(/it counts\.$/);
    await page.close();
  });

  it("speaks both languages, in light and dark", async () => {
    const page = await open("#/detection?rule=center-net&suppression=fusion&colour=red");
    await page.getByText("left out: colour=red").waitFor();
    await page.getByLabel("Language").selectOption("zh-CN");
    await page.getByRole("heading", { name: "看哪些锚框学习一个物体" }).waitFor();
    expect(await page.evaluate(() => document.title)).toBe("检测 · eidos 工作室");
    await says(page, /^房子 1 号：140 × 144 像素.*格：1 个/);
    expect(await violations(page)).toEqual([]);
    await page.getByLabel("颜色").selectOption("dark");
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it.each([360, 768, 2560])("fits a window of %d pixels", async (width) => {
    const page = await open("#/detection?rule=s3fd&show=cell", {
      viewport: { width, height: 800 },
      colorScheme: "dark",
      reducedMotion: "reduce",
    });
    await says(page, /Anchors: /);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    const scene = page.locator(".scene canvas");
    expect((await scene.boundingBox())?.width).toBeGreaterThan(250);
    // A square of pixels, whatever its size.
    expect(await scene.evaluate((canvas: HTMLCanvasElement) => canvas.width - canvas.height)).toBe(0);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("tells where the room cannot be fetched", async () => {
    const page = await open("", { complaints: [] });
    await page.route("**/assets/detection-*.js", (route) => route.abort());
    await page.getByRole("link", { name: "Detection" }).click();
    await page.getByText("This room could not be fetched").waitFor();
    await page.close();
  });

  it("links to pages of the documentation that are there", async () => {
    const page = await open("#/detection");
    await says(page, /Anchors: /);
    const links = await page.getByRole("link", { name: /documentation$/ }).all();
    expect(links.length).toBe(4);
    for (const link of links) {
      const href = await link.getAttribute("href");
      const answer = await page.request.get(new URL(href ?? "", page.url()).href);
      expect(answer.status(), href ?? "").toBe(200);
    }
    await page.close();
  });
});
