import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  fileError,
  makeFolder,
  readBytes,
  replaceFile,
  writeFileAtomic,
} from "../../../src/data/files/files.node.ts";
import { optional } from "../../../src/data/files/optional.node.ts";
import { DataError, FileError, MissingPackageError, RuntimeError } from "../../../src/errors.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("a file is written whole, in new folders, from text, bytes or pieces", async () => {
  const path = join(folder, "a/b/c.txt");
  await writeFileAtomic(path, "første");
  expect(await readFile(path, "utf8")).toBe("første");
  async function* pieces() {
    yield "one ";
    yield new TextEncoder().encode("two");
  }
  await writeFileAtomic(path, pieces());
  expect(await readFile(path, "utf8")).toBe("one two");
  expect(await readdir(join(folder, "a/b"))).toEqual(["c.txt"]);
});

test("a write that fails halfway leaves the old file and nothing else", async () => {
  const path = join(folder, "kept.txt");
  await writeFileAtomic(path, "old");
  const full = async function* () {
    yield "half of the new";
    throw Object.assign(new Error("write"), { code: "ENOSPC" });
  };
  await expect(writeFileAtomic(path, full())).rejects.toThrow(
    new FileError(
      `cannot write ${path}: there is no space left on the disk; free some, or choose another folder`,
    ),
  );
  expect(await readFile(path, "utf8")).toBe("old");
  expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a real full device is reported as such", async () => {
  // Linux has a device on which every write fails with ENOSPC.
  const write = replaceFile(join(folder, "full.txt"), () => writeFile("/dev/full", "x"));
  if (process.platform === "linux") await expect(write).rejects.toThrow(/no space left/);
  else await expect(write).rejects.toThrow();
});

test("a folder that cannot be made is told at once, where nobody may make one, and made by two at once", async () => {
  // Node's own recursive mkdir never ends there.
  if (process.platform === "linux")
    await expect(writeFileAtomic("/proc/eidos/a/x", "")).rejects.toThrow(FileError);
  await writeFileAtomic(join(folder, "plain"), "");
  await expect(makeFolder(join(folder, "plain"))).rejects.toMatchObject({ code: "EEXIST" });
  const deep = join(folder, "by", "two", "at", "once");
  await Promise.all([makeFolder(deep), makeFolder(deep), makeFolder(join(deep, "more"))]);
  expect(await readdir(deep)).toEqual(["more"]);
  await makeFolder(deep);
});

test("a path that goes through a file, and codes without words of their own", async () => {
  await writeFileAtomic(join(folder, "file"), "");
  await expect(writeFileAtomic(join(folder, "file", "x"), "")).rejects.toThrow(FileError);
  const strange = Object.assign(new Error("?"), { code: "EWHATEVER" });
  expect(fileError(strange, "read", "x").message).toBe("cannot read x: EWHATEVER");
  for (const code of ["EROFS", "EACCES", "ENOENT"]) {
    const typed = fileError(Object.assign(new Error("?"), { code }), "write", "runs/a");
    expect(typed).toBeInstanceOf(FileError);
    expect(typed.message).toMatch(/^cannot write runs\/a: .*; (choose|check)/);
  }
  const other = new TypeError("not of the file system");
  expect(fileError(other, "write", "x")).toBe(other);
});

test("a missing file to read", async () => {
  await expect(readBytes(join(folder, "nowhere.bin"))).rejects.toThrow(DataError);
});

test("an optional package that is missing, and one that breaks while loading", async () => {
  const missing = "eidos-package-that-nobody-has";
  await expect(optional(missing, "reading x", () => import(/* @vite-ignore */ missing))).rejects.toThrow(
    new MissingPackageError(
      `reading x needs the package ${missing}, which is not installed; run \`npm install ${missing}\``,
    ),
  );
  await expect(optional("sharp", "reading x", () => Promise.reject(new Error("no binary")))).rejects.toThrow(
    RuntimeError,
  );
});
