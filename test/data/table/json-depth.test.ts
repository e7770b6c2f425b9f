import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openData } from "../../../src/data/open.node.ts";
import { DataError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";

// A hundred thousand brackets in a cell ended the process within DuckDB.

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});

const rows = (value: string) =>
  `[${Array.from({ length: 40 }, (_, i) => `{"a": ${i}, "b": ${i === 9 ? value : i % 5}}`).join(",\n")}]`;

describe("JSON that is nested deeply", () => {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
  ] as const) {
    test(`${open} is a DataError, in a document and in lines`, async () => {
      const deep = rows(`${open.repeat(100_000)}1${close.repeat(100_000)}`);
      await writeFile(join(folder, "deep.json"), deep);
      await expect(openData(join(folder, "deep.json"))).rejects.toThrow(DataError);
      await writeFile(join(folder, "deep.jsonl"), deep.slice(1, -1).replaceAll(",\n", "\n"));
      await expect(openData(join(folder, "deep.jsonl"))).rejects.toThrow(/nested more than 1000 deep/);
    });
  }

  test("brackets within texts are no nesting", async () => {
    const text = JSON.stringify(`\\"${"[".repeat(3000)}`);
    const lines = Array.from({ length: 40 }, (_, i) => `{"a": ${i}, "b": ${i % 2 === 0 ? text : '"x"'}}`);
    await writeFile(join(folder, "text.jsonl"), lines.join("\n"));
    const { columns } = await openData(join(folder, "text.jsonl"), { categorical: ["b"] });
    expect(columns).toHaveLength(2);
  });
});
