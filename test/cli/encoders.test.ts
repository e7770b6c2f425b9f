import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { Random } from "../../src/random.ts";
import { openRun } from "../../src/tasks/open-run.node.ts";
import { largestDifference, present, temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

// Deep InfoMax of a table, from the command alone: fit, embed, probe, export.

let cwd = "";
const SMALL = ["--batch-size", "32", "--threads", "1", "--report", "none", "--warmup-steps", "0", "--quiet"];
const NETWORK = ["--channels", "4", "--hidden", "16", "--code-size", "6", "--scorer-units", "8"];

/** Two kinds of ware, which differ in how their columns go together, not in any column by itself. */
function wares(count: number): string {
  const random = new Random(5);
  const lines = Array.from({ length: count }, (_, i) => {
    const kind = i % 2;
    const [a, b] = [random.normal(), random.normal()];
    const sign = kind === 0 ? 1 : -1;
    const near = (value: number) => (sign * value + 0.2 * random.normal()).toFixed(4);
    return [
      a.toFixed(4),
      near(a),
      b.toFixed(4),
      near(b),
      ["red", "green", "blue"][random.integer(3)],
      7,
      `k${kind}`,
    ];
  });
  return `a,a2,b,b2,color,same,kind\n${lines.map((line) => line.join()).join("\n")}\n`;
}

beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, "wares.csv"), wares(500));
  await succeed(
    [
      ...[
        "fit",
        "deep-infomax",
        "wares.csv",
        "--label",
        "kind",
        "--groups",
        "3",
        "--steps",
        "100",
        "--learning-rate",
        "0.01",
        "--out",
        "dim",
      ],
      ...[...NETWORK, ...SMALL],
    ],
    cwd,
  );
});

describe("deep-infomax of a table", () => {
  test("finds information, and its local features are those of groups of columns", async () => {
    await using run = await openRun(join(cwd, "dim"));
    const rows = await run.loaded.folder.readMetrics();
    const nats = rows.map((row) => Number(row.localNats)).filter(Number.isFinite);
    expect(present(nats.at(-1))).toBeGreaterThan(0.3);
    const { stdout } = await succeed(
      ["embed", "dim", "wares.csv", "--layer", "local", "--out", "local.npy"],
      cwd,
    );
    expect(stdout).toMatch(/^500 rows of local \[4,3,1\]: local\.npy/);
    expect((await readNpy(join(cwd, "local.npy"))).shape).toEqual([500, 4, 3, 1]);
    expect(await refused(["embed", "dim", "wares.csv", "--layer", "conv1"], cwd)).toMatch(
      /there are local \[4,3,1\], fc \[16\], code \[6\]/,
    );
  });

  test("writes codes with the classes of rows, which a plain session makes of the same rows", async () => {
    await succeed(["embed", "dim", "--split", "test", "--out", "codes.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "codes.csv"));
    expect(names.slice(0, 3)).toEqual(["row", "label", "f0"]);
    await succeed(["export", "dim", "--raw-tensor", "--out", "encoder.onnx"], cwd);
    await using run = await openRun(join(cwd, "dim"));
    const { test: split } = (await run.data()).splits;
    const { x } = split.batch([0, 1, 2, 3]);
    const session = await InferenceSession.create(join(cwd, "encoder.onnx"));
    const { code } = await session.run({ x: new Tensor("float32", x.data as Float32Array, x.shape) });
    const own = await run.featuresOf(x);
    expect(largestDifference(present(code).data as Float32Array, own.data)).toBeLessThan(1e-4);
    expect(rows).toHaveLength(split.count);
  });

  test("is probed beside raw columns, where no number of labels is left out in silence", async () => {
    const options = [
      "--labels",
      "8,1000",
      "--draws",
      "2",
      "--neighbors",
      "3",
      "--steps",
      "40",
      "--hidden",
      "8",
    ];
    const { stdout } = await succeed(["probe", "dim", ...options], cwd);
    expect(stdout).toMatch(/2 classes: learnt from 400, chosen on 50, measured on 50 samples/);
    expect(stdout).toMatch(/^deep-infomax +6 /m);
    expect(stdout).toMatch(/^raw samples +\d+ /m);
    expect(stdout).toMatch(/^labels 1000: left out, as there are 400 training samples$/m);
  });
});
