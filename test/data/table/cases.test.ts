import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isDetectionData, openProfile } from "../../../src/data/open.node.ts";
import type { TableColumn } from "../../../src/data/table/columns/schema.ts";
import { Random } from "../../../src/random.ts";

// Files as people have them. Each test names the trait, and makes its own input.

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-cases-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function profile(name: string, content: string | Uint8Array, options = {}) {
  const path = join(folder, name);
  await writeFile(path, content);
  const found = await openProfile(path, options);
  if (found === undefined) throw new Error(`${name} is no table`);
  return found;
}

const kindsOf = (columns: readonly { readonly column: TableColumn }[]) =>
  columns.map(({ column: { name, kind } }) => [name, kind]);

const lines = (count: number, line: (random: Random, row: number) => string): string => {
  const random = new Random(3);
  return `${Array.from({ length: count }, (_, row) => line(random, row)).join("\n")}\n`;
};

describe("cases", () => {
  test("table-epoch-offset: the resolution is the column's own, however far from zero", async () => {
    const text = lines(200, (random, i) =>
      [1.7e9 + i / 10, 4649775.5 + random.normal() / 2, random.normal()]
        .map((value, c) => value.toFixed(c === 2 ? 4 : 3))
        .join(),
    );
    const { columns } = await profile("epoch.csv", `time,northing,v\n${text}`);
    expect(columns.map(({ column }) => column)).toMatchObject([
      { kind: "real", name: "time", resolution: 0.1, minimum: 1.7e9, maximum: 1_700_000_019.9 },
      { kind: "real", name: "northing", resolution: 0.001 },
      { kind: "real", name: "v", resolution: 0.0001 },
    ]);
  });

  test("table-no-header-class: a first line that looks like data is a row, and that is told", async () => {
    const text = lines(150, (random, i) =>
      [
        ...Array.from({ length: 4 }, () => (3 + random.uniform()).toFixed(1)),
        i % 2 === 0 ? "setosa" : "virginica",
      ].join(),
    );
    const found = await profile("iris.csv", text);
    expect(found.rows).toBe(150);
    expect(found.notes.join("\n")).toMatch(
      /the first line, ".*setosa", looks like data and is read as a row/,
    );
    expect(kindsOf(found.columns).at(-1)).toEqual(["x4", "category"]);
    expect((await profile("iris.csv", text, { header: false })).rows).toBe(150);
    const named = await profile("iris.csv", `1,2,3,4,setosa\n${text}`, { header: true });
    expect([named.rows, named.columns[4]?.column.name]).toEqual([150, "setosa"]);
  });

  test("table-outlier: a cell far outside is named with row and column, and does not flatten its column", async () => {
    const text = lines(300, (random, i) => `${i === 150 ? 1e12 : random.normal()},${random.normal()}`);
    const { columns, notes } = await profile("outlier.csv", `a,b\n${text}`);
    expect(notes.join("\n")).toMatch(/column "a", row 151: 1000000000000 lies far outside of the rest/);
    expect(columns.map(({ column }) => "scale" in column && column.scale)).toEqual(["quantile", "standard"]);
    // Learned as a gap where it is declared to be one.
    const missing = await profile("outlier.csv", `a,b\n${text}`, { missing: ["1000000000000"] });
    expect(missing.columns[0]?.column).toMatchObject({ gaps: 1, scale: "standard" });
  });

  test("table-pandas-index: a column without a name that counts the rows is left out, and told", async () => {
    const text = lines(60, (random, i) => `${i},${random.normal()},${random.normal()}`);
    const { columns } = await profile("index.csv", `,a,b\n${text}`);
    expect(columns[0]?.column).toMatchObject({
      kind: "index",
      why: "without a name, and counts the rows: left out",
    });
    expect(kindsOf(columns).slice(1)).toEqual([
      ["a", "real"],
      ["b", "real"],
    ]);
  });

  test("table-utf16, and other encodings: found, and told", async () => {
    const text = `größe,stadt,naïve\n${lines(40, (random, i) => `${random.uniform().toFixed(2)},${["Zürich", "Köln"][i % 2]},${i}`)}`;
    const wide = Buffer.from(text, "utf16le");
    const marked = Buffer.concat([Buffer.from([0xff, 0xfe]), wide]);
    const latin = Buffer.from(text, "latin1");
    for (const [bytes, note] of [
      [marked, /read as utf-16le/],
      [wide, /read as utf-16le/],
      [Buffer.from(marked).swap16(), /read as utf-16be/],
      [latin, /read as windows-1252, the likeliest/],
      [Buffer.from(`\ufeff${text}`), /^$/],
    ] as const) {
      const { columns, notes } = await profile("text.csv", bytes);
      expect(kindsOf(columns)).toEqual([
        ["größe", "real"],
        ["stadt", "category"],
        ["naïve", "whole"],
      ]);
      expect(columns[1]?.column).toMatchObject({ levels: [{ level: "Köln" }, { level: "Zürich" }] });
      expect(notes.join("\n")).toMatch(note);
    }
    // "城市,数" and 北京, 上海 in GB18030.
    const hex = (digits: string) => Buffer.from(digits, "hex");
    const rows = Array.from({ length: 30 }, (_, i) =>
      Buffer.concat([hex(i % 2 === 0 ? "b1b1bea9" : "c9cfbaa3"), Buffer.from(`,${i / 2}\n`)]),
    );
    const chinese = Buffer.concat([
      hex("b3c7cad0"),
      Buffer.from(","),
      hex("cafd"),
      Buffer.from("\n"),
      ...rows,
    ]);
    const found = await profile("gbk.csv", chinese);
    expect(found.notes.join()).toMatch(/read as gb18030/);
    expect(found.columns[0]?.column).toMatchObject({
      name: "城市",
      levels: [{ level: "上海" }, { level: "北京" }],
    });
    await expect(profile("bad.csv", latin, { encoding: "utf-8" })).rejects.toThrow(
      /größe|UTF-8|utf-8|Invalid unicode/i,
    );
  });

  test("table-beside-yolo: the file that was named", async () => {
    const { mkdir } = await import("node:fs/promises");
    await mkdir(join(folder, "beside/cells/images"), { recursive: true });
    await mkdir(join(folder, "beside/cells/labels"), { recursive: true });
    await writeFile(join(folder, "beside/cells/images/p0.png"), "");
    await writeFile(join(folder, "beside/cells/labels/p0.txt"), "0 0.5 0.5 0.1 0.1\n");
    const path = join(folder, "beside/measurements.csv");
    await writeFile(path, `length,weight\n${lines(20, (_, i) => `${i},${2 * i + 1}`)}`);
    expect(await isDetectionData(path)).toBe(false);
    expect((await openProfile(path))?.columns.map(({ column }) => column.name)).toEqual(["length", "weight"]);
  });
});

