import { shapeError, sizeAt } from "../../tensor/graph.ts";
import { flip } from "../../tensor/index.operations.ts";
import type { Tensor } from "../../tensor/index.ts";

/**
 * Images turned counterclockwise by so many quarters, exactly, as NumPy's `rot90` over the last two axes: x [n, c, s, s] → [n, c, s, s].
 * @throws ShapeError where images are not square
 */
export function quarterTurns(x: Tensor, quarters: number): Tensor {
  if (sizeAt("quarterTurns", x, 2) !== sizeAt("quarterTurns", x, 3)) {
    throw shapeError("quarterTurns", [x], "images must be square");
  }
  switch (((quarters % 4) + 4) % 4) {
    case 1:
      return flip(x.transpose([0, 1, 3, 2]), 2);
    case 2:
      return flip(x, [2, 3]);
    case 3:
      return flip(x.transpose([0, 1, 3, 2]), 3);
    default:
      return x;
  }
}
