import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { built, readCsv, refused, succeed } from "./support.ts";

let cwd: string;

/** Independent zeros and ones, as a module of a user's own that takes nothing else. */
const MODEL = `
  import { z } from ${JSON.stringify(new URL("../../node_modules/zod/index.js", import.meta.url).href)};
  import { defineModel } from ${JSON.stringify(built("model/index.js"))};
  import { Parameter } from ${JSON.stringify(built("tensor/index.js"))};
  class Bernoullis {
    likelihood = "exact";
    constructor(shape) {
      this.shape = shape;
      this.size = shape.reduce((a, b) => a * b, 1);
      this.logits = new Parameter([this.size], () => undefined);
    }
    logProb(x) {
      return x.reshape([-1, this.size]).mul(2).add(-1).mul(this.logits).neg().softplus().neg().sum([1]);
    }
    loss({ x }) {
      return { total: this.logProb(x).mean().neg() };
    }
    async sample(session, { count, seed }) {
      const draw = session.compiled(this, "draw", ["u"], ({ u }) => ({ x: u.less(this.logits.sigmoid()).cast("float32") }));
      let state = seed + 1;
      const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
      const u = { dtype: "float32", shape: [count, this.size], data: Float32Array.from({ length: count * this.size }, next) };
      const { x } = await draw.run({ u });
      return { ...x, shape: [count, ...this.shape] };
    }
  }
  export default defineModel({
    name: "bernoullis", summary: "", paper: "", dataKinds: ["binary"], can: ["sample", "score"],
    options: z.strictObject({}), build: (_, { sampleShape }) => new Bernoullis(sampleShape),
  });
`;

/** Rows in which x0 is one in a fifth, x1 in nine tenths, and x2 is never one. */
function rows(count: number): string {
  const random = new Random(count);
  const bit = (probability: number) => Number(random.uniform() < probability);
  return `${Array.from({ length: count }, () => `${bit(0.2)},${bit(0.9)},0`).join("\n")}\n`;
}

const FIT = ["--learning-rate", "0.1", "--batch-size", "50", "--sample-pictures", "4", "--report", "full"];
const BARE = ["--batch-size", "50", "--sample-pictures", "0", "--report", "none"];

beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, "model.mjs"), MODEL);
  await mkdir(join(cwd, "bits"));
  for (const [name, count] of [
    ["train", 1000],
    ["valid", 200],
    ["test", 300],
  ] as const) {
    await writeFile(join(cwd, "bits", `${name}.csv`), rows(count));
  }
  await Promise.all([
    succeed(["fit", "./model.mjs", "bits", ...FIT, "--steps", "120", "--out", "vectors"], cwd),
    succeed(
      ["fit", "./model.mjs", "digits", ...BARE, "--binarise", "dynamic", "--steps", "2", "--out", "digits"],
      cwd,
    ),
  ]);
});

