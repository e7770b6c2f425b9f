import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Locator, Page } from "playwright-core";
import sharp from "sharp";
import { findChromium } from "../test/browser/browser.ts";
import { launch, openStudio } from "../test/browser/studio.ts";
import { type Running, start } from "../test/cli/support.ts";

// Goes through the stories of docs/guide/studio-*.md in a browser, and draws their pictures into docs/images:
//
//     npm run build && npx tsx scripts/studio-stories.ts photos --data ../shared/data/bccd --seconds 240
//     npx tsx scripts/studio-stories.ts lecture --seconds 60
//     npx tsx scripts/studio-stories.ts runs
//
// `photos` marks forty photos of an annotated folder: each box is drawn by the pointer, as somebody would who knows where it belongs.

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string", default: "../shared/data/bccd" },
    photos: { type: "string", default: "40" },
    seconds: { type: "string", default: "300" },
    out: { type: "string", default: "docs/images" },
  },
});
const LONG = 1_800_000;
const seconds = Number(options.seconds);
const folder = await mkdtemp(join(tmpdir(), "eidos-stories-"));
const running: Running[] = [];
const browser = await launch(findChromium());

async function studio(hash: string, height = 1000): Promise<Page> {
  const server = start(["studio", "--port", "0", "--no-open", "--data", "data"], folder);
  running.push(server);
  return openStudio(browser, await server.printed(/open (http:\S+)/), hash, {
    viewport: { width: 1400, height },
  });
}

async function command(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await start(words, folder).outcome;
  if (code !== 0) throw new Error(`eidos ${words.join(" ")}: ${stderr}`);
  return stdout;
}

async function picture(page: Page | Locator, name: string): Promise<void> {
  await sharp(await page.screenshot())
    .webp({ quality: 82 })
    .toFile(join(options.out, `${name}.webp`));
}

interface Coco {
  readonly images: readonly {
    readonly id: number;
    readonly file_name: string;
    readonly width: number;
    readonly height: number;
  }[];
  readonly annotations: readonly {
    readonly image_id: number;
    readonly category_id: number;
    readonly bbox: readonly [number, number, number, number];
  }[];
  readonly categories: readonly { readonly id: number; readonly name: string }[];
}

