import type { z } from "zod";
import type { DefinitionOf, ModelName, ModelOptions } from "../../catalog.ts";
import type { DataSource, PlainSource } from "../../data/sources/memory.ts";
import type { dataOptionsSchema } from "../../data/sources/options.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import type { fitOptions } from "../../train/options.ts";
import type { detectionDataSchema } from "../run/detection-options.ts";

// What `fit` takes, as types: an editor completes names of models and every option, and a misspelt one does not compile.

/** Options of training. */
export type TrainingOptions = z.input<typeof fitOptions>;

/** Options of data: of images with boxes for detectors, of samples for all other models. */
export type DataOptionsOf<D extends ModelDefinition> = "detect" extends D["can"][number]
  ? z.input<typeof detectionDataSchema>
  : z.input<typeof dataOptionsSchema>;

/** Where data comes from and where the run goes. */
interface Ends {
  /** Name, path or query, as for `openData`, or data in memory: `points(…)`, `images(…)`, `rows(…)`, `photos(…)`. */
  readonly data: string | DataSource;
  /** Run folder. Default: runs/MODEL-DATA, with a number behind it where that is taken. */
  readonly out?: string;
  /** Whether weights that are elsewhere are taken from the cache alone, without any request. Default: false, or as EIDOS_OFFLINE says. */
  readonly offline?: boolean;
}

/** A fit of the model of that name: data, folder, and any option of training, data and model by its name. */
export type FitRequestOf<N extends ModelName> = { readonly model: N } & Ends &
  TrainingOptions &
  DataOptionsOf<DefinitionOf<N>> &
  ModelOptions<N>;

/** A fit of a model of the catalogue. */
export type FitRequest = { [N in ModelName]: FitRequestOf<N> }[ModelName];

/** Path of a module whose default export is a model definition. */
export type ModulePath = `${string}.ts` | `${string}.js` | `${string}.mjs`;

/**
 * A fit of a model of one's own: a definition made with `defineModel`, which is fitted in the calling thread, or the path or URL of a module
 * that exports one by default, which is fitted in a worker: `fit<typeof definition>({ model: "./mine.ts", … })`.
 */
export type OwnFitRequest<D extends ModelDefinition> = { readonly model: D | ModulePath | URL } & Ends &
  TrainingOptions &
  DataOptionsOf<D> &
  z.input<D["options"]>;

/** What a fit is asked for, before its options are checked: `FitRequest` without its types. */
export interface UncheckedRequest {
  /** Name in the catalogue, path of a module (.js, .mjs, .ts) whose default export is a model definition, or `definition:NAME`. */
  readonly model: string;
  /** Name, path or query, as for `openData`, or data in memory. */
  readonly data: string | DataSource;
  /** Run folder (default: runs/MODEL-DATA, with a number behind it where that is taken). */
  readonly out?: string;
  /** Whether weights that are elsewhere are taken from the cache alone. */
  readonly offline?: unknown;
  readonly [option: string]: unknown;
}

/** Data as it travels to the thread of a fit and to replicas. */
export type SentData = string | PlainSource;

/** A request that can be sent to another thread. */
export type SentRequest = UncheckedRequest & { readonly data: SentData };
