import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { handoutPage } from "../../src/tasks/export/page.node.ts";
import { findChromium } from "./browser.ts";
import { LONG, launch, violations } from "./studio.ts";

// Pages to hand out, opened from a disk with no network at all: what they show is what Python says of the same files.

const executablePath = findChromium();
const FIXTURES = fileURLToPath(new URL("../fixtures/export/", import.meta.url));

interface Expected {
  readonly scores: readonly number[];
  readonly objects: readonly { readonly class: string; readonly score: number }[];
}

async function filesIn(folder: string): Promise<Readonly<Record<string, Uint8Array>>> {
  const names = await readdir(folder);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
}

describe.skipIf(executablePath === undefined)("a page to hand out", () => {
  let folder = "";
  let browser: Browser;
  let expected: Expected;
  const complaints: string[] = [];

  beforeAll(async () => {
    expected = JSON.parse(await readFile(join(FIXTURES, "expected.json"), "utf8"));
    folder = await mkdtemp(join(tmpdir(), "eidos-handout-"));
    browser = await launch(executablePath);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function opened(kind: string, locale = "en"): Promise<Page> {
    const file = join(folder, `${kind}.html`);
    await writeFile(file, await handoutPage(`<${kind}>`, await filesIn(join(FIXTURES, kind))));
    const context = await browser.newContext({
      locale,
      offline: true,
      viewport: { width: 900, height: 900 },
    });
    const page = await context.newPage();
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("request", (request) => {
      if (!/^(file|blob|data):/.test(request.url())) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(pathToFileURL(file).href);
    await page.locator("section.card, main > .intro [role=alert]").first().waitFor({ timeout: 30_000 });
    return page;
  }

  it("finds objects in a photo, with a least score for each class", async () => {
    const page = await opened("detector");
    await page.setInputFiles('input[type="file"]', join(FIXTURES, "photo.png"));
    const least = page.getByRole("slider", { name: "Least score", exact: true });
    await least.waitFor({ timeout: LONG });
    const countOf = (least: number, label: string) =>
      expected.objects.filter((object) => object.class === label && object.score >= least).length;
    const said = page.locator("p[role=status]");
    // Between the scores of objects: rounding decides nothing.
    expect([countOf(0.3283, "blue"), countOf(0.3, "red")].every((count) => count > 1)).toBe(true);
    await least.fill("0.3");
    const all = ["blue", "red"].map((label) => `${label} ${countOf(0.3, label)}`);
    expect(((await said.textContent()) ?? "").split(", ").sort()).toEqual(all);
    await page.getByRole("slider", { name: "Least score of blue" }).fill("0.33");
    const fewer = [`blue ${countOf(0.33, "blue")}`, all[1]];
    expect(((await said.textContent()) ?? "").split(", ").sort()).toEqual(fewer);
    expect(await violations(page)).toEqual([]);
    await page.context().close();
  });

  it("finds odd rows, and draws others", async () => {
    const page = await opened("table", "zh-CN");
    await page.getByRole("radio", { name: "找出异常" }).check();
    await page.setInputFiles('input[type="file"]', join(FIXTURES, "rows.json"));
    await page.locator("table").waitFor({ timeout: LONG });
    const nats = await page.locator("tbody tr td:nth-child(2)").allInnerTexts();
    const order = expected.scores.toSorted((a, b) => a - b).slice(0, 100);
    expect(nats).toHaveLength(order.length);
    for (const [i, text] of nats.entries())
      expect(Math.abs(Number(text.replace("−", "-")) - (order[i] ?? 0))).toBeLessThan(0.01);
    expect(await violations(page)).toEqual([]);
    await page.getByRole("radio", { name: "生成样本" }).check();
    await page.getByRole("button", { name: "生成样本" }).click();
    await page.locator("tbody tr").nth(15).waitFor({ timeout: LONG });
    await page.context().close();
  });

  it("draws pictures of each class, as a model wants one", async () => {
    const page = await opened("image");
    await page.getByRole("button", { name: "Draw samples" }).click();
    await page.locator("img.samples").waitFor({ timeout: LONG });
    expect(await violations(page)).toEqual([]);
    await page.context().close();
  });

  it("asks nobody for anything, and complains of nothing", () => {
    expect(complaints).toEqual([]);
  });
});
