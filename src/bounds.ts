import { z } from "zod";

// The shapes of numbers and lists in options, requests and stored records, each with a largest value: generous for real use, and small
// enough that a slip of the keyboard or a stranger's file is refused before anything of that size is made. A new option takes one.

/** Largest values by what a number counts. */
export const MOST = {
  layers: 1000,
  pixels: 8192,
  pixelValue: 1e12,
  ratio: 64,
  shapes: 16,
  /** Numbers of a sample: a color image of 4,096 × 4,096 pixels has fewer. */
  elements: 2 ** 26,
  units: 65_536,
  unrolled: 256,
  steps: 1_000_000,
  trainingSteps: 1_000_000_000,
  samples: 100_000_000,
  threads: 1024,
  amount: 1_000_000,
  seconds: 1_000_000_000,
  names: 65_536,
  list: 1000,
  text: 100_000,
} as const;

/** Layers, blocks, transforms, levels: parts of a model that stand one behind or beside the other. At most 1,000. */
export const layerCount = (least = 1) => z.int().min(least).max(MOST.layers);

/** Widths: units of a layer, channels, heads, bins, classes. At most 65,536. */
export const unitCount = (least = 1) => z.int().min(least).max(MOST.units);

/** Sides of images and filters, in pixels. At most 8,192. */
export const pixelCount = (least = 1) => z.int().min(least).max(MOST.pixels);

/** Shapes, sizes and boxes at every location of a map. At most 16. */
export const shapeCount = () => z.int().min(1).max(MOST.shapes);

/** Sizes relative to usual ones. At most 64. */
export const ratio = () => z.number().positive().max(MOST.ratio);

/** Steps of a solver, a chain or a path of samples. At most a million. */
export const stepCount = (least = 1) => z.int().min(least).max(MOST.steps);

/** Steps that are written out in a program one by one. At most 256. */
export const unrolledSteps = (least = 1) => z.int().min(least).max(MOST.unrolled);

/** Steps of training. At most 10⁹. */
export const trainingSteps = (least = 1) => z.int().min(least).max(MOST.trainingSteps);

/** Samples, points, rows or images that are drawn, read or written together. At most 10⁸. */
export const sampleCount = (least = 1) => z.int().min(least).max(MOST.samples);

/** Threads and workers. At most 1,024. */
export const threadCount = () => z.int().min(1).max(MOST.threads);

/** Positions in data, which the data itself limits. At most 10⁸. */
export const positions = () => list(sampleCount(0), MOST.units);

/** Seeds: any whole number that JavaScript holds exactly. */
export const seedNumber = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER);

/** Weights of losses, rates, deviations, tolerances: 0 to a million. */
export const amount = () => z.number().min(0).max(MOST.amount);

/** As `amount`, but not 0. */
export const positiveAmount = () => z.number().positive().max(MOST.amount);

/** A real number of either sign, at most a million away from 0. */
export const realNumber = () => z.number().min(-MOST.amount).max(MOST.amount);

/** A share or probability: 0 to 1. */
export const share = () => z.number().min(0).max(1);

/** Seconds, or passes over data. More than 0, at most 10⁹. */
export const duration = () => z.number().positive().max(MOST.seconds);

/** A value of a pixel in the units of its file: at most 10¹², of either sign. */
export const pixelValue = () => z.number().min(-MOST.pixelValue).max(MOST.pixelValue);

/** A list of at most 1,000 values. */
export const list = <S extends z.ZodType>(of: S, most: number = MOST.list) => z.array(of).max(most);

/** Names of columns or classes. At most 65,536. */
export const nameList = (name: z.ZodString = z.string()) => list(name, MOST.names);

/** A text that is kept in a file: a name, a path, a query. At most 100,000 characters. */
export const text = () => z.string().max(MOST.text);

/** How much noise an edit adds, above 0 and at most 1: an option of the command and of the server. */
export const editStrength = () =>
  z
    .number()
    .gt(0)
    .max(1)
    .default(0.5)
    .describe("how much noise is added: 0.5 as much as there is signal, 1 nothing but noise");
