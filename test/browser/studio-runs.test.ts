import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, openStudio, type PageOptions, violations } from "./studio.ts";

// The room of runs, as `eidos studio` serves it: runs that commands fit meanwhile, looked at in headless Chromium.

const executablePath = findChromium();

const FIT = ["two-moons", "--count", "500", "--width", "8", "--log-every", "5", "--validate-every", "20"];

describe.skipIf(executablePath === undefined)("the room of runs", () => {
  let folder: string;
  let studio: Running;
  let fitting: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];

  const open = (hash: string, options: PageOptions = {}): Promise<Page> =>
    openStudio(browser, address, hash, { complaints, ...options });

  beforeAll(async () => {
    folder = await temporaryFolder();
    const done = start(["fit", "nice", ...FIT, "--steps", "40", "--out", "runs/short", "--quiet"], folder);
    expect((await done.outcome).code).toBe(0);
    // A name of a stranger's run is text, and never a part of the page.
    await mkdir(join(folder, "runs", "<img src=x onerror=alert(1)>"));
    await writeFile(join(folder, "runs", "<img src=x onerror=alert(1)>", "config.json"), "{}");
    studio = start(["studio", "--port", "0", "--no-open"], folder);
    address = await studio.printed(/open (http:\S+)/);
    browser = await launch(executablePath);
    fitting = start(
      ["fit", "real-nvp", ...FIT, "--steps", "1000000", "--seed", "7", "--out", "runs/long", "--quiet"],
      folder,
    );
  });
  afterAll(async () => {
    await browser?.close();
    for (const running of [fitting, studio]) {
      running?.kill("SIGINT");
      await running?.outcome;
    }
    expect(complaints).toEqual([]);
  });

  const figure = async (page: Page, run: string): Promise<number> => {
    const row = page.getByRole("row").filter({ has: page.getByRole("checkbox", { name: run, exact: true }) });
    return Number((await row.locator(".figure").first().textContent())?.replaceAll(/\D/g, ""));
  };

  it("shows how a run comes on that a command fits, beside one that is done", async () => {
    const page = await open("#/runs");
    await page.getByRole("checkbox", { name: "short", exact: true }).check({ timeout: LONG });
    await page.getByRole("checkbox", { name: "long", exact: true }).check({ timeout: LONG });
    await expect.poll(() => page.url(), { timeout: LONG }).toContain("#/runs?run=short&run=long");
    await page.getByText("Being fitted").waitFor({ timeout: LONG });
    const curves = page.getByRole("img", { name: /^Curves of/ });
    await expect.poll(() => curves.getAttribute("aria-label"), { timeout: LONG }).toMatch(/long [−\d]/);
    const before = await figure(page, "long");
    await expect.poll(() => figure(page, "long"), { timeout: LONG }).toBeGreaterThan(before);
    expect(await figure(page, "short")).toBe(40);
    const differences = page.getByRole("region", { name: "Options that differ" });
    const rows = await differences.getByRole("row").allTextContents();
    expect(rows).toEqual(expect.arrayContaining(["modelnicereal-nvp", "seed07", "steps401000000"]));
    expect(rows.filter((row) => row.startsWith("width"))).toEqual([]);
    await page.getByLabel("Measure").selectOption("loss");
    await page.getByRole("radio", { name: "Seconds" }).check();
    await expect.poll(() => page.url()).toContain("measure=loss&over=seconds");
    await page.getByRole("region", { name: "short" }).getByRole("img").waitFor({ timeout: LONG });
    expect(await violations(page)).toEqual([]);
    // What was watched is tried out.
    await page.getByRole("region", { name: "short" }).getByRole("link", { name: "Use", exact: true }).click();
    await page.getByRole("button", { name: "Draw samples" }).click({ timeout: LONG });
    await expect.poll(() => page.locator("tbody tr").count(), { timeout: LONG }).toBe(500);
    expect(await page.locator(".command code").first().textContent()).toMatch(
      /^npx eidos sample \S*runs\/short /,
    );
    await page.close();
  });

  it("sorts and filters, keeps notes, and throws away what is not wanted", async () => {
    const page = await open("#/runs?run=short");
    const names = (): Promise<readonly string[]> => page.locator("tbody .choice").allInnerTexts();
    await page.getByRole("button", { name: "Step" }).click();
    await expect.poll(names, { timeout: LONG }).toEqual(["short", "long", "<img src=x onerror=alert(1)>"]);
    expect(await page.getByRole("columnheader", { name: "Step" }).getAttribute("aria-sort")).toBe(
      "ascending",
    );
    const notes = page.getByText("Notes and tags");
    await notes.click();
    await page.getByLabel("Notes", { exact: true }).fill("wider next time");
    await page.getByLabel("Tags, with commas between them").fill("baseline, 双月");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor({ timeout: LONG });
    await page.getByLabel("Filter").fill("双月");
    await expect.poll(names, { timeout: LONG }).toEqual(["short"]);
    await page.reload();
    await page.getByText("Notes and tags").click({ timeout: LONG });
    expect(await page.getByLabel("Notes", { exact: true }).inputValue()).toBe("wider next time");
    await page.getByRole("button", { name: "Throw away" }).click();
    await page.getByRole("button", { name: "Keep it" }).click();
    await page.getByRole("button", { name: "Throw away" }).click();
    await page.getByRole("button", { name: "Yes, throw it away" }).click();
    await page.getByText("Choose a run to see").waitFor({ timeout: LONG });
    await expect.poll(names, { timeout: LONG }).not.toContain("short");
    await page.close();
  });

  it("begins a fit by its form, stops it, and goes on with it", async () => {
    const page = await open("#/runs");
    await page.getByText("Fit a model").click({ timeout: LONG });
    await page.getByLabel("Data", { exact: true }).selectOption("two-moons");
    await page.getByRole("radio", { name: "Score", exact: true }).check();
    await page.getByText("Suggested: exact log-likelihoods, and samples in one pass.").waitFor();
    await page.getByLabel("Model", { exact: true }).selectOption("nice");
    const begin = page.getByRole("button", { name: "Begin", exact: true });
    const width = page.getByLabel("width", { exact: true });
    await width.fill("wide");
    await page.getByText("Not a value of the option: width").waitFor();
    expect(await begin.isDisabled()).toBe(true);
    await width.fill("8");
    await page.getByLabel("seconds", { exact: true }).fill("");
    await page.getByLabel("steps", { exact: true }).fill("1000000");
    await page.getByLabel("Name", { exact: true }).fill("by the form");
    await begin.click();
    await page.getByText("by the form is in the queue.").waitFor({ timeout: LONG });
    await page.getByRole("progressbar", { name: "Progress of by the form" }).waitFor({ timeout: LONG });
    await expect.poll(() => figure(page, "by the form"), { timeout: LONG }).toBeGreaterThan(0);
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    const card = page.getByRole("region", { name: "by the form" });
    const goOn = card.getByRole("button", { name: "Go on" });
    await goOn.waitFor({ timeout: LONG });
    const stopped = await figure(page, "by the form");
    await goOn.click();
    await expect.poll(() => figure(page, "by the form"), { timeout: LONG }).toBeGreaterThan(stopped);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await goOn.waitFor({ timeout: LONG });
    await page.close();
  });

  it("fits narrow windows, dark and in Chinese, and leaves the playground as it was", async () => {
    const page = await open("#/playground?data=rings&models=nice", {
      viewport: { width: 360, height: 800 },
      colorScheme: "dark",
      locale: "zh-CN",
    });
    await page.getByRole("link", { name: "学习", exact: true }).click();
    await page.getByRole("heading", { name: "看模型学习" }).waitFor();
    expect(await page.title()).toBe("学习 · eidos 工作室");
    await page.getByRole("checkbox", { name: "long", exact: true }).check({ timeout: LONG });
    await page.getByRole("img", { name: /的曲线/ }).waitFor({ timeout: LONG });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    expect(await violations(page)).toEqual([]);
    await page.getByRole("link", { name: "演练场" }).click();
    await expect.poll(() => page.url()).toContain("#/playground?data=rings&models=nice");
    await page.close();
  });
});
