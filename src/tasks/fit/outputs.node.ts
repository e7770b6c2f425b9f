import { writeFileAtomic } from "../../data/files/files.node.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import type { AnyDetector, CascadeDetector, Detector } from "../../detection/models/detector.ts";
import { FileError } from "../../errors.ts";
import type { Model } from "../../model/capabilities.ts";
import { Interrupted, untilDeadline } from "../../program/deadline.ts";
import { nodeRuntime } from "../../program/node.ts";
import { Session, type State } from "../../program/program.ts";
import { encodePng } from "../../report/index.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Fit, FitControl, FitStanding, FitSummary } from "../../train/fit-request.node.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { RunFolder } from "../../train/run-folder.node.ts";
import { exportTensors } from "../export/tensors.node.ts";
import type { CascadeData } from "../measure/cascade-data.ts";
import { detectImages } from "../measure/detection.node.ts";
import type { DetectionData } from "../measure/detection-data.ts";
import { batchSheet, foundSheet, spreadOver } from "../measure/detection-pictures.ts";
import { writeDetectionReport } from "../report/detection.node.ts";
import { writeReport, writeStanding } from "../report/report.node.ts";
import { looksOf } from "../run/detection-options.ts";
import { givenOfData, isGivenColumns, sourceOfData } from "../run/given.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { pictureCount, samplePicture, writePicture } from "../run/outputs.node.ts";

/** What is fitted: a model of a distribution to samples, or a detector to images with boxes. */
export type FitSubject =
  | { readonly kind: "samples"; readonly model: Model; readonly data: DataSet }
  | { readonly kind: "boxes"; readonly model: Model & Detector; readonly data: DetectionData }
  | { readonly kind: "cascade"; readonly model: Model & CascadeDetector; readonly data: CascadeData };

/** Images in a picture of samples, or of detections, that is drawn while training: its time is taken from training. */
const COURSE_IMAGES = { samples: 16, boxes: 4 } as const;

/** Training batches of a detector that are drawn before the first step. */
const BATCHES = 2;

/** Score from which on detections are drawn while the best cut is not known. */
const COURSE_SCORE = 0.25;

/** Share of the time for a report that its picture of samples may take; and of that, what all samples may take before there are fewer. */
const PICTURE = { share: 0.35, first: 0.6 } as const;

/** What a run writes besides weights: pictures and its page as it trains, then pictures, exported model and report. */
export function outputsOf(
  subject: FitSubject,
  { definition, config, folder }: Pick<LoadedRun, "definition" | "config" | "folder">,
): Pick<Fit, "begin" | "draw" | "tell" | "finish"> {
  const { model, data } = subject;
  const shown = subject.kind === "samples" ? {} : { shown: "Detections" };
  return {
    ...picturesOf(subject, config, folder),
    ...(config.fit.report !== "none" && {
      tell: (standing: FitStanding) =>
        writeStanding({ folder, config, definition, model }, standing, {
          dataDescription: data.describe(),
          ...shown,
        }),
    }),
  };
}

function picturesOf(
  subject: FitSubject,
  config: RunConfig,
  folder: RunFolder,
): Pick<Fit, "begin" | "draw" | "finish"> {
  switch (subject.kind) {
    case "boxes": {
      const { model, data } = subject;
      return { ...detectionOutputs(model, data, config, folder), ...batchPictures(data, config, folder) };
    }
    case "cascade":
      return detectionOutputs(subject.model, subject.data, config, folder);
    case "samples":
      return sampleOutputs(subject.model, subject.data, config, folder);
  }
}

/** Does a part of the finish; what it cannot do is a warning, since the weights are safe. Nothing is begun once the fit is to stop. */
async function attempt(
  what: string,
  { control, summary }: Finish,
  work: () => Promise<unknown>,
): Promise<void> {
  // Whoever has stopped the training finds out how far it came.
  if (summary.reason !== "stopped" && control.shouldStop()) return;
  try {
    await work();
  } catch (error) {
    if (error instanceof Interrupted) {
      if (error.reason === "time")
        control.warn(`${what}: it takes longer than a quick report may; --report full waits for it`);
      return;
    }
    if (error instanceof FileError || !(error instanceof Error)) throw error;
    control.warn(`${what}: ${error.message}`);
  }
}

/** The end of a fit. */
interface Finish {
  readonly summary: FitSummary;
  readonly control: FitControl;
}

/** Uses weights in a session of their own, until they have to be left alone. */
async function withSession<T>(
  { provider, threads, deterministic }: RunConfig["fit"],
  weights: State,
  { deadline }: FitControl,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const runtime = await nodeRuntime({ provider, deterministic, ...(threads !== undefined && { threads }) });
  const session = new Session(untilDeadline(runtime, deadline), weights);
  try {
    return await work(session);
  } finally {
    await session.release();
  }
}

const pictureOfStep = (step: number): string => `step-${String(step).padStart(6, "0")}`;

