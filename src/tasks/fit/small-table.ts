import type { FitPreferences, ModelDefinition } from "../../model/definition.ts";
import type { FitOptions } from "../../train/options.ts";
import type { RunConfig } from "../../train/run-config.ts";

// A table of few rows is learned by heart within seconds: how a fit of it is set where nobody has set it.

/** Training rows from which on a table is not small. */
const SMALL = 2000;

/** Below so many rows the weight decay grows as their number falls, to so many times what a model prefers. */
const DECAY_ROWS = 1000;
const MOST_DECAY = 5;

/** Batches of an epoch at least, and rows of a batch at least. */
const BATCHES = 4;
const LEAST_BATCH = 16;

/** Epochs between validations, and steps at least. */
const VALIDATION = { epochs: 2, steps: 10 } as const;

/** Validations without improvement that end a fit. */
const PATIENCE = 25;

/** How a fit of a small table is set, and a line that says so. */
export interface SmallTable {
  readonly preferences: FitPreferences;
  readonly note: string;
}

const shown = (value: number): string => String(Number(value.toPrecision(2)));

/**
 * What a fit prefers on a table of few rows, where the options leave it open: smaller batches, more weight decay where the model has some,
 * validations after few epochs, and an end when they bring nothing. Undefined for other data, for models without a likelihood, and where all is given.
 */
export function smallTable(
  { can }: Pick<ModelDefinition, "can">,
  { columns, trainCount }: RunConfig["dataInfo"],
  options: FitOptions,
  preferences: FitPreferences,
): SmallTable | undefined {
  if (columns === undefined || trainCount >= SMALL || !can.includes("score")) return undefined;
  const said: string[] = [];
  const preferred = Math.min(preferences.batchSize ?? 64, trainCount);
  const smaller = Math.min(preferred, Math.max(LEAST_BATCH, Math.floor(trainCount / BATCHES)));
  const batchSize = options.batchSize ?? smaller;
  if (options.batchSize === undefined && smaller < preferred) {
    said.push(`batches of ${smaller} in place of ${preferred}`);
  }
  const decay = preferences.weightDecay ?? 0;
  const factor = Math.min(MOST_DECAY, Math.max(1, DECAY_ROWS / trainCount));
  const isDecayed =
    options.weightDecay === undefined && options.optimizer === undefined && decay * factor > decay;
  const weightDecay = Number((decay * factor).toPrecision(2));
  if (isDecayed) said.push(`weight decay ${shown(weightDecay)} in place of ${shown(decay)}`);
  const epoch = Math.max(1, Math.floor(trainCount / Math.max(1, batchSize)));
  const validateEvery = Math.max(VALIDATION.steps, VALIDATION.epochs * epoch);
  if (options.validateEvery === undefined) said.push(`a validation every ${validateEvery} steps`);
  if (options.patience === undefined && options.steps === undefined && options.epochs === undefined) {
    said.push(`an end after ${PATIENCE} of them without improvement`);
  }
  if (said.length === 0) return undefined;
  return {
    preferences: {
      batchSize: smaller,
      ...(isDecayed && { weightDecay }),
      validateEvery,
      patience: PATIENCE,
    },
    note: `a small table, ${trainCount} rows to learn from: ${said.join(", ")}`,
  };
}
