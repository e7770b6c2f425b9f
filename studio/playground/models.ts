import type { TextKey } from "../i18n/index.ts";

// The models of the playground: how each is built and trained in a page, and what can be seen of it. Networks are small, so that
// four of them learn side by side on the processor of a laptop.

/** Models of the playground, in the order in which they are offered. */
export const MODEL_KEYS = [
  "rectified-flow",
  "reflow",
  "score-sde",
  "ddpm",
  "ddim",
  "spline-flow",
  "real-nvp",
  "maf",
  "nice",
  "vae",
  "gan",
] as const;

export type ModelKey = (typeof MODEL_KEYS)[number];

export function isModelKey(name: string): name is ModelKey {
  return (MODEL_KEYS as readonly string[]).includes(name);
}

/** A slider of a model: an option for drawing samples. */
export interface RangeControl {
  readonly kind: "range";
  readonly option: "steps" | "eta" | "temperature" | "truncation" | "noiseScale";
  readonly label: TextKey;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly initial: number;
}

/** A choice of a model among solvers. */
export interface ChoiceControl {
  readonly kind: "choice";
  readonly option: "solver";
  readonly label: TextKey;
  readonly values: readonly string[];
  readonly initial: string;
}

export type Control = RangeControl | ChoiceControl;

/** Values of a model's controls by option. */
export type Settings = Readonly<Record<string, number | string>>;

/** How a model is trained, by the names that eidos has for it. */
export interface Recipe {
  /** Its name in the catalogue. */
  readonly model: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly averageDecay: number;
  /** Options of Adam, where they are not the usual ones. */
  readonly adam?: { readonly beta1: number; readonly beta2: number };
  /** After so many steps, pairs of noise and what the model makes of it are drawn, and the model is fitted to these from then on. */
  readonly reflow?: Reflow;
}

/** How a model is fitted to pairs of its own. */
export interface Reflow {
  readonly after: number;
  readonly pairs: number;
  /** Options of the solver by which they are drawn. */
  readonly solver: { readonly solver: "heun"; readonly steps: number };
}

/** What is known of a model before it runs. */
export interface ModelEntry {
  readonly name: TextKey;
  readonly summary: TextKey;
  readonly family: "diffusion" | "flow" | "latent";
  readonly recipe: Recipe;
  /**
   * live: a density at each look; paused: it takes seconds, so it is drawn while training rests; noisy: its estimate is good for a mean
   * over many points alone; none: the model has no density.
   */
  readonly density: "live" | "paused" | "noisy" | "none";
  /** Whether the density is a lower bound. */
  readonly bound?: boolean;
  /** Whether samples form along a path from noise to data. */
  readonly path: boolean;
  /** Whether there is a velocity at each time and place. */
  readonly field: boolean;
  /** Losses that are plotted, by their names in the training step. */
  readonly losses: readonly string[];
  readonly controls: readonly Control[];
  /** Options for drawing samples that are always the same. */
  readonly fixed?: Settings;
}

const steps = (initial: number, max: number): RangeControl => ({
  kind: "range",
  option: "steps",
  label: "control.steps",
  min: 1,
  max,
  step: 1,
  initial,
});

const temperature: RangeControl = {
  kind: "range",
  option: "temperature",
  label: "control.temperature",
  min: 0.1,
  max: 1.5,
  step: 0.05,
  initial: 1,
};

const diffusionNetwork = { width: 64, depth: 3 } as const;
const diffusionTraining = {
  batchSize: 256,
  learningRate: 4e-3,
  warmupSteps: 50,
  averageDecay: 0.99,
} as const;
const flowTraining = { batchSize: 256, learningRate: 2e-3, warmupSteps: 50, averageDecay: 0.99 } as const;

const rectifiedFlow: Recipe = {
  model: "rectified-flow",
  options: { ...diffusionNetwork, timeSampling: "uniform" },
  ...diffusionTraining,
};

const flowSolver: ChoiceControl = {
  kind: "choice",
  option: "solver",
  label: "control.solver",
  values: ["euler", "heun", "rk4"],
  initial: "euler",
};

const ddpm: Recipe = {
  model: "ddpm",
  options: { ...diffusionNetwork, noiseSchedule: "cosine" },
  ...diffusionTraining,
};

