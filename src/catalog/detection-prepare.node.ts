import type { DetectionSet } from "../data/boxes/set.ts";
import { openDetection } from "../data/open.node.ts";
import type { Detector } from "../detection/models/detector.ts";
import type { Model } from "../model/capabilities.ts";
import type { ModelDefinition } from "../model/definition.ts";
import { checkFingerprint } from "../train/fit-setup.ts";
import type { RunConfig } from "../train/run-config.ts";
import type { ResolvedRun } from "../train/worker-protocol.node.ts";
import { modelInfo } from "./definition.node.ts";
import { boxShapes, detectionData, detectionInfo, usualOptions } from "./detection-data.ts";
import { detectionDataOptions, PHOTO_SIZE } from "./detection-options.ts";
import { detectionOutputs } from "./detection-outputs.node.ts";

// The part of `prepare.node.ts` that concerns images with boxes.

type Options = Readonly<Record<string, unknown>>;

/**
 * Opens images with boxes for a fit, and fills in what options follow from them.
 * @throws DataError where there are none, or they cannot be used; OptionError
 */
export async function openAnnotated(
  definition: ModelDefinition,
  dataName: string,
  options: { readonly data: Options; readonly model: unknown },
): Promise<{
  readonly data: DetectionSet;
  readonly dataOptions: Options;
  readonly info: RunConfig["dataInfo"];
  readonly modelOptions: Options;
}> {
  const data = await openDetection(dataName, detectionDataOptions(options.data).reading);
  const dataOptions = { ...usualOptions(dataName, data), ...options.data };
  const { size = PHOTO_SIZE } = detectionDataOptions(dataOptions);
  const info = detectionInfo(data, size);
  const settled = definition.settled?.(options.model, {
    ...modelInfo(info),
    boxShapes: boxShapes(data, size),
  });
  return {
    data,
    dataOptions,
    info,
    modelOptions: (settled ?? options.model) as Options,
  };
}

/** A detector with the images that it is fitted to. @throws OptionError where they have changed since the run began; DataError */
export async function resolveDetection(
  config: RunConfig,
  detector: Model & Detector,
  opened?: DetectionSet,
): Promise<ResolvedRun> {
  const options = detectionDataOptions(config.dataOptions);
  const set = opened ?? (await openDetection(config.data, options.reading));
  checkFingerprint(config.dataInfo.fingerprint, set);
  const data = detectionData(set, detector, options);
  return { model: detector, data, ...detectionOutputs(config, detector, data) };
}
