import { resizedImages, withChannels } from "../../data/image/resize.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { SOURCE_BATCH } from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { embedding, joined } from "../use/embed.node.ts";
import type { FeatureView } from "./distances.node.ts";

/**
 * The codes of a run's model as what images are compared in. Images of another size are brought to that of the run by bilinear interpolation, and grey ones
 * to three channels where it takes colors.
 * @throws OptionError where the run is not of images in bytes, or its model has no features
 */
export function featureView(run: LoadedRun): FeatureView {
  const { dataInfo, model } = run.config;
  const [channels = 0, height = 0, width = 0] = dataInfo.sampleShape;
  if (!isPicture(dataInfo) || dataInfo.kind !== "image") {
    throw new OptionError(
      `option features: ${run.folder.path} is of ${dataInfo.kind} data, not of images in bytes`,
    );
  }
  const features = embedding(run);
  return {
    name: `${model} (${run.folder.path})`,
    async view(images) {
      const [count = 0, ...shape] = images.shape;
      const size = elementCount(shape);
      const parts: NdArray<"float32">[] = [];
      // Enlarged images are many times larger: they are made a few at a time.
      for (let first = 0; first < count; first += SOURCE_BATCH) {
        const held = Math.min(SOURCE_BATCH, count - first);
        const part = float32(images.data.subarray(first * size, (first + held) * size), [held, ...shape]);
        parts.push(await features(resizedImages(withChannels(part, channels), height, width)));
      }
      return joined(parts);
    },
  };
}