export const MODELS: Readonly<Record<ModelKey, ModelEntry>> = {
  "rectified-flow": {
    name: "model.rectified-flow",
    summary: "model.rectified-flow.summary",
    family: "diffusion",
    recipe: rectifiedFlow,
    density: "paused",
    path: true,
    field: true,
    losses: ["total"],
    controls: [flowSolver, steps(20, 60)],
  },
  reflow: {
    name: "model.reflow",
    summary: "model.reflow.summary",
    family: "diffusion",
    recipe: {
      ...rectifiedFlow,
      reflow: { after: 1000, pairs: 4000, solver: { solver: "heun", steps: 16 } },
    },
    density: "paused",
    path: true,
    field: true,
    losses: ["total"],
    controls: [flowSolver, steps(4, 60)],
  },
  "score-sde": {
    name: "model.score-sde",
    summary: "model.score-sde.summary",
    family: "diffusion",
    recipe: { model: "score-sde", options: diffusionNetwork, ...diffusionTraining },
    density: "paused",
    path: true,
    field: true,
    losses: ["total"],
    controls: [
      {
        kind: "choice",
        option: "solver",
        label: "control.solver",
        values: ["euler-maruyama", "predictor-corrector", "heun"],
        initial: "euler-maruyama",
      },
      steps(50, 150),
    ],
  },
  ddpm: {
    name: "model.ddpm",
    summary: "model.ddpm.summary",
    family: "diffusion",
    recipe: ddpm,
    density: "noisy",
    bound: true,
    path: true,
    field: false,
    losses: ["total"],
    controls: [steps(60, 200)],
    fixed: { solver: "ddpm" },
  },
  ddim: {
    name: "model.ddim",
    summary: "model.ddim.summary",
    family: "diffusion",
    recipe: ddpm,
    density: "noisy",
    bound: true,
    path: true,
    field: false,
    losses: ["total"],
    controls: [
      steps(20, 100),
      { kind: "range", option: "eta", label: "control.eta", min: 0, max: 1, step: 0.05, initial: 0 },
    ],
    fixed: { solver: "ddim" },
  },
  "spline-flow": {
    name: "model.spline-flow",
    summary: "model.spline-flow.summary",
    family: "flow",
    recipe: { model: "spline-flow", options: { transforms: 4, bins: 12 }, ...flowTraining },
    density: "live",
    path: true,
    field: false,
    losses: ["total"],
    controls: [temperature],
  },
  "real-nvp": {
    name: "model.real-nvp",
    summary: "model.real-nvp.summary",
    family: "flow",
    recipe: { model: "real-nvp", options: { width: 64 }, ...flowTraining },
    density: "live",
    path: true,
    field: false,
    losses: ["total"],
    controls: [temperature],
  },
  maf: {
    name: "model.maf",
    summary: "model.maf.summary",
    family: "flow",
    recipe: { model: "maf", options: {}, ...flowTraining },
    density: "live",
    path: true,
    field: false,
    losses: ["total"],
    controls: [temperature],
  },
  nice: {
    name: "model.nice",
    summary: "model.nice.summary",
    family: "flow",
    recipe: { model: "nice", options: { width: 64 }, ...flowTraining },
    density: "live",
    path: true,
    field: false,
    losses: ["total"],
    controls: [temperature],
  },
  vae: {
    name: "model.vae",
    summary: "model.vae.summary",
    family: "latent",
    recipe: {
      model: "vae",
      options: {},
      batchSize: 256,
      learningRate: 3e-3,
      warmupSteps: 50,
      averageDecay: 0.99,
    },
    density: "live",
    bound: true,
    path: false,
    field: false,
    losses: ["total"],
    controls: [temperature],
  },
  gan: {
    name: "model.gan",
    summary: "model.gan.summary",
    family: "latent",
    recipe: {
      model: "gan",
      options: { width: 96 },
      batchSize: 256,
      learningRate: 2e-3,
      warmupSteps: 1,
      averageDecay: 0.99,
      adam: { beta1: 0, beta2: 0.99 },
    },
    density: "none",
    path: false,
    field: false,
    losses: ["generator", "discriminator"],
    controls: [
      {
        kind: "range",
        option: "truncation",
        label: "control.truncation",
        min: 0.2,
        max: 3,
        step: 0.1,
        initial: 3,
      },
    ],
  },
};

/** The settings that a model begins with. */
export function initialSettings(key: ModelKey): Settings {
  return Object.fromEntries(MODELS[key].controls.map(({ option, initial }) => [option, initial]));
}

/** Whether noise is drawn on the way from noise to data, so that particles move at random. */
export function drawsNoise(key: ModelKey, settings: Settings): boolean {
  const solver = settings.solver ?? MODELS[key].fixed?.solver;
  if (solver === "ddim") return Number(settings.eta) > 0;
  return solver === "ddpm" || solver === "euler-maruyama" || solver === "predictor-corrector";
}

/** Whether the log-likelihood of a model is measured only while training rests. */
export function isMeasuredAtRest({ density }: ModelEntry): boolean {
  return density === "paused" || density === "noisy";
}
