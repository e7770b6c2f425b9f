import { DataError, OptionError } from "../errors.ts";
import type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";
import { checkNames, type NamesOf } from "../options.ts";
import { refuseAbility } from "./engine.ts";
import { addressBelow, fetchBytes } from "./fetch.ts";
import { MOST_RECORD_BYTES } from "./record.ts";
import type { LoadOptions, ModelFiles, ModelSource } from "./types.ts";

/** The most bytes of an ONNX file: Protocol Buffers hold no more. */
export const MOST_FILE_BYTES = 2 ** 31 - 1;

/** The most bytes of an image file, as of those that eidos reads. */
export const MOST_IMAGE_BYTES = 256e6;

/** The record, by its name among the files of a model. */
export const RECORD = "model.json";

/** Reads a file of a model by its name. */
export type ReadFile = (name: string) => Promise<Uint8Array>;

const mostBytes = (name: string): number => (name === RECORD ? MOST_RECORD_BYTES : MOST_FILE_BYTES);

const LOADING: NamesOf<LoadOptions> = {
  needs: true,
  provider: true,
  threads: true,
  worker: true,
  wasmPaths: true,
  wasmBinary: true,
  signal: true,
};

/** Refuses options of `load` that are not known. @throws OptionError */
export function checkLoading(options: LoadOptions): void {
  checkNames("load", options, LOADING);
}

/** Whether a source is the files themselves. */
export function isFiles(source: ModelSource): source is ModelFiles {
  return typeof source === "object" && !(source instanceof URL);
}

/** Files that are in memory. */
export function fromMemory(files: ModelFiles): ReadFile {
  return async (name) => {
    const file = Object.hasOwn(files, name) ? files[name] : undefined;
    if (file === undefined) throw new DataError(`${name} is not among the files of the model`);
    return file instanceof ArrayBuffer ? new Uint8Array(file) : file;
  };
}

/** Files at an address. */
export function fromAddress(folder: URL, signal?: AbortSignal): ReadFile {
  return (name) => fetchBytes(addressBelow(folder, name), mostBytes(name), signal);
}

/** The abilities that are asked for, all of which the model has. @throws AbilityError, OptionError */
export function neededOf(
  record: ExportedModel,
  needs: ExportedAbilityName | readonly ExportedAbilityName[] | undefined,
): readonly ExportedAbilityName[] {
  const all = Object.keys(record.abilities) as ExportedAbilityName[];
  if (needs === undefined) return all;
  const asked: readonly ExportedAbilityName[] = typeof needs === "string" ? [needs] : needs;
  if (!Array.isArray(asked)) throw new OptionError("option needs: must be an ability, or a list of some");
  for (const name of asked) if (!all.includes(name)) refuseAbility(record, name);
  return asked;
}
