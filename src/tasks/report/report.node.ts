import { readdir } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { FILE_KINDS, readRegularFile, writeFileAtomic } from "../../data/files/files.node.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import { batchesPerEpoch } from "../../data/sources/data-set.ts";
import { MissingPackageError } from "../../errors.ts";
import { Interrupted } from "../../program/deadline.ts";
import { rasterize } from "../../report/index.node.ts";
import {
  boundTermsPlot,
  type MetricRow,
  type Picture,
  type ReportFigure,
  type ReportInput,
  type ReportResult,
  renderReport,
  type SamplePicture,
} from "../../report/index.ts";
import type { FitControl, FitStanding, FitSummary } from "../../train/fit-request.node.ts";
import { fitOptions } from "../../train/options.ts";
import type { RunFolder, MetricRow as RunRow } from "../../train/run-folder.node.ts";
import { type Evaluation, evaluateRun, type MeanTerm, slowScoresOf } from "../measure/eval.node.ts";
import { MEASURES, type Measure, type MeasureName } from "../measure/measures.ts";
import { dataSchema, modelSchema } from "../run/definition.node.ts";
import { type LoadedRun, loadRun } from "../run/load.node.ts";
import { writePicture } from "../run/outputs.node.ts";
import { makeFigures } from "./figures.node.ts";
import { oddRowsOf } from "./odd-rows.node.ts";

