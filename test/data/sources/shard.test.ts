import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MOST_SHARDS, parseShard, partName, SHARD_BLOCK, shareOf } from "../../../src/data/sources/shard.ts";

describe("shards", () => {
  test("together have every row once, in whole blocks, in shares that differ by a block at most", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100_000 }),
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom(1, 7, SHARD_BLOCK),
        (rows, count, block) => {
          let next = 0;
          const blocks: number[] = [];
          let sound = true;
          for (let index = 0; index < count; index++) {
            const share = shareOf({ index, count }, rows, block);
            sound &&= share.first === next && (share.count === 0 || share.first % block === 0);
            blocks.push(Math.ceil(share.count / block));
            next += share.count;
          }
          expect([sound, next]).toEqual([true, rows]);
          expect(Math.max(...blocks) - Math.min(...blocks)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test("are written i/n, counted from 0", () => {
    expect(parseShard("0/1")).toEqual({ index: 0, count: 1 });
    expect(parseShard(" 3 / 8 ")).toEqual({ index: 3, count: 8 });
    for (const text of ["8/8", "3/0", `0/${MOST_SHARDS + 1}`]) {
      expect(() => parseShard(text)).toThrow(/option shard: there is no shard .* shards count from 0/);
    }
    for (const text of ["", "3", "-1/8", "1.5/8", "a/b", "1/2/3", "1e3/8", "00000000001/8"]) {
      expect(() => parseShard(text)).toThrow(/option shard: .* is not of the form i\/n/);
    }
  });

  test("parts sort as their shards do", () => {
    expect(partName({ index: 3, count: 8 }, ".parquet")).toBe("part-00003-of-00008.parquet");
    const names = Array.from({ length: 1200 }, (_, index) => partName({ index, count: 1200 }, ""));
    expect([...names].sort()).toEqual(names);
  });
});
