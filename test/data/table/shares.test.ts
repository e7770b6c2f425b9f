import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { quoteText, withDuckDb } from "../../../src/data/table/database.node.ts";
import { streamTable } from "../../../src/data/table/stream.node.ts";
import { temporaryFolder } from "../../support.ts";

// What a shard reads of a file.

const ROWS = 200_000;
const columns = ["a", "b", "c", "d"].map(
  (name) => ({ kind: "numeric", name, mean: 0, deviation: 1 }) as const,
);

let folder: string;
let path: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  path = join(folder, "wares.parquet");
  const rows = `select i::double as a, random() as b, random() as c, random() as d from range(${ROWS}) t(i)`;
  await withDuckDb((connection) =>
    connection.run(`copy (${rows}) to ${quoteText(path)} (format parquet, row_group_size 10240)`),
  );
});
afterAll(() => rm(folder, { recursive: true }));

/** Bytes that this process has read of files so far, as Linux counts them. */
const readSoFar = async (): Promise<number> =>
  Number(/rchar: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1]);

describe("a shard of a Parquet file", () => {
  test.skipIf(process.platform !== "linux")("reads the row groups of its rows, and no others", async () => {
    const { size } = await stat(path);
    const before = await readSoFar();
    let next: number | undefined;
    let count = 0;
    for await (const { x, firstRow, count: own } of streamTable({ path }, columns, {
      batchSize: 256,
      shard: { index: 5, count: 10 },
    })) {
      expect(firstRow).toBe(next ?? firstRow);
      // The first column counts rows.
      expect([x.data[0], x.data[4 * (own - 1)]]).toEqual([firstRow, firstRow + own - 1]);
      next = firstRow + own;
      count += own;
    }
    expect(Math.abs(count - ROWS / 10)).toBeLessThanOrEqual(256);
    // A tenth, and what row groups at both ends hold beyond it.
    expect(((await readSoFar()) - before) / size).toBeLessThan(0.35);
  });
});
