import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { expect } from "vitest";
import { letterboxBatch } from "../../../src/detection/augment/batches.ts";
import { oneLook } from "../../../src/detection/models/detector.ts";
import { pngSize } from "../../../src/report/raster/raster.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import type { SentRequest, UncheckedRequest } from "../../../src/tasks/fit/request.ts";
import { type DetectionEvaluation, evaluateDetector } from "../../../src/tasks/measure/detection.node.ts";
import { annotatedData, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { Fit, FitSummary } from "../../../src/train/fit-request.node.ts";
import type { RunConfig } from "../../../src/train/run-config.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { painted, writeImage, writeText } from "../../data/boxes/support.ts";
import { temporaryFolder } from "../../support.ts";

/** Options with which a fit of scenes takes a moment. */
export const TINY = {
  data: "digit-scenes",
  scenes: 10,
  canvas: 32,
  largest: 24,
  objects: 3,
  clutter: 2,
  width: 0.25,
  depth: 0.5,
  batchSize: 2,
  threads: 1,
  validateEvery: 2,
  logEvery: 1,
} as const;

/** Channels of networks that others have designed, which have no width and depth. */
const CHANNELS: Readonly<Record<string, readonly number[] | number>> = {
  yunet: [4, 8, 8, 8, 8, 8],
  "ultra-light-rfb": 4,
};

/** The smallest fit of a detector. */
function tiny(model: string): UncheckedRequest {
  const channels = CHANNELS[model];
  if (channels === undefined) return { ...TINY, model };
  const { width, depth, ...others } = TINY;
  return { ...others, model, channels };
}

/** The detectors that the quick tests fit whole; the slow ones fit the others. */
export const QUICK: readonly string[] = ["yolo", "center-net"];

export interface Ran {
  readonly path: string;
  readonly config: RunConfig;
  readonly summary: FitSummary;
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

/** Fits in this thread, as the fit worker does, to the end or until stopped; the report has the time that it takes. */
export async function ran(
  request:
    | UncheckedRequest
    | { readonly resume: string; readonly overrides?: Readonly<Record<string, unknown>> },
  more: Partial<Fit> = {},
): Promise<Ran> {
  const { fit, config, notes } = await prepareFit(
    "resume" in request
      ? { kind: "resume", folder: String(request.resume), overrides: { ...(request.overrides as object) } }
      : { kind: "new", request: { report: "full", ...request } as SentRequest },
  );
  const warnings: string[] = [];
  const summary = await fitHere({ ...fit, onWarning: (message) => void warnings.push(message), ...more });
  return { path: fit.folder.path, config, summary, warnings, notes };
}

/** A folder with photographs of red and blue squares in CSV annotations, of which some parts are odd. */
export async function squares(images: number, names: readonly string[] = ["red", "blue"]): Promise<string> {
  const root = await temporaryFolder();
  const rows = ["filename,width,height,class,xmin,ymin,xmax,ymax,split"];
  for (let i = 0; i < images; i++) {
    const split = i % 4 === 2 ? "val" : i % 4 === 3 ? "test" : "train";
    const file = `images/p${i}.png`;
    const [x, y] = [4 + 3 * (i % 5), 6 + 2 * (i % 7)];
    const boxes = [
      { name: names[0], box: [x, y, x + 20, y + 16], color: [220, 40, 30] },
      { name: names[1], box: [x + 40, y + 14, x + 70, y + 34], color: [40, 60, 220] },
    ] as const;
    await writeImage(
      root,
      file,
      painted(
        96,
        64,
        [120, 130, 110],
        boxes.map(({ box, color }) => ({ box, color })),
      ),
    );
    for (const { name, box } of boxes) rows.push(`${file},96,64,${name},${box.join()},${split}`);
  }
  await writeText(root, "annotations.csv", `${rows.join("\n")}\n`);
  return root;
}

/** Fits to photos of squares until something of them is found. @returns the folder of the run */
export async function fittedToSquares(
  photos: string,
  out: string,
  options: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { path, warnings } = await ran({
    model: "fcos",
    data: photos,
    size: 64,
    width: 0.25,
    depth: 0.5,
    batchSize: 4,
    threads: 1,
    learningRate: 5e-3,
    warmupSteps: 5,
    averageDecay: 0.9,
    steps: 40,
    validateEvery: 40,
    samplePictures: 0,
    ...options,
    out,
  });
  expect(warnings).toEqual([]);
  return path;
}

/**
 * Fits with options beside `TINY` once without a break and once stopped and resumed, in folders under `root`.
 * @throws where weights or metrics of both differ in a bit
 */
export async function expectResumedEqual(
  root: string,
  {
    name,
    ...options
  }: Readonly<Record<string, unknown>> & { readonly model: string; readonly name?: string },
): Promise<void> {
  const request = {
    ...tiny(options.model),
    steps: 5,
    samplePictures: 0,
    report: "none",
    batchSize: 4,
    ...options,
  };
  const folder = (kind: string) => join(root, `${kind}-${name ?? options.model}`);
  const [whole, broken] = [folder("whole"), folder("broken")];
  await ran({ ...request, out: whole });
  let asked = 0;
  await ran({ ...request, out: broken }, { shouldStop: () => ++asked > 3 });
  expect((await new RunFolder(broken).readCheckpoint())?.progress.step).toBeLessThan(5);
  await ran({ resume: broken });
  for (const name of ["best", "last"]) {
    const [a, b] = [whole, broken].map((folder) => readFile(join(folder, "weights", `${name}.safetensors`)));
    expect(await a).toEqual(await b);
  }
  const timeless = async (folder: string) =>
    (await new RunFolder(folder).readMetrics()).map(({ seconds: _s, samplesPerSecond: _p, ...row }) => row);
  expect(await timeless(broken)).toEqual(await timeless(whole));
}

export const folderIn = (root: string, name: string): string => join(root, name);

/** A detector is fitted to scenes for a moment, and leaves a run folder with pictures, report and model. */
export async function expectFitted(model: string, path: string): Promise<void> {
  const { summary, warnings, config } = await ran({ ...tiny(model), model, steps: 4, out: path });
  expect(warnings).toEqual([]);
  expect(summary).toMatchObject({ step: 4, reason: "limit" });
  expect(Object.keys(summary.best?.measures ?? {})).toEqual(["AP", "AP50"]);
  expect(config.dataInfo).toMatchObject({
    kind: "image",
    marks: "boxes",
    sampleShape: [3, TINY.canvas, TINY.canvas],
    classes: 10,
    classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
  });
  // Mirrored digits are none.
  expect(config.dataOptions).toMatchObject({ size: TINY.canvas, flip: 0 });
  const rows = await new RunFolder(path).readMetrics();
  expect(rows.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(rows[1]).toHaveProperty("validationAP50");
  const pictures = ["training-batch-0", "training-batch-1", "detections", "confusion", "recall-by-size"];
  for (const name of [...pictures, ...(model === "center-net" ? ["heat-maps"] : [])]) {
    expect(pngSize(await readFile(join(path, "samples", `${name}.png`)))?.width).toBeGreaterThan(200);
  }
  const page = await readFile(join(path, "report.html"), "utf8");
  expect(page).toContain("Confusion of classes");
  expect(page).toContain("Detections of the best weights");
  const measured = JSON.parse(await readFile(join(path, "validation.json"), "utf8"));
  expect(measured).toMatchObject({ model, split: "validation", coco: { images: 2 } });
}

/**
 * The boxes of both are the same to a fiftieth of a pixel, and their scores to 10⁻⁴.
 * @param shape of the scores, [n, k, classes]
 * @param ranked whether boxes stand in the order of their scores: of those that score alike to rounding, either may come first
 */
function expectSameRows(
  [ownBoxes, ownScores]: readonly [Float32Array, Float32Array],
  [boxes, scores]: readonly [Float32Array, Float32Array],
  [images = 0, rows = 0, classes = 0]: readonly number[],
  ranked: boolean,
): void {
  const near = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): boolean =>
    Array.from(a).every((value, i) => Math.abs(value - (b[i] ?? Number.NaN)) < tolerance);
  const alike = (row: number, other: number): boolean =>
    near(boxes.subarray(4 * row, 4 * row + 4), ownBoxes.subarray(4 * other, 4 * other + 4), 2e-2) &&
    near(
      scores.subarray(classes * row, classes * (row + 1)),
      ownScores.subarray(classes * other, classes * (other + 1)),
      1e-4,
    );
  for (let image = 0; image < images; image++) {
    const numbers = Array.from({ length: rows }, (_, i) => image * rows + i);
    const left = new Set(numbers);
    const unlike = numbers.filter((row) => {
      const partner = ranked ? [row, ...left].find((other) => left.has(other) && alike(row, other)) : row;
      if (partner === undefined || !alike(row, partner)) return true;
      left.delete(partner);
      return false;
    });
    expect(unlike).toEqual([]);
  }
}

/** A run is measured as it was validated, and exported as it runs. @returns what was measured, and what the exported file says */
export async function expectMeasuredAndExported(
  path: string,
): Promise<{ readonly evaluation: DetectionEvaluation; readonly description: string }> {
  const run = detectorRun(await loadRun(path, { threads: 1 }));
  try {
    const set = await annotatedData(run);
    const evaluation = await evaluateDetector(run, set, { split: "validation" });
    const best = (await new RunFolder(path).readCheckpoint())?.progress.best;
    expect(evaluation.step).toBe(best?.step);
    expect(evaluation.coco.ap).toBeCloseTo(best?.measures?.AP ?? Number.NaN, 6);
    expect(evaluation.coco.ap50).toBeCloseTo(best?.measures?.AP50 ?? Number.NaN, 6);

    const file = `${path}.onnx`;
    const { description } = await exportRun(path, file, { rawTensor: true });
    const { width: side } = run.model.imageSize;
    expect(description).toContain(`[batch, 3, ${side}, ${side}]`);
    const { x } = await letterboxBatch(set.splits.test, [0, 1], side);
    const detector = oneLook(run.model, "a graph");
    const compiled = run.session.compiled(detector, "decoded", ["x"], ({ x }) => detector.decoded(x));
    const own = await compiled.run({ x });
    const plain = await ort.InferenceSession.create(file);
    const outside = await plain.run({ x: new ort.Tensor("float32", x.data, x.shape) });
    for (const name of ["boxes", "scores"] as const) expect(outside[name]?.dims).toEqual(own[name].shape);
    const seen = {
      boxes: outside.boxes?.data as Float32Array,
      scores: outside.scores?.data as Float32Array,
    };
    expectSameRows(
      [own.boxes.data as Float32Array, own.scores.data as Float32Array],
      [seen.boxes, seen.scores],
      own.scores.shape,
      run.config.model === "faster-rcnn",
    );
    await plain.release();
    return { evaluation, description };
  } finally {
    await run.session.release();
  }
}
