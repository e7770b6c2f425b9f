import { WeightsError } from "../errors.ts";
import type { State } from "../program/program.ts";
import { elementCount } from "../tensor/array.ts";
import { reshape } from "../tensor/index.operations.ts";
import type { Tensor } from "../tensor/index.ts";
import type { Parameter } from "../tensor/leaves.ts";
import { split } from "../tensor/operations/shaping.ts";

/**
 * How the parameters of a model lie one after another in a single vector. Optimizers work on that vector: one chain of
 * element-wise operations instead of one for every parameter, and one value to pass in and out of a step.
 */
export class ParameterLayout {
  readonly parameters: readonly Parameter[];
  /** Length of the vector. */
  readonly size: number;

  constructor(parameters: readonly Parameter[]) {
    this.parameters = parameters;
    this.size = parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
  }

  /** Views of a flat symbolic vector in the shapes of the parameters, to stand in their places. */
  views(flat: Tensor): ReadonlyMap<Tensor, Tensor> {
    const pieces =
      this.parameters.length === 1
        ? [flat]
        : split(
            flat,
            0,
            this.parameters.map(({ shape }) => elementCount(shape)),
          );
    return new Map(
      this.parameters.map((parameter, i) => {
        const piece = pieces[i];
        if (piece === undefined) throw new RangeError(`no piece for parameter ${parameter.name}`);
        return [parameter, reshape(piece, parameter.shape)];
      }),
    );
  }

  /** Copies named values into one vector. @throws WeightsError naming a parameter that is missing or misshapen. */
  pack(state: State): Float32Array {
    const flat = new Float32Array(this.size);
    let offset = 0;
    for (const { name, shape } of this.parameters) {
      const value = state.get(name);
      if (value === undefined) throw new WeightsError(`weights: parameter ${name} is missing`);
      if (value.dtype !== "float32" || value.data.length !== elementCount(shape)) {
        throw new WeightsError(
          `weights: parameter ${name} is ${value.dtype}[${value.shape}], the model wants float32[${shape}]`,
        );
      }
      flat.set(value.data as Float32Array, offset);
      offset += value.data.length;
    }
    return flat;
  }

  /** Named copies of the pieces of a vector. */
  unpack(flat: Float32Array): State {
    let offset = 0;
    return new Map(
      this.parameters.map(({ name, shape }) => {
        const data = flat.slice(offset, offset + elementCount(shape));
        offset += data.length;
        return [name, { dtype: "float32", shape, data }];
      }),
    );
  }
}
