import { type DataSet, isPicture, type Split } from "../../data/sources/data-set.ts";
import { EidosError, GradientError, InverseError } from "../../errors.ts";
import { principalComponents } from "../../metrics/index.ts";
import { hasCodes } from "../../model/codes.ts";
import { Interrupted } from "../../program/deadline.ts";
import { Random } from "../../random.ts";
import {
  densityHeatMap,
  encodePng,
  type Frame,
  imageGrid,
  labeledRow,
  latentMap,
  type PathState,
  pathPanels,
  type ReportFigure,
  squareFrame,
  trajectoryRaster,
} from "../../report/index.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { sampleSchema } from "../run/definition.node.ts";
import { isClassConditional, type LoadedRun } from "../run/load.node.ts";
import { firstSamples, toBytes } from "../run/outputs.node.ts";
import { forModel, samplesOfSplit } from "../run/samples.node.ts";
import { decodeCodes, encodeSamples } from "../use/codes.node.ts";
import { inpaintingStrips, inpaintRun, knownMask } from "../use/inpaint.node.ts";
import { interpolateRun } from "../use/interpolate.node.ts";
import { sampleRun, sampleStatesOf } from "../use/sample.node.ts";
import { logDensity } from "../use/score.node.ts";
import { featureMap } from "./feature-map.node.ts";

/** What a figure is made of: a fitted model and its data. */
export interface FigureSource {
  readonly run: LoadedRun;
  readonly data: DataSet;
  readonly seed: number;
}

/** A figure of the report, for those models and data that it is possible for. */
export interface FigureMaker {
  /** The name of its file in the run's samples folder, without extension. */
  readonly name: string;
  /** The figure; undefined where the model or the data is not of the kind that it shows. */
  make(source: FigureSource): Promise<ReportFigure | undefined>;
}

/** A figure with the name of its file. */
export interface NamedFigure {
  readonly name: string;
  readonly figure: ReportFigure;
}

const GRID_ROWS = 4096;
const COARSE_GRID = 64;
const FINE_GRID = 128;
/** Milliseconds that the coarse grid may take for the fine one, of four times the points, to be computed. */
const FAST_GRID = 500;

/** A model's density over the plane, with samples over it. */
const density: FigureMaker = {
  name: "density",
  async make({ run, data, seed }) {
    const { model } = run;
    if (data.kind !== "points" || model.logProb === undefined) return undefined;
    const frame = frameOf(data);
    const values = await densityOver(run, frame);
    const samples = model.sample && (await sampleRun(run, { count: 800, seed, gaps: true }));
    const text = await densityHeatMap({ values, frame, ...(samples && { samples }) }, "Density of the model");
    return {
      title: "Density",
      picture: { format: "svg", text },
      caption: samples === undefined ? "of the model" : "of the model, and samples of it (white)",
    };
  },
};

/** The density that the data is drawn from, where it is known, in the frame of the model's. */
const trueDensity: FigureMaker = {
  name: "true-density",
  async make({ run, data }) {
    const { logDensity } = data;
    if (data.kind !== "points" || logDensity === undefined || run.model.logProb === undefined)
      return undefined;
    const frame = frameOf(data);
    const at = ([low, high]: readonly [number, number], cell: number): number =>
      low + ((cell + 0.5) / FINE_GRID) * (high - low);
    const values = Float32Array.from({ length: FINE_GRID ** 2 }, (_, i) =>
      logDensity([at(frame.x, i % FINE_GRID), at(frame.y, Math.floor(i / FINE_GRID))]),
    );
    const grid = { values: float32(values, [FINE_GRID, FINE_GRID]), frame };
    return {
      title: "True density",
      picture: { format: "svg", text: await densityHeatMap(grid, "Density that the data is drawn from") },
      caption: "what the density of the model is to become, in the same frame",
    };
  },
};

/** The part of the plane in which pictures of points of a data set lie. */
export function frameOf({ splits }: Pick<DataSet, "splits">): Frame {
  const { data } = firstSamples(splits.train, 2000);
  return squareFrame(
    Array.from({ length: data.length / 2 }, (_, i) => [data[2 * i] ?? 0, data[2 * i + 1] ?? 0]),
  );
}

/** Log-densities of a model over a frame, on a grid as fine as is quick: `[rows, columns]`, the lowest row first. */
export async function densityOver(run: LoadedRun, frame: Frame): Promise<NdArray<"float32">> {
  const begun = performance.now();
  const values = await densityGrid(run, frame, COARSE_GRID);
  return performance.now() - begun < FAST_GRID ? densityGrid(run, frame, FINE_GRID) : values;
}

