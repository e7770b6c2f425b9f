import {
  FACE_MODELS,
  type FaceModel,
  type PublishedFaceDetector,
  readFaceDetector,
} from "../../detection/models/faces/published.ts";
import {
  readTorchvision,
  TORCHVISION_MODELS,
  type TorchvisionModel,
} from "../../detection/models/torchvision.ts";
import { OptionError } from "../../errors.ts";
import { checkFinite } from "../../nn/state.ts";
import { readWeights } from "../../nn/weights.ts";

// Detectors that others have trained, of one file each, by whose files they are.

/** Models that a file becomes. */
export const ONE_FILE_MODELS = [...TORCHVISION_MODELS, ...FACE_MODELS] as const;

export type OneFileModel = (typeof ONE_FILE_MODELS)[number];

/**
 * Side of the square that images are fitted into. torchvision enlarges photos to a shorter side of 800 pixels, those of 4 : 3 to 1067 × 800:
 * at 1024, which all strides up to 128 divide, objects are within 4 % of the size that it was trained on.
 */
const TORCHVISION_SIZE = 1024;

/** A detector out of a file. */
export interface ReadDetector extends Omit<PublishedFaceDetector, "model"> {
  readonly model: OneFileModel;
}

export function isTorchvision(model: OneFileModel): model is TorchvisionModel {
  return TORCHVISION_MODELS.some((name) => name === model);
}

const isFaceModel = (model: OneFileModel): model is FaceModel => FACE_MODELS.some((name) => name === model);

/**
 * Reads a detector.
 * @param as the model that it is to be; an error names the right one
 * @param epsilon of batch norms, for torchvision's detectors
 * @param file named in errors
 * @throws OptionError for a model that the file is not of, or an option of another kind of file; WeightsError where the file is damaged or of
 * another architecture
 */
export function readDetector(
  bytes: Uint8Array,
  as: OneFileModel,
  file: string,
  epsilon: number | undefined,
): ReadDetector {
  if (isFaceModel(as)) {
    if (epsilon !== undefined) {
      throw new OptionError(
        `option epsilon: is of batch norms; in files of ${as} they are part of the convolutions; leave it out`,
      );
    }
    return readFaceDetector(bytes, as, file);
  }
  const weights = readWeights(bytes, file);
  checkFinite(weights.tensors, file);
  const read = readTorchvision(weights.tensors, as, file, epsilon);
  return {
    ...read,
    classNames: undefined,
    size: TORCHVISION_SIZE,
    notes: [...weights.notes, ...read.notes],
  };
}
