import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { LONG, openStudio, type PageOptions } from "./studio.ts";

// Ten screens of the studio: what `scripts/studio-screens.ts` draws to be looked at, and what tests compare with the pictures that are kept.

/** A screen: its address, and what is done there before it is drawn. Controls are found by their place, since names differ by language. */
export interface Screen {
  readonly name: string;
  readonly hash: string;
  readonly prepare: (page: Page) => Promise<unknown>;
}

/** Steps of training before a playground is drawn. */
const STEPS = 150;

/** Trains all models so far and some steps further, and stops. */
const trained = async (page: Page): Promise<void> => {
  await page.waitForFunction(
    () => {
      const models = [...document.querySelectorAll("[data-model]")];
      return models.length > 0 && models.every((model) => model.getAttribute("data-status") === "ready");
    },
    undefined,
    { timeout: LONG },
  );
  await page.keyboard.press("k");
  await page.waitForFunction(
    (least) =>
      [...document.querySelectorAll("[data-figure=step]")].every(
        ({ textContent }) => Number((textContent ?? "").replaceAll(/\D/g, "")) >= least,
      ),
    STEPS,
    { timeout: LONG },
  );
  await page.keyboard.press("k");
};

/** Waits until nothing changes any more: two pictures of the page, one second after the other, are the same. */
async function settled(page: Page): Promise<void> {
  let before: Buffer | undefined;
  for (let tries = 0; tries < 60; tries++) {
    await page.waitForTimeout(1000);
    const now = await page.screenshot();
    if (before?.equals(now)) return;
    before = now;
  }
}

const after =
  (selector: string) =>
  async (page: Page): Promise<void> => {
    await page.locator(selector).first().waitFor({ timeout: LONG });
  };

/** Presses a button, and waits for what comes of it. */
const pressed =
  (button: string, selector: string) =>
  async (page: Page): Promise<void> => {
    await page.locator(button).first().click({ timeout: LONG });
    await after(selector)(page);
  };

export const SCREENS: readonly Screen[] = [
  { name: "playground", hash: "#/playground?models=rectified-flow,reflow,nice", prepare: trained },
  { name: "path", hash: "#/playground?models=ddim,score-sde&view=path", prepare: trained },
  {
    name: "density",
    hash: "#/playground?data=pinwheel&models=spline-flow,vae&view=density",
    prepare: trained,
  },
  { name: "detection", hash: "#/detection", prepare: after("main canvas") },
  {
    name: "mark",
    hash: "#/mark?folder=./photos",
    prepare: async (page) => {
      await page.locator("main img").first().click({ timeout: LONG });
      await after("main canvas")(page);
    },
  },
  { name: "runs", hash: "#/runs?run=moons&run=digits", prepare: after("main table") },
  {
    name: "samples",
    hash: "#/use?run=moons&for=sample",
    prepare: pressed("main .primary", "main svg.plane"),
  },
  { name: "score", hash: "#/use?run=moons&for=score", prepare: after("main .drop") },
  {
    name: "impute",
    hash: "#/use?run=moons&for=impute",
    prepare: pressed("main .row button", "main table"),
  },
  { name: "detect", hash: "#/use?run=scenes&for=detect", prepare: after("main .drop") },
];

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

/** Runs and marked photos, of one square each, for the screens. */
export async function furnish(folder: string): Promise<void> {
  for (const [name, of] of [
    ["digits", "rectified-flow-digits"],
    ["scenes", "fcos-digit-scenes"],
    ["moons", "nice-two-moons"],
  ] as const)
    await cp(fixture(of), join(folder, "runs", name), { recursive: true });
  // Marked photos: one of two squares each.
  const marks = {
    images: [] as object[],
    annotations: [] as object[],
    categories: [{ id: 1, name: "square" }],
  };
  await mkdir(join(folder, "photos"));
  for (let i = 0; i < 24; i++) {
    const [left, top, side] = [8 + ((i * 29) % 64), 6 + ((i * 17) % 60), 24 + (i % 3) * 4];
    const square = { create: { width: side, height: side, channels: 3 as const, background: "#20304c" } };
    await sharp({ create: { width: 128, height: 96, channels: 3, background: "#e8e4da" } })
      .composite([{ input: square, left, top }])
      .png()
      .toFile(join(folder, "photos", `photo-${i}.png`));
    marks.images.push({ id: i, file_name: `photo-${i}.png`, width: 128, height: 96 });
    marks.annotations.push({
      id: i,
      image_id: i,
      category_id: 1,
      bbox: [left, top, side, side],
      area: side ** 2,
      iscrowd: 0,
    });
  }
  await writeFile(join(folder, "photos", "annotations.json"), JSON.stringify(marks));
}

export type Look = Required<Pick<PageOptions, "locale" | "colorScheme">>;

/** Every language and theme. */
export const LOOKS: readonly Look[] = ["en", "zh-CN"].flatMap((locale) =>
  (["light", "dark"] as const).map((colorScheme) => ({ locale, colorScheme })),
);

/** A screen as a PNG, and what the page said meanwhile. @param isWhole whether what lies below the window is drawn too */
export async function drawn(
  browser: Browser,
  address: string,
  { hash, prepare }: Screen,
  { width = 1300, ...look }: Look & { readonly width?: number },
  isWhole = false,
): Promise<{ readonly png: Buffer; readonly complaints: readonly string[] }> {
  const complaints: string[] = [];
  const viewport = { width, height: 900 };
  const page = await openStudio(browser, address, hash, {
    ...look,
    viewport,
    complaints,
    reducedMotion: "reduce",
  });
  await prepare(page);
  await settled(page);
  // A photo that is opened is scrolled to.
  await page.evaluate(() => scrollTo(0, 0));
  const png = await page.screenshot({ fullPage: isWhole });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > width) complaints.push(`${wide} pixels wide in a window of ${width}`);
  await page.context().close();
  return { png, complaints };
}
