import { rm } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium, SOFTWARE_WEBGPU_FLAGS } from "./browser.ts";
import { LONG, launch, openStudio, violations } from "./studio.ts";

// The playground by WebGPU, on an adapter in software, whose first step takes half a minute.

/** Milliseconds after which it is given up. */
const SLOW = 5 * LONG;

const executablePath = findChromium();

describe.skipIf(executablePath === undefined)("the playground with WebGPU", () => {
  let folder: string;
  let studio: Running;
  let browser: Browser;
  let address: string;
  const complaints: string[] = [];
  beforeAll(async () => {
    folder = await temporaryFolder();
    studio = start(["studio", "--port", "0", "--no-open"], folder);
    address = await studio.printed(/open (http:\S+)/);
  });
  afterAll(async () => {
    studio?.kill("SIGINT");
    await studio?.outcome;
    await rm(folder, { recursive: true, force: true });
    expect(complaints).toEqual([]);
  });

  it("offers it where there is an adapter, and trains and draws by it as by WebAssembly", async () => {
    browser = await launch(executablePath, SOFTWARE_WEBGPU_FLAGS);
    const page = await openStudio(browser, address, "#/playground?models=rectified-flow", { complaints });
    const panel = page.locator("[data-model=rectified-flow]");
    const ready = page.locator("[data-model=rectified-flow][data-status=ready]");
    await ready.waitFor({ timeout: LONG });
    const choice = page.getByLabel("Computed by");
    await choice.waitFor({ timeout: LONG });
    /** The distance from the data after a step, as it is shown. */
    const distanceAfterStep = async (): Promise<number> => {
      await page.getByRole("button", { name: "Step", exact: true }).click();
      const figure = (name: string) => panel.locator(`[data-figure=${name}]`).textContent();
      await expect.poll(() => figure("step"), { timeout: SLOW }).toBe("Step 1");
      await expect.poll(() => figure("energy"), { timeout: SLOW }).toMatch(/^\d/);
      return Number(await figure("energy"));
    };
    await choice.selectOption("webgpu");
    const byGpu = await distanceAfterStep();
    expect(await violations(page)).toEqual([]);
    await choice.selectOption("wasm");
    expect(Math.abs((await distanceAfterStep()) - byGpu)).toBeLessThan(2e-3);
    await browser.close();
  });

  it("does not where there is none", async () => {
    browser = await launch(executablePath);
    const page = await openStudio(browser, address, "#/playground?models=nice", { complaints });
    await page.locator("[data-model=nice][data-status=ready]").waitFor({ timeout: LONG });
    expect(await page.getByLabel("Computed by").count()).toBe(0);
    await browser.close();
  });
});
