import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { quoteText, withDuckDb } from "../../src/data/table/database.node.ts";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { launchers, startRanks } from "./mpi.ts";
import { refused, start, succeed } from "./support.ts";

// Processes that each do a share of a table, and are killed at any time, make together what one process makes.

const SHARDS = 3;
const ROWS = 3000;

let cwd: string;
beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(6);
  const lines = Array.from({ length: ROWS }, (_, i) => {
    const a = random.normal();
    return [a, i % 3 === 0 ? "" : a + random.normal(), i % 2 === 0 ? "left" : "right"].join();
  });
  await writeFile(join(cwd, "data.csv"), `a,b,side\n${lines.join("\n")}\n`);
  const full = lines.map((line) => line.replace(",,", ",0.5,"));
  await writeFile(join(cwd, "full.csv"), `a,b,side\n${full.join("\n")}\n`);
  const small = ["--width", "16", "--steps", "60", "--sample-pictures", "0", "--quiet"];
  await succeed(["fit", "vae", "full.csv", "--categorical", "side", ...small, "--out", "run"], cwd);
});

/** Each command in one process, and divided: what it writes is the same. Draws of a seed are numbers that rounding may move. */
const WORK = {
  score: ["score", "run", "full.csv", "--seed", "3"],
  impute: ["impute", "run", "data.csv", "--draws", "2", "--steps", "60"],
  embed: ["embed", "run", "full.csv"],
} as const;

/** Does a shard, with kills at random until it has come to its end. @returns how often it was killed */
async function stubborn(args: readonly string[], random: Random): Promise<number> {
  for (let kills = 0; ; kills++) {
    const running = start(args, cwd);
    // The first attempts end somewhere between the start of Node and the writing of the part.
    const timer =
      kills < 3 ? setTimeout(() => running.kill("SIGKILL"), 200 + 3000 * random.uniform()) : undefined;
    const outcome = await running.outcome;
    clearTimeout(timer);
    if (outcome.signal === "SIGKILL") continue;
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    return kills;
  }
}

test.each(Object.entries(WORK))("%s: no row twice and none lost, whatever is killed", async (name, args) => {
  const [whole, parts, merged] = [`whole-${name}.csv`, `parts-${name}.csv`, `merged-${name}.csv`];
  await succeed([...args, "--out", whole], cwd);
  const random = new Random(name.length);
  const divided = (i: number): string[] => [...args, "--out", parts, "--shard", `${i}/${SHARDS}`, "--quiet"];
  // All at once, as in an array job.
  const kills = await Promise.all(
    Array.from({ length: SHARDS }, (_, i) => stubborn(divided(i), random.split(i))),
  );
  expect(kills.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0);
  await succeed(["merge", parts, "--out", merged], cwd);
  expect(await readFile(join(cwd, merged), "utf8")).toBe(await readFile(join(cwd, whole), "utf8"));
  // A part that is whole stays as it is.
  const before = await readdir(join(cwd, parts));
  const { stderr } = await succeed(divided(1), cwd);
  expect(stderr).toMatch(/part-00001-of-00003\.csv is there already, and whole/);
  expect(await readdir(join(cwd, parts))).toEqual(before);
});

test("a folder takes the parts of one command alone, and says what a shard needs", async () => {
  const parts = ["--out", "mixed.parquet", "--quiet"];
  await succeed([...WORK.score, ...parts, "--shard", "0/2"], cwd);
  expect(await refused([...WORK.score, ...parts, "--shard", "0/3"], cwd)).toMatch(
    /parts of 2 shards, not of 3/,
  );
  const other = ["score", "run", "full.csv", "--seed", "4", ...parts, "--shard", "1/2"];
  expect(await refused(other, cwd)).toMatch(/parts of other work, which differs in seed/);
  expect(await refused(["merge", "mixed.parquet", "--out", "all.parquet"], cwd)).toMatch(
    /1 of 2 parts are missing: shards 1/,
  );
  expect(await refused([...WORK.score, "--shard", "0/2"], cwd)).toMatch(
    /option shard: needs --out NAME.parquet/,
  );
  expect(await refused([...WORK.score, "--anomaly", "--shard", "0/2"], cwd)).toMatch(/a ranking is of all/);
  await succeed([...WORK.score, ...parts, "--shard", "1/2"], cwd);
  // A folder of Parquet is a table for whatever reads such folders.
  await succeed(["merge", "mixed.parquet", "--out", "all.parquet"], cwd);
  for (const from of ["mixed.parquet/*.parquet", "all.parquet"]) {
    const query = `select count(*)::int, count(distinct row)::int from ${quoteText(join(cwd, from))}`;
    const rows = await withDuckDb(async (connection) => (await connection.runAndReadAll(query)).getRows());
    expect(rows).toEqual([[ROWS, ROWS]]);
  }
});

describe.each(launchers)("ranks of $name", (launcher) => {
  test("are the shards, where none are named", async () => {
    const samples = ["sample", "run", "--count", "300", "--seed", "2", "--quiet"];
    const outcome = await startRanks(launcher, 2, [...samples, "--out", "drawn.csv"], cwd).outcome;
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    expect((await readdir(join(cwd, "drawn.csv"))).filter((name) => name.endsWith(".csv"))).toEqual([
      "part-00000-of-00002.csv",
      "part-00001-of-00002.csv",
    ]);
    const { stdout } = await succeed(["merge", "drawn.csv", "--out", "merged-drawn.csv"], cwd);
    expect(stdout).toMatch(/^2 parts: merged-drawn\.csv\n$/);
    const lines = (await readFile(join(cwd, "merged-drawn.csv"), "utf8")).trim().split("\n");
    expect(lines).toHaveLength(301);
    expect(new Set(lines).size).toBe(301);
  });
});
