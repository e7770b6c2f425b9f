import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as node from "onnxruntime-node";
import * as web from "onnxruntime-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ExportedAbility, exportedModelSchema } from "../../../src/model/exported.ts";
import { Random } from "../../../src/random.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";
import { fittedToSquares, squares } from "../measure/detection-support.ts";

// Files of fewer bits in onnxruntime-node, in the WebAssembly of pages, and in Python, where ONNX's checker looks at them as well. PYTHON names an
// interpreter with onnx and onnxruntime.

const PYTHON = process.env.PYTHON ?? "python3";

/** Checks a file in full, and runs it on what a file of JSON has. */
const PROGRAM = `
import json, sys
import numpy as np
import onnx
import onnxruntime
file, feeds = sys.argv[1:3]
onnx.checker.check_model(onnx.load(file), full_check=True)
session = onnxruntime.InferenceSession(file)
given = {k: np.array(v["data"], v["type"]).reshape(v["shape"]) for k, v in json.load(open(feeds)).items()}
print(json.dumps({o.name: np.asarray(v, np.float64).ravel().tolist() for o, v in zip(session.get_outputs(), session.run(None, given))}))
`;

let folder: string;
let photos: string;
let hasPython = false;

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await squares(16);
  await writeFile(join(folder, "check.py"), PROGRAM);
  hasPython = await promisify(execFile)(PYTHON, ["-c", "import onnx, onnxruntime"]).then(
    () => true,
    () => false,
  );
  web.env.wasm.numThreads = 1;
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(photos, { recursive: true });
});

/** An input as all three take it. */
interface Fed {
  readonly type: "uint8" | "float32" | "float64" | "int64";
  readonly data: readonly number[];
  readonly shape: readonly number[];
}

function fedTo({ inputs }: ExportedAbility): Readonly<Record<string, Fed>> {
  const random = new Random(9);
  const sizes: Readonly<Record<string, number>> = { rows: 3, height: 64, width: 96, "0 or 1": 0 };
  return Object.fromEntries(
    inputs.map(({ name, type, shape, noise }) => {
      const dims = shape.map((size) => (typeof size === "number" ? size : (sizes[size] ?? 1)));
      const count = dims.reduce((all, size) => all * size, 1);
      const draw = (): number =>
        type === "uint8"
          ? random.integer(256)
          : type === "int64"
            ? 3
            : noise === "uniform"
              ? random.uniform()
              : random.normal();
      return [name, { type: type as Fed["type"], data: Array.from({ length: count }, draw), shape: dims }];
    }),
  );
}

const ARRAYS = { uint8: Uint8Array, float32: Float32Array, float64: Float64Array } as const;

type Outputs = Readonly<Record<string, readonly number[]>>;

async function ran(
  ort: typeof node | typeof web,
  file: string,
  fed: Readonly<Record<string, Fed>>,
): Promise<Outputs> {
  const { InferenceSession, Tensor } = ort as typeof node;
  const session = await InferenceSession.create(new Uint8Array(await readFile(file)), {
    logSeverityLevel: 4,
  });
  const feeds = Object.entries(fed).map(([name, { type, data, shape }]) => {
    const values = type === "int64" ? BigInt64Array.from(data, BigInt) : ARRAYS[type].from(data);
    return [name, new Tensor(type as "float32", values as Float32Array, shape)] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Array.from(data as Float32Array, Number)]),
  );
}

async function inPython(file: string, fed: Readonly<Record<string, Fed>>): Promise<Outputs> {
  const feeds = join(folder, "feeds.json");
  await writeFile(feeds, JSON.stringify(fed));
  const { stdout } = await promisify(execFile)(PYTHON, [join(folder, "check.py"), file, feeds], {
    maxBuffer: 1 << 28,
  });
  return JSON.parse(stdout);
}

/** What a file loses by its note: other runtimes may differ by as much. Not less than what rounding comes to. */
function stated({ precision }: ExportedAbility, name: string): number {
  // Of detectors the note has average precision: rounding moves edges by less than a pixel.
  if (name === "detect") return 1;
  const { measures } = present(precision).loss;
  const apart = measures.flatMap((measure) => (measure.kind === "difference" ? [measure.value] : []));
  const rounding = measures.some(({ unit }) => unit === "of 255") ? 1 : name === "score" ? 0.01 : 1e-3;
  return Math.max(...apart, rounding);
}

async function fitted(model: string, data: string, options: object): Promise<string> {
  const out = join(folder, `${model}-run`);
  const request = { model, data, ...options, batchSize: 16, threads: 1, report: "none", out };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return out;
}

const RUNS: readonly (readonly [
  string,
  () => Promise<string>,
  object,
  readonly [fp16: number, int8: number],
])[] = [
  [
    "a detector",
    () =>
      fittedToSquares(photos, join(folder, "detector"), { width: 0.5, samplePictures: 0, report: "none" }),
    {},
    [0.72, 0.6],
  ],
  [
    "a flow of images",
    () => fitted("nice", "digits", { width: 64, hiddenLayers: 2, steps: 20 }),
    {},
    [0.6, 0.45],
  ],
  ["a VAE", () => fitted("vae", "digits", { steps: 20 }), {}, [0.55, 0.35]],
  ["a flow of points", () => fitted("real-nvp", "two-moons", { count: 2000, steps: 60 }), {}, [0.62, 0.45]],
  [
    "a sampler of steps",
    () => fitted("rectified-flow", "digits", { channels: 24, multipliers: [1], steps: 10 }),
    { sampler: { steps: 2 }, calibrate: 32 },
    [0.7, 0.65],
  ],
];

describe.each(RUNS)("%s", (name, fit, { calibrate, ...options }: { readonly calibrate?: number }, shares) => {
  let run: string;
  beforeAll(async () => {
    run = await fit();
  });

  it.each(["fp16", "int8"] as const)(
    "says in pages and in Python what it says in Node: %s",
    async (precision) => {
      const path = join(folder, `${name}-${precision}`);
      const given = {
        ...options,
        precision,
        ...(precision === "int8" && calibrate !== undefined && { calibrate }),
      };
      await exportRun(run, path, given);
      const record = exportedModelSchema.parse(JSON.parse(await readFile(join(path, "model.json"), "utf8")));
      const files = Object.entries(record.abilities);
      expect(files.length).toBeGreaterThan(0);
      for (const [what, found] of files) {
        const ability = present(found, what);
        if ((["a VAE", "a sampler of steps"].includes(name) && what === "score") || what === "impute") {
          // Several networks stand inside, or one in a loop, and stay as they are; model.json says so.
          expect(ability.precision).toBeUndefined();
          expect(ability.notes?.join()).toContain("stay in float32");
          continue;
        }
        const { bytes } = present(ability.precision);
        expect(bytes.after).toBeLessThan(shares[precision === "fp16" ? 0 : 1] * bytes.before);
        const file = join(path, ability.file);
        const fed = fedTo(ability);
        const own = await ran(node, file, fed);
        const others = [await ran(web, file, fed)];
        if (hasPython) others.push(await inPython(file, fed));
        else
          console.warn(
            `${name}: not checked by ONNX: there is no ${PYTHON} with onnx and onnxruntime (PYTHON names another)`,
          );
        for (const other of others) {
          expect(Object.keys(other)).toEqual(Object.keys(own));
          for (const [output, values] of Object.entries(own)) {
            expect(other[output]?.length).toBe(values.length);
            expect(
              largestDifference(present(other[output]), values),
              `${what} ${output}`,
            ).toBeLessThanOrEqual(stated(ability, what));
          }
        }
      }
    },
  );
});
