import {
  gradientNormCurve,
  learningRateCurve,
  lossCurves,
  lossPartCurves,
  type MetricRow,
  measureCurves,
} from "../plots/curves.ts";
import { duration, significant, thin } from "../statistics.ts";
import { dateText, escapeHtml, type Picture, PictureWriter, renderPage, section, table } from "./page.ts";

/** Samples drawn at a step of training. */
export interface SamplePicture {
  readonly step: number;
  readonly picture: Picture;
  readonly caption: string;
}

/** A picture or plot under a title of its own. */
export interface ReportFigure {
  readonly title: string;
  readonly picture: Picture;
  readonly caption: string;
}

/** A measured number with all that it depends on. */
export interface ReportResult {
  /** "bits per dimension", "log-likelihood", … */
  readonly name: string;
  readonly value: number;
  /** "nats per sample", "bits"; empty for a pure number. */
  readonly unit: string;
  readonly dataSet: string;
  readonly split: string;
  /** How many samples it was measured on. */
  readonly samples: number;
  readonly seed: number;
  /** Training steps of the weights it was measured with. */
  readonly step: number;
  /** What else a reader must know: "a lower bound", "averaged weights", … */
  readonly note?: string;
  /** What it measures, and which values are good, in a line. */
  readonly meaning?: string;
  /** What the list of meanings calls it, where several results have one; default: its name. */
  readonly of?: string;
  /** The same of as many training samples in place of drawn ones: differences of that size are chance. */
  readonly yardstick?: number;
}

export interface ReportOption {
  readonly name: string;
  readonly value: string;
  readonly description?: string;
}

export interface ReportCommand {
  readonly command: string;
  /** What the command does. */
  readonly purpose: string;
}

/** Rows of a table that are unusual to the model, the oddest first. */
export interface OddRows {
  /** What the rows are of, and how reasons were found. */
  readonly caption: string;
  readonly rows: readonly { readonly row: number; readonly score: number; readonly why: string }[];
}

/** All that a report shows: plain values, so that a run folder can be turned into one without its model. */
export interface ReportInput {
  readonly model: string;
  readonly data: string;
  /** Lines about the data: size, splits, what was left out. */
  readonly dataDescription: readonly string[];
  readonly date: Date;
  /** How training stands: "finished after 120 seconds", "still running", "stopped: the loss became NaN at step 812". */
  readonly status: string;
  readonly seed: number;
  /** Trainable numbers of the model. */
  readonly parameters: number;
  readonly steps: number;
  readonly epochs?: number;
  /** Seconds of training. */
  readonly seconds: number;
  /** Training samples a second. */
  readonly samplesPerSecond?: number;
  readonly best?: {
    readonly step: number;
    readonly validationLoss: number;
    /** Measures of the validation by name, 0 … 1, where there are some beside the loss. */
    readonly measures?: Readonly<Record<string, number>>;
  };
  /** What the loss is, with its unit. */
  readonly lossLabel: string;
  readonly results: readonly ReportResult[];
  readonly metrics: readonly MetricRow[];
  /** What pictures show. Default: "Samples". */
  readonly shown?: string;
  /** In the order of training. */
  readonly samples: readonly SamplePicture[];
  /** Samples of the best weights, and whatever else is worth a look: densities, marginals, likelihoods. */
  readonly figures: readonly ReportFigure[];
  /** Of tables. */
  readonly oddRows?: OddRows;
  readonly configuration: readonly ReportOption[];
  /** Where it ran: processor, threads, runtime. */
  readonly machine: readonly ReportOption[];
  readonly commands: readonly ReportCommand[];
  /** Of eidos. */
  readonly version: string;
}

/** More pictures of the course of training than this are thinned out evenly. */
const MOST_SAMPLES = 12;

/**
 * The report of a run: one HTML page with its style, plots and pictures inside, that loads nothing, runs no script and
 * reads well in light and dark. All text is escaped. The same input gives the same page.
 */
export async function renderReport(run: ReportInput): Promise<string> {
  const curves = [
    await lossCurves(run.metrics, run.lossLabel),
    await measureCurves(run.metrics),
    await lossPartCurves(run.metrics),
    await learningRateCurve(run.metrics),
    await gradientNormCurve(run.metrics),
  ].filter((svg) => svg !== undefined);
  const pictures = new PictureWriter();
  const title = `${run.model} on ${run.data}`;
  const sections = [
    header(run),
    keyFigures(run),
    section("Results", results(run.results)),
    section(
      `${run.shown ?? "Samples"} of the best weights`,
      run.figures.map((figure) => pictures.figure(figure.picture, figure.caption, figure.title)).join("\n"),
    ),
    section("Unusual rows", oddRows(run.oddRows)),
    section("Curves", curves.map((text) => pictures.plot(text)).join("\n")),
    section(`${run.shown ?? "Samples"} over time`, samplesOverTime(run.samples, pictures)),
    section("How to go on", commands(run.commands)),
    section("Data", run.dataDescription.map((line) => `<p>${escapeHtml(line)}</p>`).join("\n")),
    section("Configuration", optionTable(run.configuration, "Option")),
    section("Machine", optionTable(run.machine, "Property")),
  ];
  return renderPage({ title, version: run.version, sections });
}

function header(run: ReportInput): string {
  return `<header>
<h1>${escapeHtml(run.model)} <span>on</span> ${escapeHtml(run.data)}</h1>
<p>${escapeHtml(run.status)} · ${dateText(run.date)} · seed ${run.seed} · eidos ${escapeHtml(run.version)}</p>
</header>`;
}

