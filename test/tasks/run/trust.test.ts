import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { initialState } from "../../../src/nn/module.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitToPairs } from "../../../src/tasks/fit/reflow.node.ts";
import { openRun } from "../../../src/tasks/open-run.node.ts";
import { temporaryFolder } from "../../support.ts";

// A run folder of a stranger is data: it runs no module, and no query that reads or writes anything but the run's own data.

let folder = "";
let before = "";

beforeAll(async () => {
  before = process.cwd();
  folder = await temporaryFolder();
  process.chdir(folder);
  const rows = Array.from({ length: 60 }, (_, i) => `${Math.sin(i)},${Math.cos(3 * i)}`);
  await writeFile("wine.csv", `a,b\n${rows.join("\n")}\n`);
  await writeFile("secret.csv", `a,b\n${rows.join("\n")}\n`);
  const request = { model: "rectified-flow", data: "wine.csv", width: 8, depth: 1, steps: 1, out: "run" };
  const { fit } = await prepareFit({ kind: "new", request });
  await fit.folder.writeWeights("last", initialState(fit.model, 0), 0);
  await fit.folder.unlock();
  await mkdir("evil");
  await writeFile("evil/m.mjs", `import { writeFileSync } from "node:fs"; writeFileSync("acted", "");`);
});

afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

/** A copy of the run whose config.json a stranger has changed. */
async function strangersRun(name: string, change: Readonly<Record<string, unknown>>): Promise<string> {
  await cp("run", name, { recursive: true });
  const config = JSON.parse(await readFile(join("run", "config.json"), "utf8"));
  await writeFile(join(name, "config.json"), JSON.stringify({ ...config, ...change }));
  return name;
}

describe("a run that names a module", () => {
  test.each(["evil/m.mjs", "./evil/m.mjs", "evil/../evil/m.mjs"])("%s is not imported", async (model) => {
    const run = await strangersRun(`module-${model.replaceAll(/\W/g, "-")}`, { model });
    const refusal = new RegExp(`names a module.*${join(folder, "evil", "m.mjs")} would run.*--trust-module`);
    await expect(openRun(run)).rejects.toThrow(refusal);
    await expect(openRun(run, { trust: { query: true } })).rejects.toThrow(refusal);
    await expect(exportRun(run, "x")).rejects.toThrow(refusal);
    await expect(prepareFit({ kind: "resume", folder: run, overrides: {} })).rejects.toThrow(refusal);
    await expect(fitToPairs({ kind: "reflow", run })).rejects.toThrow(refusal);
    expect(existsSync("acted")).toBe(false);
  });

  test("is told where the file is missing; trusted, it runs", async () => {
    const gone = await strangersRun("gone", { model: "nowhere.mjs" });
    await expect(openRun(gone)).rejects.toThrow(
      /names the module nowhere.mjs as its model, and there is no such/,
    );
    const run = await strangersRun("trusted", { model: "evil/m.mjs" });
    await expect(openRun(run, { trust: true })).rejects.toThrow(/default export must be a model definition/);
    expect(existsSync("acted")).toBe(true);
  });
});