function sampleOutputs(
  model: Model,
  data: DataSet,
  config: RunConfig,
  folder: RunFolder,
): Required<Pick<Fit, "draw" | "finish">> {
  const { samplePictures, seed, report } = config.fit;
  const sample = model.sample?.bind(model);

  /** @param doing what it is called where its progress is shown */
  const drawAs = async (
    name: string,
    images: number,
    weights: State,
    control: FitControl,
    doing?: string,
  ): Promise<void> => {
    if (images === 0 || sample === undefined) return;
    await withSession(config.fit, weights, control, async (session) => {
      const count = pictureCount(data, images);
      let share = 0;
      const draw = (count: number) =>
        sample(session, {
          count,
          seed,
          onProgress: (done) => {
            share = done;
            if (doing !== undefined) control.doing(doing, done);
            control.deadline.check();
          },
          ...(isGivenColumns(config) && { given: givenOfData(config, data, { count, seed }) }),
          ...(data.source !== undefined && { source: sourceOfData(data, { count, seed }) }),
        });
      const { secondsLeft } = control.deadline;
      let samples: NdArray<"float32">;
      try {
        samples = await control.deadline.within(PICTURE.first * secondsLeft, () => draw(count));
      } catch (error) {
        if (!(error instanceof Interrupted) || error.reason === "stopped") throw error;
        // Fewer, as many as the time that is left is enough for.
        const affordable = Math.floor((0.8 * count * share * (1 - PICTURE.first)) / PICTURE.first);
        if (doing === undefined || affordable < 1) throw error;
        share = 0;
        samples = await draw(affordable);
        control.warn(
          `the picture shows ${affordable} samples in place of ${count}: more take longer than a quick report may; --report full waits for them`,
        );
      }
      const picture = await samplePicture(config.dataInfo, samples, async () => data);
      await writePicture(folder.file("samples", name), picture);
    });
  };

  return {
    draw: (weights, step, control) =>
      drawAs(pictureOfStep(step), Math.min(samplePictures, COURSE_IMAGES.samples), weights, control),
    finish: async (summary, control) => {
      const end: Finish = { summary, control };
      // Whoever stops a run by hand does not want to wait: no samples, no measurements.
      const stopped = summary.reason === "stopped";
      if (!stopped) await exportModel(model.exported !== undefined, "model.onnx", folder, end);
      if (report === "none") return;
      if (!stopped) {
        const weights = await folder.readWeights();
        const { deadline } = control;
        await attempt("no picture of samples", end, () =>
          deadline.within(PICTURE.share * deadline.secondsLeft, () =>
            drawAs("samples", samplePictures, weights, control, "drawing samples"),
          ),
        );
      }
      await attempt("no report", end, () =>
        writeReport(folder, summary, data, { measure: !stopped, control, full: report === "full" }),
      );
    },
  };
}

/** Writes the model as ONNX, where it can be. */
async function exportModel(can: boolean, name: string, folder: RunFolder, end: Finish): Promise<void> {
  if (!can) return;
  await attempt(`no ${name}`, end, async () => {
    end.control.doing(`writing ${name}`);
    await exportTensors(folder.path, folder.file(name), { trust: true });
  });
}

/** Pictures of the first batches of a detector. */
function batchPictures(
  data: DetectionData,
  config: RunConfig,
  folder: RunFolder,
): Required<Pick<Fit, "begin">> {
  const { samplePictures } = config.fit;
  const { classes } = data.set;
  return {
    async begin() {
      if (samplePictures === 0) return;
      const batches = data.batches(config.fit);
      for (let step = 0; step < BATCHES; step++) {
        const sheet = batchSheet(await batches.feeds(step), classes);
        const bytes = await encodePng(sheet, `training batch of step ${step}, as the detector sees it`);
        await writeFileAtomic(folder.file("samples", `training-batch-${step}.png`), bytes);
      }
    },
  };
}

function detectionOutputs(
  detector: Model & AnyDetector,
  data: DetectionData | CascadeData,
  config: RunConfig,
  folder: RunFolder,
): Required<Pick<Fit, "draw" | "finish">> {
  const { samplePictures, report } = config.fit;
  const { classes, splits } = data.set;
  const shown = splits.validation.count > 0 ? splits.validation : splits.train;
  // A cascade is a folder with a graph of each network.
  const exported = detector.looks === "cascade" ? "onnx" : "model.onnx";
  return {
    async draw(weights, step, control) {
      if (samplePictures === 0) return;
      await withSession(config.fit, weights, control, async (session) => {
        const indices = spreadOver(shown, COURSE_IMAGES.boxes);
        const found = await detectImages(detector, session, shown, indices, {
          confidence: COURSE_SCORE,
          ...looksOf(config, {}),
        });
        const sheet = await foundSheet(shown, found, classes, COURSE_SCORE);
        const bytes = await encodePng(sheet, `what was found at step ${step}`);
        await writeFileAtomic(folder.file("samples", `${pictureOfStep(step)}.png`), bytes);
      });
    },
    async finish(summary: FitSummary, control) {
      const end: Finish = { summary, control };
      // Whoever stops a run by hand does not want to wait: nothing is measured or exported.
      const stopped = summary.reason === "stopped";
      if (!stopped) await exportModel(true, exported, folder, end);
      if (report === "none") return;
      await attempt("no report", end, () =>
        writeDetectionReport(folder, summary, data, { measure: !stopped, control }),
      );
    },
  };
}
