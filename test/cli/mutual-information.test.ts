import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { rows, tableInformation } from "../../src/index.ts";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { refused, succeed } from "./support.ts";

let cwd: string;
const QUICK = ["--steps", "200", "--hidden", "16", "--learning-rate", "0.002", "--seeds", "0"];

/** a and b have a correlation of 0.9, 0.83 nats; c is noise, kind tells the sign of a, and flat tells nothing. */
const table = (() => {
  const random = new Random(7);
  return Array.from({ length: 1000 }, () => {
    const a = random.normal();
    const b = 0.9 * a + Math.sqrt(0.19) * random.normal();
    return { a, b, c: random.normal(), kind: a < 0 ? "low" : "high", flat: 3 };
  });
})();

beforeAll(async () => {
  cwd = await temporaryFolder();
  const lines = table.map(({ a, b, c, kind, flat }) => `${a},${b},${c},${kind},${flat}`);
  await writeFile(join(cwd, "data.csv"), `a,b,c,kind,flat\n${lines.join("\n")}\n`);
});

test("columns that depend on each other, by a critic, with a picture of how it learns", async () => {
  const args = ["mutual-information", "data.csv", "--x", "a", "--y", "b", ...QUICK, "--out", "learning.svg"];
  const { stdout } = await succeed(args, cwd);
  const nats = Number(/^I\(a; b\) = (\S+) nats$/m.exec(stdout)?.[1]);
  expect(Math.abs(nats - 0.83)).toBeLessThan(0.25);
  expect(stdout).toMatch(/^infonce: a lower bound, at most ln N = 5\.298; 200 rows, learnt from 700$/m);
  expect(stdout).toMatch(/^p-value of independence: 0\.005 \(199 random pairings\)$/m);
  expect(await readFile(join(cwd, "learning.svg"), "utf8")).toMatch(/held-out rows: 0\.\d+/);
});

test("a category and a number, without a critic, and as JSON", async () => {
  const args = [
    "mutual-information",
    "data.csv",
    "--x",
    "a",
    "--y",
    "kind",
    "--categorical",
    "kind",
    "--json",
  ];
  const { stdout } = await succeed([...args, ...QUICK], cwd);
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({ data: "data", x: ["a"], y: ["kind"], side: "lower", pValue: 0.005 });
  // All that a sign can tell is ln 2.
  expect(found.nats).toBeLessThan(Math.LN2 + 0.05);
  expect(found.nats).toBeGreaterThan(0.4);
});

test("nearest neighbors of noise find nothing, and have no picture", async () => {
  const args = ["mutual-information", "data.csv", "--x", "a,b", "--y", "c", "--estimator", "ksg"];
  const { stdout } = await succeed([...args, "--permutations", "19", "--out", "none.svg"], cwd);
  expect(Math.abs(Number(/= (\S+) nats/.exec(stdout)?.[1]))).toBeLessThan(0.1);
  expect(stdout).toMatch(/no picture: ksg does not learn/);
});

test("rows in memory from code", async () => {
  const found = await tableInformation({
    data: rows(table),
    x: ["a"],
    y: ["b"],
    estimator: "gaussian",
    permutations: 0,
  });
  expect(Math.abs(found.nats - 0.83)).toBeLessThan(0.06);
  expect(found).not.toHaveProperty("pValue");
});

test.each([
  [["--x", "a", "--y", "a,b"], /option y: column "a" is in x as well/],
  [["--x", "a", "--y", "d"], /no column "d"/],
  [["--x", "a", "--y", "flat"], /column "flat" is the same in all rows/],
  [["--x", "a"], /option y/],
  [["--x", "a", "--y", "b", "--estimator", "mnie"], /mine/],
] as const)("%j is refused in one line", async (args, message) => {
  expect(await refused(["mutual-information", "data.csv", ...args], cwd)).toMatch(message);
});
