import { dimAt, sizeAt } from "../../tensor/graph.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  shapeError,
} from "../../tensor/index.operations.ts";
import { concat, type Tensor } from "../../tensor/index.ts";
import { multiplyDims } from "../../tensor/shape.ts";

interface PoolAttributes extends Attributes {
  readonly bins: number;
  readonly stride: number;
}

const roiPoolOperation: Operation<PoolAttributes> = {
  name: "roiMaxPool",
  infer: (inputs, { bins }) => {
    const [map, rois] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (map.rank !== 4 || rois.rank !== 2 || rois.shape[1] !== 5) {
      throw shapeError("roiMaxPool", inputs, "wants a map [n, C, H, W] and regions [k, 5]");
    }
    return [{ shape: [dimAt(rois, 0), dimAt(map, 1), bins, bins], dtype: "float32" }];
  },
  lower: (context, { inputs, attributes: { bins, stride } }) => [
    context.emit1({
      op: "MaxRoiPool",
      inputs: inputs.map((input) => context.value(input)),
      attributes: { pooled_shape: { ints: [bins, bins] }, spatial_scale: { float: 1 / stride } },
    }),
  ],
};

/**
 * RoI pooling as Fast R-CNN had it (Girshick 2015, section 2.1): the edges of a region are rounded to locations of the map, and each bin
 * is the largest value in it, 0 where it is empty. For results equal to networks that were trained with it; without a gradient.
 * @param map [n, C, H, W]
 * @param regions [n, R, 4] in pixels of the image: R regions of each
 * @param stride pixels between locations of the map
 * @returns [n, R, C, bins, bins]
 * @throws ShapeError
 */
export function roiMaxPool(map: Tensor, regions: Tensor, stride: number, bins = 7): Tensor {
  const [n, count, channels] = [dimAt(regions, 0), sizeAt("roiMaxPool", regions, 1), dimAt(map, 1)];
  const all = multiplyDims(n, count);
  if (all === undefined) throw shapeError("roiMaxPool", [map, regions], "wants regions [n, R, 4]");
  // 0, 1, 2 … along the images, of which there may be any number.
  const image = regions.mul(0).sum(2, true).add(1).cumSum(0).sub(1);
  const rois = concat([image, regions], 2).reshape([all, 5]);
  return apply(roiPoolOperation, [map, rois], { bins, stride }).reshape([n, count, channels, bins, bins]);
}
