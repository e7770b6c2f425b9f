import { cp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ExportedModel,
  type ExportedPrecision,
  exportedModelSchema,
} from "../../../src/model/exported.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { evaluateDetector } from "../../../src/tasks/measure/detection.node.ts";
import { openRun } from "../../../src/tasks/open-run.node.ts";
import { annotatedData, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { IMPORTED } from "../../../src/train/run-config.ts";
import { modelRecord } from "../../../src/use/record.ts";
import { present, temporaryFolder } from "../../support.ts";
import { fittedToSquares, squares } from "../measure/detection-support.ts";

// Files of fewer bits: smaller, of the same inputs and outputs, and with what they lose in model.json.

let folder: string;
let photos: string;
const runs: Record<"detector" | "flow", string> = { detector: "", flow: "" };

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await squares(16);
  runs.detector = await fittedToSquares(photos, join(folder, "detector"), {
    width: 0.5,
    samplePictures: 0,
    report: "none",
  });
  runs.flow = join(folder, "flow");
  const request = {
    model: "real-nvp",
    data: "two-moons",
    count: 2000,
    steps: 60,
    batchSize: 64,
    threads: 1,
    report: "none",
    out: runs.flow,
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(photos, { recursive: true });
});

/** What model.json says, as `load` of eidos/use reads it, too. */
async function recordOf(path: string): Promise<ExportedModel> {
  const value: unknown = JSON.parse(await readFile(join(path, "model.json"), "utf8"));
  const record = exportedModelSchema.parse(value);
  expect(modelRecord(value)).toEqual(record);
  return record;
}

async function exported(run: keyof typeof runs, precision: "fp32" | "fp16" | "int8", options: object = {}) {
  const path = join(runs[run], precision);
  const { description } = await exportRun(runs[run], path, { precision, ...options });
  return { path, description, record: await recordOf(path) };
}

/** A measure of both networks. */
function compared(
  { loss }: ExportedPrecision,
  name: string,
): { readonly before: number; readonly after: number } {
  const found = loss.measures.find((measure) => measure.name === name);
  if (found?.kind !== "compared") throw new Error(`${name} is not among the measures`);
  return found;
}

function difference({ loss }: ExportedPrecision, name: RegExp): number {
  const found = loss.measures.find((measure) => name.test(measure.name));
  if (found?.kind !== "difference") throw new Error(`${name} is not among the measures`);
  return found.value;
}

describe("a detector", () => {
  it.each([
    ["fp16", 0.72],
    ["int8", 0.6],
  ] as const)("in %s is smaller, and finds nearly what it found", async (precision, share) => {
    const { path, description, record } = await exported(
      "detector",
      precision,
      precision === "int8" ? { calibrate: 6 } : {},
    );
    const { detect } = record.abilities;
    const note = present(detect?.precision);
    expect(note.type).toBe(precision);
    expect(note.bytes.after).toBe((await stat(join(path, "detect.onnx"))).size);
    expect(note.bytes.after).toBeLessThan(share * note.bytes.before);
    expect(note.loss).toMatchObject({ on: "validation", samples: 4 });
    const ap = compared(note, "AP50");
    expect(ap.after).toBeGreaterThan(ap.before - 0.05);
    expect(description).toMatch(/detect\.onnx .*B → .*B; AP50 .* → .* on 4 validation images; /);
    if (precision === "int8") {
      expect(note.calibration).toEqual({ on: "train", samples: 6, method: "smallest and largest value" });
      const { computing, stored, floats } = present(note.layers);
      expect(computing + stored + floats).toBeGreaterThan(10);
    } else expect(note.calibration).toBeUndefined();
  });

  it("has the average precision of eidos eval before it is made smaller", async () => {
    const run = detectorRun(await loadRun(runs.detector, { threads: 1 }));
    const { coco } = await evaluateDetector(run, await annotatedData(run), { split: "validation" });
    await run.session.release();
    const { record } = await exported("detector", "fp16");
    expect(compared(present(record.abilities.detect?.precision), "AP50").before).toBeCloseTo(coco.ap50, 6);
  });

  it("takes and gives what it did in fp32", async () => {
    const [{ record: plain }, { record: small, path }] = [
      await exported("detector", "fp32"),
      await exported("detector", "int8"),
    ];
    expect(plain.abilities.detect).not.toHaveProperty("precision");
    const { precision: _, ...rest } = present(small.abilities.detect);
    expect(rest).toEqual(plain.abilities.detect);
    const session = await ort.InferenceSession.create(join(path, "detect.onnx"));
    expect(session.inputNames).toEqual(rest.inputs.map(({ name }) => name));
    expect(session.outputNames).toEqual(rest.outputs.map(({ name }) => name));
    await session.release();
  });
});

