import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";

// Options of small fits of diffusion models, and small images to fit them to.

/** For points and tables. */
export const SMALL = [
  ...["--width", "32", "--depth", "2", "--fourier-features", "16"],
  ...["--sample-pictures", "0", "--report", "none", "--quiet"],
];

export const POINTS = [...SMALL, "--count", "400", "--batch-size", "64", "--steps", "120"];

export const IMAGES = [
  ...["--channels", "8", "--multipliers", "1", "--batch-size", "8", "--steps", "8"],
  ...["--sample-pictures", "0", "--report", "none", "--quiet"],
];

/** Images whose upper half is one grey value and whose lower half another, in two folders by the shade of the upper. */
export async function paintShades(root: string): Promise<void> {
  const halves = async (path: string, top: number, bottom: number): Promise<void> => {
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i < 32 ? top : bottom));
    await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toFile(join(root, path));
  };
  for (const name of ["dark", "light"]) await mkdir(join(root, "shades", name), { recursive: true });
  for (let i = 0; i < 12; i++) {
    await halves(join("shades", "dark", `${i}.png`), 30 + i, 220);
    await halves(join("shades", "light", `${i}.png`), 200 + i, 20);
  }
}
