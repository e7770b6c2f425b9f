import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { planeDensity } from "../../src/data/sources/toy.ts";
import { openTable } from "../../src/data/table/table.node.ts";
import { loadRun as openRun } from "../../src/tasks/run/load.node.ts";
import { float32 } from "../../src/tensor/array.ts";
import { temporaryFolder } from "../support.ts";
import {
  BARE,
  filesBelow,
  QUICK,
  readCsv,
  refused,
  run,
  start,
  succeed,
  timelessMetrics,
} from "./support.ts";

let cwd: string;
const flow = join("runs", "rectified-flow-two-moons");
const second = `${flow}-2`;
const NICE = [
  "fit",
  "nice",
  "two-moons",
  ...QUICK,
  "--report",
  "full",
  "--steps",
  "60",
  "--validate-every",
  "20",
];
// Its report is looked at nowhere.
const FLOW = ["fit", "rectified-flow", "two-moons", ...BARE, "--steps", "30", "--depth", "2"];

beforeAll(async () => {
  cwd = await temporaryFolder();
  await Promise.all([
    succeed([...NICE, "--out", "nice", "--sample-pictures", "64"], cwd),
    succeed([...FLOW, "--quiet", "--json", "--seed", "3"], cwd).then(({ stdout, stderr }) => {
      expect(JSON.parse(stdout)).toMatchObject({ folder: flow, step: 30, reason: "limit" });
      expect(stderr).toBe("");
    }),
  ]);
});