describe("a run that holds a query", () => {
  const read = async (name: string, change: Readonly<Record<string, unknown>>, trust = false) => {
    await using run = await openRun(await strangersRun(name, change), { trust });
    return (await run.loaded.data()).splits.train.count;
  };
  const options = (sql: string): Readonly<Record<string, unknown>> => ({ dataOptions: { sql } });

  test.each([
    "select 1 ) ; copy (select 2) to 'acted.csv'; select (1",
    "select a, b from data; copy (select 1) to 'acted.csv'",
    "select a, b from data) to 'acted.csv' --",
    "with x as (select 1) select * from x; attach 'acted.csv'",
  ])("%s does not run, not even trusted", async (sql) => {
    const name = `many-${sql.replaceAll(/\W/g, "-")}`;
    for (const trust of [false, true]) {
      await expect(read(`${name}-${trust}`, { data: sql, paths: {} }, trust)).rejects.toThrow(
        /single SELECT|Parser Error/,
      );
      await expect(read(`${name}-${trust}-option`, options(sql), trust)).rejects.toThrow(
        /single SELECT|Parser Error/,
      );
    }
    expect(existsSync("acted.csv")).toBe(false);
  });

  test.each([
    "select d.* from data d, (select count(*) from enable_logging(level = 'trace', storage = 'stdout'))",
    "select d.* from data d, (select count(*) from enable_logging(storage = 'file', storage_config = {'path': 'written'}))",
    "select d.* from data d, (select count(*) from enable_profiling(save_location = 'written.txt', format = 'query_tree'))",
    'select a, b from data where a in (select 1 from system.main."Force_Checkpoint"())',
    "select d.* from data d, query('select * from enable_logging()')",
    "select d.* from data d, json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select a, b from data where write_log(chr(27) || 'c') is null",
    "select a, b from data order by (select sum(sleep_ms(10000000)))",
  ])("%s calls what acts, and does not run, not even trusted", async (sql) => {
    const name = `acts-${sql.replaceAll(/\W/g, "-")}`;
    for (const trust of [false, true]) {
      await expect(read(`${name}-${trust}`, options(sql), trust)).rejects.toThrow(
        /it calls \w+, and a query reads data and does nothing else/,
      );
    }
    expect(existsSync("written")).toBe(false);
    expect(existsSync("written.txt")).toBe(false);
  });

  test("with ten thousands of spaces or semicolons within is read as any other", async () => {
    for (const many of [`${" ".repeat(99_000)}, b`, `, b/*${";".repeat(99_000)}*/`]) {
      await expect(read(`many-${many.length}`, options(`select a${many} from data ; ;`))).resolves.toBe(48);
    }
  });

  test.each([
    "select * from 'secret.csv'",
    "select * from read_csv('*.csv')",
    "select content as a, size as b from read_text('secret.csv')",
    "select file as a, 1 as b from glob('*')",
    "select d.* from data d, 'secret.csv'",
  ])("%s reads no other file, unless it is trusted", async (sql) => {
    const refusal = /stands in the run's config.json and reads more than the run's data.*--trust-query/;
    const name = `other-${sql.replaceAll(/\W/g, "-")}`;
    await expect(read(`${name}-option`, options(sql))).rejects.toThrow(refusal);
    await expect(
      openRun(await strangersRun(`${name}-module`, options(sql)), { trust: { module: true } }).then((run) =>
        run.loaded.data(),
      ),
    ).rejects.toThrow(refusal);
    if (!sql.includes("data")) {
      await expect(read(name, { data: sql, paths: {} })).rejects.toThrow(refusal);
      const resumed = await strangersRun(`${name}-resumed`, { data: sql, paths: {} });
      await expect(prepareFit({ kind: "resume", folder: resumed, overrides: {} })).rejects.toThrow(refusal);
      const sourced = { dataOptions: { source: sql }, paths: {} };
      await expect(read(`${name}-source`, sourced)).rejects.toThrow(refusal);
      const request = { model: "rectified-flow", data: sql, out: `${name}-new` };
      await expect(prepareFit({ kind: "new", request, trust: false })).rejects.toThrow(refusal);
    }
  });

  test("reads the run's own data, and files where it is trusted", async () => {
    // Another query means other data: the run says so once it has been read.
    const changed = /no longer what this run was begun with/;
    await expect(read("own", options("select a, b from data where a > -2"))).resolves.toBe(48);
    await expect(read("less", options("select a, b from data where a > 0"))).rejects.toThrow(changed);
    await expect(read("trusted-query", { data: "select * from 'wine.csv'", paths: {} }, true)).resolves.toBe(
      48,
    );
  });

  test("settings are locked", async () => {
    await expect(read("set", options("select * from pragma_version(); set threads = 1"))).rejects.toThrow(
      /single SELECT/,
    );
    await expect(read("pragma", options("pragma version"))).rejects.toThrow(
      /Parser Error|cannot be looked through/,
    );
  });
});
