import { writeFileAtomic } from "../data/files/files.node.ts";
import { isPicture } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import type { SampleOptions } from "../model/capabilities.ts";
import { parseOptions } from "../options.ts";
import { animationExtension, encodeAnimation } from "../report/index.node.ts";
import { imageGrid, planePanel, squareFrame } from "../report/index.ts";
import type { NdArray } from "../tensor/array.ts";
import { sampleSchema } from "./definition.node.ts";
import { sourceOfData } from "./ends.node.ts";
import { firstSamples, toBytes } from "./pictures.node.ts";
import { type OpenRun, refuse } from "./run.node.ts";

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
  run: OpenRun,
  options: SampleOptions & { readonly states: number } & Readonly<Record<string, unknown>>,
): Promise<readonly NdArray<"float32">[]> {
  const { model, session, definition } = run;
  const schema = sampleSchema(definition);
  if (model.sampleStates === undefined || schema === undefined) {
    return refuse(run, "show samples as they form");
  }
  const { count, seed, label, states, ...own } = options;
  const parsed: Record<string, unknown> = parseOptions(`sampling from ${definition.name}`, schema, own);
  const source = definition.needsSource ? sourceOfData(await run.data(), { count, seed }) : undefined;
  return model.sampleStates(session, {
    ...parsed,
    count,
    seed,
    states,
    ...(label !== undefined && { label }),
    ...(source !== undefined && { source }),
  });
}

/**
 * Checks before any work that an animation can be written.
 * @throws OptionError where the ending is another, samples have no moving picture or the model cannot show them forming
 */
export function checkAnimation(run: OpenRun, path: string): void {
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
  run: OpenRun,
  path: string,
  options: Parameters<typeof sampleStatesOf>[1],
): Promise<void> {
  const extension = animationExtension(path, "option animate");
  checkAnimation(run, path);
  const { dataInfo } = run.config;
  const isImages = isPicture(dataInfo);
  const count = Math.min(options.count, isImages ? SEEN.image : SEEN.points);
  const states = await sampleStatesOf(run, { ...options, count });
  const draw = isImages
    ? (x: NdArray<"float32">) => imageGrid(toBytes(x, dataInfo.kind))
    : await pointsPanel(run);
  const bytes = await encodeAnimation(states.map(draw), {
    extension,
    delay: DELAY.each,
    lastDelay: DELAY.last,
  });
  await writeFileAtomic(path, bytes);
}

/** Draws points over those of the run's data. */
async function pointsPanel(run: OpenRun) {
  const data = firstSamples((await run.data()).splits.train, COMPARED_POINTS);
  const frame = squareFrame(
    Array.from({ length: data.data.length / 2 }, (_, i) => [
      data.data[2 * i] ?? 0,
      data.data[2 * i + 1] ?? 0,
    ]),
  );
  return (samples: NdArray<"float32">) => planePanel({ kind: "points", samples, data }, frame);
}
