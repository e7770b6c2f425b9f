import { execFileSync } from "node:child_process";
import { mkdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readNpy, readPairs } from "../../../src/data/files/arrays.node.ts";
import { DataFolder, listBelow, pathBelow } from "../../../src/data/files/data-folder.node.ts";
import { FILE_KINDS, readRegularFile, UnreadFileError } from "../../../src/data/files/files.node.ts";
import { DataError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const isWindows = process.platform === "win32";
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Why a file is not read. */
async function reasonOf(reading: Promise<unknown>): Promise<string> {
  const error = await reading.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof UnreadFileError)) throw error;
  return error.reason;
}

describe("regular files", () => {
  test("are read whole, or their beginning", async () => {
    const path = join(root, "plain.txt");
    await writeFile(path, "first line\nsecond line\n");
    expect(textOf(await readRegularFile(path, FILE_KINDS.text))).toBe("first line\nsecond line\n");
    expect(textOf(await readRegularFile(path, { ...FILE_KINDS.text, head: 5 }))).toBe("first");
    await writeFile(path, "");
    expect(await readRegularFile(path, FILE_KINDS.text)).toHaveLength(0);
  });

  test("have a size that is checked before any of it is read", async () => {
    const path = join(root, "large.png");
    await writeFile(path, "");
    // A file with a hole takes no space, and would take 100 GB of memory.
    await truncate(path, 100e9);
    const reading = readRegularFile(path, FILE_KINDS.image);
    await expect(reading).rejects.toThrow(DataError);
    await expect(reading).rejects.toThrow(/large\.png: 100,000 MB, where an image has 256 MB at most/);
    expect(await readRegularFile(path, { ...FILE_KINDS.image, head: 8 })).toHaveLength(8);
    await rm(path);
  });

  test("are not folders, absent, or of a name that none can have", async () => {
    const read = (path: string) => reasonOf(readRegularFile(path, FILE_KINDS.text));
    expect(await read(root)).toBe("no-file");
    expect(await read(join(root, "absent"))).toBe("missing");
    expect(await read(join(root, "a\0b"))).toBe("no-path");
    expect(await read(join(root, "long".repeat(500)))).toBe("no-path");
  });

  test.skipIf(isWindows)("are no pipes, devices or circles of links; those are not opened", async () => {
    const pipe = join(root, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readRegularFile(pipe, FILE_KINDS.text)).rejects.toThrow(
      /pipe: it is a pipe, not a regular file/,
    );
    await expect(readNpy(pipe)).rejects.toThrow(UnreadFileError);
    await expect(readPairs(pipe)).rejects.toThrow(UnreadFileError);
    await expect(readNpy("/dev/zero")).rejects.toThrow(/\/dev\/zero: it is a device/);
    await symlink("circle", join(root, "circle"));
    expect(await reasonOf(readNpy(join(root, "circle")))).toBe("no-path");
  });
});

test("names from elsewhere become paths below a folder", () => {
  expect(pathBelow("street/a.jpg")).toBe("street/a.jpg");
  expect(pathBelow("../../etc/passwd")).toBe("etc/passwd");
  expect(pathBelow("/etc/./passwd")).toBe("etc/passwd");
  expect(pathBelow("C:\\windows\\..\\a.png")).toBe("windows/a.png");
  expect(pathBelow("a\0b\n.png")).toBe("a_b_.png");
  expect(pathBelow("..")).toBe("unnamed");
});

