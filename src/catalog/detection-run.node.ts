import type { DetectionSet } from "../data/boxes/set.ts";
import { withClasses } from "../data/boxes/set.ts";
import { openDetection } from "../data/open.node.ts";
import { type Detector, isDetector } from "../detection/models/detector.ts";
import { OptionError } from "../errors.ts";
import { checkFingerprint } from "../train/fit-setup.ts";
import { detectionDataOptions } from "./detection-options.ts";
import { type OpenRun, type OpenRunOptions, openRun, refuse } from "./run.node.ts";

/** A fitted detector, ready to find objects. */
export interface DetectorRun extends Omit<OpenRun, "model" | "data"> {
  readonly model: OpenRun["model"] & Detector;
  /** Names of the classes that it finds. */
  readonly classes: readonly string[];
}

/**
 * Opens a run folder whose model is a detector.
 * @throws OptionError where it is another model; what `openRun` throws
 */
export async function openDetectorRun(
  path: string,
  options: Omit<OpenRunOptions, "data"> = {},
): Promise<DetectorRun> {
  return detectorRun(await openRun(path, options));
}

/** An open run as that of a detector. @throws OptionError where its model is another one */
export function detectorRun(run: OpenRun): DetectorRun {
  const { data: _data, model, ...others } = run;
  if (!isDetector(model)) return refuse(run, "find objects");
  const { classNames } = run.config.dataInfo;
  if (classNames === undefined) {
    throw new OptionError(`${run.folder.file("config.json")}: classNames are missing; fit again`);
  }
  return { ...others, model, classes: classNames };
}

/**
 * Images with boxes to measure a detector on: the run's own, or others, whose classes become those of the run.
 * @param options how other images are read
 * @throws OptionError where the run's own have changed, or the others have classes that the run has not; DataError
 */
export async function annotatedData(
  { config, classes, folder }: Pick<DetectorRun, "config" | "classes" | "folder">,
  name?: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<DetectionSet> {
  if (name === undefined) {
    const set = await openDetection(config.data, detectionDataOptions(config.dataOptions).reading);
    checkFingerprint(config.dataInfo.fingerprint, set);
    return set;
  }
  const set = await openDetection(name, detectionDataOptions(options).reading);
  return withClasses(set, classes, `the run ${folder.path}`);
}
