import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { beforeAll, describe, expect, test } from "vitest";
import { quoteText, withDuckDb } from "../../src/data/table/database.node.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import {
  exists,
  expectCloseRuns,
  expectSameRuns,
  launchers,
  pause,
  ranksSucceed,
  startRanks,
} from "./mpi.ts";
import { built, succeed } from "./support.ts";

// Ranks that read their shares of tables and image folders.

const STEPS = 50;
const ROWS = 10_000;
const GROUP = 2048;
const COMMON = [
  ...["--steps", String(STEPS), "--log-every", "1", "--validate-every", "25", "--checkpoint-every", "5"],
  ...["--threads", "1", "--sample-pictures", "0", "--report", "none", "--quiet"],
];
const TABLE = ["fit", "rectified-flow", "table.parquet", "--label", "k", "--width", "16", "--depth", "2"];
const FIT = [...TABLE, ...COMMON, "--batch-size", "64"];

let cwd: string;
const at = (...names: string[]): string => join(cwd, ...names);

/** A table with a number, gaps, a category and classes. */
async function writeTable(path: string, seed: number): Promise<void> {
  const cells = `sin(i * 0.37 + ${seed}) as a, if(i % 5 = 0, null, cos(i * i)) as b, ['red', 'green', 'blue'][1 + (i * i) % 3] as c, if(i % 3 = 0, 'no', 'yes') as k`;
  await withDuckDb((connection) =>
    connection.run(
      `copy (select ${cells} from range(${ROWS}) t(i)) to ${quoteText(path)} (format parquet, row_group_size ${GROUP})`,
    ),
  );
}

beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeTable(at("table.parquet"), 0);
  for (const name of ["cats", "dogs"]) {
    await mkdir(at("images", name), { recursive: true });
    for (let i = 0; i < 30; i++) {
      const data = Uint8Array.from({ length: 64 }, (_, k) => (k * (i + (name === "cats" ? 3 : 5)) + i) % 256);
      const bytes = encode({ width: 8, height: 8, channels: 1, depth: 8, data });
      await writeFile(at("images", name, `${name}-${i}.png`), bytes);
    }
  }
});

/**
 * Has ranks write down what they open: images by their names, rows of tables by where they begin and how many they are.
 * @param name of what is written, before the rank
 */
async function watched(name: string): Promise<{ readonly NODE_OPTIONS: string }> {
  const duckdb = import.meta.resolve("@duckdb/node-api");
  await writeFile(
    at(`${name}.mjs`),
    `
      import { appendFileSync } from "node:fs";
      import promises from "node:fs/promises";
      import { syncBuiltinESMExports } from "node:module";
      import duckdb from ${JSON.stringify(duckdb)};
      const { open } = promises;
      const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
      const note = (text) => appendFileSync(${JSON.stringify(at(name))} + "-" + rank, text + "\\n");
      promises.open = (path, ...rest) => {
        const image = /[^/]+\\.png$/.exec(String(path))?.[0];
        if (image !== undefined) note(image);
        return open(path, ...rest);
      };
      syncBuiltinESMExports();
      const { stream } = duckdb.DuckDBConnection.prototype;
      duckdb.DuckDBConnection.prototype.stream = function (query) {
        note(/ limit (\\d+) offset (\\d+)$/.exec(query)?.slice(1).join(" ") ?? "all");
        return stream.call(this, query);
      };
    `,
  );
  return { NODE_OPTIONS: `--import ${at(`${name}.mjs`)}` };
}

const noted = async (name: string, rank: number): Promise<readonly string[]> =>
  (await readFile(at(`${name}-${rank}`), "utf8")).trim().split("\n");