/** Log-densities at the centers of `size` × `size` cells of a frame, the lowest row first. */
async function densityGrid(run: LoadedRun, { x, y }: Frame, size: number): Promise<NdArray<"float32">> {
  const coordinate = ([low, high]: readonly [number, number], cell: number): number =>
    low + ((cell + 0.5) / size) * (high - low);
  const score = logDensity(run);
  const values = new Float32Array(size * size);
  for (let first = 0; first < values.length; first += GRID_ROWS) {
    const points = new Float32Array(GRID_ROWS * 2);
    for (let i = 0; i < GRID_ROWS; i++) {
      points[2 * i] = coordinate(x, (first + i) % size);
      points[2 * i + 1] = coordinate(y, Math.floor((first + i) / size));
    }
    const { data } = await score({ x: float32(points, [GRID_ROWS, 2]) }, new Random(0).split(first));
    values.set(data.subarray(0, values.length - first), first);
  }
  return float32(values, [size, size]);
}

const PATH_POINTS = 3000;
const PATH_PANELS = 8;

/** Points of the plane on their path through the steps of a model, z₀ … z_K. */
const path: FigureMaker = {
  name: "path",
  async make({ run, data, seed }) {
    const { model, session } = run;
    const { path: pathOf, drawCodes } = model;
    if (data.kind !== "points" || !pathOf || !drawCodes) return undefined;
    const compiled = session.compiled(model, "path", [], () => {
      const states = pathOf.call(model, drawCodes.call(model, PATH_POINTS));
      return Object.fromEntries(states.map((state, i) => [String(i), state]));
    });
    const states = await compiled.run({}, { random: new Random(seed).split("path") });
    const plane = Object.entries(states)
      .map(([step, points]) => ({ step: Number(step), points: points as NdArray<"float32"> }))
      .filter(({ points }) => points.shape.length === 2 && points.shape[1] === 2)
      .sort((a, b) => a.step - b.step);
    const steps = (plane.at(-1)?.step ?? 0).toString();
    return {
      title: "From the base distribution to the data",
      picture: {
        format: "png",
        bytes: await encodePng(pathPanels(evenly(changes(plane), PATH_PANELS))),
        onPaper: true,
      },
      caption: `${PATH_POINTS} draws z0 of the base distribution and what the ${steps} steps of the model make of them; each keeps the color of its first direction. Every panel has a frame of its own.`,
    };
  },
};

const TRACED = 160;
const TRACE_STATES = 26;

/** The paths of points from noise, or from the source, to the data. */
const trajectories: FigureMaker = {
  name: "trajectories",
  async make({ run, data, seed }) {
    // Steps of a flow are no path in time; `path` draws them.
    const { sampleStates, path: steps } = run.model;
    if (data.kind !== "points" || sampleStates === undefined || steps !== undefined) return undefined;
    const states = await sampleStatesOf(run, { count: TRACED, seed, states: TRACE_STATES });
    const raster = trajectoryRaster({ states, data: firstSamples(data.splits.train, 3000) });
    const begin = data.source === undefined ? "noise" : data.source.name;
    return {
      title: "Trajectories",
      picture: { format: "png", bytes: await encodePng(raster), onPaper: true },
      caption: `${TRACED} paths from ${begin} (orange) to samples (black) as the model's own solver follows them, over the data (grey)`,
    };
  },
};

/** The states without those that the next step leaves as they are, such as the order of two components kept. */
function changes(states: readonly PathState[]): readonly PathState[] {
  return states.filter(({ points }, i) => {
    const next = states[i + 1];
    return next === undefined || points.data.some((value, k) => value !== next.points.data[k]);
  });
}

/** At most `most` of the states, evenly spaced, the first and the last among them. */
function evenly(states: readonly PathState[], most: number): readonly PathState[] {
  if (states.length <= most) return states;
  return Array.from({ length: most }, (_, i) =>
    states.at(Math.round((i * (states.length - 1)) / (most - 1))),
  ).filter((state) => state !== undefined);
}

const TEMPERATURES = [0.5, 0.7, 0.85, 1] as const;
const TEMPERATURE_IMAGES = 16;

/** Images drawn at several temperatures, from the same noise. */
const temperatures: FigureMaker = {
  name: "temperatures",
  async make({ run, data, seed }) {
    const hasTemperature = sampleSchema(run.definition)?.shape.temperature !== undefined;
    if (!isPicture(data) || run.model.sample === undefined || !hasTemperature) return undefined;
    const grids = [];
    for (const temperature of TEMPERATURES) {
      const samples = await sampleRun(run, { count: TEMPERATURE_IMAGES, seed, temperature });
      grids.push({ label: temperature, raster: imageGrid(toBytes(samples, data.kind)) });
    }
    return {
      title: "Temperatures",
      picture: { format: "png", bytes: await encodePng(labeledRow(grids)) },
      caption: `samples of the same noise at the temperatures ${TEMPERATURES.join(", ")}`,
    };
  },
};

