import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fit } from "../../src/index.ts";
import { compare } from "../../src/tasks/compare/compare.node.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { launch } from "./studio.ts";

// Reports of small fits, looked at in headless Chromium: figures follow the dark, and every number of the results is explained.

const executablePath = findChromium();

/** Contrast of text that can be read, and of lines that can be seen. */
const READABLE = 3;

/** What of figures cannot be made out on their ground, and pictures that stay white. */
const unseenIn = (page: Page): Promise<readonly string[]> =>
  page.evaluate((least) => {
    const channels = (color: string): readonly number[] | undefined => {
      const found = /^rgba?\(([^)]*)\)$/.exec(color)?.[1]?.split(",").map(Number);
      return found === undefined || (found[3] ?? 1) < 0.3 ? undefined : found.slice(0, 3);
    };
    const luminance = (color: readonly number[]): number =>
      [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
        const value = (color[i] ?? 0) / 255;
        return sum + share * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
      }, 0);
    const contrast = (a: readonly number[], b: readonly number[]): number => {
      const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (high + 0.05) / (low + 0.05);
    };
    return Array.from(document.querySelectorAll("figure")).flatMap((figure) => {
      const name = figure.textContent?.trim().slice(0, 60) ?? "";
      const ground = channels(getComputedStyle(figure).backgroundColor) ?? [255, 255, 255];
      const faults: string[] = luminance(ground) > 0.1 ? [`${name}: its ground is ${ground}`] : [];
      for (const text of figure.querySelectorAll("svg text, figcaption, figcaption b")) {
        const style = getComputedStyle(text);
        const color = channels(text.namespaceURI?.endsWith("svg") ? style.fill : style.color);
        if (color !== undefined && contrast(color, ground) < least && text.textContent?.trim() !== "")
          faults.push(`${name}: the text ${text.textContent} is ${color}`);
      }
      for (const line of figure.querySelectorAll("svg path, svg line")) {
        const { stroke, strokeWidth } = getComputedStyle(line);
        const color = channels(stroke);
        const box = line.getBoundingClientRect();
        const isLine = color !== undefined && parseFloat(strokeWidth) >= 1 && box.width + box.height > 20;
        // Grids are to be faint.
        if (isLine && contrast(color, ground) < 1.15) faults.push(`${name}: a line is ${color}`);
      }
      const { width, height } = figure.getBoundingClientRect();
      for (const part of figure.querySelectorAll("svg rect, svg path")) {
        const box = part.getBoundingClientRect();
        const fill = channels(getComputedStyle(part).fill);
        const isLarge = box.width * box.height > 0.3 * width * height;
        if (isLarge && fill !== undefined && luminance(fill) > 0.8)
          faults.push(`${name}: a ground is ${fill}`);
      }
      return faults;
    });
  }, READABLE);

/** Mean brightness of the pictures of figures as they are shown, 0 to 255. */
async function brightness(page: Page, selector: string): Promise<readonly number[]> {
  const { default: sharp } = await import("sharp");
  const means: number[] = [];
  for (const picture of await page.locator(selector).all()) {
    const { channels } = await sharp(await picture.screenshot()).stats();
    means.push(channels.slice(0, 3).reduce((sum, { mean }) => sum + mean / 3, 0));
  }
  return means;
}

/** Names of results that neither the list of meanings nor a note explains. */
const unexplained = (page: Page): Promise<readonly string[]> =>
  page.evaluate(() => {
    const results = Array.from(document.querySelectorAll("section")).find(
      (section) => section.querySelector("h2")?.textContent === "Results",
    );
    const rows = Array.from(results?.querySelectorAll("tbody th") ?? [], (cell) => cell.textContent ?? "");
    if (rows.length === 0) return ["no results"];
    const listed = Array.from(results?.querySelectorAll(".notes b") ?? [], (item) => item.textContent ?? "");
    const isListed = (name: string) =>
      listed.some((text) =>
        text.startsWith("…")
          ? name.includes(text.slice(1))
          : text.endsWith("…")
            ? name.startsWith(text.slice(0, -1))
            : name === text || (text.includes(",") && name.startsWith(text.split(/[ ,]/)[0] ?? "?")),
      );
    return rows.filter((name) => !isListed(name));
  });

describe.skipIf(executablePath === undefined)("reports", () => {
  let folder: string;
  let browser: Browser;
  const open = async (path: string, colorScheme: "dark" | "light"): Promise<Page> => {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1100, height: 900 } });
    await page.goto(pathToFileURL(join(folder, path)).href);
    return page;
  };

  beforeAll(async () => {
    folder = await temporaryFolder();
    const common = { steps: 20, samplePictures: 1, batchSize: 16, report: "full" } as const;
    await fit({
      ...{ model: "nice", data: "two-moons", count: 400, width: 8, couplings: 2 },
      ...{ ...common, out: join(folder, "points") },
    });
    const lines = Array.from(
      { length: 300 },
      (_, i) => `${Math.sin(i) * 3},${i % 7},${["a", "b", "c"][i % 3]}`,
    );
    await writeFile(join(folder, "rows.csv"), `x,y,z\n${lines.join("\n")}\n`);
    await fit({
      ...{ model: "spline-flow", data: join(folder, "rows.csv"), width: 8 },
      ...{ ...common, out: join(folder, "table") },
    });
    await fit({
      ...{
        model: "yolo",
        data: "digit-scenes",
        scenes: 20,
        canvas: 64,
        objects: 3,
        smallest: 12,
        width: 0.1,
      },
      ...{ ...common, steps: 4, batchSize: 4, out: join(folder, "boxes") },
    });
    await compare({
      ...{ data: "two-moons", count: 300, models: [{ model: "nice", width: 8, couplings: 2 }] },
      ...{ steps: 5, out: join(folder, "board") },
    });
    browser = await launch(executablePath);
  }, 600_000);
  afterAll(() => browser?.close());

  it.each(["points/report.html", "table/report.html", "boxes/report.html", "board/leaderboard.html"])(
    "%s is dark where the reader wants it, figures and drawings on paper too",
    async (path) => {
      const dark = await open(path, "dark");
      expect(await dark.locator("figure").count()).toBeGreaterThan(1);
      expect(await unseenIn(dark)).toEqual([]);
      // Photos with what was found in them stay as they are.
      const drawings = await brightness(dark, path.startsWith("boxes") ? "img.paper" : "figure img");
      expect(drawings.filter((mean) => mean > 110)).toEqual([]);
      if (path.startsWith("points") || path.startsWith("board")) expect(drawings.length).toBeGreaterThan(0);
      const light = await open(path, "light");
      const inLight = await brightness(light, "img.paper");
      expect(inLight.filter((mean) => mean < 150)).toEqual([]);
    },
  );

  it.each(["points/report.html", "table/report.html", "boxes/report.html"])(
    "%s explains every number of its results",
    async (path) => {
      expect(await unexplained(await open(path, "light"))).toEqual([]);
    },
  );

  it("of points have the true density beside the model's, and what training samples come to", async () => {
    const page = await open("points/report.html", "light");
    const captions = await page.locator("figcaption b").allTextContents();
    const at = captions.indexOf("Density");
    expect(captions[at + 1]).toBe("True density");
    expect(await page.locator("thead th").allTextContents()).toContain("Training samples");
    const cells = await page
      .getByRole("row", { name: /energy distance/ })
      .locator(".number")
      .allTextContents();
    expect(Number(cells[1])).toEqual(expect.any(Number));
  });
});
