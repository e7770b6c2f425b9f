import { execFileSync } from "node:child_process";
import { mkdir, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeImage } from "../../../src/data/image/decode.node.ts";
import { openImageFolder } from "../../../src/data/image/folder.node.ts";
import { streamImages } from "../../../src/data/image/stream.node.ts";
import { DataError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const OPTIONS = { size: 4 } as const;
const FORMAT = { size: 4, channels: "rgb" } as const;

async function image(path: string, shade: number): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  const background = { r: shade, g: 0, b: 0 };
  await sharp({ create: { width: 8, height: 8, channels: 3, background } }).toFile(join(root, path));
}

describe.skipIf(process.platform === "win32")("links in a folder of images", () => {
  test("to folders within it are classes", async () => {
    for (let i = 0; i < 4; i++) {
      await image(`inner/red/${i}.png`, 200 + i);
      await image(`inner/.store/black/${i}.png`, i);
    }
    await symlink(".store/black", join(root, "inner/black"));
    await symlink("..", join(root, "inner/red/up"));
    const data = await openImageFolder(join(root, "inner"), OPTIONS);
    expect(data.classes).toEqual(["black", "red"]);
    expect(data.describe()[0]).toMatch(/8 images/);
    expect(data.describe().at(-1)).toBe(
      "left out 1 not looked into: red/up (a link to a folder that it is in)",
    );
  });

  test("to folders out of it are refused, as classes and splits would change; followLinks follows them", async () => {
    for (let i = 0; i < 4; i++) {
      await image(`outer/red/${i}.png`, 200 + i);
      await image(`store/${i}.png`, i);
    }
    await symlink(join(root, "store"), join(root, "outer/black"));
    const opening = openImageFolder(join(root, "outer"), OPTIONS);
    await expect(opening).rejects.toThrow(DataError);
    await expect(opening).rejects.toThrow(/outer\/black: a link to .*store; copy .*--follow-links/);
    const data = await openImageFolder(join(root, "outer"), { ...OPTIONS, followLinks: true });
    expect(data.classes).toEqual(["black", "red"]);
  });

  test("to images out of it are left out and counted", async () => {
    await image("private/x.png", 7);
    for (let i = 0; i < 4; i++) await image(`single/${i}.png`, i);
    await symlink("../private/x.png", join(root, "single/x.png"));
    await symlink("3.png", join(root, "single/y.png"));
    const folder = join(root, "single");
    const data = await openImageFolder(folder, OPTIONS);
    expect(data.describe()[0]).toMatch(/5 images/);
    expect(data.describe().at(-1)).toMatch(
      /^left out 1 not looked into: x\.png \(a link to .*--follow-links/,
    );
    expect((await openImageFolder(folder, { ...OPTIONS, followLinks: true })).describe()[0]).toMatch(
      /6 images/,
    );

    const left: string[] = [];
    const onUnreadable = (file: string, reason: string) => left.push(`${file}: ${reason}`);
    const names: string[] = [];
    for await (const { files } of streamImages(folder, FORMAT, { batchSize: 8, onUnreadable }))
      names.push(...files);
    expect(names).toEqual(["0.png", "1.png", "2.png", "3.png", "y.png"]);
    expect(left).toEqual([expect.stringMatching(/^x\.png: a link to/)]);

    await mkdir(join(root, "none"));
    await symlink("../private/x.png", join(root, "none/x.png"));
    await expect(openImageFolder(join(root, "none"), OPTIONS)).rejects.toThrow(
      /no images in this folder; .*left out 1 not looked into: x\.png \(a link to/,
    );
  });

  test("and pipes in place of images do not stop what reads it", async () => {
    for (let i = 0; i < 4; i++) await image(`pipes/${i}.png`, i);
    execFileSync("mkfifo", [join(root, "pipes/pipe.png")]);
    await symlink("loop.png", join(root, "pipes/loop.png"));
    const data = await openImageFolder(join(root, "pipes"), OPTIONS);
    expect(data.describe().at(-1)).toBe("left out 2 unreadable: loop.png, pipe.png");
    await expect(decodeImage(join(root, "pipes/pipe.png"), FORMAT)).rejects.toThrow(
      /pipe\.png: it is a pipe/,
    );
    await expect(decodeImage("/dev/zero", FORMAT)).rejects.toThrow(/it is a device, not a regular file/);
  });
});

test("files that are too large, drawings and NUL characters are refused", async () => {
  const large = join(root, "large.png");
  await writeFile(large, "");
  await truncate(large, 300e6);
  await expect(decodeImage(large, FORMAT)).rejects.toThrow(
    /large\.png: 300 MB, where an image has 256 MB at most/,
  );
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await expect(decodeImage(svg, FORMAT, "a.png")).rejects.toThrow(/a\.png: .*it holds SVG, not pixels/);
  // The header of a PNG of 100,000 × 100,000 pixels.
  const whole = await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  whole.writeUInt32BE(100_000, 16);
  whole.writeUInt32BE(100_000, 20);
  await expect(decodeImage(whole, FORMAT, "bomb.png")).rejects.toThrow(DataError);
  await expect(decodeImage("a\0.png", FORMAT)).rejects.toThrow(/a\\u0000\.png: the path has a NUL character/);
});

test("a file that is replaced under its path, of the same size and time, is decoded as it is now", async () => {
  const path = join(root, "stale.webp");
  const write = async (red: number) => {
    const background = { r: red, g: 0, b: 0 };
    const bytes = await sharp({ create: { width: 8, height: 8, channels: 3, background } })
      .webp({ lossless: true })
      .toBuffer();
    const padded = Buffer.alloc(4000);
    bytes.copy(padded);
    await writeFile(path, padded);
    await utimes(path, 1_000_000, 1_000_000);
  };
  for (const red of [255, 3, 120]) {
    await write(red);
    expect((await decodeImage(path, FORMAT))[0]).toBe(red);
  }
});