describe.skipIf(isWindows)("the folder of a data set", () => {
  /** A folder with a file, a link to it, links out of it and a circle. */
  async function folderWithLinks(name: string): Promise<string> {
    const base = join(root, name);
    await mkdir(join(base, "data/own/deep"), { recursive: true });
    await mkdir(join(base, "private/more"), { recursive: true });
    await writeFile(join(base, "data/own/a.txt"), "own");
    await writeFile(join(base, "private/secret.txt"), "secret");
    await writeFile(join(base, "private/more/b.txt"), "more");
    await symlink("own/a.txt", join(base, "data/inner.txt"));
    await symlink("own", join(base, "data/again"));
    await symlink(join(base, "private/secret.txt"), join(base, "data/outer.txt"));
    await symlink("../private", join(base, "data/out"));
    await symlink("..", join(base, "data/own/up"));
    await symlink("nowhere", join(base, "data/broken.txt"));
    return join(base, "data");
  }

  test("is listed without what links lead to outside, and without circles", async () => {
    const path = await folderWithLinks("listed");
    const listing = await listBelow(await DataFolder.open(path));
    expect(listing.files).toEqual(["again/a.txt", "broken.txt", "inner.txt", "own/a.txt"]);
    expect(listing.leftOut.map(({ path, kind, isFolder }) => [path, kind, isFolder])).toEqual([
      ["again/up", "circle", true],
      ["out", "outside", true],
      ["outer.txt", "outside", false],
      ["own/up", "circle", true],
    ]);
    const followed = await listBelow(await DataFolder.open(path, { followLinks: true }));
    expect(followed.files).toEqual([
      ...["again/a.txt", "broken.txt", "inner.txt", "out/more/b.txt", "out/secret.txt", "outer.txt"],
      "own/a.txt",
    ]);
  });

  test("is listed to a depth, and what is deeper is named", async () => {
    const path = join(root, "deep");
    await mkdir(join(path, "a/b/c"), { recursive: true });
    await writeFile(join(path, "a/x.txt"), "");
    await writeFile(join(path, "a/b/c/y.txt"), "");
    const listing = await listBelow(await DataFolder.open(path), 2);
    expect(listing.files).toEqual(["a/x.txt"]);
    expect(listing.leftOut).toEqual([
      { path: "a/b/c", isFolder: true, kind: "deep", detail: "more than 2 folders deep" },
    ]);
  });

  test("has no files outside, by names or by links", async () => {
    const path = await folderWithLinks("read");
    const folder = await DataFolder.open(path);
    const read = async (name: string) => textOf(await folder.read(name, FILE_KINDS.text));
    expect(await read("inner.txt")).toBe("own");
    expect(await read("again/a.txt")).toBe("own");
    for (const name of [
      "../private/secret.txt",
      "own/../../private/secret.txt",
      join(root, "read/private/secret.txt"),
      "outer.txt",
      "out/secret.txt",
      "/dev/zero",
    ]) {
      expect(await reasonOf(read(name)), name).toBe("outside");
    }
    await expect(read("outer.txt")).rejects.toThrow(
      /outer\.txt: a link to .*secret\.txt; copy .*--follow-links/,
    );
    const following = await DataFolder.open(path, { followLinks: true });
    expect(textOf(await following.read("outer.txt", FILE_KINDS.text))).toBe("secret");
    // Links are followed, names lead out all the same.
    expect(await reasonOf(following.read("../private/secret.txt", FILE_KINDS.text))).toBe("outside");
  });

  test("may be given by a relative path, or be a link itself", async () => {
    const path = await folderWithLinks("given");
    await symlink(path, join(root, "given-link"));
    for (const given of [relative(process.cwd(), path), join(root, "given-link")]) {
      const folder = await DataFolder.open(given);
      expect(textOf(await folder.read("own/a.txt", FILE_KINDS.text))).toBe("own");
      expect(folder.below(join(path, "own"))).toBe("own");
      expect(folder.below("own/../own/deep")).toBe("own/deep");
      expect(folder.below("..")).toBeUndefined();
      expect(folder.below("..x")).toBe("..x");
    }
  });

  test("is a folder that is there", async () => {
    await expect(DataFolder.open(join(root, "nowhere"))).rejects.toThrow(/there is no such folder/);
    await expect(DataFolder.open("a\0b")).rejects.toThrow(DataError);
  });
});
