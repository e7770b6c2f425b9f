import type { Model } from "../../model/capabilities.ts";
import type { ExportedAbility, ExportedAbilityName } from "../../model/exported.ts";
import type { State } from "../../program/program.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** An input of the network inside of a file. */
export interface NetworkInput {
  readonly name: string;
  /** A size that is free is called `batch`. */
  readonly shape: readonly (number | string)[];
  /** What it is fed: samples of the data, noise, numbers of classes, or one number. */
  readonly from: "samples" | "normal" | "uniform" | "classes" | { readonly number: number };
}

/** The network inside of a file, without what makes it take and give data in their own units. */
export interface InnerNetwork {
  /** An ONNX model of tensors as the model sees them. */
  readonly bytes: Uint8Array;
  readonly inputs: readonly NetworkInput[];
  /** The file with another network in its place, of the same inputs and outputs. */
  fileOf(network: Uint8Array): Uint8Array;
}

/** A file of an exported model, and what model.json says of it. */
export interface AbilityFile {
  readonly name: ExportedAbilityName;
  readonly bytes: Uint8Array;
  readonly note: ExportedAbility;
  /** Further files, by their names. */
  readonly parts?: Readonly<Record<string, Uint8Array>>;
  /** Absent where several networks stand inside, or one in the loop of a solver: the file is written in float32 alone. */
  readonly network?: InnerNetwork;
}

/** What the files of a run are made of. */
export interface ExportSubject {
  readonly config: RunConfig;
  readonly model: Model;
  readonly weights: State;
  /** Seed of the noise that is drawn for rows, as that of `eidos score`. */
  readonly seed: number;
}