describe("vectors of zeros and ones", () => {
  test("are described as what they are", async () => {
    const { stdout } = await succeed(["data", "bits", "--binary"], cwd);
    expect(stdout).toMatch(/bits: 1500 rows of 3 zeros and ones/);
    expect(stdout).toMatch(/1000 training, 200 validation and 300 test samples, split by tables/);
    expect(stdout).toMatch(/always 0 in the training split: 1 of the columns \(x2\)/);
    expect(stdout).toMatch(/^ones: 3\d\.?\d* % of all values; 0 to 2 in a sample, 1\.\d+ on average$/m);
    expect(stdout).toMatch(
      /^share of ones in each column: x1 \(0\.\d{3}\), x0 \(0\.\d{3}\), x2 \(0\.000\)$/m,
    );
    const { kind, summary, splits } = JSON.parse(
      (await succeed(["data", "bits", "--binary", "--json"], cwd)).stdout,
    );
    expect([kind, splits.test, summary.bits.perSample.maximum]).toEqual(["binary", 300, 2]);
    expect((await succeed(["data"], cwd)).stdout).toMatch(/--binary reads tables as zeros and ones/);
  });

  test("are what a model of nothing else reads, and the run records it", async () => {
    const config = JSON.parse(await readFile(join(cwd, "vectors", "config.json"), "utf8"));
    expect(config).toMatchObject({ dataOptions: { binary: true }, dataInfo: { kind: "binary" } });
    const report = await readFile(join(cwd, "vectors", "report.html"), "utf8");
    expect(report).toMatch(/1500 rows of 3 zeros and ones/);
    expect((await sharp(join(cwd, "vectors", "samples", "samples.png")).metadata()).format).toBe("png");
    expect(await refused(["fit", "./model.mjs", "two-moons", "--steps", "1"], cwd)).toMatch(
      /two-moons: points of the plane are not zeros and ones/,
    );
  });

  test("are sampled into a table of their columns, and learnt", async () => {
    const { stdout } = await succeed(["sample", "vectors", "--trust-module", "--count", "2000"], cwd);
    expect(stdout).toContain(join("vectors", "samples", "seed-0.csv"));
    const { names, rows } = await readCsv(join(cwd, "vectors", "samples", "seed-0.csv"));
    expect(names).toEqual(["x0", "x1", "x2"]);
    expect(rows.flat().every((cell) => cell === "0" || cell === "1")).toBe(true);
    const share = (column: number) => rows.filter((row) => row[column] === "1").length / rows.length;
    expect(Math.abs(share(0) - 0.2)).toBeLessThan(0.08);
    expect(Math.abs(share(1) - 0.9)).toBeLessThan(0.08);
    expect(share(2)).toBeLessThan(0.08);
  });

  test("are scored and evaluated in exact nats", async () => {
    await writeFile(join(cwd, "new.csv"), "0,1,0\n1,0,1\n");
    await succeed(["score", "vectors", "--trust-module", "new.csv", "--out", "scores.csv"], cwd);
    const { names, rows: scores } = await readCsv(join(cwd, "scores.csv"));
    expect(names).toEqual(["row", "logLikelihood"]);
    expect(Number(scores[0]?.[1])).toBeGreaterThan(Number(scores[1]?.[1]) + 3);
    await writeFile(join(cwd, "bad.csv"), "0,1,0\n0,1,2\n");
    expect(await refused(["score", "vectors", "--trust-module", "bad.csv"], cwd)).toMatch(
      /bad\.csv: neither 0 nor 1 in column "x2": row 2 \("2"\)/,
    );
    const { results } = JSON.parse(
      (await succeed(["eval", "vectors", "--trust-module", "--json"], cwd)).stdout,
    );
    const found = results.find(({ name }: { name: string }) => name === "log-likelihood");
    expect(found).toMatchObject({ unit: "nats per sample", note: "exact", samples: 300 });
    // The entropy of the three columns is 0.50 + 0.33 + 0 nats.
    expect(Math.abs(found.value + 0.83)).toBeLessThan(0.15);
  });
});

describe("digits binarized dynamically", () => {
  test("print their protocol, are drawn as pictures, and go on as they began", async () => {
    const config = JSON.parse(await readFile(join(cwd, "digits", "config.json"), "utf8"));
    expect(config).toMatchObject({
      dataOptions: { binary: true, binarize: "dynamic" },
      dataInfo: { kind: "binary", sampleShape: [1, 28, 28], binarization: { protocol: "dynamic", seed: 0 } },
    });
    const { stdout } = await succeed(["eval", "digits", "--trust-module", "--distances", "quick"], cwd);
    expect(stdout).toMatch(/nats per image +1000 +exact: binarized by draws, .*\(dynamic\), seed 0/);
    expect(stdout).not.toMatch(/bits per dimension/);
    await succeed(["sample", "digits", "--trust-module", "--count", "4", "--out", "digits.npy"], cwd);
    const { shape, data } = await readNpy(join(cwd, "digits.npy"));
    expect(shape).toEqual([4, 1, 28, 28]);
    expect(new Set(data as Float32Array)).toEqual(new Set([0, 1]));
    expect(await refused(["sample", "digits", "--trust-module", "--out", "digits.csv"], cwd)).toMatch(
      /\.png or \.npy/,
    );
    await succeed(["fit", "--resume", "digits", "--trust-module", "--steps", "4"], cwd);
  });
});
