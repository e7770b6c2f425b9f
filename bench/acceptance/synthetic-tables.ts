import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openData } from "../../src/data/index.node.ts";
import { columnsSchema } from "../../src/data/sources/columns.ts";
import { streamTable } from "../../src/data/table/stream.node.ts";
import { Random } from "../../src/random.ts";
import { judgeSyntheticTable, type SyntheticTable } from "../../src/tasks/measure/table/synthetic.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";
import { type Entry, fitted, type Row, type Suite, scale } from "./run.ts";

// Synthetic tables: rows that our models draw, and those of SDV's synthesizers, judged by the same measures on the same held-out rows.

const SOURCE = "../shared/data/tables";
const FOLDER = "runs/acceptance/synthetic-tables";

/** A public table: how it is made of files, and the column that is predicted. */
interface PublicTable {
  readonly name: string;
  readonly target: string;
  /** The file that holds the rows, and what a column that names the file holds. */
  readonly files: readonly { readonly file: string; readonly color?: string }[];
}

const TABLES: readonly PublicTable[] = [
  {
    name: "wine",
    target: "quality",
    files: [
      { file: "wine-red.csv", color: "red" },
      { file: "wine-white.csv", color: "white" },
    ],
  },
  { name: "cardio", target: "anomaly", files: [{ file: "cardio.csv" }] },
];

const SHARES = { train: 0.7, validation: 0.1, test: 0.2 } as const;

/** Writes a table as a folder of splits, rows in an order of seed 0, where it is not there yet. */
async function splitFolder({ name, files }: PublicTable): Promise<string> {
  const folder = join(FOLDER, name);
  if (existsSync(join(folder, "test.csv"))) return folder;
  const rows: string[] = [];
  let head = "";
  for (const { file, color } of files) {
    const [first = "", ...lines] = (await readFile(join(SOURCE, file), "utf8")).trim().split(/\r?\n/);
    head = color === undefined ? first : `${first},color`;
    for (const line of lines) rows.push(color === undefined ? line : `${line},${color}`);
  }
  const order = new Random(0).permutation(rows.length);
  await mkdir(folder, { recursive: true });
  let start = 0;
  for (const [split, share] of Object.entries(SHARES)) {
    const end = split === "test" ? rows.length : start + Math.floor(share * rows.length);
    const lines = Array.from(order.subarray(start, end), (row) => rows[row] ?? "");
    await writeFile(join(folder, `${split}.csv`), `${[head, ...lines].join("\n")}\n`);
    start = end;
  }
  return folder;
}

const shown = (value: number | undefined): string => (value === undefined ? "" : value.toFixed(3));

/** The measures of rows as cells. */
function cellsOf({ similarity, twoSample, target, privacy }: SyntheticTable): Row {
  return {
    shapes: shown(similarity.shapes),
    pairs: shown(similarity.trends),
    coverage: shown(similarity.coverage),
    "within bounds": shown(similarity.adherence),
    "AUROC, trees": shown(twoSample?.trees.areaUnderRoc),
    "AUROC, logistic": shown(twoSample?.logistic.areaUnderRoc),
    target: target === undefined ? "" : `${target.target}, ${target.measure}`,
    "by drawn rows": shown(target?.synthetic),
    "by real rows": shown(target?.real),
    "distance to training rows": shown(privacy?.median),
    "of held-out rows": shown(privacy?.heldOutMedian),
    "nearer to training": shown(privacy?.nearerToTraining),
  };
}

/** Judges rows by the test split of a table; `rows` makes so many, as the columns of the data have them. */
async function judged(
  table: PublicTable,
  rows: (count: number, folder: string) => Promise<NdArray<"float32">>,
): Promise<Row> {
  const folder = await splitFolder(table);
  const data = await openData(folder, {});
  const drawn = await rows(data.splits.test.count, folder);
  return cellsOf(judgeSyntheticTable(data, drawn, { split: "test", seed: 0, target: table.target }));
}

/** The rows of a file, encoded as the data has them: all that is judged was written before, set to bounds and to steps as its reader gets it. */
async function rowsOfFile(path: string, folder: string): Promise<NdArray<"float32">> {
  const { columns, sampleShape } = await openData(folder, {});
  const rows: number[] = [];
  for await (const { x } of streamTable({ path }, columnsSchema.parse(columns), { seed: 0 })) {
    for (const value of x.data) rows.push(value);
  }
  const width = sampleShape[0] ?? 1;
  return float32(Float32Array.from(rows), [rows.length / width, width]);
}

