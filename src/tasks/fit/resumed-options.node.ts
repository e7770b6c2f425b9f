import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { checkParts, fitOptions } from "../../train/options.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { RunProgress } from "../../train/run-folder.node.ts";

// The options with which a run goes on.

type FitConfig = RunConfig["fit"];

const LIMITS = ["steps", "epochs", "seconds"] as const;

/**
 * The options with which a run goes on. A limit that is given takes the place of all limits the run had.
 * @param progress of its checkpoint; undefined where it has none, and begins again
 * @throws OptionError for options that cannot be changed, and where the run is finished by these options
 */
export function resumedOptions(
  path: string,
  before: RunConfig,
  overrides: Readonly<Record<string, unknown>>,
  progress: RunProgress | undefined,
): FitConfig {
  const owner = `resuming ${path} (model and data stay as they were)`;
  const { fit: changed } = divideOptions(owner, overrides, { fit: fitOptions });
  if ("from" in changed) {
    throw new OptionError(`option from: ${path} has begun already, and goes on from itself; leave it out`);
  }
  const parsed = parseOptions("fit", fitOptions, changed) as Record<string, unknown>;
  const changes = Object.fromEntries(Object.keys(changed).map((name) => [name, parsed[name]]));
  const { steps, epochs, seconds, ...others } = before.fit;
  const limits: Partial<FitConfig> = LIMITS.some((name) => name in changes)
    ? {}
    : {
        ...(steps !== undefined && { steps }),
        ...(epochs !== undefined && { epochs }),
        ...(seconds !== undefined && { seconds }),
      };
  const options = { ...others, ...limits, ...changes } as FitConfig;
  checkParts(options.batchSize, options);
  if (progress !== undefined) {
    if (options.weights !== before.fit.weights) {
      throw new OptionError(
        `option weights: ${path} is past its beginning (${counted(progress.step, "step")}), and goes on with its own weights; leave it out, or fit into a new folder`,
      );
    }
    refuseFinished(path, before, options, progress);
  }
  return options;
}

/** A run that has reached its limit, or its patience, goes on only if that is raised. */
function refuseFinished(path: string, run: RunConfig, options: FitConfig, progress: RunProgress): void {
  const { step, seconds, validationsSinceBest, finished } = progress;
  const epochSteps = Math.max(1, Math.floor(run.dataInfo.trainCount / options.batchSize));
  const reached =
    options.steps !== undefined && step >= options.steps
      ? { what: counted(step, "step"), more: `--steps ${2 * step}` }
      : options.epochs !== undefined && step >= options.epochs * epochSteps
        ? { what: counted(options.epochs, "epoch"), more: `--epochs ${2 * options.epochs}` }
        : options.seconds !== undefined && seconds >= options.seconds
          ? { what: `${Math.round(seconds)} seconds`, more: `--seconds ${Math.ceil(2 * seconds)}` }
          : options.patience !== undefined && validationsSinceBest >= options.patience
            ? {
                what: `${counted(step, "step")}, ${counted(validationsSinceBest, "validation")} without improvement`,
                more: `--patience ${2 * options.patience}`,
              }
            : undefined;
  // Killed after the last step but before the report: that is still to do.
  const complete = finished || LIMITS.some((name) => options[name] !== run.fit[name]);
  if (reached !== undefined && complete) {
    throw new OptionError(
      `${path} is finished (${reached.what}); to train on, raise the limit: eidos fit --resume ${path} ${reached.more}`,
    );
  }
}