function keyFigures(run: ReportInput): string {
  const { epochs, samplesPerSecond, best } = run;
  const figures: { readonly name: string; readonly value: string; readonly detail?: string }[] = [
    { name: "Parameters", value: significant(run.parameters, 9) },
    {
      name: "Steps",
      value: significant(run.steps, 9),
      ...(epochs === undefined ? {} : { detail: `${significant(epochs, 3)} epochs` }),
    },
    { name: "Training time", value: duration(run.seconds) },
  ];
  if (samplesPerSecond !== undefined) {
    figures.push({ name: "Speed", value: significant(samplesPerSecond, 3), detail: "samples a second" });
  }
  for (const [name, value] of Object.entries(best?.measures ?? {})) {
    figures.push({
      name: `Validation ${name}`,
      value: significant(value, 3),
      detail: "of the best weights",
    });
  }
  if (best !== undefined) {
    figures.push({
      name: "Best validation loss",
      value: significant(best.validationLoss),
      detail: `${run.lossLabel}, at step ${significant(best.step, 9)}`,
    });
  }
  const cards = figures.map(({ name, value, detail }) => {
    const small = detail === undefined ? "" : `<small>${escapeHtml(detail)}</small>`;
    return `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}${small}</dd></div>`;
  });
  return `<dl class="figures">\n${cards.join("\n")}\n</dl>`;
}

function results(rows: readonly ReportResult[]): string {
  if (rows.length === 0) return "";
  const noted = rows.some(({ note }) => note !== undefined);
  const compared = rows.some(({ yardstick }) => yardstick !== undefined);
  const body = rows.map((row) => {
    const cells = [
      `<th scope="row">${escapeHtml(row.name)}</th>`,
      `<td class="number"><b>${significant(row.value, 5)}</b> ${escapeHtml(row.unit)}</td>`,
      ...(compared
        ? [`<td class="number">${row.yardstick === undefined ? "—" : significant(row.yardstick, 5)}</td>`]
        : []),
      `<td>${escapeHtml(row.dataSet)}</td>`,
      `<td>${escapeHtml(row.split)}</td>`,
      `<td class="number">${significant(row.samples, 9)}</td>`,
      `<td class="number">${row.seed}</td>`,
      `<td class="number">${significant(row.step, 9)}</td>`,
      ...(noted ? [`<td>${escapeHtml(row.note ?? "")}</td>`] : []),
    ];
    return `<tr>${cells.join("")}</tr>`;
  });
  const heads = [
    "<th>Measure</th>",
    '<th class="number">Value</th>',
    ...(compared ? ['<th class="number">Training samples</th>'] : []),
    "<th>Data set</th>",
    "<th>Split</th>",
    '<th class="number">Samples</th>',
    '<th class="number">Seed</th>',
    '<th class="number">Step</th>',
    ...(noted ? ["<th>Note</th>"] : []),
  ];
  return table(heads.join(""), body) + meanings(rows, compared);
}

/** What each measure is, in a line. */
function meanings(rows: readonly ReportResult[], compared: boolean): string {
  const known = new Map(
    rows.flatMap(({ name, of = name, meaning }) => (meaning === undefined ? [] : [[of, meaning]])),
  );
  const lines = Array.from(
    known,
    ([name, meaning]) => `<li><b>${escapeHtml(name)}</b>: ${escapeHtml(meaning)}</li>`,
  );
  if (compared) {
    lines.push(
      "<li><b>Training samples</b>: the same measure of as many training samples in place of drawn ones. It is what samples of the data itself come to: differences of that size are chance.</li>",
    );
  }
  return lines.length === 0 ? "" : `\n<ul class="notes">\n${lines.join("\n")}\n</ul>`;
}

function oddRows(found: OddRows | undefined): string {
  if (found === undefined || found.rows.length === 0) return "";
  const body = found.rows.map(
    ({ row, score, why }) =>
      `<tr><th scope="row">${row}</th><td class="number">${significant(score, 5)}</td><td>${escapeHtml(why)}</td></tr>`,
  );
  const head = '<th>Row</th><th class="number">−log-likelihood</th><th>Why</th>';
  return `<p>${escapeHtml(found.caption)}</p>\n${table(head, body)}`;
}

function samplesOverTime(samples: readonly SamplePicture[], pictures: PictureWriter): string {
  if (samples.length === 0) return "";
  const shown = thin(samples, MOST_SAMPLES);
  const figures = shown.map(({ step, picture, caption }) =>
    pictures.figure(picture, caption, `Step ${significant(step, 9)}`),
  );
  const omitted =
    shown.length < samples.length
      ? `<p>${shown.length} of ${samples.length} pictures, evenly spaced; the folder <code>samples</code> has all.</p>\n`
      : "";
  return `${omitted}<div class="time">\n${figures.join("\n")}\n</div>`;
}

function commands(list: readonly ReportCommand[]): string {
  return list
    .map(
      ({ command, purpose }) =>
        `<p>${escapeHtml(purpose)}</p>\n<pre><code>${escapeHtml(command)}</code></pre>`,
    )
    .join("\n");
}

function optionTable(options: readonly ReportOption[], head: string): string {
  if (options.length === 0) return "";
  const described = options.some(({ description }) => description !== undefined);
  const rows = options.map(
    ({ name, value, description }) =>
      `<tr><th scope="row"><code>${escapeHtml(name)}</code></th><td><code>${escapeHtml(value)}</code></td>${
        described ? `<td>${escapeHtml(description ?? "")}</td>` : ""
      }</tr>`,
  );
  return table(`<th>${head}</th><th>Value</th>${described ? "<th>Meaning</th>" : ""}`, rows);
}
