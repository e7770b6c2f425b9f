import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Budget } from "../../bench/campaign/kind.ts";
import { mixedTable, picture } from "../../bench/campaign/material.ts";
import type { Strangers } from "../../bench/campaign/readers/hostile.ts";
import { type Files, mutate } from "../../bench/campaign/readers/mutate.ts";
import { leakOf, makeStrangers, snapshot } from "../../bench/campaign/readers/watch.ts";
import { lineOfRow, Results, tableOf } from "../../bench/campaign/results.ts";
import { decodeImage } from "../../src/data/image/decode.node.ts";
import { writeSafetensors } from "../../src/nn/safetensors.ts";
import { Random } from "../../src/random.ts";
import { present, temporaryFolder } from "../support.ts";

// A campaign that finds nothing because it looks at nothing would be green: here it is given what it must see.

let root: string;
let strangers: Strangers;
beforeAll(async () => {
  root = await temporaryFolder();
  strangers = await makeStrangers(root);
});
afterAll(() => rm(root, { recursive: true }));

async function sound(): Promise<Files> {
  const weight = { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) } as const;
  const contents: Readonly<Record<string, string | Uint8Array>> = {
    "table.csv": mixedTable(8),
    "image.png": await picture(1, 8, 3),
    "weights.safetensors": writeSafetensors(new Map([["weight", weight]]), { progress: '{"step": 3}' }),
    "config.json": JSON.stringify({ model: "nice", fit: { steps: 3 }, names: ["a", "b"] }),
    "data.yaml": "train: images\nnames: [a, b]\n",
    "object.xml": "<annotation><object><name>a</name></object></annotation>",
    "labels.txt": "0 0.5 0.5 0.1 0.1\n",
  };
  return new Map(
    Object.entries(contents).map(([path, content]) => {
      const bytes =
        typeof content === "string" ? new TextEncoder().encode(content) : Uint8Array.from(content);
      return [path, { kind: "bytes", bytes }];
    }),
  );
}

describe("changes of inputs", () => {
  const inputOf = async (seed: number) => {
    const files = await sound();
    return mutate(files, files, () => true, new Random(seed).split("test"), strangers);
  };

  test("the same seed changes the same", async () => {
    const plain = ({ name, files }: Awaited<ReturnType<typeof inputOf>>) => [
      name,
      ...[...files].map(([path, entry]) =>
        entry.kind === "bytes"
          ? `${path} ${Buffer.from(entry.bytes).toString("base64")}`
          : `${path} ${entry.kind}`,
      ),
    ];
    for (let seed = 0; seed < 20; seed++) {
      const [first, second] = [await inputOf(seed), await inputOf(seed)].map((input) =>
        plain(input).join("\n"),
      );
      // Without the difference in the message: it may be of a million characters.
      expect(first === second, `seed ${seed}`).toBe(true);
    }
  });

  test("all kinds of changes come up, of every file", async () => {
    const files = await sound();
    const names: string[] = [];
    for (let seed = 0; seed < 1500; seed++) {
      names.push(mutate(files, files, () => true, new Random(seed).split("test"), strangers).name);
    }
    for (const path of files.keys()) expect(names.some((name) => name.startsWith(path))).toBe(true);
    for (const part of [
      "flipped bits",
      "cut at",
      "deep nesting",
      "a path",
      "a query",
      "is a pipe",
      "is a link",
      "pixels",
      "aliases that multiply",
      "entities that multiply",
      "within $.__metadata__.progress",
      "its elements many times",
      "a row many times",
      "line 1: many times",
    ]) {
      expect(
        names.some((name) => name.includes(part)),
        part,
      ).toBe(true);
    }
  });
});

describe("what is watched", () => {
  test("a private picture is seen in what a reader made of it, channels apart or together", async () => {
    const planes = await decodeImage(strangers.picture, { size: 8, channels: "rgb" });
    const together = Uint8Array.from(planes, (_, i) => planes[(i % 3) * 64 + Math.floor(i / 3)] ?? 0);
    for (const pixels of [planes, together])
      expect(leakOf({ texts: [], pictures: [pixels] })).toMatch(/private picture/);
    const other = await decodeImage(await picture(2, 8, 3), { size: 8, channels: "rgb" });
    expect(leakOf({ texts: ["nothing"], pictures: [other] })).toBeUndefined();
  });

  test("a word of a private table is seen", () => {
    expect(leakOf({ texts: ["column EIDOSPRIVATEMARK is no number"], pictures: [] })).toMatch(
      /private table/,
    );
  });

  test("a new file and a changed one show in a snapshot", async () => {
    const before = snapshot(strangers.watched);
    await picture(1, 8, 3).then((bytes) =>
      import("node:fs/promises").then(({ writeFile }) => writeFile(join(strangers.watched, "new"), bytes)),
    );
    expect(snapshot(strangers.watched)).not.toBe(before);
  });
});

test("results: a line for each row, a table with sums, and faults that are kept", async () => {
  const results = new Results(join(root, "kept"));
  const report = results.reportOf("readers", root, () => undefined);
  report.count("reader: CSV", "inputs", 12, 1.5);
  report.count("reader: npy", "inputs", 1);
  report.note("reader: npy", "1 read");
  await report.fault("reader: CSV", {
    fault: "act",
    message: "wrote",
    details: { index: 3 },
    folder: strangers.private,
  });
  expect(results.faults).toBe(1);
  expect(lineOfRow(results.row("reader: CSV"), 7)).toBe("reader: CSV: 12 inputs, 1 act, 2 s, seed 7");
  expect(lineOfRow(results.row("reader: npy"), 7)).toBe(
    "reader: npy: 1 input, no fault, 0 s, seed 7 (1 read)",
  );
  expect(
    present(
      tableOf([...results.rows.values()])
        .split("\n")
        .at(-1),
    ),
  ).toMatch(/^\| \*\*all\*\* \| 13 inputs \| 0 \| 0 \| 0 \| 0 \| 0 \| 1 \| 0 \| 2 \|/);
  expect(snapshot(join(root, "kept", "001-act"))).toMatch(/fault\.json[\s\S]*input\/secret\.png/);
});

test("a budget counts down", () => {
  expect(new Budget(100).left).toBeGreaterThan(0);
  expect(new Budget(-1).left).toBeLessThan(0);
});