describe("an imported detector", () => {
  it("is measured on images that are named, and refused without", async () => {
    const path = join(folder, "imported");
    await cp(runs.detector, path, { recursive: true });
    const config = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    const { paths: _, ...rest } = { ...config, data: `${IMPORTED}weights.safetensors` };
    await writeFile(join(path, "config.json"), JSON.stringify(rest));
    const out = join(path, "out");
    await expect(exportRun(path, out, { precision: "fp16" })).rejects.toThrow(
      /imported without images.*--data/,
    );
    await exportRun(path, out, { precision: "fp16", data: photos });
    const note = present((await recordOf(out)).abilities.detect?.precision);
    const own = present((await exported("detector", "fp16")).record.abilities.detect?.precision);
    expect(note.loss).toEqual(own.loss);
  });
});

describe("a flow of a table", () => {
  it.each([
    ["fp16", 0.62, 1e-3],
    ["int8", 0.45, 0.02],
  ] as const)("in %s is smaller, and scores nearly as it did", async (precision, share, nats) => {
    const { record } = await exported("flow", precision);
    for (const name of ["score", "sample"] as const) {
      const { bytes } = present(record.abilities[name]?.precision);
      expect(bytes.after).toBeLessThan(share * bytes.before);
    }
    const note = present(record.abilities.score?.precision);
    const mean = compared(note, "mean log-likelihood");
    expect(Math.abs(mean.after - mean.before)).toBeLessThan(nats);
    expect(difference(note, /^mean difference of a row/)).toBeLessThan(nats);
    const drawn = present(record.abilities.sample?.precision);
    expect(drawn.loss.on).toBe("noise");
    expect(difference(drawn, /^mean difference of samples/)).toBeLessThan(0.02);
  });

  it("scores rows as its note says", async () => {
    const score = async (path: string, x: Float64Array, y: Float64Array): Promise<Float64Array> => {
      const session = await ort.InferenceSession.create(join(path, "score.onnx"));
      const feeds = {
        x: new ort.Tensor("float64", x, [x.length]),
        y: new ort.Tensor("float64", y, [y.length]),
      };
      const found = (await session.run(feeds)).logLikelihood?.data as Float64Array;
      await session.release();
      return found;
    };
    const run = await loadRun(runs.flow, { threads: 1 });
    const { validation } = (await run.data()).splits;
    const count = Math.min(512, validation.count);
    const { data } = validation.batch(Array.from({ length: count }, (_, i) => i)).x;
    await run.session.release();
    const [x, y] = [0, 1].map((axis) =>
      Float64Array.from({ length: count }, (_, i) => data[2 * i + axis] ?? 0),
    );
    const [{ path: plain }, { path: small, record }] = [
      await exported("flow", "fp32"),
      await exported("flow", "int8"),
    ];
    const [a, b] = [await score(plain, present(x), present(y)), await score(small, present(x), present(y))];
    const apart = a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] ?? Number.NaN)), 0) / count;
    const note = present(record.abilities.score?.precision);
    expect(note.loss.samples).toBe(count);
    expect(difference(note, /^mean difference of a row/)).toBeCloseTo(apart, 4);
  });

  it("is exported so by an open run", async () => {
    await using run = await openRun(runs.flow);
    const {
      bytes,
      description,
      files = [],
    } = await run.export(join(folder, "by-run"), { precision: "fp16" });
    const { path, record } = await exported("flow", "fp16");
    expect(await recordOf(join(folder, "by-run"))).toEqual(record);
    expect(files).toEqual(expect.arrayContaining(["score.onnx", "sample.onnx", "impute.onnx", "model.json"]));
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(path, file))).size));
    expect(bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    expect(description).toMatch(/score\.onnx .* → .*; mean log-likelihood .* nats, .* validation rows/);
  });
});

describe("what cannot be", () => {
  it.each([
    [{ precision: "int4" }, /option precision: int4 is unknown; there are: fp32, fp16, int8/],
    [{ calibrate: 5 }, /option calibrate: is of --precision int8/],
    [{ precision: "int8", calibrate: 0 }, /option calibrate: 0 is not a whole number from 1 on/],
    [{ data: "two-moons" }, /option data: fp32 loses nothing/],
    [{ precision: "fp16", rawTensor: true }, /option precision: the network alone .* in fp32 alone/],
  ])("is refused: %o", async (options, message) => {
    const out = join(folder, "refused");
    await expect(exportRun(runs.flow, out, options as object)).rejects.toThrow(message);
    await expect(stat(out)).rejects.toThrow();
  });
});
