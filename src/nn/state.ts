import { WeightsError } from "../errors.ts";
import type { State } from "../program/program.ts";
import type { NdArray } from "../tensor/array.ts";
import { sameShape, showShape } from "../tensor/shape.ts";
import { type Module, namedTensors } from "./module.ts";

/** Names listed in a message before it says "and n more". */
const LISTED = 5;

/**
 * Checks that values fit a model exactly, and returns them in the model's order as float32 (a PyTorch state_dict may
 * hold int64 counters and float64 values).
 * @param fileName named in errors
 * @throws WeightsError listing missing, unexpected and wrong-shaped names
 */
export function checkState(state: State, module: Module, fileName: string): State {
  const wanted = namedTensors(module);
  const problems: string[] = [];
  const list = (what: string, names: readonly string[]): void => {
    if (names.length === 0) return;
    const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
    problems.push(`${what}: ${names.slice(0, LISTED).join(", ")}${more}`);
  };
  list(
    "missing",
    [...wanted.keys()].filter((name) => !state.has(name)),
  );
  list(
    "unexpected",
    [...state.keys()].filter((name) => !wanted.has(name)),
  );
  list(
    "of another shape",
    [...wanted].flatMap(([name, { shape }]) => {
      const value = state.get(name);
      if (value === undefined || sameShape(value.shape, shape)) return [];
      return [`${name} is ${showShape(value.shape)}, the model wants ${showShape(shape)}`];
    }),
  );
  if (problems.length > 0) {
    throw new WeightsError(`${fileName}: does not fit this model; ${problems.join("; ")}`);
  }
  const fitted = new Map<string, NdArray>();
  for (const name of wanted.keys()) {
    const value = state.get(name);
    if (value !== undefined) fitted.set(name, toFloat32(value));
  }
  return fitted;
}

function toFloat32(array: NdArray): NdArray {
  if (array.dtype === "float32") return array;
  return { dtype: "float32", shape: array.shape, data: Float32Array.from(array.data, Number) };
}
