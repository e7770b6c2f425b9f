import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { findChromium } from "../test/browser/browser.ts";
import { drawn, furnish, LOOKS, SCREENS } from "../test/browser/screens.ts";
import { launch } from "../test/browser/studio.ts";
import { start } from "../test/cli/support.ts";

// Pictures of ten screens of the studio in both languages and both themes, to be looked at before a release; with --keep those that tests
// compare with.
//
//     npm run build && npx tsx scripts/studio-screens.ts --out screens --width 1300

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: "screens" },
    width: { type: "string", default: "1300" },
    keep: { type: "boolean", default: false },
  },
});
const width = Number(options.width);
const kept = fileURLToPath(new URL("../test/fixtures/screens", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "eidos-screens-"));
await mkdir(options.out, { recursive: true });
await furnish(folder);
const studio = start(["studio", "--port", "0", "--no-open"], folder);
const browser = await launch(findChromium());
try {
  const address = await studio.printed(/open (http:\S+)/);
  for (const look of LOOKS) {
    const { locale, colorScheme } = look;
    const tiles: Buffer[] = [];
    for (const screen of SCREENS) {
      const { png, complaints } = await drawn(browser, address, screen, { ...look, width }, width < 600);
      const name = `${screen.name}-${locale}-${colorScheme}`;
      await writeFile(join(options.out, `${name}.png`), png);
      if (options.keep)
        await sharp(png)
          .resize({ width: 650 })
          .webp({ quality: 50 })
          .toFile(join(kept, `${name}.webp`));
      tiles.push(
        await sharp(png).resize({ width: 640, height: 443, fit: "contain", position: "top" }).toBuffer(),
      );
      console.error([name, ...complaints].join(": "));
    }
    const rows = Math.ceil(tiles.length / 3);
    await sharp({ create: { width: 1940, height: 453 * rows, channels: 3, background: "#888" } })
      .composite(tiles.map((input, i) => ({ input, left: 650 * (i % 3), top: 453 * Math.floor(i / 3) })))
      .png()
      .toFile(join(options.out, `all-${locale}-${colorScheme}.png`));
  }
} finally {
  await browser.close();
  studio.kill("SIGINT");
  await studio.outcome;
  await rm(folder, { recursive: true, force: true });
}