/** Positions spread evenly over a split, which may be sorted by class. */
function spread(split: Split, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * split.count) / count));
}

const PAIRS = 4;
const STRIP_STEPS = 8;
/** Steps of a solver of codes: enough for a picture, and few enough to be waited for. */
const FEW_CODE_STEPS = 16;

/** The path between test images through the space of codes. */
const interpolation: FigureMaker = {
  name: "interpolation",
  async make({ run, data }) {
    const { model } = run;
    if (!isPicture(data) || !hasCodes(model)) return undefined;
    const name = data.splits.test.count >= 2 * PAIRS ? "test" : "train";
    const split = data.splits[name];
    const count = 2 * Math.min(PAIRS, Math.floor(split.count / 2));
    if (count < 2) return undefined;
    const { x, labels } = samplesOfSplit(split, spread(split, count));
    const samples = await interpolateRun(run, x, {
      steps: STRIP_STEPS,
      labels,
      ...(model.encodeArray && { codes: { steps: FEW_CODE_STEPS } }),
    });
    const grid = imageGrid(toBytes(samples, data.kind), { columns: STRIP_STEPS });
    return {
      title: "Interpolation",
      picture: { format: "png", bytes: await encodePng(grid) },
      caption: `on paths through the space of codes between ${name} images (left and right), spread evenly over the split`,
    };
  },
};

const INPAINTED = 3;
const INPAINTED_DRAWS = 4;
/** Milliseconds that completions may take, and numbers of iterations of which the largest that fits is made. */
const INPAINTING_TIME = 6000;
const INPAINTING_STEPS = [80, 50, 30];

/** Completions of test images whose lower half is unknown. */
const inpainting: FigureMaker = {
  name: "inpainting",
  async make({ run, data, seed }) {
    if (!isPicture(data) || run.model.inpaint === undefined) return undefined;
    const name = data.splits.test.count > 0 ? "test" : "train";
    const split = data.splits[name];
    const count = Math.min(INPAINTED, split.count);
    const images = forModel(run, samplesOfSplit(split, spread(split, count)));
    const known = await knownMask(run, { kind: "half", half: "bottom" });
    const complete = (steps: number) =>
      inpaintRun(run, images, { known, draws: INPAINTED_DRAWS, seed, steps });
    // The first call compiles; the others measure how long an iteration takes.
    await complete(1);
    const begun = performance.now();
    await complete(1);
    const ended = performance.now();
    await complete(4);
    const each = Math.max(0, (performance.now() - ended - (ended - begun)) / 3);
    const steps = INPAINTING_STEPS.find((number) => number * each <= INPAINTING_TIME);
    if (steps === undefined) return undefined;
    const grid = inpaintingStrips({ x: images.x, known, drawn: await complete(steps) }, data.kind);
    return {
      title: "Inpainting",
      picture: { format: "png", bytes: await encodePng(grid) },
      caption: `${name} images spread evenly over the split, what was left of them, ${INPAINTED_DRAWS} completions drawn given that, in ${steps} iterations each, and their mean`,
    };
  },
};

const MAPPED = 1500;
/** Codes beyond this length are those of models that keep all of a sample; their covariance would take long. */
const LONGEST_CODE = 256;

/** Where a model with short codes puts samples. */
const codeMap: FigureMaker = {
  name: "codes",
  async make({ run, data }) {
    const { dimensions = 0, encode, path } = run.model;
    // A model whose codes become samples step by step shows that instead.
    if (!encode || path !== undefined || dimensions < 2 || dimensions > LONGEST_CODE) return undefined;
    const name = data.splits.test.count > 0 ? "test" : "train";
    const { z, labels } = await codesOf(run, data, name);
    if ((z.shape[0] ?? 0) < 2) return undefined;
    const isPlane = dimensions === 2;
    const { scores, shares } = isPlane ? { scores: z, shares: [] } : principalComponents(z, 2);
    const axis = (i: 0 | 1): string =>
      isPlane
        ? (["z₁", "z₂"] as const)[i]
        : `${["first", "second"][i]} principal axis (${((shares[i] ?? 0) * 100).toFixed(0)} % of the variance)`;
    const classes = data.classes;
    const text = await latentMap(
      { codes: scores, labels, classes, axes: [axis(0), axis(1)] },
      `Codes of ${name} samples`,
    );
    return {
      title: "Codes",
      picture: { format: "svg", text },
      caption: `${isPlane ? "codes" : `codes of ${dimensions} numbers in the plane of their first two principal axes`} of samples of the ${name} split${labels === undefined ? "" : ", colored by class"}`,
    };
  },
};

