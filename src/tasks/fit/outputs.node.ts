import type { DataSet } from "../../data/sources/data-set.ts";
import { FileError } from "../../errors.ts";
import type { Model } from "../../model/capabilities.ts";
import { nodeRuntime } from "../../program/node.ts";
import type { State } from "../../program/program.ts";
import { Session } from "../../program/program.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { RunFolder } from "../../train/run-folder.node.ts";
import type { ResolvedRun, RunControl } from "../../train/worker-protocol.node.ts";
import { exportRun } from "../export/export.node.ts";
import { writeReport } from "../report/report.node.ts";
import { givenOfData, isGivenColumns, sourceOfData } from "../run/given.node.ts";
import { pictureCount, samplePicture, writePicture } from "../run/pictures.node.ts";

/** Images in a picture drawn while training, whose time is taken from training. */
const COURSE_IMAGES = 16;

/** Thrown out of a sampler that is told to stop. */
class Interrupted extends Error {}

/** What a run writes besides weights: pictures as it trains, then picture, exported model and report. */
export function drawAndFinish(
  config: RunConfig,
  model: Model,
  data: DataSet,
): Required<Pick<ResolvedRun, "draw" | "finish">> {
  const { samplePictures, provider, threads, seed } = config.fit;
  const sample = model.sample?.bind(model);

  const drawAs = async (
    folder: RunFolder,
    weights: State,
    name: string,
    images: number,
    { shouldStop }: RunControl,
  ): Promise<void> => {
    if (images === 0 || sample === undefined) return;
    const runtime = await nodeRuntime({ provider, ...(threads !== undefined && { threads }) });
    const session = new Session(runtime, weights);
    try {
      const count = pictureCount(data, images);
      const onProgress = (): void => {
        if (shouldStop()) throw new Interrupted();
      };
      const samples = await sample(session, {
        count,
        seed,
        onProgress,
        ...(isGivenColumns(config) && { given: givenOfData(config, data, { count, seed }) }),
        ...(data.source !== undefined && { source: sourceOfData(data, { count, seed }) }),
      });
      const picture = await samplePicture(config.dataInfo, samples, async () => data);
      await writePicture(folder.file("samples", name), picture);
    } finally {
      await session.release();
    }
  };

  /** Does a part of the finish; what it cannot do is a warning, since the weights are safe. */
  const attempt = async (what: string, control: RunControl, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (error instanceof Interrupted) return;
      if (error instanceof FileError || !(error instanceof Error)) throw error;
      control.warn(`${what}: ${error.message}`);
    }
  };

  return {
    draw: (folder, weights, step, control) =>
      drawAs(
        folder,
        weights,
        `step-${String(step).padStart(6, "0")}`,
        Math.min(samplePictures, COURSE_IMAGES),
        control,
      ),
    finish: async (folder, summary, control) => {
      // Whoever stops a run by hand does not want to wait: no samples, no measurements.
      const stopped = summary.reason === "stopped";
      if (!stopped) {
        const weights = await folder.readWeights();
        await attempt("no picture of samples", control, () =>
          drawAs(folder, weights, "samples", samplePictures, control),
        );
        if (model.exported !== undefined) {
          await attempt("no model.onnx", control, () => exportRun(folder.path, folder.file("model.onnx")));
        }
      }
      await attempt("no report", control, () =>
        writeReport(folder, summary, data, { measure: !stopped, warn: (message) => control.warn(message) }),
      );
    },
  };
}