describe.each(launchers)("shares of ranks of $name", (launcher) => {
  const out = (name: string): string => `${launcher.command}-${name}`;
  const ranks = (count: number, args: readonly string[], name: string) =>
    ranksSucceed(launcher, count, [...args, "--out", out(name)], cwd);
  const expectClose = (one: string, other: string, steps = STEPS) =>
    expectCloseRuns(at(out(one)), at(out(other)), steps);

  beforeAll(async () => {
    await succeed([...FIT, "--out", out("one")], cwd);
    await ranks(2, FIT, "two");
  });

  test("of a table give the numbers of one process, whatever the number of ranks and parts", async () => {
    await expectClose("one", "two");
    await ranks(3, FIT, "three");
    await expectClose("one", "three");
    await ranks(2, [...FIT, "--accumulate", "2"], "parts");
    await expectClose("one", "parts");
  });

  test("are the rows that each would have made of the whole, bit for bit", async () => {
    // The result of a query is read whole.
    await ranks(2, [...FIT, "--sql", "select * from data"], "whole");
    await expectSameRuns(at(out("whole")), at(out("two")));
  });

  test("are not read where replicas need the whole, and the fit says which it is", async () => {
    const told = FIT.filter((word) => word !== "--quiet");
    const { stderr } = await ranks(2, [...told, "--replicas", "2"], "replicas");
    expect(stderr).toContain("2 ranks share each batch of 64; each reads all of the data\n");
    await expectClose("one", "replicas");
    const shared = await ranks(2, told, "told");
    expect(shared.stderr).toContain("; all but rank 0 read their share of the data alone\n");
  });

  test("of batches of a row for each rank, of which some hold none, give the same numbers", async () => {
    const small = [...TABLE, ...COMMON, "--batch-size", "3"];
    await succeed([...small, "--out", out("small-one")], cwd);
    await ranks(3, small, "small-three");
    await expectClose("small-one", "small-three");
  });

  test("of images, and of images binarized anew each time, give the numbers of one process", async () => {
    const images = ["fit", "nice", "images", "--couplings", "4", ...COMMON, "--batch-size", "16"];
    const binary = [
      "fit",
      "vae",
      "images",
      "--binary",
      "--binarize",
      "dynamic",
      ...COMMON,
      "--batch-size",
      "16",
    ];
    for (const [name, args] of [
      ["images", images],
      ["binary", binary],
    ] as const) {
      await succeed([...args, "--out", out(`${name}-one`)], cwd);
      for (const count of [2, 3]) {
        await ranks(count, args, `${name}-${count}`);
        await expectClose(`${name}-one`, `${name}-${count}`);
      }
    }
  });

  test("a fit that was interrupted goes on bit for bit, and with another number of ranks", async () => {
    for (const [name, count] of [
      ["again", 2],
      ["fewer", 1],
    ] as const) {
      const folder = out(name);
      const running = startRanks(launcher, 2, [...FIT, "--out", folder], cwd);
      while (!(await exists(at(folder, "state.safetensors")))) await pause();
      running.kill(1, "SIGUSR2");
      await running.outcome;
      const held = await new RunFolder(at(folder)).readCheckpoint();
      expect(held?.progress.step).toBeGreaterThan(0);
      if (held?.progress.finished !== true) {
        await ranksSucceed(launcher, count, ["fit", "--resume", folder, "--quiet"], cwd);
      }
    }
    await expectSameRuns(at(out("again")), at(out("two")));
    await expectClose("one", "fewer");
  });

  test("a rank opens the images of its share, and no others", async () => {
    const args = ["fit", "nice", "images", "--couplings", "2", ...COMMON, "--batch-size", "16"];
    const name = out("opened");
    const outcome = await startRanks(launcher, 3, [...args, "--out", out("count")], cwd, await watched(name))
      .outcome;
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    const [all = [], first = [], second = []] = await Promise.all([0, 1, 2].map((rank) => noted(name, rank)));
    // Of 60 images, 48 are trained on.
    expect(new Set(all).size).toBe(60);
    for (const own of [first, second]) {
      expect(own).toHaveLength(16);
      expect(new Set(own).size).toBe(16);
    }
    expect(new Set([...first, ...second]).size).toBe(32);
  });

  test("a rank reads the rows of a table from its first to its last, and no others", async () => {
    const name = out("read");
    const outcome = await startRanks(launcher, 3, [...FIT, "--out", out("rows")], cwd, await watched(name))
      .outcome;
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
    expect(await noted(name, 0)).toContain("all");
    const [first, second] = await Promise.all([1, 2].map((rank) => noted(name, rank)));
    const spans = [first, second].map((queries) => {
      expect(queries).toHaveLength(1);
      const [count = 0, begin = 0] = (queries?.[0] ?? "").split(" ").map(Number);
      return { begin, end: begin + count };
    });
    const [of1 = { begin: 0, end: 0 }, of2 = { begin: 0, end: 0 }] = spans;
    // Each has a third of the training rows, and so about a third of all.
    for (const { begin, end } of spans) expect(Math.abs(end - begin - ROWS / 3)).toBeLessThan(ROWS / 30);
    expect(of2.begin).toBeGreaterThanOrEqual(of1.end);
    expect(of2.end).toBeLessThanOrEqual(ROWS);
  });

  test("data that differs on one rank is told by all, with the name of that rank", async () => {
    await mkdir(at("elsewhere"), { recursive: true });
    await writeTable(at("elsewhere", "table.parquet"), 1);
    await writeFile(
      at("move.mjs"),
      `
        import { isMainThread } from "node:worker_threads";
        const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
        if (rank === "1" && isMainThread) process.chdir(${JSON.stringify(at("elsewhere"))});
      `,
    );
    const environment = { NODE_OPTIONS: `--import ${at("move.mjs")}` };
    const args = [...FIT, "--out", at(out("differs"))];
    const outcome = await startRanks(launcher, 2, args, cwd, environment).outcome;
    expect(outcome.code).not.toBe(0);
    expect(await exists(at(out("differs")))).toBe(false);
    const lines = outcome.stderr.split("\n").filter((line) => line.startsWith("eidos: "));
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line).toMatch(
        /table\.parquet is not the same for rank 1 of 2 as for rank 0: .* share of 4000 differs/,
      );
    }
  });

  test("a rank that cannot make its rows of a batch ends the fit everywhere, and its checkpoint stays", async () => {
    await writeFile(
      at("break.mjs"),
      `
        import { SampleOwners } from ${JSON.stringify(built("train/ranks/owners.js"))};
        const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;
        const { exchange } = SampleOwners.prototype;
        let steps = 0;
        SampleOwners.prototype.exchange = function (...args) {
          if (rank === "1" && ++steps === 8) throw new Error("the memory is gone");
          return exchange.apply(this, args);
        };
      `,
    );
    const folder = out("broken");
    const environment = { NODE_OPTIONS: `--import ${at("break.mjs")}` };
    const outcome = await startRanks(launcher, 3, [...FIT, "--out", folder], cwd, environment).outcome;
    expect(outcome.code).not.toBe(0);
    const lines = outcome.stderr.split("\n").filter((line) => line.startsWith("eidos: "));
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toContain("the memory is gone");
    expect(lines.filter((line) => /rank 1 of 3 on /.test(line))).toHaveLength(2);
    expect((await new RunFolder(at(folder)).readCheckpoint())?.progress.step).toBe(5);
  });
});

test.skipIf(launchers.length > 0)("ranks are skipped, since there is no MPI here", () => {
  expect(launchers).toEqual([]);
});
