import { readdir, readFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import type { DataSet } from "../data/data-set.ts";
import { writeFileAtomic } from "../data/files.node.ts";
import { batchesPerEpoch } from "../data/order.ts";
import { MissingPackageError } from "../errors.ts";
import { rasterise } from "../report/index.node.ts";
import { type Picture, type ReportFigure, renderReport, type SamplePicture } from "../report/index.ts";
import type { FitSummary } from "../train/fit.node.ts";
import { fitOptions } from "../train/options.ts";
import type { RunFolder } from "../train/run-folder.node.ts";
import { modelSchema } from "./definition.node.ts";
import { evaluateRun } from "./eval.node.ts";
import { makeFigures } from "./figures.node.ts";
import { writePicture } from "./pictures.node.ts";
import { openRun } from "./run.node.ts";

/** The pictures of a run's samples folder: those of training in order of steps, and that of the chosen weights. */
async function readPictures(
  folder: RunFolder,
): Promise<{ readonly course: readonly SamplePicture[]; readonly chosen: Picture | undefined }> {
  const course: SamplePicture[] = [];
  let chosen: Picture | undefined;
  for (const name of (await readdir(folder.file("samples"))).sort()) {
    const [, stem = "", extension] = /^(.*)\.(png|svg)$/.exec(name) ?? [];
    const bytes = await readFile(folder.file("samples", name));
    const picture: Picture | undefined =
      extension === "png"
        ? { format: "png", bytes }
        : extension === "svg"
          ? { format: "svg", text: bytes.toString("utf8") }
          : undefined;
    if (picture === undefined) continue;
    const step = /^step-(\d+)$/.exec(stem);
    if (step) course.push({ step: Number(step[1]), picture, caption: "averaged weights at this step" });
    else if (stem === "samples") chosen = picture;
  }
  return { course, chosen };
}

function samplesFigure(picture: Picture, seed: number): ReportFigure {
  return { title: "Samples", picture, caption: `drawn with seed ${seed}, none chosen by hand` };
}

/** A picture as PNG where plots can be made pixels, otherwise as it is. */
async function pixels(picture: Picture): Promise<Picture> {
  if (picture.format === "png") return picture;
  try {
    return { format: "png", bytes: await rasterise(picture.text) };
  } catch (error) {
    if (error instanceof MissingPackageError) return picture;
    throw error;
  }
}

const REASONS = {
  limit: "finished",
  patience: "finished: validation no longer improved",
  stopped: "stopped by hand; it can be resumed",
} as const;

/**
 * Writes report.html of a run: curves, samples, numbers on the validation split, configuration.
 * @param options.measure false leaves out the numbers and figures, which take a while
 */
export async function writeReport(
  folder: RunFolder,
  summary: FitSummary,
  data: DataSet,
  { measure, warn }: { readonly measure: boolean; warn(message: string): void },
): Promise<void> {
  const { provider, threads, samplePictures, seed } = (await folder.readConfig()).fit;
  const run = await openRun(folder.path, { data, provider, threads });
  try {
    const { config, model } = run;
    const { course, chosen } = await readPictures(folder);
    const measured = measure && data.splits.validation.count > 0;
    const results = measured ? (await evaluateRun(run, { split: "validation" })).results : [];
    const figures = measure && samplePictures > 0 ? await makeFigures({ run, data, seed }, { warn }) : [];
    for (const { name, figure } of figures) {
      await writePicture(folder.file("samples", name), await pixels(figure.picture));
    }
    const describe = new Map(
      [fitOptions, modelSchema(run.definition)].flatMap((schema) =>
        Object.entries(schema.shape).map(([name, field]) => [name, field.description] as const),
      ),
    );
    const options = { data: config.data, ...config.dataOptions, ...config.modelOptions, ...config.fit };
    const page = await renderReport({
      model: config.model,
      data: config.data,
      dataDescription: data.describe(),
      date: new Date(config.created),
      status: REASONS[summary.reason],
      seed: config.fit.seed,
      parameters: summary.parameters,
      steps: summary.step,
      epochs: summary.step / batchesPerEpoch(config.dataInfo.trainCount, config.fit.batchSize),
      seconds: summary.seconds,
      samplesPerSecond: summary.samplesPerSecond,
      ...(summary.best && { best: { step: summary.best.step, validationLoss: summary.best.loss } }),
      lossLabel: "loss",
      results,
      metrics: await folder.readMetrics(),
      samples: course,
      figures: [
        ...(chosen === undefined ? [] : [samplesFigure(chosen, seed)]),
        ...figures.map(({ figure }) => figure),
      ],
      configuration: Object.entries(options).map(([name, value]) => {
        const description = describe.get(name);
        return { name, value: JSON.stringify(value), ...(description !== undefined && { description }) };
      }),
      machine: [
        { name: "processor", value: cpus()[0]?.model ?? "unknown" },
        { name: "cores", value: String(availableParallelism()) },
        { name: "node", value: process.version },
        { name: "provider", value: config.fit.provider },
      ],
      commands: [
        ...(model.sample
          ? [{ command: `eidos sample ${folder.path} --count 64 --out samples.png`, purpose: "Draw samples" }]
          : []),
        ...(model.logProb
          ? [
              {
                command: `eidos score ${folder.path} --out scores.csv`,
                purpose: "Log-likelihoods of the test split",
              },
            ]
          : []),
        { command: `eidos eval ${folder.path} --json`, purpose: "Measure on the test split" },
        ...(model.exported
          ? [{ command: `eidos export ${folder.path} --out model.onnx`, purpose: "Write the model as ONNX" }]
          : []),
        { command: `eidos fit --resume ${folder.path} --steps ${2 * summary.step}`, purpose: "Train on" },
      ],
      version: config.eidos,
    });
    await writeFileAtomic(folder.file("report.html"), page);
  } finally {
    await run.session.release();
  }
}
