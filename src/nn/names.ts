import type { State } from "../program/program.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";
import { sameShape } from "../tensor/shape.ts";

/** What is sought in a file: names of the model with their shapes. */
export type WantedShapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** How others name a part of a model. */
export interface NameMapping {
  /** Whose names they are, for a person: "torchvision's resnet18". */
  readonly source: string;
  /** The path of the part in the model, with its last point: `features.backbone.`. */
  readonly part: string;
  /** The name in the model of what a file calls so; where there is none, it may be any that the model has not. */
  rename(name: string): string;
  /** Whether a file has something that no model of this kind takes, such as the classifier of a backbone. */
  isLeftOut(name: string): boolean;
  /** A line where a file of this name may be of something else that has the same names; undefined where it is not. */
  readonly caution?: (fileName: string) => string | undefined;
}

/** What a model knows of names and architectures that others have given to parts of it. */
export interface ForeignNames {
  readonly mappings: readonly NameMapping[];
  /** Why the tensors of a file cannot be of this model, in words that follow the file's name; undefined where they can. */
  refusal(state: State): string | undefined;
}

/** A file's tensors as those of a model. */
export interface Reading {
  /** Values by the names of the model; the rest keeps what the mapping makes of its name. */
  readonly state: State;
  /** The names in the file, by those in `state`. */
  readonly originals: ReadonlyMap<string, string>;
  /** Names in the file outside of `prefix`. */
  readonly outside: readonly string[];
  /** Names in the file of what the mapping leaves out. */
  readonly leftOut: readonly string[];
  /** What stands before all of the names that are read: `module.`. */
  readonly prefix: string;
  /** Undefined where names are the model's own. */
  readonly mapping: NameMapping | undefined;
}

/** The smallest share of a file's numbers below a prefix that is tried, and the most points in one. */
const LEAST_SHARE = 0.05;
const MOST_POINTS = 4;

/** Counts of batches of batch normalization, and whole numbers and marks of a file, which are no weights. */
export function isCounter(name: string, value: NdArray | undefined): boolean {
  return /(^|\.)num_batches_tracked$/.test(name) || value?.dtype === "int64" || value?.dtype === "bool";
}

/** Beginnings of names, up to a point, below which much of a file stands, none first: `""`, `module.`, `module.backbone.`. */
export function prefixesOf(state: State): readonly string[] {
  const counts = new Map<string, number>();
  let total = 0;
  for (const [name, { shape }] of state) {
    const size = elementCount(shape);
    total += size;
    const parts = name.split(".").slice(0, -1);
    for (let i = 1; i <= Math.min(MOST_POINTS, parts.length); i++) {
      const prefix = `${parts.slice(0, i).join(".")}.`;
      counts.set(prefix, (counts.get(prefix) ?? 0) + size);
    }
  }
  const large = [...counts].filter(([, count]) => count >= LEAST_SHARE * total).map(([prefix]) => prefix);
  return ["", ...large];
}

/** The tensors of a file below a prefix, without it. */
export function below(state: State, prefix: string): State {
  return new Map(
    [...state]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}

function read(state: State, prefix: string, mapping: NameMapping | undefined): Reading {
  const taken = new Map<string, NdArray>();
  const originals = new Map<string, string>();
  const outside: string[] = [];
  const leftOut: string[] = [];
  for (const [original, value] of state) {
    const name = original.slice(prefix.length);
    if (!original.startsWith(prefix)) outside.push(original);
    else if (mapping?.isLeftOut(name) === true) leftOut.push(original);
    else {
      const renamed = mapping?.rename(name) ?? name;
      taken.set(renamed, value);
      originals.set(renamed, original);
    }
  }
  return { state: taken, originals, outside, leftOut, prefix, mapping };
}

/** How many numbers of a file fit by name and shape; counters are none. */
export function fittingNumbers(state: State, wanted: WantedShapes): number {
  let numbers = 0;
  for (const [name, { shape }] of wanted) {
    const value = state.get(name);
    if (value !== undefined && !isCounter(name, value) && sameShape(value.shape, shape)) {
      numbers += elementCount(shape);
    }
  }
  return numbers;
}

/**
 * How a file's tensors are best read as those of a model: by their names as they are, without a prefix that stands before them
 * (`module.`, `model.`), or by names that others have given to a part of it; whichever makes the most numbers fit. Of readings that fit alike, the
 * one that changes least.
 */
export function bestReading(state: State, wanted: WantedShapes, foreign?: ForeignNames): Reading {
  let best = read(state, "", undefined);
  let most = fittingNumbers(best.state, wanted);
  for (const mapping of [undefined, ...(foreign?.mappings ?? [])]) {
    for (const prefix of prefixesOf(state)) {
      const reading = read(state, prefix, mapping);
      const numbers = fittingNumbers(reading.state, wanted);
      if (numbers > most) [best, most] = [reading, numbers];
    }
  }
  return best;
}