describe("files as people have them", () => {
  test("decimal commas, thousands and what may be either", async () => {
    const german = await profile(
      "german.csv",
      `a;b;c\n${lines(30, (_, i) => `${i},5;1.${100 + i}.000;2.${100 + i},25`)}`,
    );
    expect(german.columns.map(({ column }) => column)).toMatchObject([
      { kind: "real", minimum: 0.5, maximum: 29.5 },
      { kind: "whole", minimum: 1_100_000, resolution: 1000 },
      { kind: "real", minimum: 2100.25 },
    ]);
    const english = await profile("english.csv", `a,b\n${lines(30, (_, i) => `"1,${100 + i}",${i}.5`)}`);
    expect(english.columns[0]?.column).toMatchObject({ kind: "whole", minimum: 1100, maximum: 1129 });
    const either = await profile("either.csv", `a;b\n${lines(30, (_, i) => `1,${100 + i};${i}`)}`);
    expect(either.columns[0]?.column).toMatchObject({ kind: "real", minimum: 1.1, maximum: 1.129 });
    expect(either.notes.join()).toMatch(/1,234 is 1234 or 1\.234 is a guess in "a": a decimal comma/);
    const told = await profile("either.csv", `a;b\n${lines(30, (_, i) => `1,${100 + i};${i}`)}`, {
      thousands: ",",
      decimal: ".",
    });
    expect(told.columns[0]?.column).toMatchObject({ kind: "whole", minimum: 1100 });
  });

  test("kinds: dates, truths, codes, keys, texts, gaps", async () => {
    const text = lines(100, (random, i) => {
      const day = String(1 + (i % 28)).padStart(2, "0");
      return [
        `K${i}`,
        `2021-03-${day}`,
        `${day}.12.1999 08:30`,
        `2021-03-${day}T10:00:00+02:00`,
        i % 3 === 0 ? "yes" : "no",
        `0${1000 + (i % 7)}`,
        ["NA", "N/A", "null", "?", ""][i % 10] ?? String(i % 10),
        `"remark ${Math.floor(random.uniform() * 1e6)} of many"`,
        "k",
        i % 2 === 0 ? "a" : "b",
      ].join();
    });
    const names = "key,day,time,zoned,truth,code,gappy,remark,same,letter";
    const { columns } = await profile("kinds.csv", `${names}\n${text}`);
    expect(kindsOf(columns)).toEqual([
      ["key", "identifier"],
      ["day", "date"],
      ["time", "date"],
      ["zoned", "date"],
      ["truth", "boolean"],
      ["code", "category"],
      ["gappy", "whole"],
      ["remark", "text"],
      ["same", "constant"],
      ["letter", "category"],
    ]);
    expect(columns.map(({ column }) => column)).toMatchObject([
      {},
      { form: "yyyy-MM-dd", precision: "day", minimum: "2021-03-01", maximum: "2021-03-28" },
      { form: "dd.MM.yyyy HH:mm", precision: "minute", resolution: 1440, offset: 510 },
      {
        form: "yyyy-MM-ddTHH:mm:sszone",
        precision: "second",
        zone: "+02:00",
        maximum: "2021-03-28T10:00:00+02:00",
      },
      { texts: ["no", "yes"], counts: [66, 34] },
      {},
      { gaps: 50 },
      {},
      {},
      {},
    ]);
    for (const { column } of columns)
      if (["identifier", "text", "constant"].includes(column.kind)) expect(column.why).not.toBe("");
  });

  test("comments at the head and amid the lines, named in the last of them", async () => {
    const text = `# made by a program\n# a, b\n${lines(30, (_, i) => (i === 12 ? "# pause" : `${i},${i / 4}`))}`;
    const { columns, rows, notes } = await profile("comments.csv", text);
    expect(rows).toBe(29);
    expect(kindsOf(columns)).toEqual([
      ["a", "whole"],
      ["b", "real"],
    ]);
    expect(notes.join("\n")).toMatch(
      /2 comment lines at the head.*\n1 comment line amid the table left out \("# pause"\)/s,
    );
  });

  test("types inside a query are those of the table", async () => {
    const text = `when;amount\n${lines(60, (_, i) => `${1 + (i % 28)}.3.2021;${i},5`)}`;
    const path = join(folder, "typed.csv");
    await writeFile(path, text);
    const sql =
      'select "when" + interval 1 day as later, year("when") as y, amount * 2 as twice from data where "when" >= date \'2021-03-10\'';
    const found = await openProfile(path, { sql });
    expect(found?.columns.map(({ column }) => column)).toMatchObject([
      { kind: "date", name: "later", minimum: "2021-03-11 00:00:00" },
      { kind: "constant", name: "y" },
      { kind: "whole", name: "twice", minimum: 19 },
    ]);
  });

  test("a table of 5,000 columns", async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `c${i}`);
    const text = `${names.join()}\n${lines(8, (_, row) => names.map((_, i) => (i * 7 + row * 3) % 11).join())}`;
    const { columns } = await profile("wide.csv", text);
    expect(columns.length).toBe(5000);
    expect(columns.every(({ column }) => column.kind === "whole")).toBe(true);
  });

  test("loose triples of the density-estimation literature", async () => {
    for (const split of ["train", "valid", "test"]) {
      await writeFile(
        join(folder, `nltcs.${split}.data`),
        lines(20, (random) => [0, 1, 2].map(() => (random.uniform() < 0.5 ? 0 : 1)).join()),
      );
    }
    const { openData } = await import("../../../src/data/open.node.ts");
    for (const name of ["nltcs", "nltcs.train.data", "nltcs.test.data"]) {
      const data = await openData(join(folder, name), { binary: true });
      expect(Object.values(data.splits).map(({ count }) => count)).toEqual([20, 20, 20]);
    }
  });
});
