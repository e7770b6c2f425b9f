import type { z } from "zod";
import { parseOptions } from "../options.ts";
import type { Model } from "./capabilities.ts";
import type { DataInfo, FitKind } from "./data-info.ts";

/** Training options that a model prefers; options that a user gives replace them. Names are those of the fit options. */
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
  /** Steps between validations. */
  readonly validateEvery?: number;
  /** Validations without improvement that end a fit which is limited in seconds. */
  readonly patience?: number;
}

/** What a fitted model can be asked for. */
export type Ability =
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
  | "embed";

/** A model by name: all that the command, the catalogue and configuration files use. */
export interface ModelDefinition<S extends z.ZodType = z.ZodType, M extends Model = Model> {
  /** Name on the command line: rectified-flow, nice. */
  readonly name: string;
  /** One line on what it is. */
  readonly summary: string;
  /** Authors, year, title and arXiv number. */
  readonly paper: string;
  readonly dataKinds: readonly FitKind[];
  /** What a model of this kind can do once fitted. */
  readonly can: readonly Ability[];
  /** Architecture options; every field has a description and a default (a default may depend on the data in `build`). */
  readonly options: S;
  /** Options for drawing samples, beside count, seed and label. */
  readonly sampleOptions?: z.ZodType;
  /** Whether a model can be fitted to pairs of noise and samples, or needs them. */
  readonly pairs?: "possible" | "needed";
  /** Whether a detector finds objects of one class, for which those of several count where data have them. */
  readonly oneClass?: boolean;
  /** Whether a model maps another data set, which must be named, to the data. */
  readonly needsSource?: boolean;
  /** A model from parsed options. @throws OptionError where options do not fit the data or each other */
  build(options: z.output<S>, data: DataInfo): M;
  /** Options completed by what follows from the data, such as anchors; the run keeps them. */
  settled?(options: z.output<S>, data: DataInfo): z.output<S>;
  /** Lines for a person on what settled options do to the data, shown as a fit begins. */
  notes?(options: z.output<S>, data: DataInfo): readonly string[];
  preferences?(data: DataInfo): FitPreferences;
}

/** What models of a definition can do, with what follows from it: a model with codes can interpolate. */
export function abilities({ can, dataKinds }: Pick<ModelDefinition, "can" | "dataKinds">): readonly string[] {
  const able = new Set<string>(can);
  return [
    "fit",
    ...can,
    ...(able.has("encode") && able.has("decode") ? ["interpolate"] : []),
    ...(able.has("inpaint") && takesTables({ dataKinds }) ? ["impute"] : []),
  ];
}

/** What one may want of a model. */
export type Purpose = "find" | "score" | "draw" | "embed";

/**
 * What a model is for first: to find objects, to score by an exact log-likelihood, to draw samples, or to embed. Undefined for one that does
 * none of these.
 */
export function purposeOf({ can }: Pick<ModelDefinition, "can">): Purpose | undefined {
  if (can.includes("detect")) return "find";
  // Diffusion models change samples by noise, and VAEs have features: their likelihoods are bounds, or cost an integral.
  if (can.includes("score") && !can.includes("edit") && !can.includes("embed")) return "score";
  if (can.includes("sample")) return "draw";
  return can.includes("embed") ? "embed" : undefined;
}

/** True where a model takes rows of a table: zeros and ones are some, but for a model of images. */
function takesTables({ dataKinds }: Pick<ModelDefinition, "dataKinds">): boolean {
  return dataKinds.includes("table") || (dataKinds.includes("binary") && !dataKinds.includes("image"));
}

/**
 * What a model does with rows of tables that have gaps, beside learning from them: `filled in` by draws given the other cells, in `impute` and in `sample`;
 * `drawn anew`, rows with gaps in `sample` alone; `learned`, where it draws none. Undefined for models that take no tables.
 */
export type GapHandling = "filled in" | "drawn anew" | "learned";

export function gapHandling(definition: Pick<ModelDefinition, "can" | "dataKinds">): GapHandling | undefined {
  if (!takesTables(definition)) return undefined;
  if (definition.can.includes("inpaint")) return "filled in";
  return definition.can.includes("sample") ? "drawn anew" : "learned";
}

/** What `GapHandling` means, for a person. */
export const GAP_MEANINGS: Readonly<Record<GapHandling, string>> = {
  "filled in":
    "it learns from rows with gaps; `impute` fills them in, and so does `sample`, unless `--gaps` asks for rows with gaps at the rate of the data",
  "drawn anew":
    "it learns from rows with gaps and cannot fill them in; `sample` draws rows with gaps anew, unless `--gaps` asks for them at the rate of the data",
  learned: "it learns from rows with gaps",
};

/** A definition with the literal types of its name and abilities, from which the front door infers options and methods. */
export type Defined<
  N extends string,
  S extends z.ZodType,
  C extends readonly Ability[],
  M extends Model = Model,
> = ModelDefinition<S, M> & { readonly name: N; readonly can: C };

/** Keeps the literal types of a definition's name and abilities, the type of its options and that of its models together. */
export function defineModel<
  const N extends string,
  S extends z.ZodType,
  const C extends readonly Ability[],
  M extends Model = Model,
>(definition: Defined<N, S, C, M>): Defined<N, S, C, M> {
  return definition;
}

/**
 * The builder of a definition: a function from options, as a user gives them, and data to a model, whose weights have no
 * values yet. Options that are left out have their defaults.
 * @throws OptionError (the builder) that names the option at fault
 */
export function builderOf<S extends z.ZodType, M extends Model>(
  definition: ModelDefinition<S, M>,
): (options: z.input<S>, data: DataInfo) => M {
  return (options, data) =>
    definition.build(parseOptions(definition.name, definition.options, options), data);
}
