import { mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openImageFolder } from "../../../src/data/image/folder.node.ts";
import { temporaryFolder } from "../../support.ts";

const COUNT = 260;
let root = "";
let cache = "";
const before = process.env.EIDOS_CACHE;

const bytesOf = (value: number) =>
  encode({ width: 4, height: 4, channels: 1, depth: 8, data: new Uint8Array(16).fill(value) });
const file = (index: number): string => join(root, "images", `${String(index).padStart(3, "0")}.png`);

beforeAll(async () => {
  root = await temporaryFolder();
  await mkdir(join(root, "images"));
  for (let i = 0; i < COUNT; i++) await writeFile(file(i), bytesOf(i % 256));
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  cache = await temporaryFolder();
  process.env.EIDOS_CACHE = cache;
});
afterEach(async () => {
  if (before === undefined) delete process.env.EIDOS_CACHE;
  else process.env.EIDOS_CACHE = before;
  await rm(cache, { recursive: true });
});

/** Opens the folder. @returns its fingerprint, and how many images were decoded at least */
async function open(options: { readonly cache?: boolean; readonly size?: number } = {}) {
  const data = await openImageFolder(join(root, "images"), { size: 4, color: "grey", ...options });
  return { fingerprint: data.fingerprint, lines: data.describe().join("\n") };
}
const kept = async (): Promise<string[]> => readdir(join(cache, "images")).catch(() => []);

describe("decoded images of a large folder", () => {
  test("are kept, and taken from there the next time", async () => {
    const first = await open();
    expect(first.lines).not.toMatch(/earlier time/);
    expect(await kept()).toHaveLength(1);
    const second = await open();
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.lines).toMatch(/260 images decoded at an earlier time \(--no-cache/);
  });

  test("of another size are others", async () => {
    await open();
    await open({ size: 2 });
    expect(await kept()).toHaveLength(2);
  });

  test("are decoded again where a file has changed, even where its size and its time of change are as before", async () => {
    const first = await open();
    const held = await stat(file(7));
    await writeFile(file(7), bytesOf(8));
    await utimes(file(7), held.atime, held.mtime);
    const second = await open();
    expect(second.fingerprint).not.toBe(first.fingerprint);
    expect(second.fingerprint).toBe((await open({ cache: false })).fingerprint);
    await writeFile(file(7), bytesOf(7));
    expect((await open()).fingerprint).toBe(first.fingerprint);
  });

  test("of 16 bits are told to be dark whether or not they are decoded, and are others with other bits", async () => {
    const folder = join(root, "deep");
    await mkdir(folder);
    for (let i = 0; i < COUNT; i++) {
      const data = new Uint16Array(16).fill(15 * i);
      await writeFile(
        join(folder, `${String(i).padStart(3, "0")}.png`),
        encode({ width: 4, height: 4, channels: 1, depth: 16, data }),
      );
    }
    const opened = async (bits?: number) => {
      const data = await openImageFolder(folder, { size: 4, color: "grey", ...(bits && { bits }) });
      return { fingerprint: data.fingerprint, lines: data.describe().join("\n") };
    };
    const first = await opened();
    const second = await opened();
    for (const { lines } of [first, second]) {
      expect(lines).toMatch(
        /260 images of 16 bits \(000\.png, …\) have no value from 4096 on, and are dark: --bits 12/,
      );
    }
    expect(second.lines).toMatch(/260 images decoded at an earlier time/);
    expect(second.fingerprint).toBe(first.fingerprint);
    const scaled = await opened(12);
    expect(scaled.fingerprint).not.toBe(first.fingerprint);
    expect(scaled.lines).not.toMatch(/earlier time|dark/);
    expect((await opened(12)).fingerprint).toBe(scaled.fingerprint);
    expect(await kept()).toHaveLength(2);
  });

  test("are not kept where that is not wanted", async () => {
    await open({ cache: false });
    expect(await kept()).toEqual([]);
  });

  test("that are damaged are decoded again", async () => {
    const first = await open();
    const [name = ""] = await kept();
    const { size } = await stat(join(cache, "images", name));
    for (const damaged of [new Uint8Array(10), new Uint8Array(size).fill(7)]) {
      await writeFile(join(cache, "images", name), damaged);
      expect((await open()).fingerprint).toBe(first.fingerprint);
    }
  });

  test("that cannot be kept are told", async () => {
    await writeFile(join(cache, "images"), "in the way");
    expect((await open()).lines).toMatch(/decoded images are not kept for the next time: /);
  });
});
