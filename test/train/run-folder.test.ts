import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setImmediate, setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { FileLock, RUN_LOCK, releaseThread } from "../../src/data/files/lock.node.ts";
import { FileError } from "../../src/errors.ts";
import {
  type MetricRow,
  metricsText,
  packMetrics,
  parseMetrics,
  ShownMetrics,
  unpackMetrics,
} from "../../src/train/metrics-file.node.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { present, temporaryFolder } from "../support.ts";
import { fitDenoiser } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const at = (...names: readonly string[]): string => join(root, ...names);

/** A process that is there, and is not this one. */
const OTHER = process.ppid;

async function lockFile(folder: string, change: Readonly<Record<string, unknown>>): Promise<string> {
  await mkdir(at(folder), { recursive: true });
  const holder = {
    pid: OTHER,
    thread: 0,
    host: hostname(),
    born: "",
    since: "2026-01-01",
    token: "x",
    ...change,
  };
  await writeFile(at(folder, "run.lock"), JSON.stringify(holder));
  return at(folder);
}

describe("a run folder that is locked", () => {
  test("is refused to others, who are told who fits it, and free afterwards", async () => {
    const folder = new RunFolder(at("locked"));
    await folder.create();
    await folder.writeConfig({} as Parameters<RunFolder["writeConfig"]>[0]);
    expect(await new RunFolder(folder.path).fitter()).toMatchObject({ pid: process.pid, host: hostname() });
    await expect(new RunFolder(folder.path).lock()).rejects.toThrow(
      new RegExp(`locked is being fitted by process ${process.pid} since .*remove .*run.lock`),
    );
    await folder.unlock();
    expect(await folder.fitter()).toBeUndefined();
    await new RunFolder(folder.path).lock();
    await releaseThread(join(folder.path, RUN_LOCK), 0);
    expect(await readdir(folder.path)).not.toContain("run.lock");
  });

  test("by a living process is not taken over; by one that is gone it is", async () => {
    await expect(new RunFolder(await lockFile("alive", {})).lock()).rejects.toThrow(`process ${OTHER}`);
    const gone: readonly Readonly<Record<string, unknown>>[] = [
      { pid: 2 ** 22 + 1 },
      // The number is another process's now.
      ...(process.platform === "linux" ? [{ born: "another boot 1" }] : []),
    ];
    for (const [i, change] of gone.entries()) {
      const folder = new RunFolder(await lockFile(`gone-${i}`, change));
      await folder.lock();
      expect(await folder.fitter()).toMatchObject({ pid: process.pid });
      await folder.unlock();
      expect(await readdir(folder.path)).toEqual([]);
    }
  });

  test("on another machine counts as gone after ten minutes without a sign of life", async () => {
    const path = await lockFile("away", { host: "elsewhere" });
    await expect(new RunFolder(path).lock()).rejects.toThrow(`process ${OTHER} on elsewhere since`);
    const before = new Date(Date.now() - 11 * 60_000);
    await utimes(join(path, "run.lock"), before, before);
    const folder = new RunFolder(path);
    await folder.lock();
    await folder.unlock();
  });

  test("of many that take it at once, or take over a stale one, one has it", async () => {
    await mkdir(at("race"));
    for (let round = 0; round < 30; round++) {
      if (round % 3 > 0) await lockFile("race", { pid: 2 ** 22 + 1, token: String(round) });
      // One died while it took over the lock.
      if (round % 3 > 1) {
        const text = await readFile(at("race", RUN_LOCK), "utf8");
        const second = `${RUN_LOCK}.${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
        await writeFile(at("race", second), text);
      }
      const takings = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          await setTimeout(i % 4);
          return FileLock.take(at("race", RUN_LOCK));
        }),
      );
      const taken = takings.flatMap((taking) => (taking.kind === "taken" ? [taking.lock] : []));
      expect(taken).toHaveLength(1);
      expect(await taken[0]?.lost()).toBeUndefined();
      await taken[0]?.release();
      expect(await readdir(at("race"))).toEqual([]);
    }
  });

  test("has a lock that says whose it is from the first moment, so that one that is killed can be told from one that lives", async () => {
    const path = at("whole-lock");
    await mkdir(path);
    const seen = new Set<string>();
    for (let round = 0; round < 50; round++) {
      const taking = FileLock.take(join(path, RUN_LOCK));
      let taken = false;
      void taking.finally(() => (taken = true));
      while (!taken) {
        if (existsSync(join(path, RUN_LOCK))) seen.add(readFileSync(join(path, RUN_LOCK), "utf8"));
        await setImmediate();
      }
      const came = await taking;
      if (came.kind === "taken") await came.lock.release();
    }
    expect([...seen].filter((text) => !text.endsWith("}\n"))).toEqual([]);
    expect(seen.size).toBeGreaterThan(0);
    expect(await readdir(path)).toEqual([]);
  });

  test.each([-9.9, 11])(
    "is taken where its lock says nothing, written %i seconds from now",
    async (seconds) => {
      const path = at(`silent-${seconds}`);
      const folder = new RunFolder(path);
      await folder.create();
      await folder.unlock();
      await writeFile(join(path, RUN_LOCK), "");
      // Ten seconds are given, of which most are over; the clock of another machine may be ahead as well.
      const since = new Date(Date.now() + 1000 * seconds);
      await utimes(join(path, RUN_LOCK), since, since);
      await folder.lock();
      await folder.unlock();
    },
  );

  test.each(["pipe", "link", "folder"])(
    "by a %s in place of its lock is refused, and names what to remove",
    async (what) => {
      const path = at(`lock-is-a-${what}`);
      const folder = new RunFolder(path);
      await folder.create();
      await folder.unlock();
      const lock = join(path, "run.lock");
      if (what === "pipe") execFileSync("mkfifo", [lock]);
      else if (what === "link") await symlink("nowhere", lock);
      else await mkdir(lock);
      const refusal = /run.lock is a link, folder, pipe or device, and a lock is a file; remove it/;
      await expect(folder.lock()).rejects.toThrow(refusal);
      await expect(folder.fitter()).rejects.toThrow(FileError);
    },
  );

  test("is not written any more once the lock is another's", async () => {
    const folder = new RunFolder(at("robbed"));
    await folder.create();
    await lockFile("robbed", {});
    const checkpoint = { progress: {}, vectors: new Map() } as unknown as Parameters<
      RunFolder["writeCheckpoint"]
    >[0];
    await expect(folder.writeCheckpoint(checkpoint)).rejects.toThrow(
      /was taken by process .* writes nothing more/,
    );
    await rm(at("robbed", "run.lock"));
    await expect(folder.writeCheckpoint(checkpoint)).rejects.toThrow(/was removed while/);
    expect(await readdir(folder.path)).not.toContain("state.safetensors");
  });
});

describe("a folder in which a fit was killed before it wrote its configuration", () => {
  test("is used by the next, whatever the number of its process", async () => {
    await lockFile("killed", { pid: 2 ** 22 + 1 });
    await mkdir(at("killed", "weights"));
    await mkdir(at("killed", "samples"));
    for (const name of [
      `config.json.${process.pid}-0.tmp`,
      `config.json.${process.pid}-0-0123abcd.tmp`,
      "run.lock.aside",
    ]) {
      await writeFile(at("killed", name), "{");
    }
    await writeFile(at("killed", "weights", `last.safetensors.${process.pid}-1.tmp`), "");
    const folder = new RunFolder(at("killed"));
    await folder.create();
    await folder.writeConfig({} as Parameters<RunFolder["writeConfig"]>[0]);
    await folder.unlock();
    expect((await readdir(folder.path)).toSorted()).toEqual(["config.json", "samples", "weights"]);
  });

  test.each(["notes.txt", "weights/best.safetensors", "samples/mine.png"])(
    "but not where %s is there",
    async (name) => {
      const path = at(`full-${name.replaceAll(/\W/g, "-")}`);
      await mkdir(join(path, name, ".."), { recursive: true });
      await writeFile(join(path, name), "");
      await expect(new RunFolder(path).create()).rejects.toThrow(FileError);
      await expect(new RunFolder(path).create()).rejects.toThrow(/is not empty and holds no run/);
      expect(await readFile(join(path, name), "utf8")).toBe("");
    },
  );

  test.each(["run.lock.d", "config.json.1-0.tmp"])(
    "nor where %s is a folder, which a fit goes on beside",
    async (name) => {
      const path = at(`left-${name}`);
      await mkdir(join(path, name), { recursive: true });
      await expect(new RunFolder(path).create()).rejects.toThrow(/is not empty and holds no run/);
      await new RunFolder(path).removeTemporaries();
      expect(await readdir(path)).toEqual([name]);
    },
  );

  test("nor while that fit lives", async () => {
    await expect(new RunFolder(await lockFile("young", {})).create()).rejects.toThrow(
      /being fitted by process/,
    );
  });
});

describe("metrics.csv", () => {
  const number = fc.oneof(fc.double(), fc.integer(), fc.constant(Number.NaN));
  const name = fc.oneof(
    fc.constantFrom("loss", "a,b", 'a"b', "a\nb", "constructor", "__proto__", "名"),
    fc.string({ minLength: 1 }),
  );
  const rows: fc.Arbitrary<MetricRow[]> = fc
    .array(
      fc.dictionary(
        name.filter((text) => text !== "step" && text !== "centre" && text !== "centreness"),
        number,
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((list) => list.map((row, i) => ({ step: i + 1, ...row })));

  test("is read back as it was written, whatever its columns are called", () => {
    fc.assert(
      fc.property(rows, (list) => {
        // A carriage return is not kept by the reader of tables.
        fc.pre(!list.some((row) => Object.keys(row).some((key) => key.includes("\r"))));
        const read = parseMetrics(metricsText(list));
        expect(read.damage).toBeUndefined();
        expect(entriesOf(read.rows)).toEqual(entriesOf(list.map((row) => plus0(row))));
      }),
    );
  });

  test("is kept in a checkpoint bit for bit", () => {
    fc.assert(
      fc.property(rows, (list) => {
        const { arrays, columns } = packMetrics(list);
        const held = new Map(arrays);
        expect(entriesOf(present(unpackMetrics(held, columns, "state")))).toEqual(entriesOf(list));
        expect(held.size).toBe(0);
      }),
    );
  });

  test.each([
    ["", /does not name a column step/],
    ["step,loss\n1,2\n2", /line 3 has 1 cells, not 2/],
    ["step,loss\n1,2\n2,x\n3,1", /line 3 holds no number under loss: "x"/],
    ["step,loss\n1,2\n2,3\n1,1", /line 4 is of step 1, below one of step 2/],
    ["step,loss\n1,2\n\u0000\u0000", /line 3 has 1 cells/],
  ])("%j is damaged", (text, damage) => {
    expect(parseMetrics(text).damage).toMatch(damage);
  });

  test.each([
    ["missing", (path: string) => rm(path)],
    ["damaged", (path: string) => writeFile(path, "step,loss\n3,garbage\n")],
    ["cut short", async (path: string) => writeFile(path, (await readFile(path, "utf8")).slice(0, -20))],
  ] as const)("that is %s is told on resume, and repaired from the checkpoint", async (what, spoil) => {
    const path = at(`metrics-${what.replaceAll(" ", "-")}`);
    const { folder } = await fitDenoiser(path, { steps: 12 });
    const before = await folder.readMetrics();
    await spoil(folder.file("metrics.csv"));
    const warnings: string[] = [];
    await fitDenoiser(path, { steps: 15 }, { resume: true, onWarning: (message) => warnings.push(message) });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /metrics\.csv is (missing|damaged).*rows are written again from the checkpoint of step 12/,
    );
    const after = await folder.readMetrics();
    expect(after.slice(0, before.length)).toEqual(before);
    expect(present(after.at(-1)).step).toBe(15);
  });
});

/** What rows hold, by name: also under names that objects have from the language. */
function entriesOf(
  rows: readonly MetricRow[],
): readonly (readonly (readonly [string, number | undefined])[])[] {
  return rows.map((row) => Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** -0 is written as 0. */
function plus0(row: MetricRow): MetricRow {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, value === 0 ? 0 : value]),
  ) as MetricRow;
}

describe("a run folder of a stranger", () => {
  const links = [
    "weights/last.safetensors",
    "metrics.csv",
    "state.safetensors",
    "samples/samples.png",
    "weights",
    "detections/photos/a",
  ];

  test.each(links)("in which %s leads out of it is neither read nor written", async (name) => {
    const path = at(`linked-${name.replaceAll(/\W/g, "-")}`);
    const { folder } = await fitDenoiser(path, { steps: 3 });
    await folder.writeConfig({} as Parameters<RunFolder["writeConfig"]>[0]);
    const private_ = at(`private-${name.replaceAll(/\W/g, "-")}`);
    await writeFile(private_, "mine");
    await rm(folder.file(name), { recursive: true, force: true });
    await mkdir(join(folder.file(name), ".."), { recursive: true });
    await symlink(private_, folder.file(name));
    await expect(folder.readConfig()).rejects.toThrow(/is a link that leads out of the run, to .*private/);
    expect(await readFile(private_, "utf8")).toBe("mine");
  });

  test("of ten thousands of options is refused before they are looked at, in a few words", async () => {
    const file = new URL("../fixtures/runs/nice-two-moons/config.json", import.meta.url);
    const config = JSON.parse(await readFile(file, "utf8"));
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`o${i}`, 1]));
    await mkdir(at("many-keys"));
    for (const part of ["modelOptions", "dataOptions", "fit", "dataInfo"]) {
      await writeFile(at("many-keys", "config.json"), JSON.stringify({ ...config, [part]: many }));
      await expect(new RunFolder(at("many-keys")).readConfig()).rejects.toThrow(
        `${part} has 20000 keys, where 1000 are read at most`,
      );
    }
    const dataInfo = { ...config.dataInfo, classNames: Array.from({ length: 60_000 }, () => 1) };
    await writeFile(at("many-keys", "config.json"), JSON.stringify({ ...config, dataInfo }));
    await expect(new RunFolder(at("many-keys")).readConfig()).rejects.toThrow(/ and 59980 more faults$/);
  });

  test("may hold links within itself", async () => {
    const { folder } = await fitDenoiser(at("linked-within"), { steps: 3 });
    await symlink("last.safetensors", folder.file("weights", "best-of-all.safetensors"));
    await folder.writeConfig({} as Parameters<RunFolder["writeConfig"]>[0]);
    // It gets as far as the configuration, which is none.
    await expect(folder.readConfig()).rejects.toThrow(/config\.json: /);
  });

  test.skipIf(process.platform === "win32")("in which a file is a pipe does not hang", async () => {
    const { folder } = await fitDenoiser(at("piped"), { steps: 3 });
    for (const name of ["config.json", "metrics.csv", "state.safetensors", "weights/last.safetensors"]) {
      await rm(folder.file(name), { force: true });
      execFileSync("mkfifo", [folder.file(name)]);
    }
    await expect(folder.readConfig()).rejects.toThrow(/it is a pipe, not a regular file/);
    await expect(folder.readMetrics()).rejects.toThrow(/it is a pipe/);
    await expect(folder.readCheckpoint()).rejects.toThrow(/it is a pipe/);
    await expect(folder.readWeights("last")).rejects.toThrow(/it is a pipe/);
  });

  test("with a configuration that is nested deeply is refused", async () => {
    await mkdir(at("deep"));
    const nested = (open: string, close: string): string =>
      `{"model": ${open.repeat(50_000)}1${close.repeat(50_000)}}`;
    for (const text of [nested("[", "]"), nested('{"a":', "}")]) {
      await writeFile(at("deep", "config.json"), text);
      await expect(new RunFolder(at("deep")).readConfig()).rejects.toThrow(
        /config\.json is nested too deeply/,
      );
    }
  });
});

describe("metrics.csv while a run is fitted", () => {
  test("is written at most once a second, and for a fiftieth of the time", async () => {
    let now = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
    const written: [time: number, rows: number][] = [];
    const rows: MetricRow[] = [];
    let cost = 10;
    const metrics = new ShownMetrics(async (all) => {
      written.push([now, all.length]);
      now += cost;
    });
    const until = async (end: number): Promise<void> => {
      for (; now < end; now += 100) {
        rows.push({ step: rows.length + 1 });
        await metrics.show(rows);
      }
    };
    await until(2500);
    const times = written.map(([time]) => time);
    expect(times).toHaveLength(3);
    for (const [i, time] of times.entries())
      if (i > 0) expect(time - (times[i - 1] ?? 0)).toBeGreaterThan(1000);
    cost = 200;
    await metrics.write(rows);
    const before = written.length;
    await until(now + 9_500);
    expect(written).toHaveLength(before);
    await until(now + 1_000);
    expect(written.at(-1)?.[1]).toBeGreaterThan(rows.length - 12);
    // Nothing new is not written again.
    const count = written.length;
    now += 1e6;
    await metrics.show(rows.slice(0, written.at(-1)?.[1]));
    expect(written).toHaveLength(count);
    clock.mockRestore();
  });
});