/** The pictures of a run's samples folder: those of training in order of steps, and that of the chosen weights. */
export async function readPictures(
  folder: RunFolder,
): Promise<{ readonly course: readonly SamplePicture[]; readonly chosen: Picture | undefined }> {
  const course: SamplePicture[] = [];
  let chosen: Picture | undefined;
  for (const name of (await readdir(folder.file("samples"))).sort()) {
    const [, stem = "", extension] = /^(.*)\.(png|svg)$/.exec(name) ?? [];
    const bytes = Buffer.from(await readRegularFile(folder.file("samples", name), FILE_KINDS.image));
    const picture: Picture | undefined =
      extension === "png"
        ? { format: "png", bytes }
        : extension === "svg"
          ? { format: "svg", text: bytes.toString("utf8"), isFile: true }
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
export async function pixels(picture: Picture): Promise<Picture> {
  if (picture.format === "png") return picture;
  try {
    return { format: "png", bytes: await rasterize(picture.text) };
  } catch (error) {
    if (error instanceof MissingPackageError) return picture;
    throw error;
  }
}

/** What numbers of a report mean that are no distances, by their names. */
const MEANINGS: Readonly<Record<string, string>> = {
  loss: "what training makes small, of held-out samples; comparable between runs of one model on one data set alone",
  "log-likelihood":
    "mean log p(x) of held-out samples, the higher the better; of tables in the units of the columns, which shift it",
  "bits per dimension":
    "bits that a number of an image takes by the model's probabilities, the lower the better; 8 for noise",
  "log-likelihood of the true density":
    "the same of the distribution that the data is drawn from: no model has more on average",
  "straightness (0: straight)":
    "how far paths bend from the straight line; straight ones are gone in one step",
  "transport cost":
    "mean squared length of the way from noise to sample, the lower the nearer they are paired",
};

/** Results with what each measures, and what training samples come to. */
function explained({ results, control = [] }: Evaluation): readonly ReportResult[] {
  const measures = Object.entries(MEASURES) as [MeasureName, Measure][];
  return results.map((result): ReportResult => {
    const [key, measure] = measures.find(([, { name }]) => name === result.name) ?? [];
    const good = measure && { lower: "; the lower the better", higher: "; the higher the better" };
    const kind = measure?.better.kind;
    const better = kind === "lower" || kind === "higher" ? (good?.[kind] ?? "") : "";
    const own = Object.hasOwn(MEANINGS, result.name) ? MEANINGS[result.name] : undefined;
    const meaning = measure === undefined ? own : `${measure.meaning}${better}`;
    const yardstick = control.find((distance) => distance.measure === key)?.value;
    return {
      ...result,
      ...(meaning !== undefined && { meaning }),
      ...(yardstick !== undefined && { yardstick }),
    };
  });
}

/** Images whose likelihood a report measures of a model that takes long to. */
const SLOW_IMAGES = 32;

/** Share of the time for a report that its numbers may take; the figures have the rest. */
const NUMBERS = 0.6;

/** The terms of a bound as a figure; none where the model has no bound of terms. */
async function boundFigure(terms: readonly MeanTerm[] = []): Promise<readonly ReportFigure[]> {
  const inBits = terms.every(({ bitsPerDimension }) => bitsPerDimension !== undefined);
  const text = await boundTermsPlot(
    terms.map(({ first, last, nats, bitsPerDimension = nats }) => ({ first, last, value: bitsPerDimension })),
    inBits ? "bits per dimension" : "nats per sample",
  );
  if (text === undefined) return [];
  return [
    {
      title: "Variational bound, term by term",
      picture: { format: "svg", text },
      caption:
        "validation samples; where a part of the chain is measured at one random step of it for each sample, the mean of that part",
    },
  ];
}

const REASONS = {
  limit: "finished",
  patience: "finished: validation no longer improved",
  stopped: "stopped by hand; it can be resumed",
} as const;

/**
 * Writes report.html of a run: curves, samples, numbers on the validation split, configuration. Numbers and figures are measured and drawn
 * until the fit's deadline.
 * @param options.measure false leaves out the numbers and figures, which take a while
 * @param options.full whether all distances are measured, and every figure drawn
 * @throws Interrupted where the fit is to stop
 */
export async function writeReport(
  folder: RunFolder,
  summary: FitSummary,
  data: DataSet,
  {
    measure,
    full,
    control,
  }: { readonly measure: boolean; readonly full: boolean; readonly control: FitControl },
): Promise<void> {
  const { provider, threads, samplePictures, seed } = (await folder.readConfig()).fit;
  const { deadline, warn, doing } = control;
  const run = await loadRun(folder.path, { opened: data, provider, threads, trust: true, deadline });
  try {
    const { model } = run;
    const { course, chosen } = await readPictures(folder);
    const slowScores = slowScoresOf(data, SLOW_IMAGES);
    const measured = measure && data.splits.validation.count > 0;
    const numbers = samplePictures > 0 ? NUMBERS : 1;
    const evaluation = measured
      ? await deadline.within(numbers * deadline.secondsLeft, () =>
          evaluateRun(run, {
            split: "validation",
            slowScores,
            distances: full ? "all" : "quick",
            control: true,
            onProgress: (share, what) => doing(what, share),
          }),
        )
      : undefined;
    const drawn = measure && samplePictures > 0;
    const figures = drawn
      ? await makeFigures({ run, data, seed }, { warn, full, doing: (name) => doing(`drawing ${name}`) })
      : [];
    const oddRows = measured ? await unlessLate(() => oddRowsOf(run)) : undefined;
    if (measure && deadline.stopped) throw new Interrupted("stopped");
    doing("writing the report");
    if (evaluation !== undefined && evaluation.reduced.length > 0) {
      warn(`quick report: ${evaluation.reduced.join("; ")}; eidos eval ${folder.path} measures the rest`);
    }
    for (const { name, figure } of figures) {
      await writePicture(folder.file("samples", name), await pixels(figure.picture));
    }
    const page = await renderRun(run, summary, {
      dataDescription: data.describe(),
      results: evaluation === undefined ? [] : explained(evaluation),
      samples: course,
      figures: [
        ...(chosen === undefined ? [] : [samplesFigure(chosen, seed)]),
        ...figures.map(({ figure }) => figure),
        ...(await boundFigure(evaluation?.boundTerms)),
      ],
      ...(oddRows && { oddRows }),
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
      ],
    });
    await writeFileAtomic(folder.file("report.html"), page);
  } finally {
    await run.session.release();
  }
}

/** What work makes; undefined where the time is up. */
async function unlessLate<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Interrupted) return undefined;
    throw error;
  }
}