describe("help", () => {
  test("loads the command line parser and nothing heavy", async () => {
    const hook =
      "export async function load(url, context, next) { process._rawDebug(url); return next(url, context); }";
    const register = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hook)}");`;
    const watching = ["--import", `data:text/javascript,${encodeURIComponent(register)}`];
    const { code, stdout, stderr } = await start(["--help"], cwd, watching).outcome;
    expect(code).toBe(0);
    expect(stdout).toContain("fit a model to data, or continue a fit");
    const loaded = stderr.split("\n").filter((line) => line.startsWith("file:"));
    expect(loaded.some((url) => url.endsWith("/cli/main.js"))).toBe(true);
    const light =
      /\/dist\/(cli\/main|cli\/command|errors|printable|version|_virtual\/_rolldown\/runtime)\.js$|\/node_modules\/commander\//;
    expect(loaded.filter((url) => !light.test(url))).toEqual([]);
  });

  test("a model's own options stand in its help, those of others do not", async () => {
    const { stdout } = await succeed(["fit", "nice", "--help"], cwd);
    expect(stdout).toMatch(/--couplings/);
    expect(stdout).not.toMatch(/--fourier-features/);
    expect((await succeed(["fit", "--help", "all"], cwd)).stdout).toMatch(/--fourier-features/);
  });

  test("eidos alone shows the commands", async () => {
    expect((await run([], cwd)).stderr).toMatch(/Usage: eidos/);
    expect((await run(["--version"], cwd)).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("fit", () => {
  test("writes the run folder of the design, and nothing else", async () => {
    const files = await filesBelow(join(cwd, "nice"));
    expect(files.filter((file) => !/^samples\/step-\d{6}\.png$/.test(file))).toEqual([
      "config.json",
      "metrics.csv",
      "model.onnx",
      "report.html",
      "samples/density.png",
      "samples/path.png",
      "samples/samples.png",
      "samples/true-density.png",
      "state.safetensors",
      "weights/best.safetensors",
      "weights/last.safetensors",
    ]);
    const report = await readFile(join(cwd, "nice", "report.html"), "utf8");
    expect(report).toMatch(/log-likelihood/);
    expect(report).toMatch(/data:image\/png;base64/);
    expect(report).not.toMatch(/(src|href)="(?!data:|#)/);
    const rows = await timelessMetrics(join(cwd, "nice"));
    expect(rows.map((row) => row.step)).toEqual(["10", "20", "30", "40", "50", "60"]);
    expect(rows.map((row) => row.validationLoss !== "")).toEqual([false, true, false, true, false, true]);
  });

  test("options in a JSON file are those of the command line, which comes first", async () => {
    const options = {
      count: 2000,
      width: 16,
      batchSize: 64,
      samplePictures: 0,
      report: "none",
      steps: 30,
      depth: 2,
      seed: 9,
    };
    const config = { model: "rectified-flow", data: "two-moons", ...options };
    await writeFile(join(cwd, "options.json"), JSON.stringify(config));
    await succeed(["fit", "--config", "options.json", "--seed", "3"], cwd);
    const read = async (name: string) => {
      const { created: _, ...rest } = JSON.parse(await readFile(join(cwd, name, "config.json"), "utf8"));
      return rest;
    };
    expect(await read(second)).toEqual(await read(flow));
    // and the same seed gives the same numbers
    expect(await timelessMetrics(join(cwd, second))).toEqual(await timelessMetrics(join(cwd, flow)));
    for (const which of ["best", "last"]) {
      const file = join("weights", `${which}.safetensors`);
      expect(await readFile(join(cwd, second, file))).toEqual(await readFile(join(cwd, flow, file)));
    }
  });

  test("a folder that is not named is numbered where it exists; runs lists them", async () => {
    const runs = JSON.parse((await succeed(["runs", "--json"], cwd)).stdout);
    expect(runs).toMatchObject([
      { path: flow, model: "rectified-flow", data: "two-moons", step: 30 },
      { path: second, model: "rectified-flow", data: "two-moons", step: 30 },
    ]);
    expect((await succeed(["runs"], cwd)).stdout).toContain(second);
  });
});

describe("sample", () => {
  test("writes by extension, the same samples into each", async () => {
    const names = ["s.csv", "s.npy", "s.parquet", "s.png"];
    await Promise.all(
      names.map((name) => succeed(["sample", flow, "--count", "50", "--steps", "5", "--out", name], cwd)),
    );
    const { shape, data } = await readNpy(join(cwd, "s.npy"));
    expect(shape).toEqual([50, 2]);
    const { names: columns, rows } = await readCsv(join(cwd, "s.csv"));
    expect(columns).toEqual(["x", "y"]);
    expect(Float32Array.from(rows.flat(), Number)).toEqual(data);
    const parquet = await openTable(
      {
        sql: `select count(*) as n, sum(x) as x, sum(y) as y from '${join(cwd, "s.parquet")}' union all select 0,0,0 union all select 0,0,0`,
      },
      { validation: 0, test: 0 },
    );
    expect(parquet.columns?.map(({ name }) => name)).toEqual(["n", "x", "y"]);
    const png = await readFile(join(cwd, "s.png"));
    expect([...png.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
  });

  test("without a file draws into the run folder; the seed decides", async () => {
    const { stdout } = await succeed(["sample", "nice", "--seed", "7", "--count", "20"], cwd);
    expect(stdout).toContain(join("nice", "samples", "seed-7.png"));
    expect((await stat(join(cwd, "nice", "samples", "seed-7.png"))).size).toBeGreaterThan(1000);
  });

  test("refuses what it cannot write or does not know, before any work", async () => {
    expect(await refused(["sample", flow, "--out", "a.gif"], cwd)).toMatch(/a\.gif must end in \.png, \.npy/);
    expect(await refused(["sample", "nice", "--solver", "rk4"], cwd)).toMatch(/nice.*no option solver/);
    expect(await refused(["sample", flow, "--solver", "rk5"], cwd)).toMatch(/option solver:.*rk4/);
    expect(await refused(["sample", flow, "--label", "3"], cwd)).toMatch(/label.*no classes/);
    expect(await refused(["sample", flow, "--count", "none"], cwd)).toMatch(/count: "none" is not a number/);
  });
});

describe("score", () => {
  test("scores every row of a table, as CSV, Parquet or lines, and prints the mean", async () => {
    const rows = Array.from({ length: 600 }, (_, i) => [Math.sin(i), Math.cos(3 * i)]);
    await writeFile(join(cwd, "points.csv"), `x,y\n${rows.map((row) => row.join()).join("\n")}\n`);
    const [csv, parquet, lines] = await Promise.all([
      succeed(["score", "nice", "points.csv", "--out", "scores.csv"], cwd),
      succeed(["score", "nice", "points.csv", "--out", "scores.parquet", "--json"], cwd),
      succeed(["score", "nice", "points.csv"], cwd),
    ]);
    const written = await readFile(join(cwd, "scores.csv"), "utf8");
    expect(lines?.stdout).toBe(written);
    const { names, rows: scores } = await readCsv(join(cwd, "scores.csv"));
    expect(names).toEqual(["row", "logLikelihood"]);
    expect(scores.map(([row]) => Number(row))).toEqual(rows.map((_, i) => i));
    const opened = await openRun(join(cwd, "nice"));
    const logProb = opened.model.logProb?.bind(opened.model);
    if (logProb === undefined) throw new Error("NICE has a density");
    const direct = opened.session.compiled(opened, "direct", ["x"], ({ x }) => ({
      y: logProb(x),
    }));
    const { y } = await direct.run({ x: float32(rows.flat(), [600, 2]) });
    scores.forEach(([, score], i) => {
      expect(Number(score)).toBeCloseTo(Number(y?.data[i]), 4);
    });
    const mean = scores.reduce((sum, [, score]) => sum + Number(score), 0) / scores.length;
    const printed = /points\.csv: 600 rows, mean log-likelihood (-[\d.]+) nats; written to scores\.csv\n$/;
    expect(Number(printed.exec(csv?.stderr ?? "")?.[1])).toBeCloseTo(mean, 3);
    const summary = JSON.parse(parquet?.stdout ?? "");
    expect(summary).toMatchObject({ count: 600, step: 60, seed: 0, data: "points.csv" });
    expect(summary.meanLogLikelihood).toBeCloseTo(mean, 6);
    const table = await openTable({ path: join(cwd, "scores.parquet") }, { validation: 0, test: 0 });
    expect(table.splits.train.count).toBe(600);
  });

  test("refuses a model without likelihood, other data and a wrong extension", async () => {
    await succeed(["fit", "gan", "two-moons", ...BARE, "--steps", "3", "--out", "gan"], cwd);
    expect(await refused(["score", "gan"], cwd)).toMatch(
      /gan cannot compute a likelihood; it can fit, sample/,
    );
    expect(await refused(["score", "nice", "digits"], cwd)).toMatch(
      /digits is image data of shape \[1,28,28\]/,
    );
    expect(await refused(["score", "nice", "--out", "x.txt"], cwd)).toMatch(
      /x\.txt must end in \.csv or \.parquet/,
    );
  });

  test("a reader that has seen enough is no error", async () => {
    const shell = 'cut_off() { { "$@"; echo "ended with $?" >&2; } | head -n 2; }; cut_off';
    const { stdout, stderr } = await start(["score", "nice", "--split", "train"], cwd, [], shell).outcome;
    expect(stdout.split("\n")[0]).toBe("row,logLikelihood");
    expect(stderr).toMatch(/^ended with 0\n$/);
  });
});

describe("eval", () => {
  test("every number carries data set, split, seed and step", async () => {
    const evaluation = JSON.parse((await succeed(["eval", "nice", "--json", "--seed", "5"], cwd)).stdout);
    expect(evaluation).toMatchObject({
      model: "nice",
      data: "two-moons",
      split: "test",
      seed: 0,
      evaluationSeed: 5,
    });
    expect(evaluation.results.length).toBeGreaterThan(3);
    for (const result of evaluation.results) {
      expect(result).toMatchObject({ dataSet: "two-moons", split: "test", seed: 5, step: evaluation.step });
      expect(Number.isFinite(result.value)).toBe(true);
      expect(result.samples).toBeGreaterThan(0);
    }
    const named = new Map<string, number>(
      evaluation.results.map((result: { name: string; value: number }) => [result.name, result.value]),
    );
    // For an exact likelihood in nats, the loss is its negative mean.
    expect(named.get("log-likelihood")).toBeCloseTo(-(named.get("loss") ?? 0), 4);
    const truth = named.get("log-likelihood of the true density") ?? 0;
    expect(truth).toBeGreaterThan(named.get("log-likelihood") ?? 0);
    expect(truth).toBeLessThan(planeDensity("two-moons").logDensity([-1, 1.5]));
  });

  test("weights are labeled with their own step", async () => {
    const last = await succeed(["eval", flow, "--json", "--weights", "last"], cwd);
    expect(JSON.parse(last.stdout).step).toBe(30);
    const { rows, names } = await readCsv(join(cwd, flow, "metrics.csv"));
    const at = names.indexOf("validationLoss");
    const losses = rows.map((row) => Number(row[at] || Number.POSITIVE_INFINITY));
    const { stdout } = await succeed(["eval", flow, "--weights", "best"], cwd);
    expect(Number(/weights of step (\d+) /.exec(stdout)?.[1])).toBe(
      Number(rows[losses.indexOf(Math.min(...losses))]?.[0]),
    );
    expect(stdout).toMatch(/sliced Wasserstein distance/);
  });
});

test("export writes a model that plain ONNX Runtime runs with the same output", async () => {
  await succeed(["export", "nice", "--raw-tensor", "--out", "exported/nice.onnx"], cwd);
  const session = await InferenceSession.create(join(cwd, "exported", "nice.onnx"));
  const points = Float32Array.from({ length: 14 }, (_, i) => 3 * Math.sin(5 * i));
  const { logProb } = await session.run({ x: new Tensor("float32", points, [7, 2]) });
  await session.release();
  await writeFile(
    join(cwd, "seven.csv"),
    `x,y\n${Array.from({ length: 7 }, (_, i) => `${points[2 * i]},${points[2 * i + 1]}`).join("\n")}\n`,
  );
  await succeed(["score", "nice", "seven.csv", "--out", "seven-scores.csv"], cwd);
  // The usual form, whose inputs are columns.
  const { stdout } = await succeed(["export", "nice", "--out", "exported/nice"], cwd);
  expect(stdout).toMatch(
    /exported\/nice: .* in score\.onnx, sample\.onnx, impute\.onnx, .*model\.json, weights of step/,
  );
  const plain = await InferenceSession.create(join(cwd, "exported", "nice", "score.onnx"));
  const column = (at: number) =>
    new Tensor(
      "float64",
      Float64Array.from({ length: 7 }, (_, i) => points[2 * i + at] ?? 0),
      [7],
    );
  const { logLikelihood } = await plain.run({ x: column(0), y: column(1) });
  await plain.release();
  expect(logLikelihood?.data.length).toBe(7);
  (logLikelihood?.data as Float64Array | undefined)?.forEach((value, i) => {
    expect(value).toBeCloseTo(Number(logProb?.data[i]), 4);
  });
  expect(await refused(["export", "nice", "--out", "nice.onnx"], cwd)).toMatch(/add --raw-tensor/);
  expect(await refused(["export", "nice", "--sampler"], cwd)).toMatch(/sample\.onnx is a whole sampler/);
  const { rows } = await readCsv(join(cwd, "seven-scores.csv"));
  rows.forEach(([, score], i) => {
    expect(Number(score)).toBeCloseTo(Number(logProb?.data[i]), 4);
  });
  expect(await refused(["export", "nice", "--weights", "worst"], cwd)).toMatch(/option weights:.*best.*last/);
  expect(await refused(["export", "nice", "--suppression", "--raw-tensor"], cwd)).toMatch(
    /nice finds no objects/,
  );
});

test("models prints what each can do, and its options as JSON schema", async () => {
  const models = JSON.parse((await succeed(["models", "--json"], cwd)).stdout);
  const nice = models.find(({ name }: { name: string }) => name === "nice");
  expect(nice).toMatchObject({ can: expect.arrayContaining(["fit", "score"]), dataKinds: expect.any(Array) });
  expect(nice.options.properties.couplings).toMatchObject({ type: "integer" });
  expect((await succeed(["models"], cwd)).stdout).toMatch(/rectified-flow/);
});
