import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { columnsSchema } from "../../../src/data/sources/columns.ts";
import { valueOfCell } from "../../../src/data/table/codec/index.ts";
import { type ExportedAbility, exportedModelSchema } from "../../../src/model/exported.ts";
import { Random } from "../../../src/random.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { sampleRows } from "../../../src/tasks/run/outputs.node.ts";
import { sampleRun } from "../../../src/tasks/use/sample.node.ts";
import { score } from "../../../src/tasks/use/score.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

// A table model outside of eidos: columns in, the nats of `eidos score` out, in a plain session of ONNX Runtime.

let folder: string;
const ROWS = 300;

type Row = readonly (number | string | null)[];

/** Whole numbers, cents with gaps, two texts, categories with gaps, dates, a heavy tail, plain reals. */
function people(): Row[] {
  const random = new Random(11);
  return Array.from({ length: ROWS }, () => {
    const age = 18 + Math.floor(60 * random.uniform());
    const income = Number((1000 + 40 * age + 300 * random.normal()).toFixed(2));
    const city = ["Rome", "Oslo", "Lima"][Math.floor(3 * random.uniform() ** 2)] ?? "";
    const gap = random.uniform();
    const joined = new Date(Date.UTC(2015, 0, 1 + Math.floor(2000 * random.uniform()))).toISOString();
    return [
      age,
      gap < 0.2 ? null : income,
      age > 40 ? "yes" : "no",
      gap > 0.9 ? null : city,
      joined.slice(0, 10),
      Math.exp(2 * random.normal()),
      random.normal(),
    ];
  });
}

const NAMES = ["age", "income", "member", "city", "joined", "wealth", "firstRow"];

/** Bits, of which the last column misses a quarter. */
function bits(): Row[] {
  const random = new Random(12);
  return Array.from({ length: ROWS }, () => {
    const a = random.uniform() < 0.3 ? 1 : 0;
    const b = random.uniform() < (a === 1 ? 0.9 : 0.1) ? 1 : 0;
    return [a, b, random.uniform() < 0.25 ? null : b];
  });
}

const TABLES: Readonly<Record<string, { readonly names: readonly string[]; readonly rows: readonly Row[] }>> =
  {
    people: { names: NAMES, rows: people() },
    bits: { names: ["a", "b", "c"], rows: bits() },
  };

beforeAll(async () => {
  folder = await temporaryFolder();
  for (const [name, { names, rows }] of Object.entries(TABLES)) {
    const lines = rows.map((row) => row.map((cell) => cell ?? "").join());
    await writeFile(join(folder, `${name}.csv`), `${names.join()}\n${lines.join("\n")}\n`);
  }
});
afterAll(() => rm(folder, { recursive: true }));

