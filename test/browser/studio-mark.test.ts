import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, openStudio, type PageOptions, violations } from "./studio.ts";

// The room in which photos are marked, as `eidos studio` serves it: by pointer and by keys, in headless Chromium.

const executablePath = findChromium();

/** Photos of a dark square on a plain ground: where it is, as x, y and side. */
const SQUARES = Array.from(
  { length: 12 },
  (_, i) => [8 + ((i * 29) % 64), 6 + ((i * 17) % 60), 24 + (i % 3) * 4] as const,
);

const nameOf = (i: number): string => `photo-${String(i).padStart(2, "0")}.png`;

const squarePhoto = (x: number, y: number, side: number): Promise<Buffer> =>
  sharp({ create: { width: 128, height: 96, channels: 3, background: "#e8e4da" } })
    .composite([
      {
        input: { create: { width: side, height: side, channels: 3, background: "#20304c" } },
        left: x,
        top: y,
      },
    ])
    .png()
    .toBuffer();

describe.skipIf(executablePath === undefined)("the room in which photos are marked", () => {
  let folder: string;
  let studio: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];

  const open = (hash: string, options: PageOptions = {}): Promise<Page> =>
    openStudio(browser, address, hash, { complaints, ...options });

  const annotations = async (own = "photos") =>
    JSON.parse(await readFile(join(folder, "data", own, "annotations.json"), "utf8"));

  const marksIn = (page: Page): Locator =>
    page.getByRole("region", { name: "Objects of the photo" }).getByRole("listitem");
  const isSaved = (page: Page): Promise<void> => page.getByText(/^Saved/).waitFor({ timeout: LONG });

  /** A point of the photo on the screen, when all of the photo is seen. */
  const onScreen = async (page: Page): Promise<(x: number, y: number) => readonly [number, number]> => {
    const frame = await page.getByRole("application").boundingBox();
    if (frame === null) throw new Error("the photo is not seen");
    const scale = Math.min(8, frame.width / 128, frame.height / 96);
    const [left, top] = [(frame.width - 128 * scale) / 2, (frame.height - 96 * scale) / 2];
    return (x, y) => [frame.x + left + x * scale, frame.y + top + y * scale];
  };

  const drag = async (
    page: Page,
    from: readonly [number, number],
    to: readonly [number, number],
  ): Promise<void> => {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move((from[0] + to[0]) / 2, (from[1] + to[1]) / 2);
    await page.mouse.move(...to);
    await page.mouse.up();
  };

  const showing = (page: Page, name: string): Promise<void> =>
    page.getByRole("application", { name: new RegExp(`^Photo ${name}`) }).waitFor({ timeout: LONG });

  beforeAll(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder, "data", "photos"), { recursive: true });
    for (const [i, [x, y, side]] of SQUARES.entries())
      await writeFile(join(folder, "data", "photos", nameOf(i)), await squarePhoto(x, y, side));
    // A name of a stranger's photo is text, and never a part of the page.
    await mkdir(join(folder, "data", "strange"));
    await writeFile(
      join(folder, "data", "strange", "<img src=x onerror=alert(1)>.png"),
      await squarePhoto(9, 9, 9),
    );
    studio = start(["studio", "--port", "0", "--no-open", "--data", "data"], folder);
    address = await studio.printed(/open (http:\S+)/);
    browser = await launch(executablePath);
  });
  afterAll(async () => {
    await browser?.close();
    studio?.kill("SIGINT");
    await studio?.outcome;
    expect(complaints).toEqual([]);
  });

  it("takes boxes by the pointer, which are moved, resized, undone, and saved by themselves", async () => {
    const page = await open("#/mark");
    await page.getByLabel("Folder", { exact: true }).selectOption("./photos", { timeout: LONG });
    await showing(page, nameOf(0));
    await page.getByLabel("New class").fill("square");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    let at = await onScreen(page);
    await drag(page, at(20, 30), at(60, 70));
    await expect.poll(() => marksIn(page).count()).toBe(1);
    await isSaved(page);
    const drawn = async () => (await annotations()).annotations.map(({ bbox }: { bbox: number[] }) => bbox);
    await expect.poll(drawn, { timeout: LONG }).toEqual([[20, 30, 40, 40]]);
    // The handle at the right, then the box as a whole.
    at = await onScreen(page);
    await drag(page, at(60, 50), at(70, 50));
    await drag(page, at(40, 50), at(45, 40));
    await expect.poll(drawn, { timeout: LONG }).toEqual([[25, 20, 50, 40]]);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(drawn, { timeout: LONG }).toEqual([[20, 30, 50, 40]]);
    await page.getByRole("button", { name: "Redo" }).click();
    await page.getByLabel("Difficult").check();
    await expect
      .poll(async () => (await annotations()).annotations, { timeout: LONG })
      .toEqual([
        { id: 1, image_id: 1, category_id: 1, bbox: [25, 20, 50, 40], area: 2000, iscrowd: 0, ignore: 1 },
      ]);
    await page.getByText("1 of 12 are marked").waitFor();
    // Zoomed to pixels, an edge is moved by one of them.
    await page.mouse.move(...at(75, 40));
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: "All of it" }).click();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Remove" }).click();
    await expect.poll(drawn, { timeout: LONG }).toEqual([]);
    await page.close();
  });

  it("is worked by keys alone, and two windows are told of each other", async () => {
    const page = await open(`#/mark?${new URLSearchParams({ folder: "./photos", photo: nameOf(0) })}`);
    await showing(page, nameOf(0));
    const [x, y, side] = SQUARES[0] ?? [0, 0, 0];
    const list = page.getByRole("listbox", { name: "Photos" });
    await list.focus();
    await page.keyboard.press("ArrowRight");
    await showing(page, nameOf(1));
    await page.keyboard.press("Home");
    await showing(page, nameOf(0));
    await page.getByRole("application").focus();
    await page.keyboard.press("n");
    // The new box is 32 by 24 in the middle of the photo.
    const press = async (key: string, times: number): Promise<void> => {
      for (let i = 0; i < Math.floor(times / 10); i++) await page.keyboard.press(`Shift+${key}`);
      for (let i = 0; i < times % 10; i++) await page.keyboard.press(key);
    };
    await press("ArrowLeft", 48 - x);
    await press("ArrowUp", 36 - y);
    for (let i = 32; i > side; i--) await page.keyboard.press("Alt+ArrowLeft");
    for (let i = 24; i < side; i++) await page.keyboard.press("Alt+ArrowDown");
    const drawn = async () => (await annotations()).annotations.map(({ bbox }: { bbox: number[] }) => bbox);
    await expect.poll(drawn, { timeout: LONG }).toEqual([[x, y, side, side]]);

    const other = await open(`#/mark?${new URLSearchParams({ folder: "./photos", photo: nameOf(0) })}`);
    await showing(other, nameOf(0));
    await isSaved(other);
    // Both change the photo: the one that comes later is asked. It has not looked since.
    const stale = await other.evaluate(
      async (name) => (await fetch(`api/mark/photo?folder=./photos&photo=${name}`)).text(),
      nameOf(0),
    );
    await other.route("**/api/mark/photo?**", (route) =>
      route.request().method() === "GET"
        ? route.fulfill({ contentType: "application/json", body: stale })
        : route.fallback(),
    );
    await page.keyboard.press("ArrowRight");
    await expect.poll(drawn, { timeout: LONG }).toEqual([[x + 1, y, side, side]]);
    await other.getByRole("application").focus();
    await other.keyboard.press("]");
    await other.keyboard.press("Delete");
    const asked = other.getByRole("alert").filter({ hasText: "Another window or program has changed" });
    await asked.waitFor({ timeout: LONG });
    expect(await violations(other)).toEqual([]);
    expect(await drawn()).toEqual([[x + 1, y, side, side]]);
    await other.getByRole("button", { name: "Show theirs, drop mine" }).click();
    await expect.poll(() => marksIn(other).count(), { timeout: LONG }).toBe(1);
    await other.unrouteAll();
    // What is not edited here is shown as it is now.
    await other.getByRole("application").focus();
    await other.keyboard.press("]");
    await other.keyboard.press("ArrowLeft");
    await page
      .getByText(/Another window or program .* they are shown as they are now/)
      .waitFor({ timeout: LONG });
    await expect.poll(drawn, { timeout: LONG }).toEqual([[x, y, side, side]]);
    await other.close();
    await page.close();
  });

  it("marks ten photos, trains on them, and accepts what the run proposes", async () => {
    const page = await open(`#/mark?${new URLSearchParams({ folder: "./photos", photo: nameOf(1) })}`, {
      viewport: { width: 1300, height: 1300 },
    });
    for (const [i, [x, y, side]] of SQUARES.entries()) {
      if (i === 0) continue;
      if (i > 9) break;
      await showing(page, nameOf(i));
      const at = await onScreen(page);
      await drag(page, at(x, y), at(x + side, y + side));
      await expect.poll(() => marksIn(page).count(), { timeout: LONG }).toBe(1);
      await page.keyboard.press("PageDown");
    }
    await showing(page, nameOf(10));
    await page.getByText("10 of 12 are marked").waitFor({ timeout: LONG });
    const { images, annotations: all } = await annotations();
    expect([images.length, all.length]).toEqual([10, 10]);
    await page.getByRole("button", { name: "Train on these" }).click();
    await page.getByRole("heading", { name: "Watch models learn" }).waitFor();
    expect(await page.getByLabel("Data", { exact: true }).inputValue({ timeout: LONG })).toBe("./photos");
    expect(await page.getByRole("radio", { name: "Find objects" }).isChecked()).toBe(true);
    await page.getByLabel("Model", { exact: true }).selectOption("center-net");
    await page.getByLabel("seconds", { exact: true }).fill("");
    await page.getByLabel("steps", { exact: true }).fill("120");
    await page.getByLabel("size", { exact: true }).fill("64");
    await page.getByLabel("Name", { exact: true }).fill("finder");
    await page.getByRole("button", { name: "Begin", exact: true }).click();
    await page.getByText("Done", { exact: true }).waitFor({ timeout: LONG });

    await page.getByRole("link", { name: "Mark", exact: true }).click();
    await showing(page, nameOf(10));
    expect(await page.getByLabel("Run", { exact: true }).inputValue()).toBe("finder");
    await page.getByRole("slider", { name: "Least score" }).fill("0.2");
    await page.getByRole("button", { name: "Propose", exact: true }).click();
    const accept = page.getByRole("button", { name: /^Accept all \([1-9]/ });
    await accept.waitFor({ timeout: LONG });
    expect(await violations(page)).toEqual([]);
    await accept.click();
    await isSaved(page);
    const [x, y, side] = SQUARES[10] ?? [0, 0, 0];
    const found = async (): Promise<readonly number[][]> => {
      const own = await annotations();
      const id = own.images.find(({ file_name }: { file_name: string }) => file_name === nameOf(10))?.id;
      return own.annotations
        .filter(({ image_id }: { image_id: number }) => image_id === id)
        .map(({ bbox }: { bbox: number[] }) => bbox);
    };
    await expect.poll(async () => (await found()).length, { timeout: LONG }).toBeGreaterThan(0);
    const near = (await found()).filter(
      ([left = 0, top = 0]) => Math.abs(left - x) < side && Math.abs(top - y) < side,
    );
    expect(near.length).toBeGreaterThan(0);

    // A box that is nowhere is likely an error.
    await page.getByRole("application").focus();
    await page.keyboard.press("n");
    await isSaved(page);
    await page.getByRole("button", { name: "Likely errors" }).click();
    await page
      .getByText(/not found: /)
      .first()
      .waitFor({ timeout: LONG });
    await page.getByRole("button", { name: "Least sure of" }).click();
    await page.getByRole("button", { name: nameOf(11) }).waitFor({ timeout: LONG });
    // One proposal is chosen by keys, mended, and so accepted.
    await page.getByRole("button", { name: nameOf(11) }).click();
    await showing(page, nameOf(11));
    await page.getByRole("button", { name: "Propose", exact: true }).click();
    await accept.waitFor({ timeout: LONG });
    await page.getByRole("application").focus();
    await page.keyboard.press("]");
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => marksIn(page).count(), { timeout: LONG }).toBe(1);
    await isSaved(page);
    await page.getByRole("button", { name: "Count", exact: true }).click();
    await page.getByRole("rowheader", { name: "all" }).waitFor({ timeout: LONG });
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("fits narrow and wide windows, dark and in Chinese", async () => {
    const hash = `#/mark?${new URLSearchParams({ folder: "./photos", photo: nameOf(3) })}`;
    const narrow = await open(hash, {
      viewport: { width: 360, height: 800 },
      colorScheme: "dark",
      locale: "zh-CN",
    });
    await narrow.getByRole("heading", { name: "标出要检测的物体" }).waitFor({ timeout: LONG });
    await narrow.getByRole("application", { name: new RegExp(nameOf(3)) }).waitFor({ timeout: LONG });
    expect(await narrow.title()).toBe("标注 · eidos 工作室");
    expect(await narrow.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    expect(await violations(narrow)).toEqual([]);
    await narrow.close();
    const wide = await open(hash, { viewport: { width: 2560, height: 1300 }, reducedMotion: "reduce" });
    await showing(wide, nameOf(3));
    expect(await wide.evaluate(() => document.documentElement.scrollWidth)).toBe(2560);
    await wide.getByLabel("Folder", { exact: true }).selectOption("./strange");
    await showing(wide, "<img src=x onerror=alert\\(1\\)>.png");
    expect(await violations(wide)).toEqual([]);
    await wide.close();
  });

  it("makes an example for those who have no photos", async () => {
    const page = await open("#/mark");
    await page.getByRole("button", { name: "Make an example" }).click();
    await page.getByText("48 of 56 are marked").waitFor({ timeout: LONG });
    expect(await page.getByLabel("Folder", { exact: true }).inputValue()).toBe("./example-photos");
    await page.close();
  });
});
