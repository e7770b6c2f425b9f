import { writeFileAtomic } from "../../data/files/files.node.ts";
import { Interrupted } from "../../program/deadline.ts";
import { encodePng, type ReportFigure } from "../../report/index.ts";
import type { FitControl, FitSummary } from "../../train/fit-request.node.ts";
import type { RunFolder } from "../../train/run-folder.node.ts";
import {
  type DetectionEvaluation,
  type EvaluatedSplit,
  evaluateSplit,
  summarize,
} from "../measure/detection.node.ts";
import type { DetectionData } from "../measure/detection-data.ts";
import { foundSheet, heatSheet, spreadOver } from "../measure/detection-pictures.ts";
import { detectionPlots } from "../measure/detection-plots.node.ts";
import { type DetectorRun, detectorRun, loadRun } from "../run/load.node.ts";
import { writePicture } from "../run/outputs.node.ts";
import type { NamedFigure } from "./figures.node.ts";
import { explained } from "./meanings.ts";
import { pixels, readPictures, renderRun } from "./report.node.ts";

/** Validation images that are shown with what was found in them, and with their heat. */
const SHOWN = 8;
const HOT = 4;

/** Share of the time for a report in which images are looked at. */
const LOOKING = 0.7;

/** Score at which to cut where nothing was found that counts. */
const SOME_SCORE = 0.25;

/**
 * Writes report.html of a detector: curves, detections beside truth, numbers and plots on the validation split, and
 * validation.json with the numbers.
 * @param options.measure false leaves out what is measured on the validation split, which takes a while
 * @throws Interrupted where the fit is to stop
 */
export async function writeDetectionReport(
  folder: RunFolder,
  summary: FitSummary,
  data: Pick<DetectionData, "set" | "describe">,
  { measure, control }: { readonly measure: boolean; readonly control: FitControl },
): Promise<void> {
  const { provider, threads, samplePictures } = (await folder.readConfig()).fit;
  const { deadline, doing, warn } = control;
  const run = detectorRun(await loadRun(folder.path, { provider, threads, trust: true, deadline }));
  try {
    const { validation } = data.set.splits;
    const measured = measure && validation.count > 0;
    const evaluated = measured
      ? await deadline.within(LOOKING * deadline.secondsLeft, () =>
          evaluateSplit(run, data.set, "validation", {
            onProgress: (share) => doing("looking at validation images", share),
          }),
        )
      : undefined;
    if (measure && deadline.stopped) throw new Interrupted("stopped");
    if (evaluated !== undefined && evaluated.found.length < validation.count) {
      warn(
        `quick report: measured on ${evaluated.found.length} of ${validation.count} validation images; eidos eval ${folder.path} --split validation measures all`,
      );
    }
    doing("drawing what was found");
    const evaluation = evaluated && (await summarize(run, data.set, "validation", evaluated));
    if (evaluation !== undefined) {
      await writeFileAtomic(folder.file("validation.json"), `${JSON.stringify(evaluation, null, 2)}\n`);
    }
    const figures =
      evaluated && evaluation && samplePictures > 0 ? await figuresOf(run, data, evaluated, evaluation) : [];
    for (const { name, figure } of figures) {
      await writePicture(folder.file("samples", name), await pixels(figure.picture));
    }
    const { course } = await readPictures(folder, false);
    const page = await renderRun(run, summary, {
      shown: "Detections",
      dataDescription: data.describe(),
      results: explained(evaluation?.results ?? []),
      samples: course,
      figures: figures.map(({ figure }) => figure),
      commands: [
        {
          command: `eidos detect ${folder.path} photo.jpg --out found`,
          purpose: "Find objects in other images",
        },
      ],
    });
    await writeFileAtomic(folder.file("report.html"), page);
  } finally {
    await run.session.release();
  }
}

/** Figures of what was found in the validation split. */
async function figuresOf(
  run: DetectorRun,
  { set }: Pick<DetectionData, "set">,
  { evaluator, found }: EvaluatedSplit,
  { best }: DetectionEvaluation,
): Promise<readonly NamedFigure[]> {
  const { validation } = set.splits;
  const { classes, model, session } = run;
  const score = best?.score ?? SOME_SCORE;
  const figures: NamedFigure[] = [];
  const add = (name: string, title: string, caption: string, picture: ReportFigure["picture"]): void => {
    figures.push({ name, figure: { title, caption, picture } });
  };
  const isWhole = found.length === validation.count;
  const shown = new Set(
    isWhole ? spreadOver(validation, SHOWN) : found.slice(0, SHOWN).map(({ index }) => index),
  );
  const sheet = await foundSheet(
    validation,
    found.filter(({ index }) => shown.has(index)),
    classes,
    score,
  );
  add(
    "detections",
    "What is marked and what is found",
    "validation images spread evenly over the split, each twice; detections with their scores, from that on at which F₁ is highest",
    { format: "png", bytes: await encodePng(sheet) },
  );
  const heat = await unlessInterrupted(() =>
    heatSheet(model, session, validation, spreadOver(validation, HOT)),
  );
  if (heat !== undefined) {
    add("heat-maps", "Heat", "the largest heat of all classes over validation images", {
      format: "png",
      bytes: await encodePng(heat),
    });
  }
  for (const { name, title, text } of await detectionPlots(evaluator, classes, {
    score,
    subtitle: "validation split, IoU from 0.5 on",
  })) {
    add(name, title, "on the validation split", { format: "svg", text });
  }
  return figures;
}

/** A figure, unless there is no time for it. */
async function unlessInterrupted<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Interrupted) return undefined;
    throw error;
  }
}
