import { join } from "node:path";
import { fileError, makeFolder, writeFileAtomic } from "../../data/files/files.node.ts";
import type { DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import { USUAL_SIZES } from "../../detection/measure/sizes.ts";
import {
  confusionPlot,
  f1Plot,
  facePlot,
  freeResponsePlot,
  precisionRecallPlot,
  recallBySizePlot,
  rocPlot,
} from "../../report/index.ts";
import type { MeasureOptions } from "./detection-measures.ts";

/** A plot of what was found in a split. */
export interface DetectionPlot {
  /** Of its file, without extension. */
  readonly name: string;
  readonly title: string;
  /** An SVG document. */
  readonly text: string;
}

/** What is drawn. */
interface PlotOptions extends MeasureOptions {
  /** From which on detections count where one has to be chosen. */
  readonly score: number;
  readonly subtitle: string;
  /** How many detections of a class in an image count. Default: 100. */
  readonly maximum?: number;
}

/** Plots of what was found in a split, those that can be drawn. Recall by size is that of `sizes`; default: 8, 16, 32, … 256. */
export async function detectionPlots(
  evaluator: DetectionEvaluator,
  classes: readonly string[],
  { score, subtitle, maximum = 100, sizes = USUAL_SIZES, roc, face }: PlotOptions,
): Promise<readonly DetectionPlot[]> {
  const curves = evaluator.curves({ maximum });
  const bySize = {
    all: evaluator.recallBySize({ sizes, maximum }),
    counted: evaluator.recallBySize({ sizes, maximum, minimumScore: score }),
    score,
  };
  const confusion = evaluator.confusion({ minimumScore: score });
  const plots = [
    ["precision-recall", "Precision and recall", await precisionRecallPlot(curves, classes, subtitle)],
    ["f1", "F₁ over the score", await f1Plot(curves, classes, subtitle)],
    ["confusion", "Confusion of classes", await confusionPlot(confusion, classes, subtitle)],
    ["recall-by-size", "Recall by size", await recallBySizePlot(bySize, subtitle)],
    ["false-positives", "Recall for wrong detections", await freeResponsePlot(curves, classes, subtitle)],
    ["roc", "ROC as FDDB has it", roc && (await rocPlot(evaluator.roc(), subtitle))],
    ["faces", "Faces by difficulty", face === true ? await facePlot(evaluator.faces(), subtitle) : undefined],
  ] as const;
  return plots.flatMap(([name, title, text]) => (text === undefined ? [] : [{ name, title, text }]));
}

/** Writes the plots of an evaluation, and its numbers as evaluation.json. @throws FileError */
export async function writeDetectionPlots(
  folder: string,
  classes: readonly string[],
  evaluator: DetectionEvaluator,
  evaluation: {
    readonly data: string;
    readonly split: string;
    readonly detect: { readonly maximum: number };
  },
  options: MeasureOptions & { readonly score: number },
): Promise<void> {
  const { data, split, detect } = evaluation;
  const subtitle = `${data}, ${split} split, IoU from 0.5 on`;
  const plots = await detectionPlots(evaluator, classes, { ...options, subtitle, maximum: detect.maximum });
  await makeFolder(folder).catch((error: unknown) => {
    throw fileError(error, "write into", folder);
  });
  for (const { name, text } of plots) await writeFileAtomic(join(folder, `${name}.svg`), text);
  await writeFileAtomic(join(folder, "evaluation.json"), `${JSON.stringify(evaluation, null, 2)}\n`);
}