async function fitted(model: string, table: string, options: object): Promise<LoadedRun> {
  const request = {
    model,
    data: join(folder, `${table}.csv`),
    ...options,
    steps: 40,
    batchSize: 64,
    threads: 1,
    out: join(folder, `${model}-${table}`),
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return loadRun(fit.folder.path, { threads: 1 });
}

/** An exported run: its record, and its files in plain sessions. */
async function exported(run: LoadedRun) {
  const path = join(run.folder.path, "out");
  const { files } = await exportRun(run.folder.path, path);
  const record = exportedModelSchema.parse(JSON.parse(await readFile(join(path, "model.json"), "utf8")));
  expect(files).toContain("model.json");
  const session = ({ file }: ExportedAbility) => ort.InferenceSession.create(join(path, file));
  return { record, session };
}

/** Rows as a program outside has them: what model.json says of each input, and nothing else. */
function feedsOf({ inputs }: ExportedAbility, names: readonly string[], rows: readonly Row[]) {
  const day = 86_400_000;
  return Object.fromEntries(
    inputs.map(({ name, column = name, type, missing, date, optional }) => {
      const at = names.indexOf(column);
      if (optional) return [name, new ort.Tensor("int64", new BigInt64Array(), [0])];
      const cells = rows.map((row) => {
        const cell = row[at] ?? null;
        if (cell === null) return missing === "NaN" ? Number.NaN : (missing ?? Number.NaN);
        return date === undefined ? cell : Math.floor(Date.parse(String(cell)) / day);
      });
      const tensor =
        type === "string"
          ? new ort.Tensor("string", cells.map(String), [cells.length])
          : new ort.Tensor("float64", Float64Array.from(cells, Number), [cells.length]);
      return [name, tensor];
    }),
  );
}

async function scores(run: LoadedRun, table: string): Promise<number[]> {
  const all: number[] = [];
  for await (const { logLikelihood } of score(run, join(folder, `${table}.csv`))) all.push(...logLikelihood);
  return all;
}

describe.each([
  ["maf", "people", { width: 16 }],
  ["spline-flow", "people", { width: 16, columns: ["age", "income", "city"] }],
  ["made", "bits", { width: 16 }],
  ["vae", "people", { width: 16, latentSize: 3, scoreSamples: 8, label: "member", conditional: true }],
  ["vae", "bits", { width: 16, latentSize: 2, scoreSamples: 5, posterior: "iaf", given: ["a"] }],
])("%s of %s", (model, table, options) => {
  let run: LoadedRun;
  let files: Awaited<ReturnType<typeof exported>>;
  beforeAll(async () => {
    run = await fitted(model, table, options);
    files = await exported(run);
  });
  afterAll(() => run.session.release());

  test("gives the nats of eidos score for rows in their own units", async () => {
    const { record, session } = files;
    const ability = present(record.abilities.score);
    const { names, rows } = present(TABLES[table]);
    const plain = await session(ability);
    const [output] = ability.outputs;
    const found = await plain.run(feedsOf(ability, names, rows));
    const nats = Array.from(found[present(output).name]?.data as Float64Array);
    const expected = await scores(run, table);
    expect(nats.length).toBe(ROWS);
    nats.forEach((value, row) => {
      expect(Math.abs(value - (expected[row] ?? Number.NaN)), `row ${row}`).toBeLessThan(1e-3);
    });
    await plain.release();
  });

  test.runIf(model === "maf")("draws the rows of eidos sample from the same noise", async () => {
    const { record, session } = files;
    const ability = present(record.abilities.sample);
    const [noise] = ability.inputs;
    const { name, shape, noise: kind } = present(noise);
    const [count, width] = [50, Number(shape[1])];
    const drawn = new Float32Array(count * width);
    for (let row = 0; row < count; row++) {
      const own = drawn.subarray(row * width, (row + 1) * width);
      const source = new Random(7).split("sample").split(row);
      if (kind === "uniform") source.fillUniform(own);
      else source.fillNormal(own);
    }
    const plain = await session(ability);
    const found = await plain.run({ [name]: new ort.Tensor("float32", drawn, [count, width]) });
    const { rows } = sampleRows(run.config.dataInfo, await sampleRun(run, { count, seed: 7, gaps: true }));
    const columns = columnsSchema.parse(run.config.dataInfo.columns);
    ability.outputs.forEach(({ name: output, missing }, c) => {
      const column = present(columns[c]);
      rows.forEach((row, r) => {
        const cell = row[c] ?? null;
        const value = found[output]?.data[r];
        if (cell === null) expect(value).toBe(missing === "NaN" ? Number.NaN : missing);
        else if (column.kind === "categorical") expect(value).toBe(cell);
        // Of the same noise by two programs: in the last digit that float32 carries, or one step apart.
        else {
          const own = present(valueOfCell(column, cell));
          const step = column.kind === "numeric" ? (column.cells?.step ?? 0) : 0;
          expect(
            Math.abs(Number(value) - own),
            `${output} of row ${r}: ${value}, ${cell}`,
          ).toBeLessThanOrEqual(1e-5 * Math.abs(own) + 1.001 * step);
        }
      });
    });
    await plain.release();
  });

  test.runIf(model === "maf")("has NaN for cells that a column cannot hold, and no error", async () => {
    const { record, session } = files;
    const ability = present(record.abilities.score);
    const plain = await session(ability);
    const [output] = ability.outputs;
    const sound: Row = [30, null, "no", null, "2016-05-05", 1, 0];
    const wrong: Row[] = [sound, ["", ...sound.slice(1)].map((c) => (c === "" ? null : c)), [...sound]];
    wrong[2] = sound.map((cell, c) => (c === 2 ? "maybe" : cell));
    const found = await plain.run(feedsOf(ability, NAMES, wrong));
    expect(Array.from(found[present(output).name]?.data as Float64Array, Number.isFinite)).toEqual([
      true,
      false,
      false,
    ]);
    await plain.release();
  });
});
