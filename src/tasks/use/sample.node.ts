import { extname } from "node:path";
import { z } from "zod";
import { models } from "../../catalog.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { type Shard, shareOf } from "../../data/sources/shard.ts";
import { OptionError } from "../../errors.ts";
import type { SampleOptions, StateMark, StateOptions } from "../../model/capabilities.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { parseOptions } from "../../options.ts";
import { animationExtension, encodeAnimation } from "../../report/index.node.ts";
import { planePanel } from "../../report/plane/panel.ts";
import { squareFrame } from "../../report/points.ts";
import { imageGrid, titled } from "../../report/raster/grid.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { sampleSchema } from "../run/definition.node.ts";
import {
  encodeGiven,
  type GivenValues,
  givenOfData,
  isGivenColumns,
  sourceOfData,
} from "../run/given.node.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";
import {
  asWritten,
  checkExtension,
  firstSamples,
  samplePicture,
  sampleRows,
  type TableWriting,
  toBytes,
  writeForms,
} from "../run/outputs.node.ts";
import { withoutGaps } from "./gaps.node.ts";

/** How samples may be written. */
const SAMPLE_EXTENSIONS = [".png", ".npy", ".csv", ".parquet"] as const;

/**
 * Draws samples from an opened run, in data units (bytes for images, not rounded; standardized table columns; zeros and
 * ones). Of tables with gaps, rows have none unless `gaps` asks for them.
 * @param options count, seed, label, values of the columns that the model is conditioned on (those of random rows of
 *   its data by default), the shard to draw, and the model's own options for sampling
 * @throws OptionError where the model cannot sample or an option is wrong
 */
export async function sampleRun(
  run: LoadedRun,
  options: SampleOptions & {
    readonly given?: GivenValues;
    readonly gaps?: boolean;
    readonly shard?: Shard | undefined;
  } & Readonly<Record<string, unknown>>,
): Promise<NdArray<"float32">> {
  const { shard, ...asked } = options;
  if (shard !== undefined) {
    const { first, count } = shareOf(shard, options.count, 1);
    if (count === 0) return float32([], [0, ...run.config.dataInfo.sampleShape]);
    if (first > 0) checkNumbered(run);
    return sampleRun(run, { ...asked, count, first });
  }
  const { gaps = false, ...others } = asked;
  const samples = await drawRun(run, others);
  if (gaps) return samples;
  const again = (count: number, seed: number) => drawRun(run, { ...others, count, seed, first: 0 });
  return withoutGaps(run, samples, again, options);
}

/**
 * Shards draw samples by their numbers. Models of the catalogue do; of a module it is not known, and one that does not would draw the
 * same samples for each shard.
 * @throws OptionError
 */
function checkNumbered({ config }: LoadedRun): void {
  if (models.has(config.model)) return;
  throw new OptionError(
    `option shard: whether the model of the module ${config.model} draws samples by their numbers is not known, and shards might all draw the same ones; give each shard a seed of its own, without shard`,
  );
}

/**
 * Refuses guidance of a model that knows no classes.
 * @throws OptionError
 */
export function checkGuidance({ data, dataInfo, modelOptions }: RunConfig, guidance: unknown): void {
  const { classes = 0 } = dataInfo;
  const isOfClasses = classes > 0 && modelOptions.conditional !== false;
  if (guidance === undefined || guidance === 1 || isOfClasses) return;
  throw new OptionError(
    classes === 0
      ? `option guidance: guidance leads to a class, and ${data} has no classes; leave it out`
      : "option guidance: guidance leads to a class, and this model was fitted without classes (conditional); leave it out",
  );
}

/** Refuses a class that the data of a run does not have. @throws OptionError */
function checkLabel({ data, dataInfo: { classes = 0 } }: RunConfig, label: number | undefined): void {
  if (label === undefined || (Number.isInteger(label) && label >= 0 && label < classes)) return;
  throw new OptionError(
    classes === 0
      ? `option label: ${data} has no classes`
      : `option label: must be a class from 0 to ${classes - 1}, not ${label}`,
  );
}

/** Samples as the model draws them, with gaps where it has learned some. */
async function drawRun(
  run: LoadedRun,
  options: Parameters<typeof sampleRun>[1],
): Promise<NdArray<"float32">> {
  const { model, definition, session, config } = run;
  if (model.sample === undefined) return refuse(run, "draw samples");
  const { count, seed, first = 0, label, given, onProgress, ...own } = options;
  checkResult(run, "sample", { count });
  checkLabel(config, label);
  checkGuidance(config, own.guidance);
  const schema = sampleSchema(definition) ?? z.strictObject({});
  const parsed: Record<string, unknown> = parseOptions(`sampling from ${definition.name}`, schema, own);
  const columns =
    given !== undefined
      ? encodeGiven(config, given, { count, seed, first })
      : isGivenColumns(config)
        ? givenOfData(config, await run.data(), { count, seed, first })
        : undefined;
  const source = definition.needsSource ? sourceOfData(await run.data(), { count, seed, first }) : undefined;
  return model.sample(session, {
    ...parsed,
    count,
    seed,
    ...(first > 0 && { first }),
    ...(columns !== undefined && { given: columns }),
    ...(source !== undefined && { source }),
    ...(label !== undefined && { label }),
    ...(onProgress !== undefined && { onProgress }),
  });
}

