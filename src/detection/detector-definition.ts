import type { z } from "zod";
import { OptionError } from "../errors.ts";
import type { DataInfo, FitPreferences, ModelDefinition } from "../nn/model.ts";
import type { Size } from "./box-formats.ts";
import type { Detector } from "./detector.ts";

/** What a detector must know of its data: images [3, height, width], and the number of classes. */
export interface DetectionInfo extends Pick<DataInfo, "sampleShape" | "classes"> {
  /** Shapes of training boxes (all, or a sample) in pixels of those images, from which anchors are made. */
  readonly boxShapes?: readonly Size[];
}

/** A detector by name: a model definition without the kind of data, which is annotated images. */
export interface DetectorDefinition<S extends z.ZodType = z.ZodType>
  extends Pick<ModelDefinition<S>, "name" | "summary" | "paper" | "options"> {
  build(options: z.output<S>, data: DetectionInfo): Detector;
  /** Options with what follows from the data filled in, so that a detector is built again without it. */
  settled?(options: z.output<S>, data: DetectionInfo): z.output<S>;
  preferences(data: DetectionInfo): FitPreferences;
}

/** Keeps the types of a definition's options together. */
export function defineDetector<S extends z.ZodType>(
  definition: DetectorDefinition<S>,
): DetectorDefinition<S> {
  return definition;
}

/** The number of classes. @throws OptionError where the data tells none */
export function classCount(name: string, { classes }: Pick<DataInfo, "classes">): number {
  if (classes === undefined || classes < 1) {
    throw new OptionError(`${name}: the data has no classes; a detector needs annotated images`);
  }
  return classes;
}

/**
 * Training options that the detectors prefer. First gradients are many times larger than later ones, and runs are short: with a
 * long memory of their squares, Adam's steps would stay small.
 */
export const detectorPreferences: FitPreferences = {
  optimiser: "adamw",
  learningRate: 2e-3,
  beta2: 0.99,
  batchSize: 8,
  weightDecay: 0.05,
  averageDecay: 0.99,
  warmupSteps: 100,
  clipNorm: 10,
};
