import type { State } from "../program/program.ts";
import { Random } from "../random.ts";
import { elementCount, type NdArray, zeros } from "../tensor/array.ts";
import { Tensor } from "../tensor/graph.ts";
import { Buffer, Parameter } from "../tensor/leaves.ts";

/**
 * A part of a model: any object whose fields are parameters, buffers, modules, or arrays of them. The path of fields
 * that leads to a parameter is its name (`blocks.0.conv.weight`), as in a PyTorch state_dict.
 */
export type Module = object;

/** All parameters and buffers below a module by name, in the order of fields. */
export function namedTensors(module: Module): ReadonlyMap<string, Parameter | Buffer> {
  const found = new Map<string, Parameter | Buffer>();
  const seen = new Set<object>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
    if (value instanceof Parameter || value instanceof Buffer) {
      if (!seen.has(value)) found.set(path, value);
      seen.add(value);
      return;
    }
    // Other tensors and plain data hold no parameters; a module shared by two fields keeps its first name.
    if (seen.has(value) || value instanceof Tensor) return;
    seen.add(value);
    for (const [field, child] of Object.entries(value))
      visit(child, path === "" ? field : `${path}.${field}`);
  };
  visit(module, "");
  return found;
}

/** Gives every parameter and buffer below the module its property path as name. Returns the module. */
export function nameParameters<M extends Module>(module: M): M {
  for (const [name, tensor] of namedTensors(module)) tensor.name = name;
  return module;
}

/** The trainable parameters of a named module, in the order of fields. */
export function parametersOf(module: Module): readonly Parameter[] {
  return [...namedTensors(module).values()].filter((tensor) => tensor instanceof Parameter);
}

/** The buffers of a named module, in the order of fields. */
export function buffersOf(module: Module): readonly Buffer[] {
  return [...namedTensors(module).values()].filter((tensor) => tensor instanceof Buffer);
}

/** Number of trainable numbers. */
export function parameterCount(module: Module): number {
  return parametersOf(module).reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
}

/** Numbers of all parameters and buffers: the length of the model's weights. */
export function stateSize(module: Module): number {
  return [...namedTensors(module).values()].reduce((total, { shape }) => total + elementCount(shape), 0);
}

/**
 * Fresh values for all parameters and buffers. Each is drawn from a child of the seed named by its path, so that adding
 * a layer does not change the others.
 */
export function initialState(module: Module, seed: number | Random): State {
  const random = (typeof seed === "number" ? new Random(seed) : seed).split("initialise");
  const state = new Map<string, NdArray>();
  for (const [name, tensor] of namedTensors(module)) {
    const array = zeros("float32", tensor.shape);
    tensor.initialize(array.data, tensor.shape, random.split(name));
    state.set(name, array);
  }
  return state;
}
