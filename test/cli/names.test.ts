import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EidosError, ShapeError } from "../../src/errors.ts";
import { printable, printableJson, printableLines } from "../../src/printable.ts";
import { NASTY_NAMES, temporaryFolder } from "../support.ts";
import { refused, run, succeed } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const RED = "\u001b[31mred\u001b[0m";

test("what is printed has its control characters written out, and JSON stays the same value", () => {
  expect(printable(`${RED}\n\t\u009b\u202e\u2028\ud800`)).toBe(
    "\\u001b[31mred\\u001b[0m\\n\\t\\u009b\\u202e\\u2028\\ud800",
  );
  expect(printable("Größe, 名前, 👩‍🚀")).toBe("Größe, 名前, 👩‍🚀");
  expect(printableLines("a\nb\u0007")).toBe("a\nb\\u0007");
  for (const name of NASTY_NAMES) {
    const json = printableJson(JSON.stringify({ [name]: name }, null, 2));
    expect(JSON.parse(json)).toEqual({ [name]: name });
    expect(printableLines(json)).toBe(json);
  }
  expect(new EidosError(`a ${RED}\nb`).message).toBe("a \\u001b[31mred\\u001b[0m\nb");
  expect(new ShapeError(RED).message).toContain("\\u001b");
});

test("names out of a table reach the terminal written out, and --json exactly", async () => {
  const lines = Array.from({ length: 30 }, (_, i) => `${i},${2 * i},"${i % 2 ? RED : "two\nlines"}"`);
  await writeFile(join(root, "t.csv"), `x,"${RED}",c\n${lines.join("\n")}\n`);
  const { stdout } = await succeed(["data", "t.csv", "--categorical", "c"], root);
  expect(printableLines(stdout)).toBe(stdout);
  expect(stdout).toContain("\\u001b[31mred");
  expect(stdout).toContain("two\\nlines (");
  const json = await succeed(["data", "t.csv", "--categorical", "c", "--json"], root);
  expect(JSON.parse(json.stdout).columns[1].name).toBe(RED);
  const message = await refused(["data", `no\u001b[2J.csv`], root);
  expect(message).toContain("no\\u001b[2J.csv");
});

test("a configuration's names and paths do not reach the terminal as they are", async () => {
  for (const config of [
    { model: RED, data: "two-moons" },
    { model: "nice", data: RED },
    { model: "nice", data: "two-moons", [RED]: 1 },
    { model: "nice", data: "a\0b", steps: 1 },
    { model: "nice", data: "two-moons", out: "a\0b", steps: 1 },
    { model: "nice", data: "two-moons", constructor: 1 },
    { model: "nice", data: "two-moons", toString: "x" },
  ]) {
    await writeFile(join(root, "config.json"), JSON.stringify(config));
    const message = await refused(["fit", "--config", "config.json"], root);
    expect(printable(message)).toBe(message);
    expect(message).not.toContain("unexpected error");
  }
});

test("samples of categories that spreadsheets take for formulas are marked and counted, unless --no-csv-safe is given", async () => {
  const lines = Array.from({ length: 40 }, (_, i) => `${i % 7},${i % 2 ? "=1+1" : "@a"}`);
  await writeFile(join(root, "f.csv"), `-x,c\n${lines.join("\n")}\n`);
  const fit = [
    "fit",
    "nice",
    "f.csv",
    "--categorical",
    "c",
    "--steps",
    "2",
    "--batch-size",
    "8",
    "--report",
    "none",
  ];
  await succeed([...fit, "--out", "run", "--sample-pictures", "0"], root);
  const safe = await run(["sample", "run", "--count", "6", "--out", "safe.csv"], root);
  expect(safe.code).toBe(0);
  expect(safe.stderr).toMatch(
    /^7 texts that a spreadsheet would take for a formula marked .*\(the first: "-x", column -x\); --no-csv-safe .*\n$/,
  );
  const marked = await readFile(join(root, "safe.csv"), "utf8");
  expect(marked).toMatch(/^'-x,c\n(-?[\d.e-]+,'(=1\+1|@a)\n){6}$/);
  const plain = await succeed(["sample", "run", "--count", "6", "--out", "plain.csv", "--no-csv-safe"], root);
  expect(plain.stderr).toBe("");
  expect(await readFile(join(root, "plain.csv"), "utf8")).toBe(marked.replaceAll("'", ""));
});
