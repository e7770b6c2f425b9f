import { writeFileAtomic } from "../data/files/files.node.ts";
import type { Detector } from "../detection/models/detector.ts";
import { FileError } from "../errors.ts";
import type { Model } from "../model/capabilities.ts";
import { nodeRuntime } from "../program/node.ts";
import { Session } from "../program/program.ts";
import { encodePng } from "../report/index.ts";
import type { RunConfig } from "../train/run-config.ts";
import type { ResolvedRun, RunControl } from "../train/worker-protocol.node.ts";
import type { DetectionData } from "./detection-data.ts";
import { detectImages } from "./detection-eval.node.ts";
import { batchSheet, foundSheet, spreadOver } from "./detection-pictures.ts";
import { writeDetectionReport } from "./detection-report.node.ts";
import { exportRun } from "./export.node.ts";

/** Training batches that are drawn before the first step. */
const BATCHES = 2;

/** Images in a picture drawn while training, whose time is taken from training. */
const COURSE_IMAGES = 4;

/** Score from which on detections are drawn while the best cut is not known. */
const COURSE_SCORE = 0.25;

/** What a run of a detector writes besides weights: training batches, what is found as it trains, exported model and report. */
export function detectionOutputs(
  config: RunConfig,
  detector: Model & Detector,
  data: DetectionData,
): Required<Pick<ResolvedRun, "begin" | "draw" | "finish">> {
  const { samplePictures, provider, threads } = config.fit;
  const { classes, splits } = data.set;
  const shown = splits.validation.count > 0 ? splits.validation : splits.train;

  /** Does a part of the finish; what it cannot do is a warning, since the weights are safe. */
  const attempt = async (what: string, control: RunControl, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (error instanceof FileError || !(error instanceof Error)) throw error;
      control.warn(`${what}: ${error.message}`);
    }
  };

  return {
    async begin(folder) {
      if (samplePictures === 0) return;
      const batches = data.batches(config.fit);
      for (let step = 0; step < BATCHES; step++) {
        const sheet = batchSheet(await batches.feeds(step), classes);
        const bytes = await encodePng(sheet, `training batch of step ${step}, as the detector sees it`);
        await writeFileAtomic(folder.file("samples", `training-batch-${step}.png`), bytes);
      }
    },
    async draw(folder, weights, step) {
      if (samplePictures === 0) return;
      const runtime = await nodeRuntime({ provider, ...(threads !== undefined && { threads }) });
      const session = new Session(runtime, weights);
      try {
        const indices = spreadOver(shown, COURSE_IMAGES);
        const found = await detectImages(detector, session, shown, indices, { confidence: COURSE_SCORE });
        const sheet = await foundSheet(shown, found, classes, COURSE_SCORE);
        const bytes = await encodePng(sheet, `what was found at step ${step}`);
        await writeFileAtomic(folder.file("samples", `step-${String(step).padStart(6, "0")}.png`), bytes);
      } finally {
        await session.release();
      }
    },
    async finish(folder, summary, control) {
      // Whoever stops a run by hand does not want to wait: nothing is measured or exported.
      const stopped = summary.reason === "stopped";
      if (!stopped) {
        await attempt("no model.onnx", control, () => exportRun(folder.path, folder.file("model.onnx")));
      }
      await attempt("no report", control, () =>
        writeDetectionReport(folder, summary, data, { measure: !stopped }),
      );
    },
  };
}
