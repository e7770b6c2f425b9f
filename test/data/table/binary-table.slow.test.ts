import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openData } from "../../../src/data/open.node.ts";
import { range } from "../../../src/data/sources/data-set.ts";

const shared = fileURLToPath(new URL("../../../../shared/data/binary/", import.meta.url));

describe.skipIf(!existsSync(shared))("real tables (skipped where ../shared/data is absent)", () => {
  test.each([
    ["plants", 69, [17_412, 2321, 3482]],
    ["baudio", 100, [15_000, 2000, 3000]],
    ["mushrooms", 112, [2000, 500, 5624]],
    ["dna", 180, [1400, 600, 1186]],
  ])("%s", async (name, width, counts) => {
    const data = await openData(join(shared, name), { binary: true });
    const { train, validation, test } = data.splits;
    expect(data.sampleShape).toEqual([width]);
    expect([train.count, validation.count, test.count]).toEqual(counts);
    const { x } = train.batch(range(0, train.count));
    expect(x.data.every((value) => value === 0 || value === 1)).toBe(true);
  });
});
