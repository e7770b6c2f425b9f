import type { z } from "zod";
import type { Session } from "../program/session.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";
import type { Module } from "./module.ts";

/** What a sample is: a point of the plane, an image in bytes, or a row of standardised table columns. */
export type DataKind = "points" | "image" | "table";

/** What a model must know of the data to be built. */
export interface DataInfo {
  readonly kind: DataKind;
  /** Shape of one sample: [2], [channels, height, width], [columns]. */
  readonly sampleShape: readonly number[];
  /** Number of classes where samples have labels. */
  readonly classes?: number;
  /** Share of each class among the training samples; equal shares unless told. */
  readonly classShares?: readonly number[];
}

/** A batch while tracing: x of shape [n, …sampleShape] in data units, label of shape [n] (int64) where there is one. */
export interface SymbolicBatch {
  readonly x: Tensor;
  readonly label?: Tensor;
}

/** The loss to be minimised, and parts of it worth reporting; all scalars. */
export type Losses = Readonly<Record<string, Tensor>> & { readonly total: Tensor };

/** A model that can be fitted. */
export interface Trainable extends Module {
  /** Losses on a batch. Random numbers come from `normal()` and `uniform()`. */
  loss(batch: SymbolicBatch): Losses;
}

/** A model with a density. */
export interface Density {
  /**
   * Log-density of each sample in nats, shape [n], with respect to data units: for images in bytes it is that of the
   * dequantised image on [0, 256)ᴰ, so that bits per dimension are −logProb / (D · ln 2).
   */
  logProb(x: Tensor): Tensor;
  /** Exact, or a lower bound (as with dequantisation noise or a variational model). */
  readonly likelihood: "exact" | "bound";
}

/** What every sampler takes. */
export interface SampleOptions {
  readonly count: number;
  readonly seed: number;
  /** Class of the samples, for conditional models. */
  readonly label?: number;
  /** Called after each finished part with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** A model that draws samples in data units, shape [count, …sampleShape]. Images are not rounded. */
export interface Sampler<O extends SampleOptions = SampleOptions> {
  sample(session: Session, options: O): Promise<NdArray<"float32">>;
}

/** A model that maps data to a code and back. */
export interface Codec {
  encode(x: Tensor): Tensor;
  decode(z: Tensor): Tensor;
}

/** A model that can be written as one ONNX graph for use outside: named inputs with a `batch` axis, named outputs. */
export interface Exportable {
  /** The graph of the model's main use (a velocity field, a log-density, detections). */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string };
}

export type Model = Trainable & Partial<Density> & Partial<Sampler> & Partial<Codec> & Partial<Exportable>;

/** What a model can do, read off its methods. */
export function capabilities(model: Model): readonly string[] {
  return [
    "fit",
    ...(model.sample ? ["sample"] : []),
    ...(model.logProb ? ["score"] : []),
    ...(model.encode && model.decode ? ["encode", "decode"] : []),
    ...(model.exported ? ["export"] : []),
  ];
}

/** Training options that a model prefers; the user's own come first. Names are those of the fit options. */
export interface FitPreferences {
  readonly learningRate?: number;
  readonly batchSize?: number;
  readonly averageDecay?: number;
  readonly optimiser?: "sgd" | "adam" | "adamw";
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
  readonly dataKinds: readonly DataKind[];
  /** What a model of this kind can do once fitted. */
  readonly can: readonly ("sample" | "score" | "encode" | "decode" | "export" | "detect" | "embed")[];
  /** Architecture options; every field has a description and a default (a default may depend on the data in `build`). */
  readonly options: S;
  /** Options for drawing samples, beside count, seed and label. */
  readonly sampleOptions?: z.ZodType;
  build(options: z.output<S>, data: DataInfo): Model;
  preferences?(data: DataInfo): FitPreferences;
}

/** Keeps the types of a definition's options together. */
export function defineModel<S extends z.ZodType>(definition: ModelDefinition<S>): ModelDefinition<S> {
  return definition;
}