/** The table's own training rows: what copies come to. */
const copies = (table: PublicTable): Entry => ({
  name: `tables-copies-${table.name}`,
  section: table.name,
  measure: async () => {
    const { splits } = await openData(await splitFolder(table), {});
    const chosen = new Random(0).permutation(splits.train.count);
    return {
      model: "training rows themselves",
      ...(await judged(table, async (count) => splits.train.batch(chosen.subarray(0, count)).x)),
    };
  },
});

const MODELS = [
  { model: "nice", seconds: 45 },
  { model: "spline-flow", seconds: 60 },
  { model: "vae", seconds: 45 },
  { model: "rectified-flow", seconds: 60 },
] as const;

const ours = (table: PublicTable): readonly Entry[] =>
  MODELS.map(({ model, seconds }): Entry => {
    const name = `tables-${model}-${table.name}`;
    return {
      name,
      section: table.name,
      measure: async () => {
        const data = await splitFolder(table);
        const options = { report: "none", samplePictures: 0 };
        return fitted({ name, model, data, seconds, options }, async (run) => {
          const last = (await run.loaded.folder.readMetrics()).at(-1);
          const row = await judged(table, async (count, folder) => {
            const out = join(FOLDER, `${name}.csv`);
            await run.save(await run.sample({ count, seed: 0, gaps: true }), out);
            return rowsOfFile(out, folder);
          });
          return { model, seconds: (last?.seconds ?? 0).toFixed(0), ...row };
        });
      },
    };
  });

/** SDV's synthesizers, with the epochs that they have by default. */
const PEERS = [
  { synthesizer: "GaussianCopula", epochs: 1 },
  { synthesizer: "CTGAN", epochs: 300 },
  { synthesizer: "TVAE", epochs: 300 },
] as const;

/** Runs the peer's script. @throws Error with what it printed, where there is no Python with SDV or it fails */
async function peerRows(
  args: readonly string[],
): Promise<{ readonly seconds: number; readonly version: string }> {
  const python = process.env.EIDOS_PYTHON ?? "python3";
  const child = spawn(python, ["bench/peers/tables_peer.py", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, errors] = ["", ""];
  child.stdout.on("data", (text: Buffer) => {
    out += text;
  });
  child.stderr.on("data", (text: Buffer) => {
    errors = (errors + text).slice(-2000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) {
    throw new Error(
      `${python} bench/peers/tables_peer.py ended with ${code} (EIDOS_PYTHON names a Python with sdv): ${errors}`,
    );
  }
  return JSON.parse(out.trim().split("\n").at(-1) ?? "");
}

const peers = (table: PublicTable): readonly Entry[] =>
  PEERS.map(({ synthesizer, epochs }): Entry => {
    const name = `tables-${synthesizer.toLowerCase()}-${table.name}`;
    return {
      name,
      section: table.name,
      measure: async () => {
        let [seconds, version] = [0, ""];
        const row = await judged(table, async (count, folder) => {
          const out = join(FOLDER, `${name}.csv`);
          const wanted = Math.max(1, Math.round(epochs * scale.value));
          process.stderr.write(`${name}: ${wanted} epochs\n`);
          const args = [synthesizer, join(folder, "train.csv"), out, String(count), String(wanted)];
          ({ seconds, version } = await peerRows(args));
          return rowsOfFile(out, folder);
        });
        return { model: `${synthesizer} (SDV ${version})`, seconds: seconds.toFixed(0), ...row };
      },
    };
  });

export const syntheticTables: Suite = {
  file: "bench/ACCEPTANCE-TABLES.md",
  title: "Acceptance runs of synthetic tables",
  command: "npm run acceptance tables",
  introduction:
    "70 % of the rows train, 10 % choose weights (SDV's synthesizers do without), 20 % are held out; as many rows are drawn as are held out, and judged as they are written. Measures are " +
    "those of `eidos eval` ([metrics](../docs/guide/metrics.md#synthetic-tables)): shapes, pairs, coverage and bounds are best at 1, AUROC at 0.5, " +
    "`by drawn rows` at `by real rows`, distances at those of held-out rows, `nearer to training` at 0.5. `wine` has red and white wines with a column of their color; " +
    "`cardio` has a column of zeros and ones. Seconds are of the fit; SDV runs with all cores and its own defaults, seed 0.",
  entries: TABLES.flatMap((table) => [copies(table), ...ours(table), ...peers(table)]),
};
