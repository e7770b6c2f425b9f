import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { findChromium } from "../test/browser/browser.ts";
import { launch, openStudio } from "../test/browser/studio.ts";
import { start } from "../test/cli/support.ts";

// Pictures of ten screens of the studio in both languages and both themes, to be looked at before a release:
//
//     npm run build && npx tsx scripts/studio-screens.ts --out screens --width 1300

const { values: options } = parseArgs({
  options: { out: { type: "string", default: "screens" }, width: { type: "string", default: "1300" } },
});
const width = Number(options.width);
const LONG = 120_000;

/** A screen: its address, and what is done there before it is drawn. Controls are found by their place, since names differ by language. */
interface Screen {
  readonly name: string;
  readonly hash: string;
  readonly prepare?: (page: Page) => Promise<unknown>;
}

const trained = async (page: Page): Promise<void> => {
  await page.locator("[data-status=ready]").first().waitFor({ timeout: LONG });
  await page.keyboard.press("k");
  await page.waitForTimeout(6000);
  await page.keyboard.press("k");
  await page.waitForTimeout(3000);
};

const used = (page: Page): Promise<void> => page.waitForTimeout(8000);

const SCREENS: readonly Screen[] = [
  { name: "playground", hash: "#/playground?models=rectified-flow,reflow,nice", prepare: trained },
  { name: "path", hash: "#/playground?models=ddim,score-sde&view=path", prepare: trained },
  {
    name: "density",
    hash: "#/playground?data=pinwheel&models=spline-flow,vae&view=density",
    prepare: trained,
  },
  { name: "detection", hash: "#/detection", prepare: used },
  {
    name: "mark",
    hash: "#/mark?folder=./photos",
    prepare: async (page) => {
      await page.waitForTimeout(3000);
      await page.locator("main img").first().click({ timeout: LONG });
      await page.waitForTimeout(2000);
    },
  },
  { name: "runs", hash: "#/runs?run=moons&run=digits", prepare: used },
  { name: "samples", hash: "#/use?run=digits&for=sample", prepare: used },
  { name: "score", hash: "#/use?run=moons&for=score", prepare: used },
  { name: "impute", hash: "#/use?run=moons&for=impute", prepare: used },
  { name: "detect", hash: "#/use?run=scenes&for=detect", prepare: used },
];

const folder = await mkdtemp(join(tmpdir(), "eidos-screens-"));
await mkdir(options.out, { recursive: true });
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../test/fixtures/runs/${name}`, import.meta.url));
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
const studio = start(["studio", "--port", "0", "--no-open"], folder);
const browser = await launch(findChromium());
try {
  const address = await studio.printed(/open (http:\S+)/);
  for (const locale of ["en", "zh-CN"]) {
    for (const colorScheme of ["light", "dark"] as const) {
      const files: string[] = [];
      for (const { name, hash, prepare } of SCREENS) {
        const complaints: string[] = [];
        const page = await openStudio(browser, address, hash, {
          locale,
          colorScheme,
          complaints,
          viewport: { width, height: 900 },
        });
        await prepare?.(page);
        const file = join(options.out, `${name}-${locale}-${colorScheme}.png`);
        await page.screenshot({ path: file, fullPage: width < 600 });
        files.push(file);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        console.error(
          `${file}${wide > width ? `: ${wide} pixels wide in a window of ${width}` : ""}${complaints.length === 0 ? "" : `: ${complaints.join("; ")}`}`,
        );
        await page.context().close();
      }
      const tiles = await Promise.all(
        files.map((file) =>
          sharp(file).resize({ width: 640, height: 443, fit: "contain", position: "top" }).toBuffer(),
        ),
      );
      const rows = Math.ceil(tiles.length / 3);
      await sharp({ create: { width: 1940, height: 453 * rows, channels: 3, background: "#888" } })
        .composite(tiles.map((input, i) => ({ input, left: 650 * (i % 3), top: 453 * Math.floor(i / 3) })))
        .png()
        .toFile(join(options.out, `all-${locale}-${colorScheme}.png`));
    }
  }
} finally {
  await browser.close();
  studio.kill("SIGINT");
  await studio.outcome;
  await rm(folder, { recursive: true, force: true });
}