/** Codes of samples spread evenly over a split, which may be sorted by class. */
async function codesOf(
  run: LoadedRun,
  data: DataSet,
  name: "test" | "train",
): Promise<{ readonly z: NdArray<"float32">; readonly labels: readonly number[] | undefined }> {
  const split = data.splits[name];
  const count = Math.min(MAPPED, split.count);
  const positions = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * split.count) / count));
  const { x, label } = split.batch(positions);
  const labels = label && Array.from(label.data, Number);
  return { z: await encodeSamples(run, x, isClassConditional(run) ? labels : undefined), labels };
}

const SIDE = 18;

/**
 * The quantile function of the standard Gaussian to two thousandths, which a picture does not show (Winitzki 2008, "A
 * handy approximation for the error function and its inverse").
 */
function gaussianQuantile(share: number): number {
  const a = 0.147;
  const x = 2 * share - 1;
  const log = Math.log(1 - x * x);
  const half = 2 / (Math.PI * a) + log / 2;
  return Math.sign(x) * Math.SQRT2 * Math.sqrt(Math.sqrt(half * half - log / a) - half);
}

/** Pictures of codes all over the plane, as dense as the prior has them. */
const codeGrid: FigureMaker = {
  name: "code-grid",
  async make({ run, data }) {
    const { dimensions, decode, hasGaussianCodes, path, codeContext } = run.model;
    const isPlane = dimensions === 2 && hasGaussianCodes === true && path === undefined;
    if (!isPlane || !isPicture(data) || !decode || !codeContext || isClassConditional(run)) return undefined;
    const quantiles = Array.from({ length: SIDE }, (_, i) => gaussianQuantile((i + 0.5) / SIDE));
    // As in a plot: z₁ grows to the right, z₂ upwards.
    const codes = quantiles.toReversed().flatMap((up) => quantiles.flatMap((right) => [right, up]));
    const images = await decodeCodes(run, float32(codes, [SIDE * SIDE, 2]));
    const grid = imageGrid(toBytes(images, data.kind), { columns: SIDE, padding: 0 });
    return {
      title: "Pictures of codes",
      picture: { format: "png", bytes: await encodePng(grid) },
      caption: `decoded codes at the quantiles of the prior: z₁ to the right, z₂ upwards, from ${quantiles[0]?.toFixed(2)} to ${quantiles.at(-1)?.toFixed(2)}`,
    };
  },
};

/** Where a model with features puts samples; a model with codes has its own map. */
const features: FigureMaker = {
  name: "features",
  async make({ run, data, seed }) {
    return run.model.encode === undefined ? featureMap(run, data, "pca", seed) : undefined;
  },
};

/** The same by UMAP. */
const featuresByUmap: FigureMaker = {
  name: "features-umap",
  make: ({ run, data, seed }) => featureMap(run, data, "umap", seed),
};

/** Every figure, in the order of the report. */
export const figureMakers: readonly FigureMaker[] = [
  // First, since it is quick where the density is slow.
  trajectories,
  density,
  trueDensity,
  path,
  codeMap,
  codeGrid,
  features,
  temperatures,
  interpolation,
  inpainting,
  featuresByUmap,
];

/** Milliseconds after which no further figure is begun, where not all are asked for. */
const PATIENCE = 5000;

/** How figures are made. */
export interface FigureOptions {
  warn(message: string): void;
  readonly makers?: readonly FigureMaker[];
  /** Whether every figure is drawn, however long it takes. */
  readonly full?: boolean;
  /** Called with the name of each figure before it is drawn. */
  readonly doing?: (name: string) => void;
}

/**
 * The figures that a run's model and data have. One that fails is left out and reported (where it takes an inverse or a gradient that the
 * model does not have, it is only left out); none is begun after five seconds, unless all are asked for. At the run's deadline those that are
 * done are returned.
 */
export async function makeFigures(
  source: FigureSource,
  { warn, makers = figureMakers, full = false, doing }: FigureOptions,
): Promise<readonly NamedFigure[]> {
  const figures: NamedFigure[] = [];
  const begun = performance.now();
  for (const { name, make } of makers) {
    if (!full && performance.now() - begun > PATIENCE) break;
    try {
      doing?.(name);
      const figure = await make(source);
      if (figure !== undefined) figures.push({ name, figure });
    } catch (error) {
      if (error instanceof Interrupted) break;
      if (error instanceof InverseError || error instanceof GradientError) continue;
      if (!(error instanceof EidosError)) throw error;
      warn(`no picture ${name}: ${error.message}`);
    }
  }
  return figures;
}
