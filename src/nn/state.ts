import { WeightsError } from "../errors.ts";
import type { State } from "../program/program.ts";
import type { NdArray } from "../tensor/array.ts";
import { sameShape, showShape } from "../tensor/shape.ts";
import { type Module, namedTensors } from "./module.ts";

/** Names listed in a message before "and n more". */
const LISTED = 5;

/** How values of some file fit a model, by name and shape. */
interface Fitting {
  /** Those that fit, as float32. */
  readonly taken: State;
  /** Names of the model that the file does not have. */
  readonly missing: readonly string[];
  /** Names of the file that the model does not have. */
  readonly unexpected: readonly string[];
  /** What has another shape in the file, in words. */
  readonly misshapen: readonly string[];
}

function fittingOf(state: State, wanted: ReturnType<typeof namedTensors>): Fitting {
  const taken = new Map<string, NdArray>();
  const misshapen: string[] = [];
  for (const [name, { shape }] of wanted) {
    const value = state.get(name);
    if (value === undefined) continue;
    if (sameShape(value.shape, shape)) taken.set(name, toFloat32(value));
    else misshapen.push(`${name} is ${showShape(value.shape)}, the model wants ${showShape(shape)}`);
  }
  return {
    taken,
    missing: [...wanted.keys()].filter((name) => !state.has(name)),
    unexpected: [...state.keys()].filter((name) => !wanted.has(name)),
    misshapen,
  };
}

function listed(what: string, names: readonly string[]): readonly string[] {
  if (names.length === 0) return [];
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return [`${what}: ${names.slice(0, LISTED).join(", ")}${more}`];
}

/**
 * The values of a file that fit a model by name and shape, to begin a fit with, and lines on what did not fit.
 * @param fileName named in errors and lines
 * @throws WeightsError where nothing fits
 */
export function matchState(
  state: State,
  module: Module,
  fileName: string,
): { readonly taken: State; readonly report: readonly string[] } {
  const wanted = namedTensors(module);
  const { taken, missing, unexpected, misshapen } = fittingOf(state, wanted);
  if (taken.size === 0) {
    const found = [...state.keys()].slice(0, 3).join(", ");
    const own = [...wanted.keys()].slice(0, 3).join(", ");
    throw new WeightsError(
      `${fileName}: nothing in it fits this model by name and shape; it holds ${found}, …, the model wants ${own}, …`,
    );
  }
  return {
    taken,
    report: [
      `weights of ${fileName}: ${taken.size} of ${wanted.size} tensors taken`,
      ...listed("of another shape, begun afresh", misshapen),
      ...listed("not in the file, begun afresh", missing),
      ...listed("in the file, not used", unexpected),
    ],
  };
}

/**
 * Checks that values fit a model exactly, and returns them in the model's order as float32 (a PyTorch state_dict may
 * hold int64 counters and float64 values).
 * @param fileName named in errors
 * @throws WeightsError listing missing, unexpected and wrong-shaped names
 */
export function checkState(state: State, module: Module, fileName: string): State {
  const { taken, missing, unexpected, misshapen } = fittingOf(state, namedTensors(module));
  const problems = [
    ...listed("missing", missing),
    ...listed("unexpected", unexpected),
    ...listed("of another shape", misshapen),
  ];
  if (problems.length > 0) {
    throw new WeightsError(`${fileName}: does not fit this model; ${problems.join("; ")}`);
  }
  return taken;
}

function toFloat32(array: NdArray): NdArray {
  if (array.dtype === "float32") return array;
  return { dtype: "float32", shape: array.shape, data: Float32Array.from(array.data, Number) };
}
