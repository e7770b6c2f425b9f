import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, expect } from "vitest";
import { type ExportedAbility, exportedModelSchema } from "../../../src/model/exported.ts";
import { Random } from "../../../src/random.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { SOURCE_BATCH } from "../../../src/tasks/run/inputs.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { score } from "../../../src/tasks/use/score.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

// Table models outside of eidos, in a plain session of ONNX Runtime.

let folder: string;
let fits = 0;
export const ROWS = 300;

export type Row = readonly (number | string | null)[];

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

export const NAMES = ["age", "income", "member", "city", "joined", "wealth", "firstRow"];

/** Bits, of which the last column misses a quarter. */
function bits(): Row[] {
  const random = new Random(12);
  return Array.from({ length: ROWS }, () => {
    const a = random.uniform() < 0.3 ? 1 : 0;
    const b = random.uniform() < (a === 1 ? 0.9 : 0.1) ? 1 : 0;
    return [a, b, random.uniform() < 0.25 ? null : b];
  });
}

export const TABLES: Readonly<
  Record<string, { readonly names: readonly string[]; readonly rows: readonly Row[] }>
> = {
  people: { names: NAMES, rows: people() },
  bits: { names: ["a", "b", "c"], rows: bits() },
};

/** Writes the tables before the tests of a file, and removes them after. */
export function writeTables(): void {
  beforeAll(async () => {
    folder = await temporaryFolder();
    for (const [name, { names, rows }] of Object.entries(TABLES)) {
      const lines = rows.map((row) => row.map((cell) => cell ?? "").join());
      await writeFile(join(folder, `${name}.csv`), `${names.join()}\n${lines.join("\n")}\n`);
    }
  });
  afterAll(() => rm(folder, { recursive: true }));
}

export async function fitted(model: string, table: string, options: object): Promise<LoadedRun> {
  const request = {
    model,
    data: join(folder, `${table}.csv`),
    ...options,
    steps: 40,
    batchSize: 64,
    threads: 1,
    out: join(folder, `${model}-${table}-${++fits}`),
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return loadRun(fit.folder.path, { threads: 1 });
}

/** An exported run: its record, and its files in plain sessions. */
export async function exported(run: LoadedRun) {
  const path = join(run.folder.path, "out");
  const { files } = await exportRun(run.folder.path, path);
  const record = exportedModelSchema.parse(JSON.parse(await readFile(join(path, "model.json"), "utf8")));
  expect(files).toContain("model.json");
  const session = ({ file }: ExportedAbility) => ort.InferenceSession.create(join(path, file));
  return { record, session };
}

/** Rows as a program outside has them: what model.json says of each input, and nothing else. */
export function feedsOf({ inputs }: ExportedAbility, names: readonly string[], rows: readonly Row[]) {
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

/** The nats of `eidos score` and those of the file that is exported, in the batches that eidos reads. */
export async function bothScores(
  run: LoadedRun,
  { record, session }: Awaited<ReturnType<typeof exported>>,
  table: string,
) {
  const ability = present(record.abilities.score);
  const { names, rows } = present(TABLES[table]);
  const plain = await session(ability);
  const output = present(ability.outputs[0]).name;
  const optional = ability.inputs.filter((port) => port.optional).map(({ name }) => name);
  const nats: number[] = [];
  for (const batch of [rows.slice(0, SOURCE_BATCH), rows.slice(SOURCE_BATCH)]) {
    const first = new ort.Tensor("int64", BigInt64Array.of(BigInt(nats.length)), [1]);
    const numbered = Object.fromEntries(optional.map((name) => [name, first]));
    const found = await plain.run({ ...feedsOf(ability, names, batch), ...numbered });
    nats.push(...(present(found[output]).data as Float64Array));
  }
  await plain.release();
  return { nats, expected: await scores(run, table) };
}

/** Whether the exported file has a score for a row, one with a gap and one with a category that the columns do not know. */
export async function scoredRows({ record, session }: Awaited<ReturnType<typeof exported>>) {
  const ability = present(record.abilities.score);
  const plain = await session(ability);
  const sound: Row = [30, null, "no", null, "2016-05-05", 1, 0];
  const wrong = [
    sound,
    sound.map((cell, c) => (c === 0 ? null : cell)),
    sound.map((cell, c) => (c === 2 ? "maybe" : cell)),
  ];
  const found = await plain.run(feedsOf(ability, NAMES, wrong));
  await plain.release();
  return Array.from(present(found[present(ability.outputs[0]).name]).data as Float64Array, Number.isFinite);
}
