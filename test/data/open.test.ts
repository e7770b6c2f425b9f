import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, parse } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dataCatalog } from "../../src/data/catalog.ts";
import { openData, plainKind } from "../../src/data/open.node.ts";
import { DataError, OptionError } from "../../src/errors.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-open-"));
});
afterAll(() => rm(folder, { recursive: true }));

const plain = dataCatalog.filter(({ kind }) => kind !== "detection");

test.each(plain)("$name opens as the catalogue says", async ({ name, kind, sampleShape }) => {
  const data = await openData(name, { count: 50 });
  expect(data).toMatchObject({ name, kind, sampleShape });
  const { x } = data.splits.train.batch([0, 1, 2]);
  expect(x.shape).toEqual([3, ...sampleShape]);
  expect(data.logDensity !== undefined).toBe(kind === "points");
  expect(data.describe().length).toBeGreaterThan(1);
});

test("tables by path, by query, and by a query over a path", async () => {
  const path = join(folder, "t.csv");
  await writeFile(path, "a,b\n1,2\n3,4\n5,6\n7,7\n");
  expect((await openData(path)).sampleShape).toEqual([2]);
  expect((await openData(path, { sql: "select a from data" })).sampleShape).toEqual([1]);
  expect((await openData(`select a, b, a + b as c from '${path}'`)).sampleShape).toEqual([3]);
  expect((await openData("", { sql: "select range as a from range(5)" })).kind).toBe("table");
});

test("the kind of data is known before it is read", async () => {
  expect(await plainKind("digits", { binary: true })).toBe("image");
  expect(await plainKind("energy-u1")).toBe("points");
  expect(await plainKind(folder)).toBe("image");
  expect(await plainKind("nowhere.csv")).toBe("table");
  expect(await plainKind("", { sql: "select 1" })).toBe("table");
  await expect(plainKind("nowhere")).rejects.toThrow(/there is no data set, file or folder "nowhere"/);
});

test("names and options that do not exist", async () => {
  await expect(openData("digit")).rejects.toThrow(
    new DataError('there is no data set, file or folder "digit"; did you mean "digits"?'),
  );
  await expect(openData("holiday-photos")).rejects.toThrow(/the named ones are digits, two-moons/);
  await expect(openData("wine.csv")).rejects.toThrow(/wine\.csv: there is no such file/);
  await expect(openData("digits", { siez: 3 } as object)).rejects.toThrow(
    new OptionError("data: there is no option siez; did you mean size?"),
  );
  await expect(openData("digits", { size: -1 })).rejects.toThrow(/data: option size: /);
  const text = join(folder, "notes.txt");
  await writeFile(text, "hello");
  await expect(openData(text)).rejects.toThrow(/notes\.txt: not a table; its name must end in \.csv/);
});

test("all of the file system is no data, and a folder is none where a run was fitted on rows: neither is looked through", async () => {
  await expect(openData(parse(folder).root)).rejects.toThrow(/: is all of the file system; name the folder/);
  await expect(openData(folder, {}, { isRows: true })).rejects.toThrow(
    /is a folder without tables, where the run was fitted on rows or points/,
  );
  await expect(openData(folder)).rejects.toThrow(/no images in this folder/);
});
