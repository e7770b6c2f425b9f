import { z } from "zod";

/** Options of training; the same names in the command, in configuration files and in code. */
export const fitOptions = z.strictObject({
  steps: z.int().positive().optional().describe("stop after this many steps"),
  epochs: z.number().positive().optional().describe("stop after this many passes over the training split"),
  seconds: z
    .number()
    .positive()
    .optional()
    .describe("stop after this many seconds of training (120 unless a limit is given)"),
  seed: z.int().nonnegative().default(0).describe("seed of weights, batches and noise"),
  batchSize: z.int().positive().optional().describe("samples a step"),
  learningRate: z.number().positive().optional().describe("peak learning rate"),
  schedule: z
    .enum(["constant", "cosine", "linear"])
    .default("cosine")
    .describe("learning rate after warm-up"),
  warmupSteps: z.int().nonnegative().optional().describe("steps over which the learning rate rises"),
  optimizer: z.enum(["sgd", "adam", "adamw"]).optional().describe("update rule"),
  momentum: z.number().min(0).max(1).default(0.9).describe("momentum of sgd"),
  beta1: z.number().min(0).lt(1).optional().describe("decay of Adam's first moment (0.9 unless told)"),
  beta2: z.number().min(0).lt(1).optional().describe("decay of Adam's second moment (0.999 unless told)"),
  weightDecay: z.number().nonnegative().optional().describe("weight decay"),
  clipNorm: z.number().positive().optional().describe("largest global norm of the gradient"),
  averageDecay: z
    .number()
    .min(0)
    .max(0.99999)
    .optional()
    .describe("decay of the moving average of the weights; 0: none"),
  accumulate: z.int().positive().default(1).describe("split each batch into this many parts, to save memory"),
  replicas: z.int().positive().default(1).describe("split each batch over this many workers"),
  threads: z
    .int()
    .positive()
    .optional()
    .describe("threads of each replica (all cores shared out unless told)"),
  weights: z
    .string()
    .min(1)
    .optional()
    .describe(
      "begin with these weights: a .safetensors file, or the folder of a run; what fits by name and shape is taken",
    ),
  provider: z.string().default("cpu").describe("execution provider: cpu, webgpu, cuda, dml, coreml"),
  validateEvery: z
    .int()
    .positive()
    .optional()
    .describe("steps between validations (about once an epoch unless told)"),
  validationSamples: z.int().positive().default(1000).describe("most samples used in a validation"),
  patience: z.int().positive().optional().describe("stop after this many validations without improvement"),
  logEvery: z.int().positive().default(10).describe("steps between rows of metrics.csv"),
  checkpointSeconds: z.number().positive().default(30).describe("seconds between checkpoints"),
  checkpointEvery: z.int().positive().optional().describe("steps between checkpoints, instead of seconds"),
  samplePictures: z
    .int()
    .nonnegative()
    .default(64)
    .describe("images in the pictures of the run folder, and 32 times as many points or rows; 0: none"),
});

export type FitOptions = z.output<typeof fitOptions>;
export type FitInput = z.input<typeof fitOptions>;

/** Fit options after the model's preferences and general defaults have filled what the user left open. */
export const resolvedFitOptions = fitOptions.required({
  batchSize: true,
  learningRate: true,
  warmupSteps: true,
  optimizer: true,
  weightDecay: true,
  averageDecay: true,
  validateEvery: true,
});

export type ResolvedFitOptions = z.output<typeof resolvedFitOptions>;
