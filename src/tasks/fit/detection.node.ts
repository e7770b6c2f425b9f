import type { DetectionSet } from "../../data/boxes/set.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { openDetection } from "../../data/open.node.ts";
import type { Detector } from "../../detection/models/detector.ts";
import { FileError } from "../../errors.ts";
import type { Model } from "../../model/capabilities.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { nodeRuntime } from "../../program/node.ts";
import { Session } from "../../program/program.ts";
import { encodePng } from "../../report/index.ts";
import { checkFingerprint } from "../../train/fit-setup.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { ResolvedRun, RunControl } from "../../train/worker-protocol.node.ts";
import { exportRun } from "../export/export.node.ts";
import { detectImages } from "../measure/detection.node.ts";
import {
  boxShapes,
  type DetectionData,
  detectionData,
  detectionInfo,
  usualOptions,
} from "../measure/detection-data.ts";
import { batchSheet, foundSheet, spreadOver } from "../measure/detection-pictures.ts";
import { writeDetectionReport } from "../report/detection.node.ts";
import { modelInfo } from "../run/definition.node.ts";
import { detectionDataOptions, PHOTO_SIZE } from "../run/detection-options.ts";

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

// The part of `prepare.node.ts` that concerns images with boxes.

type Options = Readonly<Record<string, unknown>>;

/**
 * Opens images with boxes for a fit, and fills in what options follow from them.
 * @throws DataError where there are none, or they cannot be used; OptionError
 */
export async function openAnnotated(
  definition: ModelDefinition,
  dataName: string,
  options: { readonly data: Options; readonly model: unknown },
): Promise<{
  readonly data: DetectionSet;
  readonly dataOptions: Options;
  readonly info: RunConfig["dataInfo"];
  readonly modelOptions: Options;
}> {
  const data = await openDetection(dataName, detectionDataOptions(options.data).reading);
  const dataOptions = { ...usualOptions(dataName, data), ...options.data };
  const { size = PHOTO_SIZE } = detectionDataOptions(dataOptions);
  const info = detectionInfo(data, size);
  const settled = definition.settled?.(options.model, {
    ...modelInfo(info),
    boxShapes: boxShapes(data, size),
  });
  return {
    data,
    dataOptions,
    info,
    modelOptions: (settled ?? options.model) as Options,
  };
}

/** A detector with the images that it is fitted to. @throws OptionError where they have changed since the run began; DataError */
export async function resolveDetection(
  config: RunConfig,
  detector: Model & Detector,
  opened?: DetectionSet,
): Promise<ResolvedRun> {
  const options = detectionDataOptions(config.dataOptions);
  const set = opened ?? (await openDetection(config.data, options.reading));
  checkFingerprint(config.dataInfo.fingerprint, set);
  const data = detectionData(set, detector, options);
  return { model: detector, data, ...detectionOutputs(config, detector, data) };
}