/**
 * Checks before any work that samples can be written under this name.
 * @param info what the samples are, where it is known already
 * @throws OptionError
 */
export function checkSamplePath(path: string, info?: Pick<DataInfo, "kind" | "sampleShape">): void {
  const extension = extname(path).toLowerCase();
  checkExtension(path, SAMPLE_EXTENSIONS);
  if (info !== undefined && isPicture(info) && (extension === ".csv" || extension === ".parquet")) {
    throw new OptionError(`option out: images are written as .png or .npy, not ${extension}`);
  }
}

/**
 * Writes samples by the file's extension: .png a picture, .npy the array, .csv and .parquet a table.
 * @param writing of texts in CSV files that a spreadsheet would take for formulas
 * @throws OptionError for another extension; FileError
 */
export async function writeSamples(
  run: LoadedRun,
  samples: NdArray<"float32">,
  path: string,
  writing?: TableWriting,
): Promise<void> {
  const { dataInfo } = run.config;
  checkSamplePath(path, dataInfo);
  return writeForms(
    path,
    {
      picture: () => samplePicture(dataInfo, samples, () => run.data()),
      array: () => asWritten(dataInfo, samples),
      table: () => sampleRows(dataInfo, samples),
    },
    writing,
  );
}

/** Samples that are seen at most, and milliseconds that a picture stands. */
const SEEN = { image: 64, points: 2000 } as const;
const DELAY = { each: 70, last: 1800 } as const;
const COMPARED_POINTS = 4000;

/**
 * The states of a run's samples as they form, each [count, …sampleShape] in data units.
 * @param options count, seed, label, states and the model's own options for sampling
 * @throws OptionError where samples of the model do not form step by step, or an option is wrong
 */
export async function sampleStatesOf(
  run: LoadedRun,
  options: StateOptions & Readonly<Record<string, unknown>>,
): Promise<readonly NdArray<"float32">[]> {
  const { model, session, definition, config } = run;
  const schema = sampleSchema(definition);
  if (model.sampleStates === undefined || schema === undefined) {
    return refuse(run, "show samples as they form");
  }
  const { count, seed, label, states, onState, ...own } = options;
  checkResult(run, "sample", { count, states });
  checkLabel(config, label);
  checkGuidance(config, own.guidance);
  const parsed: Record<string, unknown> = parseOptions(`sampling from ${definition.name}`, schema, own);
  const source = definition.needsSource ? sourceOfData(await run.data(), { count, seed }) : undefined;
  return model.sampleStates(session, {
    ...parsed,
    count,
    seed,
    states,
    ...(onState !== undefined && { onState }),
    ...(label !== undefined && { label }),
    ...(source !== undefined && { source }),
  });
}

/**
 * Checks before any work that an animation can be written.
 * @throws OptionError where the ending is another, samples have no moving picture or the model cannot show them forming
 */
export function checkAnimation(run: LoadedRun, path: string): void {
  animationExtension(path, "option animate");
  const { dataInfo } = run.config;
  if (run.model.sampleStates === undefined) refuse(run, "show samples as they form");
  if (isPicture(dataInfo) || dataInfo.kind === "points") return;
  throw new OptionError("option animate: rows of a table have no moving picture; leave it out");
}

/**
 * Writes a moving picture of a run's samples as they form, a grid of images or points over those of the data.
 * @throws OptionError where the samples are neither, or the model cannot show them; MissingPackageError; FileError
 */
export async function writeAnimation(
  run: LoadedRun,
  path: string,
  options: Parameters<typeof sampleStatesOf>[1],
): Promise<void> {
  const extension = animationExtension(path, "option animate");
  checkAnimation(run, path);
  const { dataInfo } = run.config;
  const isImages = isPicture(dataInfo);
  const count = Math.min(options.count, isImages ? SEEN.image : SEEN.points);
  const marks: StateMark[] = [];
  const states = await sampleStatesOf(run, { ...options, count, onState: (mark) => marks.push(mark) });
  const draw = isImages
    ? (x: NdArray<"float32">) => imageGrid(toBytes(x, dataInfo.kind))
    : await pointsPanel(run);
  const bytes = await encodeAnimation(
    states.map((state, i) => titled(draw(state), markText(marks[i]))),
    {
      extension,
      delay: DELAY.each,
      lastDelay: DELAY.last,
    },
  );
  await writeFileAtomic(path, bytes);
}

/** What stands above a frame: the time of its state on the path, or the steps behind it. */
function markText(mark: StateMark | undefined): string {
  if (mark === undefined) return "";
  return mark.kind === "time"
    ? `t = ${mark.time.toFixed(3)}${mark.time === 0 ? " (data)" : ""}`
    : `step ${mark.step} of ${mark.steps}`;
}

/** Draws points over those of the run's data. */
async function pointsPanel(run: LoadedRun) {
  const data = firstSamples((await run.data()).splits.train, COMPARED_POINTS);
  const frame = squareFrame(
    Array.from({ length: data.data.length / 2 }, (_, i) => [
      data.data[2 * i] ?? 0,
      data.data[2 * i + 1] ?? 0,
    ]),
  );
  return (samples: NdArray<"float32">) => planePanel({ kind: "points", samples, data }, frame);
}
