import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { FeatureView } from "../measure/distances.node.ts";
import { featureView } from "../measure/feature-view.node.ts";
import { type LoadRunOptions, loadRun } from "../run/load.node.ts";

/** Features that all models of a comparison are measured in. */
export interface ComparedFeatures {
  readonly view: FeatureView;
  /** Another one where the weights, the model or its options are others: numbers in other features do not compare. */
  readonly fingerprint: string;
  release(): Promise<void>;
}

/**
 * Opens a run whose features images are compared in.
 * @throws OptionError where it is not of images in bytes, its model has no features, or it names a module that is not trusted; FileError
 */
export async function openFeatures(folder: string, options: LoadRunOptions): Promise<ComparedFeatures> {
  const run = await loadRun(folder, options);
  const { session, config } = run;
  try {
    const { file } = await run.folder.readWeightsFile();
    const fingerprint = createHash("sha256")
      .update(JSON.stringify([config.model, config.modelOptions, config.dataInfo.sampleShape]))
      .update(await readFile(file))
      .digest("hex");
    return { view: featureView(run), fingerprint, release: () => session.release() };
  } catch (error) {
    await session.release();
    throw error;
  }
}
