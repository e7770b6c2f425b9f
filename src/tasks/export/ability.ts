import type { Model } from "../../model/capabilities.ts";
import type { ExportedAbility, ExportedAbilityName } from "../../model/exported.ts";
import type { State } from "../../program/program.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** A file of an exported model, and what model.json says of it. */
export interface AbilityFile {
  readonly name: ExportedAbilityName;
  readonly bytes: Uint8Array;
  readonly note: ExportedAbility;
}

/** What the files of a run are made of. */
export interface ExportSubject {
  readonly config: RunConfig;
  readonly model: Model;
  readonly weights: State;
  /** Seed of the noise that is drawn for rows, as that of `eidos score`. */
  readonly seed: number;
}
