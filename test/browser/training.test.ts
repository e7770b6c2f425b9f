import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium, type OpenPage, openPage, SOFTWARE_WEBGPU_FLAGS } from "./browser.ts";
import { expectSameLosses } from "./expect-same.ts";
import { randomNumbers, TRAININGS } from "./training.ts";

const executable = findChromium();
if (executable === undefined) {
  console.warn("browser tests skipped: no Chromium found; install it or set CHROMIUM_PATH");
}

/** One more than and twice the numbers 1, 2 and 3. */
const TOGETHER = [
  [2, 2],
  [3, 4],
  [4, 6],
];

describe.skipIf(executable === undefined)("in headless Chromium", () => {
  let page: OpenPage;
  beforeAll(async () => {
    page = await openPage(executable ?? "");
  });
  afterAll(() => page?.close());

  it("has a page that WebAssembly threads can use", () => {
    expect(page.isolated).toBe(true);
  });

  it("draws the same random numbers as Node, bit for bit", async () => {
    expect(await page.call("randomNumbers")).toEqual(randomNumbers());
  });

  it.each(TRAININGS)("trains %s under wasm with two threads as Node does", async (name) => {
    await expectSameLosses(name, await page.call("train", name, "wasm", 2));
  });

  it("runs a program several times at once under wasm", async () => {
    expect(await page.call("runTogether", [1, 2, 3], "wasm")).toEqual(TOGETHER);
  });
});

describe.skipIf(executable === undefined)("in headless Chromium with software WebGPU", () => {
  let page: OpenPage;
  beforeAll(async () => {
    page = await openPage(executable ?? "", SOFTWARE_WEBGPU_FLAGS);
  });
  afterAll(() => page?.close());

  it("runs a program several times at once under webgpu", async () => {
    expect(await page.call("runTogether", [1, 2, 3], "webgpu")).toEqual(TOGETHER);
  });

  it.each(TRAININGS)("trains %s under webgpu as Node does", async (name) => {
    await expectSameLosses(name, await page.call("train", name, "webgpu", 1));
  });
});
