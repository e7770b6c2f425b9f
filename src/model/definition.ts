import type { z } from "zod";
import type { Model } from "./capabilities.ts";
import type { DataInfo, FitKind } from "./data-info.ts";

/** Training options that a model prefers; the user's own come first. Names are those of the fit options. */
export interface FitPreferences {
  readonly learningRate?: number;
  readonly batchSize?: number;
  readonly averageDecay?: number;
  readonly optimizer?: "sgd" | "adam" | "adamw";
  readonly beta1?: number;
  readonly beta2?: number;
  readonly weightDecay?: number;
  readonly clipNorm?: number;
  readonly warmupSteps?: number;
}

/** A model by name: what the command, the catalogue and configuration files know of it. */
export interface ModelDefinition<S extends z.ZodType = z.ZodType> {
  /** Name on the command line: rectified-flow, nice. */
  readonly name: string;
  /** One line on what it is. */
  readonly summary: string;
  readonly paper: string;
  readonly dataKinds: readonly FitKind[];
  /** What a model of this kind can do once fitted. */
  readonly can: readonly (
    | "sample"
    | "score"
    | "inpaint"
    | "edit"
    | "translate"
    | "reflow"
    | "distill"
    | "encode"
    | "decode"
    | "export"
    | "detect"
    | "embed"
  )[];
  /** Architecture options; every field has a description and a default (a default may depend on the data in `build`). */
  readonly options: S;
  /** Options for drawing samples, beside count, seed and label. */
  readonly sampleOptions?: z.ZodType;
  /** What a model is fitted to beside or in place of samples: pairs of noise and samples, where there are some or always. */
  readonly pairs?: "possible" | "needed";
  /** Whether a model leads from another data set to the data, which must be named. */
  readonly needsSource?: boolean;
  build(options: z.output<S>, data: DataInfo): Model;
  /** Options with what follows from the data filled in, such as anchors: they are kept with the run. */
  settled?(options: z.output<S>, data: DataInfo): z.output<S>;
  preferences?(data: DataInfo): FitPreferences;
}

/** What models of a definition can do, with what follows from it: a model with codes can interpolate. */
export function abilities({ can, dataKinds }: Pick<ModelDefinition, "can" | "dataKinds">): readonly string[] {
  const able = new Set<string>(can);
  // Zeros and ones are rows of a table, but for a model of images.
  const takesTables =
    dataKinds.includes("table") || (dataKinds.includes("binary") && !dataKinds.includes("image"));
  return [
    "fit",
    ...can,
    ...(able.has("encode") && able.has("decode") ? ["interpolate"] : []),
    ...(able.has("inpaint") && takesTables ? ["impute"] : []),
  ];
}

/** Keeps the literal type of a definition's name and the type of its options together. */
export function defineModel<const N extends string, S extends z.ZodType>(
  definition: ModelDefinition<S> & { readonly name: N },
): ModelDefinition<S> & { readonly name: N } {
  return definition;
}
