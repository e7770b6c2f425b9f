import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openData, openDetection } from "../../../src/data/open.node.ts";
import { withDuckDb } from "../../../src/data/table/database.node.ts";
import { tableColumns } from "../../../src/data/table/stream.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { temporaryFolder } from "../../support.ts";

// Names of files are names: what is a pattern, a home folder or a store of its own to DuckDB is a file to eidos.

let folder = "";
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true }));

const table = (column: string): string =>
  `${column},b\n${Array.from({ length: 12 }, (_, i) => `${i},${-i}`).join("\n")}\n`;

async function nameOfFirstColumn(path: string): Promise<string | undefined> {
  return (await tableColumns({ path }))[0]?.name;
}

describe("a table with a name that is a pattern", () => {
  test.each([
    ["wine[1].csv", "wine1.csv"],
    ["m*.csv", "m2.csv"],
    ["q?.csv", "q1.csv"],
    ["{a,b}.csv", "a.csv"],
    ["[!x].csv", "y.csv"],
  ])("%s is read, not %s", async (name, other) => {
    await writeFile(join(folder, name), table("mine"));
    await writeFile(join(folder, other), table("theirs"));
    expect(await nameOfFirstColumn(join(folder, name))).toBe("mine");
    expect((await openData(join(folder, name))).columns?.map((column) => column.name)).toEqual(["mine", "b"]);
    const asked = await openData(join(folder, name), { sql: "select mine, b from data where mine > 0" });
    expect(asked.splits.train.count).toBe(9);
  });

  test("folders of such names, and of names that are columns to DuckDB, are folders", async () => {
    const inside = join(folder, "year=2020", "part[0]");
    await mkdir(inside, { recursive: true });
    for (const extension of ["csv", "parquet"]) {
      const path = join(inside, `t[1].${extension}`);
      await writeTable(
        path,
        ["mine", "b"],
        [
          [1, 2],
          [3, 4],
        ],
      );
      expect((await tableColumns({ path })).map(({ name }) => name)).toEqual(["mine", "b"]);
    }
    await writeFile(join(inside, "t.jsonl"), `{"mine": 1}\n{"mine": 2}\n`);
    expect((await tableColumns({ path: join(inside, "t.jsonl") })).map(({ name }) => name)).toEqual(["mine"]);
  });

  test("a split of a folder is read by its name", async () => {
    const parts = join(folder, "splits[12]");
    await mkdir(join(folder, "splits1"), { recursive: true });
    await mkdir(parts);
    for (const split of ["train", "validation", "test"]) {
      await writeFile(join(parts, `${split}.csv`), table("mine"));
      await writeFile(join(folder, "splits1", `${split}.csv`), table("theirs"));
    }
    expect((await openData(parts)).columns?.[0]?.name).toBe("mine");
  });

  test("~ and s3: are files of these names", async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      await mkdir("~", { recursive: true });
      await writeFile("~/t.csv", table("mine"));
      await writeFile("s3:t.csv", table("mine"));
      expect(await nameOfFirstColumn("~/t.csv")).toBe("mine");
      expect(await nameOfFirstColumn("s3:t.csv")).toBe("mine");
    } finally {
      process.chdir(before);
    }
  });

  test("a query of one's own uses patterns, and writes nothing", async () => {
    await writeFile(join(folder, "part-1.csv"), table("a"));
    await writeFile(join(folder, "part-2.csv"), table("a"));
    const all = await openData(`select * from read_csv('${folder}/part-*.csv')`);
    expect(all.splits.train.count + all.splits.validation.count + all.splits.test.count).toBe(24);
    for (const query of [
      `select 1; copy (select 1) to '${folder}/x.csv'`,
      "select 1; select 2",
      "from a; drop table b",
    ]) {
      await expect(openData(query)).rejects.toThrow(/a query is a single SELECT/);
    }
    await expect(openData("select * from range(12) t(a) -- a comment")).resolves.toMatchObject({
      kind: "table",
    });
    await expect(openData("select a, -a as b from range(12) t(a) ; ; ")).resolves.toMatchObject({
      kind: "table",
    });
  });

  test("what is no regular file is refused", async () => {
    await mkdir(join(folder, "t.csv"));
    await expect(openData(join(folder, "t.csv"))).rejects.toThrow();
    await expect(tableColumns({ path: join(folder, "t.csv") })).rejects.toThrow(/not a regular file/);
    await expect(tableColumns({ path: join(folder, "a\0.csv") })).rejects.toThrow(/NUL character/);
  });

  test("nothing is left open", async () => {
    await expect(
      withDuckDb(async (connection) => (await connection.runAndReadAll("select 1")).getRows()),
    ).resolves.toEqual([[1]]);
  });
});

describe("a link with the name of a file that leads to a folder", () => {
  test.each(["data.tsv", "data.json", "data.csv"])(
    "%s is refused before anything is walked through",
    async (name) => {
      await symlink("/", join(folder, name));
      await expect(openData(join(folder, name))).rejects.toThrow(
        /a link to a folder with the name of a table/,
      );
      if (name !== "data.tsv") {
        await expect(openDetection(join(folder, name))).rejects.toThrow(
          /a link to a folder with the name of a file of annotations/,
        );
      }
      await rm(join(folder, name));
    },
  );
});
