import { OptionError, WeightsError } from "../errors.ts";
import type { State } from "../program/program.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { broadcastTo, reshape } from "../tensor/index.operations.ts";
import { constant, type Tensor } from "../tensor/index.ts";
import type { Parameter } from "../tensor/leaves.ts";
import { concat, split } from "../tensor/operations/shaping.ts";
import type { Rates } from "./rates.ts";

/** A parameter's value among named values. @throws WeightsError naming it where it is missing or misshapen */
export function parameterValue(state: State, { name, shape }: Parameter): NdArray<"float32"> {
  const value = state.get(name);
  if (value === undefined) throw new WeightsError(`weights: parameter ${name} is missing`);
  if (value.dtype !== "float32" || value.data.length !== elementCount(shape)) {
    throw new WeightsError(
      `weights: parameter ${name} is ${value.dtype}[${value.shape}], the model wants float32[${shape}]`,
    );
  }
  return value as NdArray<"float32">;
}

/** Parameters that lie one after another in a vector: from number `from` to before `to`. */
export interface LayoutStretch {
  readonly layout: ParameterLayout;
  readonly from: number;
  readonly to: number;
}

/**
 * How the trained parameters of a model lie one after another in a single vector. Optimizers work on that vector: one chain
 * of element-wise operations instead of one for every parameter, and one value to pass in and out of a step.
 */
export class ParameterLayout {
  readonly parameters: readonly Parameter[];
  /** Length of the vector. */
  readonly size: number;
  private readonly shares: Rates;

  /** @param rates shares of the learning rate; 1 for a parameter that has none there */
  constructor(parameters: readonly Parameter[], rates: Rates = new Map()) {
    this.parameters = parameters;
    this.shares = rates;
    this.size = parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
  }

  /** Views of a flat symbolic vector in the shapes of the parameters, to stand in place of them. */
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

  /** Stretches of the vector that have one share of the learning rate each. */
  get rateStretches(): readonly { readonly rate: number; readonly size: number }[] {
    const stretches: { readonly rate: number; readonly size: number }[] = [];
    for (const parameter of this.parameters) {
      const rate = this.shares.get(parameter) ?? 1;
      const size = elementCount(parameter.shape);
      const last = stretches.at(-1);
      if (last?.rate === rate) stretches.splice(-1, 1, { rate, size: last.size + size });
      else stretches.push({ rate, size });
    }
    return stretches;
  }

  /**
   * The share of the learning rate of each number of the vector; undefined where all are 1. It is put together from a scalar a
   * stretch, which the runtime does once, when it loads the program.
   */
  get rates(): Tensor | undefined {
    const stretches = this.rateStretches;
    if (stretches.every(({ rate }) => rate === 1)) return undefined;
    const pieces = stretches.map(({ rate, size }) => broadcastTo(constant(rate), [size]));
    return pieces.length === 1 ? constant(stretches[0]?.rate ?? 1) : concat(pieces, 0);
  }

  /**
   * The stretch of the vector that some of the parameters take, and a layout of these alone.
   * @throws OptionError where they do not lie one after another
   */
  stretch(parameters: readonly Parameter[]): LayoutStretch {
    const wanted = new Set(parameters);
    const own = this.parameters.filter((parameter) => wanted.has(parameter));
    const first = this.parameters.findIndex((parameter) => wanted.has(parameter));
    const areTogether = own.every((parameter, i) => this.parameters[first + i] === parameter);
    if (own.length === 0 || own.length !== wanted.size || !areTogether) {
      throw new OptionError(
        "a part of the model that is trained alone must be one of its fields, and none of its parameters frozen",
      );
    }
    const sizeOf = (parts: readonly Parameter[]): number =>
      parts.reduce((total, { shape }) => total + elementCount(shape), 0);
    const from = sizeOf(this.parameters.slice(0, first));
    const layout = new ParameterLayout(own, this.shares);
    return { layout, from, to: from + layout.size };
  }

  /** Copies named values into one vector. @throws WeightsError naming a parameter that is missing or misshapen. */
  pack(state: State): Float32Array {
    const flat = new Float32Array(this.size);
    let offset = 0;
    for (const parameter of this.parameters) {
      const { data } = parameterValue(state, parameter);
      flat.set(data, offset);
      offset += data.length;
    }
    return flat;
  }

  /** The pieces of a vector by name, in the shapes of the parameters: what is written into the one shows in the other. */
  shown(flat: Float32Array): ReadonlyMap<string, NdArray<"float32">> {
    let offset = 0;
    return new Map(
      this.parameters.map(({ name, shape }) => {
        const data = flat.subarray(offset, offset + elementCount(shape));
        offset += data.length;
        return [name, { dtype: "float32", shape, data }];
      }),
    );
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
