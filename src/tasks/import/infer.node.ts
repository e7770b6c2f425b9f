import { stat } from "node:fs/promises";
import { extname } from "node:path";
import type { PublishedName } from "../../backbones/published/index.ts";
import { publishedOf } from "../../backbones/published/names.ts";
import { readBytes } from "../../data/files/files.node.ts";
import { publishedFaceModel } from "../../detection/models/faces/published.ts";
import { holdsCascade } from "../../detection/models/mtcnn/weights.ts";
import { lookOf, torchvisionModel } from "../../detection/models/torchvision.ts";
import { OptionError, WeightsError } from "../../errors.ts";
import { readWeights } from "../../nn/weights.ts";
import type { OneFileModel } from "./readers.ts";

/**
 * Which model weights are of, by the names of their tensors, or of a graph's outputs. Several files, and a folder, are MTCNN's.
 * @param choices named where they do not show it
 * @throws OptionError where they do not show it; DataError, WeightsError where a file is damaged, or of a kind that is not read, which is named
 */
export async function inferredModel(
  files: readonly string[],
  choices: readonly string[],
): Promise<OneFileModel | "mtcnn" | PublishedName> {
  const [file = "", ...others] = files;
  const isFolder = (await stat(file).catch(() => undefined))?.isDirectory() === true;
  if (others.length > 0 || isFolder) return "mtcnn";
  const bytes = await readBytes(file);
  const model =
    extname(file).toLowerCase() === ".onnx" ? publishedFaceModel(bytes, file) : ofTensors(bytes, file);
  if (model !== undefined) return model;
  throw new OptionError(
    `option as: is missing, and ${file} does not show which model it is of; give --as ${choices.join(", ")}`,
  );
}

function ofTensors(bytes: Uint8Array, file: string): OneFileModel | "mtcnn" | PublishedName | undefined {
  const { tensors } = readWeights(bytes, file);
  const found =
    torchvisionModel(tensors) ?? (holdsCascade(tensors) ? "mtcnn" : undefined) ?? publishedOf(tensors);
  if (found !== undefined) return found;
  const look = lookOf(tensors);
  if (look !== undefined) throw new WeightsError(`${file}: looks like ${look}`);
  return undefined;
}
