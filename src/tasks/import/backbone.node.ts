import { createHash } from "node:crypto";
import type { PublishedName } from "../../backbones/published/index.ts";
import { readBytes } from "../../data/files/files.node.ts";
import { ImageClassifier } from "../../detection/models/classifier.ts";
import { WeightsError } from "../../errors.ts";
import { namedTensors, nameParameters } from "../../nn/module.ts";
import { matchState } from "../../nn/state.ts";
import { readWeights } from "../../nn/weights.ts";
import type { State } from "../../program/program.ts";

/**
 * Reads the weights of a published network, without its classifier.
 * @param side of the images that it sees
 * @throws WeightsError where the file is damaged, of another architecture, or has not all of it
 */
export async function readBackbone(
  file: string,
  backbone: PublishedName,
  side: number,
): Promise<{ readonly state: State; readonly sha256: string; readonly notes: readonly string[] }> {
  const bytes = await readBytes(file);
  const { tensors, notes } = readWeights(bytes, file);
  const model = nameParameters(
    new ImageClassifier({ backbone, width: 1, depth: 1 }, { kind: "image", sampleShape: [3, side, side] }),
  );
  const { taken, report } = matchState(tensors, model, file, model.foreignNames());
  const missing = [...namedTensors(model).keys()].filter((name) => !taken.has(name));
  if (missing.length > 0) {
    throw new WeightsError(
      `${file}: has not ${missing.length} of the tensors of ${backbone} (the first is ${missing[0]}); all of it is needed for features`,
    );
  }
  return {
    state: taken,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    notes: [...notes, ...report],
  };
}