/** Columns of metrics.csv that all runs have; the others are parts of the loss and measures of validations. */
const COMMON = [
  "step",
  "epoch",
  "seconds",
  "loss",
  "validationLoss",
  "learningRate",
  "gradientNorm",
  "samplesPerSecond",
];

/** A row of metrics.csv as curves take it. */
function curveRow(row: RunRow): MetricRow {
  const parts = new Map<string, number>();
  const measures = new Map<string, number>();
  for (const [name, value] of Object.entries(row)) {
    if (value === undefined || COMMON.includes(name)) continue;
    const [, measure] = /^validation(.+)$/.exec(name) ?? [];
    if (measure === undefined) parts.set(name, value);
    else measures.set(measure, value);
  }
  return { ...row, parts: Object.fromEntries(parts), measures: Object.fromEntries(measures) };
}

/** The run that a page is of. */
type RunShown = Pick<LoadedRun, "folder" | "config" | "definition" | "model">;

/**
 * Writes report.html of a run that is being fitted: curves, the pictures up to now, configuration. Nothing is measured.
 * @param options.shown what the pictures show, where it is not samples
 */
export async function writeStanding(
  run: RunShown,
  standing: FitStanding,
  options: Pick<ReportParts, "dataDescription" | "shown">,
): Promise<void> {
  const { course } = await readPictures(run.folder);
  const page = await renderRun(run, standing, {
    ...options,
    results: [],
    samples: course,
    figures: [],
    commands: [],
  });
  await writeFileAtomic(run.folder.file("report.html"), page);
}

/** What of a report depends on what a model does and is fitted to. */
export type ReportParts = Pick<
  ReportInput,
  "dataDescription" | "results" | "samples" | "figures" | "oddRows" | "commands" | "shown"
>;

/** The report of a run as a page: its parts, and what every run has. Commands that all models know are added. */
export async function renderRun(
  { folder, config, definition, model }: RunShown,
  summary: FitStanding & Partial<Pick<FitSummary, "reason">>,
  parts: ReportParts,
): Promise<string> {
  const describe = new Map(
    [fitOptions, dataSchema(definition), modelSchema(definition)].flatMap((schema) =>
      Object.entries(schema.shape).map(([name, field]) => [name, field.description] as const),
    ),
  );
  const options = { data: config.data, ...config.dataOptions, ...config.modelOptions, ...config.fit };
  const { best } = summary;
  return renderReport({
    ...parts,
    model: config.model,
    data: config.data,
    date: new Date(config.created),
    status:
      summary.reason === undefined
        ? `not ended: this is how it stood at step ${summary.step}`
        : REASONS[summary.reason],
    seed: config.fit.seed,
    parameters: summary.parameters,
    steps: summary.step,
    epochs: summary.step / batchesPerEpoch(config.dataInfo.trainCount, config.fit.batchSize),
    seconds: summary.seconds,
    samplesPerSecond: summary.samplesPerSecond,
    ...(best && {
      best: {
        step: best.step,
        validationLoss: best.loss,
        ...(best.measures && { measures: best.measures }),
      },
    }),
    lossLabel: "loss",
    metrics: (await folder.readMetrics()).map(curveRow),
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
      ...parts.commands,
      { command: `eidos eval ${folder.path} --json`, purpose: "Measure on the test split" },
      ...(model.exported
        ? [
            {
              command: `eidos export ${folder.path}`,
              purpose: "Write the model as ONNX files for use outside",
            },
          ]
        : []),
      { command: `eidos fit --resume ${folder.path} --steps ${2 * summary.step}`, purpose: "Train on" },
    ],
    version: config.eidos,
  });
}
