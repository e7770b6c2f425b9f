import { Conv2d } from "../nn/convolution.ts";
import { constant, conv2d, float32, linear, slice, type Tensor } from "../tensor/index.ts";

/** Which channels of a pixel depend on which, where those of an image do: R, then G, then B. */
export interface GroupMask {
  /** Channels of a map are divided into so many groups. */
  readonly groups: number;
  /** Whether a group reads those up to its own (mask B of the paper), or those before it alone (mask A). */
  readonly own: boolean;
  /** Outputs lie in so many equal parts, each of which has all groups; 1 unless told. */
  readonly parts?: number;
}

/** Ones, but zeros where an output must not read an input of the same pixel: [outputs, inputs, 1, columns]. */
function maskOf(
  outputs: number,
  inputs: number,
  columns: number,
  { groups, own, parts = 1 }: GroupMask,
): Tensor {
  const mask = new Float32Array(outputs * inputs * columns).fill(1);
  const size = outputs / parts;
  for (let o = 0; o < outputs; o++) {
    const reader = Math.floor(((o % size) * groups) / size);
    for (let i = 0; i < inputs; i++) {
      const source = Math.floor((i * groups) / inputs);
      if (source > reader || (source === reader && !own)) mask[(o * inputs + i + 1) * columns - 1] = 0;
    }
  }
  return constant(float32(mask, [outputs, inputs, 1, columns]));
}

/**
 * A convolution over the rows of a map that reaches some columns back and never ahead: [n, I, H, W] → [n, O, H, W]. The
 * last column of its kernel is the pixel itself, whose channels it sees as far as the mask says.
 */
export class RowConvolution extends Conv2d {
  /** Columns that it sees. */
  readonly columns: number;
  private readonly mask: Tensor | undefined;

  /** @param mask without effect where there is one group */
  constructor(inputs: number, outputs: number, columns: number, mask: GroupMask) {
    super(inputs, outputs, [1, columns]);
    this.columns = columns;
    this.mask = mask.groups > 1 ? maskOf(outputs, inputs, columns, mask) : undefined;
  }

  private get maskedWeight(): Tensor {
    return this.mask === undefined ? this.weight : this.weight.mul(this.mask);
  }

  override forward(x: Tensor): Tensor {
    const padding = [0, this.columns - 1, 0, 0] as const;
    return conv2d(x, this.maskedWeight, { padding, ...(this.bias && { bias: this.bias }) });
  }

  /**
   * One pixel, from the columns that are seen: [n, I, columns] → [n, outputs].
   * @param start the first of the outputs that are wanted, and the end of them; all unless told
   */
  at(window: Tensor, start = 0, end = this.weight.shape[0]): Tensor {
    const weight = this.maskedWeight.reshape([this.weight.shape[0] ?? 1, -1]);
    return linear(
      window.reshape([window.shape[0] ?? 1, -1]),
      slice(weight, 0, start, end),
      this.bias && slice(this.bias, 0, start, end),
    );
  }
}
