import { stat } from "node:fs/promises";
import { readBytes } from "../data/files/files.node.ts";
import type { Trainable } from "../model/capabilities.ts";
import { initialState } from "../nn/module.ts";
import { readSafetensors } from "../nn/safetensors.ts";
import { matchState } from "../nn/state.ts";
import type { State } from "../program/program.ts";
import { Random } from "../random.ts";
import { RunFolder } from "./run-folder.node.ts";

/** Weights to begin a fit with, and lines for a person on what of the file did not fit. */
export interface WarmStart {
  readonly start: State;
  readonly report: readonly string[];
}

/**
 * Begins with the weights of a file, or with the best ones of a run: what fits by name and shape is taken, the rest is drawn
 * as it would have been without.
 * @throws WeightsError where nothing fits, or the file is damaged; DataError where there is none; FileError
 */
export async function warmStart(path: string, model: Trainable, seed: number): Promise<WarmStart> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const { weights, file } = isFolder
    ? await new RunFolder(path).readWeightsFile()
    : { weights: readSafetensors(await readBytes(path), path).tensors, file: path };
  const { taken, report } = matchState(weights, model, file);
  return { start: new Map([...initialState(model, new Random(seed)), ...taken]), report };
}
