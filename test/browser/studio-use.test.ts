import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Locator, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, openStudio, type PageOptions, violations } from "./studio.ts";

// The room in which runs are used, as `eidos studio` serves it, in headless Chromium: every ability, by pointer and by keys.

const executablePath = findChromium();

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

/** Rows of two kinds, of which the seventh has a length that none else has. */
const ROWS = Array.from({ length: 80 }, (_, i) => {
  const length = i === 6 ? 30 : 5 + (i % 2) * 4 + 0.05 * (i % 9);
  return `${length.toFixed(2)},${(3 - (i % 2) + 0.04 * (i % 7)).toFixed(2)},${i % 2 === 0 ? "rose" : "lily"}`;
});
const TABLE = `length,width,kind\n${ROWS.filter((_, i) => i !== 6).join("\n")}\n`;

const named = (name: string, text: string) => ({ name, mimeType: "text/csv", buffer: Buffer.from(text) });

/** A picture of one color. */
async function pictureFile(name: string, background: string, side = 64) {
  const image = sharp({ create: { width: side, height: side, channels: 3, background } });
  return { name, mimeType: "image/png", buffer: await image.png().toBuffer() };
}

describe.skipIf(executablePath === undefined)("the room Use", () => {
  let folder: string;
  let studio: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];

  const open = (hash: string, options: PageOptions = {}): Promise<Page> =>
    openStudio(browser, address, hash, { complaints, ...options });

  /** The page of an ability of a run. */
  const openRun = async (run: string, ability: string, options: PageOptions = {}): Promise<Page> => {
    const page = await open(`#/use?run=${run}&for=${ability}`, options);
    await page.getByText(/weights of step|步的权重/).waitFor({ timeout: LONG });
    return page;
  };

  const command = (page: Page): Locator => page.locator(".command code").first();

  beforeAll(async () => {
    folder = await temporaryFolder();
    await writeFile(join(folder, "flowers.csv"), TABLE);
    const fit = ["--steps", "60", "--width", "16", "--report", "none", "--quiet"];
    const table = start(["fit", "nice", "flowers.csv", ...fit, "--out", "runs/flowers"], folder);
    expect((await table.outcome).code).toBe(0);
    const embedding = ["--steps", "4", "--report", "none", "--quiet", "--out", "runs/near"];
    const tiny = ["--steps", "4", "--width", "16", "--report", "none", "--quiet", "--out", "runs/tiny"];
    const noisy = start(["fit", "rectified-flow", "flowers.csv", ...tiny], folder);
    expect((await noisy.outcome).code).toBe(0);
    const near = start(["fit", "deep-infomax", "flowers.csv", ...embedding], folder);
    expect((await near.outcome).code).toBe(0);
    for (const [name, of] of [
      ["digits", "rectified-flow-digits"],
      ["scenes", "fcos-digit-scenes"],
      ["moons", "nice-two-moons"],
    ] as const)
      await cp(fixture(of), join(folder, "runs", name), { recursive: true });
    studio = start(["studio", "--port", "0", "--no-open"], folder);
    address = await studio.printed(/open (http:\S+)/);
    browser = await launch(executablePath, [
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    studio?.kill("SIGINT");
    await studio?.outcome;
    // The browser tells of what the server refuses, as it shall.
    expect(complaints).toEqual([
      "Failed to load resource: the server responded with a status of 400 (Bad Request)",
    ]);
  });

  it("draws samples, and says by which command and code", async () => {
    const page = await open("#/use");
    await page.getByLabel("Run", { exact: true }).selectOption("moons");
    await page.getByText("nice, weights of step 4").waitFor({ timeout: LONG });
    await page.getByRole("button", { name: "Draw samples" }).click();
    const cells = page.locator("tbody tr");
    await expect.poll(() => cells.count(), { timeout: LONG }).toBe(500);
    const before = await cells.allTextContents();
    await page.getByRole("slider", { name: "Seed" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.getByRole("button", { name: "Draw samples" }).click();
    await expect.poll(() => cells.allTextContents(), { timeout: LONG }).not.toEqual(before);
    expect(await command(page).textContent()).toMatch(
      /^npx eidos sample \S*runs\/moons --count 500 --seed 1$/,
    );
    expect(await page.locator(".command code").last().textContent()).toContain(
      "await run.sample({ count: 500, seed: 1 })",
    );
    expect(await violations(page)).toEqual([]);
    await page.getByRole("radio", { name: "Export" }).check();
    await page.getByRole("checkbox", { name: /^With a page to hand out/ }).check();
    await page.getByRole("button", { name: "Export" }).click();
    await page.getByText(/^page\.html, [\d.,]+ kB$/).waitFor({ timeout: LONG });
    await page.getByText(/^model\.json, [\d.,]+ kB$/).waitFor({ timeout: LONG });
    await page.getByText(/^Written into \S*moons\S*model:$/).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("radio", { name: "Find odd ones" }).check();
    await expect.poll(() => page.url()).toContain("run=moons&for=score");
    await page.close();
  });

  it("ranks the rows of a table, and says why one is odd", async () => {
    const page = await openRun("flowers", "score");
    await page
      .getByLabel(/^Choose a table/)
      .setInputFiles(named("new.csv", `length,width,kind\n${ROWS.slice(0, 20).join("\n")}\n`));
    await page.getByText("new.csv: 20 rows, the oddest first.").waitFor({ timeout: LONG });
    const first = page.getByRole("button", { name: "Rank 1, row 7 of the table: why it is odd" });
    await first.focus();
    await page.keyboard.press("Enter");
    const reason = page.locator(".reasons li").first();
    await reason.waitFor({ timeout: LONG });
    expect(await reason.textContent()).toMatch(/^length 30: [\d.,]+ nats likelier with another cell; /);
    expect(await first.getAttribute("aria-expanded")).toBe("true");
    expect(await violations(page)).toEqual([]);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save as CSV" }).click();
    const saved = await readFile(await (await download).path(), "utf8");
    expect(saved.split("\n").slice(0, 2)).toEqual([
      "rank,logLikelihood,length,width,kind",
      expect.stringMatching(/^1,-[\d.]+,30,3\.24,rose$/),
    ]);
    expect(await command(page).textContent()).toMatch(/runs\/flowers new\.csv --anomaly$/);
    await page.getByLabel(/^Choose a table/).setInputFiles(named("bad.csv", "length,kind\n1,rose\n"));
    await page.getByText(/column "width" is missing/).waitFor({ timeout: LONG });
    await page.close();
  });

  it("fills in the gaps of a table, and of cells that are made gaps", async () => {
    const page = await openRun("flowers", "impute");
    await page
      .getByLabel(/^Choose a table/)
      .setInputFiles(named("gaps.csv", "length,width,kind\n5.1,3,rose\n9.1,,lily\n,3,\n"));
    await page.getByText("3 gaps in 2 of 3 rows").waitFor({ timeout: LONG });
    const grid = page.getByRole("grid", { name: "Cells of gaps.csv" });
    await page.getByRole("checkbox", { name: "Only rows with gaps" }).uncheck();
    await grid.getByRole("gridcell").first().focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.getByText("4 gaps in 3 of 3 rows").waitFor();
    await page.getByRole("button", { name: "Fill in" }).click();
    const made = grid.locator(".made");
    await expect.poll(() => made.count(), { timeout: LONG }).toBe(4);
    const texts = await grid.locator("tbody td").allTextContents();
    expect(texts.filter((text) => !text.includes("(filled in)"))).toEqual([
      "5.1",
      "rose",
      "9.1",
      "lily",
      "3",
    ]);
    expect(texts.at(-1)).toMatch(/^(rose|lily)/);
    const before = await made.allTextContents();
    await page.getByRole("slider", { name: "Draw that is shown" }).fill("2");
    await expect.poll(() => made.allTextContents()).not.toEqual(before);
    expect(await violations(page)).toEqual([]);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save as CSV" }).click();
    const saved = (await readFile(await (await download).path(), "utf8")).trim().split("\n");
    expect(saved).toHaveLength(1 + 3 * 5);
    expect(saved[1]).toMatch(/^5\.1,[-\d.e]+,rose,0$/);
    expect(await command(page).textContent()).toMatch(
      /impute \S*runs\/flowers gaps\.csv --draws 5 --seed 0 --out filled\.csv$/,
    );
    await page.getByRole("button", { name: "Take rows that the model draws" }).click();
    await page.getByText("0 gaps in 0 of 12 rows").waitFor({ timeout: LONG });
    await page.close();
  });

  it("finds objects in a photo and before a webcam", async () => {
    const page = await openRun("scenes", "detect", { permissions: ["camera"] });
    const choose = page.getByLabel("Choose a photo, or drop one here");
    await choose.setInputFiles(await pictureFile("red.png", "red", 90));
    const canvas = page.getByRole("img", { name: /^red\.png with what was found: / });
    await canvas.waitFor({ timeout: LONG });
    expect(
      await canvas.evaluate((element) => [element.clientWidth > 0, (element as HTMLCanvasElement).width]),
    ).toEqual([true, 90]);
    await page.getByRole("slider", { name: "Least score", exact: true }).fill("0.05");
    const classes = page.getByRole("group", { name: "Classes that are shown" }).getByRole("checkbox");
    const shown = (await canvas.getAttribute("aria-label")) ?? "";
    const [first] = /(?<=: )\S+(?= \d)/.exec(shown) ?? [];
    await page.getByRole("checkbox", { name: `${first} (` }).uncheck();
    expect(await canvas.getAttribute("aria-label")).not.toContain(`${first} `);
    expect(await classes.count()).toBeGreaterThan(1);
    await page.getByRole("slider", { name: "Least score", exact: true }).fill("1");
    await page.getByText("nothing found").first().waitFor();
    expect(await violations(page)).toEqual([]);
    await choose.setInputFiles(named("notes.txt", "no image"));
    await page.getByText("notes.txt is no image that this browser can read.").waitFor({ timeout: LONG });
    await page.getByRole("button", { name: "Webcam" }).click();
    await page.getByRole("img", { name: /^Webcam with what was found: / }).waitFor({ timeout: LONG });
    await page.getByText(/pictures a second$/).waitFor();
    await page.getByRole("button", { name: "Stop the webcam" }).click();
    await page.getByRole("button", { name: "Webcam", exact: true }).waitFor();
    await page.close();
  });

  it("lays pictures out on a map, through which one walks, with neighbors", async () => {
    const page = await openRun("scenes", "embed");
    const colors = ["#000", "#111", "#ddd", "#fff", "#a00", "#00a"];
    const files = await Promise.all(colors.map((color, i) => pictureFile(`${i}.png`, color)));
    await page.getByLabel("Choose pictures, or drop them here").setInputFiles(files.slice(0, 2));
    await page.getByText("A map takes 3 or more.").waitFor({ timeout: LONG });
    await page.getByLabel("Choose pictures, or drop them here").setInputFiles(files);
    const map = page.getByRole("group", { name: /^Map of 6: / });
    await map.waitFor({ timeout: LONG });
    await page.getByRole("heading", { name: "Near 0.png" }).waitFor();
    // What is nearest to black is nearly black.
    expect(await page.locator(".neighbors li").first().textContent()).toMatch(/^1\.png, at 0\.\d+$/);
    await map.getByRole("button", { name: "0.png" }).focus();
    for (const key of ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
    const chosen = map.locator('[aria-pressed="true"]');
    expect(await chosen.count()).toBe(1);
    expect(await chosen.evaluate((element) => element === document.activeElement)).toBe(true);
    const placeOf = () =>
      map.getByRole("button", { name: "3.png" }).evaluate((element) => element.style.left);
    const before = await placeOf();
    await page.getByRole("button", { name: "Enlarge" }).click();
    await expect.poll(placeOf).not.toBe(before);
    await page.getByRole("button", { name: "Show all" }).click();
    await expect.poll(placeOf).toBe(before);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("lays rows of a table out on a map", async () => {
    const page = await openRun("near", "embed");
    await page.getByLabel(/^Choose a table/).setInputFiles(named("flowers.csv", TABLE));
    const map = page.getByRole("group", { name: /^Map of 79: / });
    await map.waitFor({ timeout: LONG });
    await page.getByRole("heading", { name: "Near Row 1: length 5, width 3, kind rose" }).waitFor();
    expect(await page.locator(".neighbors li").count()).toBe(8);
    await page.locator(".neighbors li button").first().click();
    await page.getByRole("heading", { name: "Near Row 1:" }).waitFor({ state: "detached" });
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("ranks pictures, the oddest first", async () => {
    const page = await openRun("digits", "score");
    const files = await Promise.all(
      ["#000", "#777", "#fff"].map((color, i) => pictureFile(`${i}.png`, color, 28)),
    );
    await page.getByLabel("Choose pictures, or drop them here").setInputFiles(files);
    await page.getByText("3 pictures, the oddest first.").waitFor({ timeout: LONG });
    const nats = (await page.locator("figcaption").allTextContents()).map((text) =>
      Number(/: (.*) nats$/.exec(text)?.[1]?.replace("−", "-").replaceAll(",", "")),
    );
    expect(nats).toHaveLength(3);
    expect(nats).toEqual([...nats].sort((a, b) => a - b));
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("shows pictures as they form", async () => {
    const page = await openRun("digits", "sample");
    await page.getByRole("slider", { name: "Count" }).fill("4");
    await page.getByLabel("Steps").selectOption("5");
    await page.getByRole("checkbox", { name: "Show how they form" }).check();
    await page.getByRole("button", { name: "Draw samples" }).click();
    const state = page.getByRole("slider", { name: "State, from noise to samples" });
    await state.waitFor({ timeout: LONG });
    const pixels = (): Promise<string> =>
      page
        .getByRole("img", { name: /^Samples in state / })
        .evaluate(
          (canvas) =>
            (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, 57, 57).data.join() ?? "",
        );
    const last = await pixels();
    await state.fill("0");
    await page.getByRole("img", { name: /^Samples in state 0 of / }).waitFor();
    expect(await pixels()).not.toBe(last);
    expect(await command(page).textContent()).toMatch(
      /--count 4 --seed 0 --steps 5 --animate forming\.webp$/,
    );
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("draws the part of a picture anew that a brush marks, by pointer and by keys", async () => {
    const page = await openRun("digits", "inpaint");
    await page.getByRole("button", { name: "Draw one (seed 0)" }).click();
    const area = page.getByRole("application", { name: /^The picture\. Mark/ });
    await area.waitFor({ timeout: LONG });
    const fill = page.getByRole("button", { name: "Draw anew" });
    expect(await fill.isDisabled()).toBe(true);
    await area.focus();
    for (const key of [" ", "ArrowRight", "ArrowRight", " "]) await page.keyboard.press(key);
    expect(await fill.isDisabled()).toBe(false);
    await page.getByRole("button", { name: "Clear" }).click();
    expect(await fill.isDisabled()).toBe(true);
    const box = await area.boundingBox();
    if (box === null) throw new Error("the picture has no box");
    await page.mouse.move(box.x + 0.2 * box.width, box.y + 0.8 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 0.8 * box.width, box.y + 0.8 * box.height, { steps: 4 });
    await page.mouse.up();
    await page.getByRole("slider", { name: "Draws" }).fill("2");
    await page.getByLabel("Steps").selectOption("2");
    await fill.click();
    await page.getByText("2 completions").waitFor({ timeout: LONG });
    // The upper half was not marked: both completions have it as it was.
    const upper = (of: Locator): Promise<string> =>
      of.evaluate(
        (canvas) =>
          (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, 28, 14).data.join() ?? "",
      );
    const first = await upper(page.getByRole("img", { name: "Completion 1" }));
    expect(first).toMatch(/^\d/);
    expect(await upper(page.getByRole("img", { name: "Completion 2" }))).toBe(first);
    expect(await upper(area.locator("canvas"))).toBe(first);
    expect(await violations(page)).toEqual([]);
    const downloads: string[] = [];
    page.on("download", (download) => downloads.push(download.suggestedFilename()));
    await page.getByRole("button", { name: "Save picture.png and mask.png" }).click();
    await expect.poll(() => [...downloads].sort()).toEqual(["mask.png", "picture.png"]);
    await page.close();
  });

  it("shows points as they form, and goes from one to another", async () => {
    const page = await openRun("moons", "sample");
    await page.getByRole("checkbox", { name: "Show how they form" }).check();
    await page.getByRole("button", { name: "Draw samples" }).click();
    const state = page.getByRole("slider", { name: "State, from noise to samples" });
    await state.waitFor({ timeout: LONG });
    const first = (): Promise<string> =>
      page
        .locator("svg.plane circle")
        .first()
        .evaluate((circle) => `${circle.getAttribute("cx")},${circle.getAttribute("cy")}`);
    const end = await first();
    await state.fill("0");
    await page.getByRole("img", { name: /^Samples in state 0 of / }).waitFor();
    expect(await first()).not.toBe(end);
    expect(await page.locator("svg.plane circle").count()).toBe(500);
    expect(await violations(page)).toEqual([]);

    await page.getByRole("radio", { name: "Go between two" }).check();
    const from = page.getByRole("group", { name: "From" });
    await from.getByLabel("x", { exact: true }).fill("-1");
    await from.getByLabel("y", { exact: true }).fill("0.5");
    await page
      .getByRole("group", { name: "To" })
      .getByRole("button", { name: "Draw a row (seed 0)" })
      .click();
    await page.getByRole("button", { name: "Find the path" }).click({ timeout: LONG });
    await page
      .getByRole("img", { name: "Rows on the way; the one at 50 % stands out" })
      .waitFor({ timeout: LONG });
    await page.getByRole("slider", { name: "Way from the first to the second" }).fill("0");
    await page.getByRole("img", { name: "Rows on the way; the one at 0 % stands out" }).waitFor();
    const chosen = page.locator("tr[aria-current=true] td");
    expect((await chosen.allTextContents()).map((text) => Number(text.replace("−", "-")))).toEqual([
      expect.closeTo(-1, 3),
      expect.closeTo(0.5, 3),
    ]);
    expect(await command(page).textContent()).toMatch(/interpolate \S*runs\/moons ends\.csv --steps 25$/);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("varies a row by noise", async () => {
    const page = await openRun("tiny", "edit");
    const row = page.getByRole("group", { name: "Row" });
    await row.getByRole("button", { name: "Draw a row (seed 0)" }).click();
    await row.getByRole("button", { name: "Draw a row (seed 1)" }).waitFor({ timeout: LONG });
    await row.getByLabel("length").fill("7.5", { timeout: LONG });
    await row.getByLabel("kind").selectOption("lily");
    await page.getByRole("slider", { name: "Draws" }).fill("3");
    await page.getByLabel("Steps").selectOption("2");
    await page.getByRole("button", { name: "Vary by noise" }).click({ timeout: LONG });
    await expect.poll(() => page.locator("tbody tr").count(), { timeout: LONG }).toBe(4);
    expect(await page.locator("tr[aria-current=true] td").allTextContents()).toEqual([
      "7.5",
      expect.any(String),
      "lily",
    ]);
    expect(await page.locator(".command code").last().textContent()).toContain(
      "await run.edit(rows([{ length: 7.5,",
    );
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("varies a picture by noise, and goes from one to another by dragging", async () => {
    const page = await openRun("digits", "edit");
    await page
      .getByLabel("Choose a picture, or drop one here")
      .setInputFiles(await pictureFile("grey.png", "#888"));
    await page.getByRole("slider", { name: "Strength" }).fill("0.3");
    await page.getByLabel("Steps").selectOption("2");
    await page.getByRole("button", { name: "Vary by noise" }).click();
    await page.getByRole("img", { name: "Variant 4" }).waitFor({ timeout: LONG });
    expect(await command(page).textContent()).toMatch(
      /edit \S*runs\/digits picture\.png --strength 0\.3 --draws 4 --seed 0 --steps 2$/,
    );
    expect(await violations(page)).toEqual([]);

    await page.getByRole("radio", { name: "Go between two" }).check();
    await page.getByRole("group", { name: "From" }).getByRole("button", { name: "Draw one" }).click();
    const to = page.getByRole("group", { name: "To" });
    await to.getByRole("button", { name: "Draw one (seed 0)" }).click();
    await to.getByRole("button", { name: "Draw one (seed 1)" }).click({ timeout: LONG });
    await to.getByRole("button", { name: "Draw one (seed 2)" }).waitFor({ timeout: LONG });
    await page.getByRole("button", { name: "Find the path" }).click();
    const way = page.getByRole("slider", { name: "Way from the first to the second" });
    await way.waitFor({ timeout: LONG });
    const shown = (): Promise<string> =>
      page
        .getByRole("img", { name: /^Picture at / })
        .evaluate(
          (canvas) =>
            (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, 28, 28).data.join() ?? "",
        );
    const middle = await shown();
    await way.fill("24");
    await page.getByRole("img", { name: "Picture at 100 % of the way" }).waitFor();
    expect(await shown()).not.toBe(middle);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("fits wide windows, and narrow ones, dark and in Chinese", async () => {
    const wide = await openRun("flowers", "impute", { viewport: { width: 2560, height: 1400 } });
    await wide.getByRole("button", { name: "Take rows that the model draws" }).click();
    await wide.getByText("0 gaps in 0 of 12 rows").waitFor({ timeout: LONG });
    expect(await wide.evaluate(() => document.documentElement.scrollWidth)).toBe(2560);
    await wide.close();
    const narrow = { viewport: { width: 360, height: 800 }, colorScheme: "dark", locale: "zh-CN" } as const;
    const page = await openRun("flowers", "score", narrow);
    const choose = page.getByLabel(/^选择一个表格/);
    await choose.setInputFiles(named("new.csv", TABLE));
    await page.getByText("new.csv：79 行，最异常的在前。").waitFor({ timeout: LONG });
    for (const name of ["找出异常", "填补空缺", "生成样本"]) {
      await page.getByRole("radio", { name }).check();
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
      expect(await violations(page)).toEqual([]);
    }
    await page.close();
  });
});
