import { readFile, rm } from "node:fs/promises";
import type { Browser } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, start } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";
import { drawn, furnish, LOOKS, SCREENS } from "./screens.ts";
import { launch } from "./studio.ts";

// Ten screens of the studio in both languages and themes, against pictures of them that somebody has looked at. They are compared small and in
// grey, so that fonts of another machine and some steps of training more do not matter, and a screen that is empty, dark or out of place does. Where
// one is to look otherwise: npm run build && npx tsx scripts/studio-screens.ts --keep, and look at them.

const executablePath = findChromium();

/** Sides of the pictures that are compared. */
const SMALL = { width: 65, height: 45 } as const;
/** Grey levels of 255 by which they differ on average, at most. */
const MOST = 4;

const small = (picture: Buffer): Promise<Buffer> =>
  sharp(picture)
    .resize({ ...SMALL, fit: "fill" })
    .greyscale()
    .raw()
    .toBuffer();

const kept = (name: string): Promise<Buffer> =>
  readFile(new URL(`../fixtures/screens/${name}.webp`, import.meta.url));

const difference = (a: Buffer, b: Buffer): number =>
  a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] ?? 0)), 0) / a.length;

it("pictures of different screens, languages and themes differ by more than is let pass", async () => {
  const names = SCREENS.flatMap(({ name }) =>
    LOOKS.map(({ locale, colorScheme }) => `${name}-${locale}-${colorScheme}`),
  );
  const all = await Promise.all(names.map(async (name) => small(await kept(name))));
  for (const [i, name] of names.entries()) {
    const dark = names.indexOf(name.replace("-light", "-dark"));
    if (dark !== i) expect(difference(all[i] as Buffer, all[dark] as Buffer)).toBeGreaterThan(10 * MOST);
  }
  // An empty page of the same theme.
  const blank = await small(
    await sharp({ create: { width: 1300, height: 900, channels: 3, background: "#f4f5f6" } })
      .png()
      .toBuffer(),
  );
  for (const [i, name] of names.entries())
    if (name.endsWith("-light")) expect(difference(all[i] as Buffer, blank), name).toBeGreaterThan(MOST);
});

describe.skipIf(executablePath === undefined)("screens of the studio", () => {
  let folder: string;
  let studio: Running;
  let browser: Browser;
  let address: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    await furnish(folder);
    studio = start(["studio", "--port", "0", "--no-open"], folder);
    address = await studio.printed(/open (http:\S+)/);
    browser = await launch(executablePath);
  });
  afterAll(async () => {
    await browser?.close();
    studio?.kill("SIGINT");
    await studio?.outcome;
    await rm(folder, { recursive: true, force: true });
  });

  it.each(SCREENS.map((screen) => [screen.name, screen] as const))(
    "look as they did: %s",
    async (name, screen) => {
      for (const look of LOOKS) {
        const { png, complaints } = await drawn(browser, address, screen, look);
        expect(complaints).toEqual([]);
        const picture = `${name}-${look.locale}-${look.colorScheme}`;
        expect(difference(await small(png), await small(await kept(picture))), picture).toBeLessThan(MOST);
      }
    },
  );
});