/** Somebody marks photos, fits a detector to them, and has it mark the next photo. */
async function photos(): Promise<void> {
  const source = join(process.cwd(), options.data);
  await command("convert", source, "known", "--to", "coco", "--quiet");
  const { images, annotations, categories }: Coco = JSON.parse(
    await readFile(join(folder, "known", "annotations", "instances_train.json"), "utf8"),
  );
  const count = Number(options.photos);
  const own = join(folder, "data", "photos");
  await mkdir(own, { recursive: true });
  const chosen = images.slice(0, count + 1).toSorted((a, b) => (a.file_name < b.file_name ? -1 : 1));
  for (const { file_name } of chosen)
    await copyFile(join(folder, "known", "images", file_name), join(own, file_name));
  const page = await studio(`#/mark?${new URLSearchParams({ folder: "./photos" })}`);
  await page.locator("main img").first().click({ timeout: LONG });
  const begun = performance.now();
  for (const { name } of categories) {
    await page.getByLabel("New class").fill(name);
    await page.getByRole("button", { name: "Add", exact: true }).click();
  }
  let boxes = 0;
  for (const { id, file_name, width, height } of chosen.slice(0, count)) {
    await page
      .getByRole("application", { name: new RegExp(`^Photo ${file_name}`) })
      .waitFor({ timeout: LONG });
    await page.waitForTimeout(300);
    const frame = await page.getByRole("application").boundingBox();
    if (frame === null) throw new Error("the photo is not seen");
    const scale = Math.min(8, frame.width / width, frame.height / height);
    const [left, top] = [
      frame.x + (frame.width - width * scale) / 2,
      frame.y + (frame.height - height * scale) / 2,
    ];
    for (const { category_id, bbox } of annotations.filter((one) => one.image_id === id)) {
      const [x, y, w, h] = bbox;
      await page.keyboard.press("Escape");
      await page.keyboard.press(String(1 + categories.findIndex((one) => one.id === category_id)));
      await page.mouse.move(left + x * scale, top + y * scale);
      await page.mouse.down();
      await page.mouse.move(left + (x + w / 2) * scale, top + (y + h / 2) * scale);
      await page.mouse.move(left + (x + w) * scale, top + (y + h) * scale);
      await page.mouse.up();
      boxes++;
    }
    if (file_name === chosen[2]?.file_name) await picture(page, "story-photos-mark");
    await page.keyboard.press("PageDown");
  }
  const marked = performance.now();
  await page.getByText(/^Saved/).waitFor({ timeout: LONG });
  const held: Coco = JSON.parse(await readFile(join(own, "annotations.json"), "utf8"));
  console.error(
    `${held.annotations.length} of ${boxes} boxes on ${held.images.length} photos, ${((marked - begun) / 1000).toFixed(0)} s`,
  );
  await page.getByRole("button", { name: "Train on these" }).click();
  await page.getByLabel("seconds", { exact: true }).fill(String(seconds), { timeout: LONG });
  await page.getByLabel("Name", { exact: true }).fill("cells");
  await page.getByRole("button", { name: "Begin", exact: true }).click();
  await page.waitForTimeout(Math.min(120_000, 700 * seconds));
  await page
    .getByRole("heading", { name: "Fits of this studio" })
    .evaluate((element) => element.scrollIntoView());
  await picture(page, "story-photos-learn");
  await page.locator(".status.done, .status.failed").first().waitFor({ timeout: LONG });
  const failed = page.locator(".status.failed").first();
  if (await failed.isVisible())
    throw new Error(`the fit failed: ${await failed.locator("xpath=../..").textContent()}`);
  console.error(`fitted after ${((performance.now() - begun) / 1000).toFixed(0)} s in all`);
  await page.getByRole("link", { name: "Mark", exact: true }).click();
  await page.getByRole("slider", { name: "Least score" }).fill("0.3");
  await page.getByRole("button", { name: "Propose", exact: true }).click();
  await page.getByRole("button", { name: /^Accept all \([1-9]/ }).waitFor({ timeout: LONG });
  await picture(page, "story-photos-propose");
  console.error(await command("eval", "runs/cells", source, "--split", "test"));
}

/** A lecturer shows how six models turn the same noise into the same moons. */
async function lecture(): Promise<void> {
  const models = ["ddpm", "ddim", "score-sde", "rectified-flow", "nice", "gan"];
  const page = await studio(`#/playground?data=two-moons&models=${models.join()}`, 1900);
  for (const model of models)
    await page.locator(`[data-model=${model}][data-status=ready]`).waitFor({ timeout: LONG });
  await page.getByRole("button", { name: "Play" }).click();
  await page.waitForTimeout(1000 * seconds);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.waitForTimeout(8000);
  await picture(page.locator(".panels"), "story-lecture-samples");
  await page.getByRole("radio", { name: "Path" }).check();
  await page.waitForTimeout(8000);
  const scrubber = page.getByRole("slider", { name: "Time from noise to data" });
  await scrubber.fill("70");
  await page.waitForTimeout(1500);
  await picture(page.locator(".panels"), "story-lecture-path");
  for (const model of models)
    console.error(
      await page.locator(`[data-model=${model}] header`).textContent(),
      await page.locator(`[data-model=${model}] [data-figure=energy]`).textContent(),
    );
}

/** An engineer watches runs that commands fit, compares them, and tries the best one. */
async function runs(): Promise<void> {
  const page = await studio("#/runs");
  const fit = (model: string, name: string, ...more: readonly string[]) =>
    start(
      [
        "fit",
        model,
        "digits",
        "--log-every",
        "5",
        "--validate-every",
        "40",
        "--out",
        `runs/${name}`,
        "--quiet",
        ...more,
      ],
      folder,
    );
  await fit("vae", "vae", "--seconds", "40").outcome;
  await fit("vae", "vae-wide", "--width", "64", "--seconds", "40").outcome;
  const last = fit("rectified-flow", "flow", "--seconds", "120");
  running.push(last);
  for (const name of ["vae", "vae-wide", "flow"])
    await page.getByRole("checkbox", { name, exact: true }).check({ timeout: LONG });
  await page.waitForTimeout(40_000);
  await picture(page, "story-runs-watch");
  await last.outcome;
  await page.getByRole("region", { name: "flow" }).getByRole("link", { name: "Use", exact: true }).click();
  const forming = page.getByRole("checkbox", { name: "Show how they form" });
  await forming.check({ timeout: LONG });
  await page.getByRole("button", { name: "Draw samples" }).click();
  await page.locator(".forming").waitFor({ timeout: LONG });
  await page.getByRole("slider", { name: "State, from noise to samples" }).fill("9");
  await page.waitForTimeout(500);
  await picture(page, "story-runs-use");
}

const STORIES = { photos, lecture, runs };
try {
  for (const name of positionals.length === 0 ? Object.keys(STORIES) : positionals) {
    const story = STORIES[name as keyof typeof STORIES];
    if (story === undefined)
      throw new Error(`there is no story ${name}; there are ${Object.keys(STORIES).join(", ")}`);
    await story();
  }
} catch (error) {
  for (const context of browser.contexts())
    for (const page of context.pages())
      await page.screenshot({ path: join(folder, "..", "story-failed.png") });
  throw error;
} finally {
  await browser.close();
  for (const one of running) one.kill("SIGINT");
  await Promise.all(running.map((one) => one.outcome));
  await rm(folder, { recursive: true, force: true });
}
